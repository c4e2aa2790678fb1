package imap

import "context"

// runUnauthenticate: RFC 8437. The connection begins anew, TLS and compression
// stay.
func runUnauthenticate(_ context.Context, s *session) (reply, error) {
	s.unselect()
	s.unnotify()
	s.release()
	s.on = enabled{}
	s.account, s.user, s.state = nil, "", notAuthenticated
	s.show()
	s.link.until(s.srv.d.Now().Add(loginTimeout))
	return reply{}, nil
}
