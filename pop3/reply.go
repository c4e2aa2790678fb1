package pop3

import (
	"context"
	"errors"
	"fmt"

	"mailserver/auth"
	"mailserver/internal/maillog"
	"mailserver/storage"
)

// no is an error that is answered -ERR. Codes are those of RFC 2449 §8.1 and
// RFC 3206.
type no struct{ code, text string }

func (e *no) Error() string { return e.text }

func noSuch(format string, args ...any) error { return &no{"", fmt.Sprintf(format, args...)} }

// replies is every error of the parts below with its answer, the texts as
// Dovecot has them. What is not here is [SYS/TEMP]: the client may try again.
var replies = []struct {
	err  error
	code string
	text string
}{
	{auth.ErrBadCredentials, "AUTH", "Authentication failed."},
	{auth.ErrUnavailable, "SYS/TEMP", "Temporary authentication failure."},
	{storage.ErrNoSpace, "SYS/TEMP", "Not enough disk space"},
	{storage.ErrKeywords, "SYS/TEMP", "Too many keywords."},
	{storage.ErrClosed, "SYS/TEMP", "Server shutting down."},
}

// ending is an error that ends the session; what there was to say has been said.
type ending struct{ why string }

func (e *ending) Error() string { return e.why }

// lineError is why the client's next line cannot be had.
type lineError struct{ err error }

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

// reply answers a command that has failed, and passes on what ends the session.
func (s *session) reply(err error) error {
	var n *no
	var over *ending
	var lost *lineError
	switch {
	case s.link.err != nil:
		return s.link.err
	case err == nil:
		return nil
	case errors.As(err, &over), errors.As(err, &lost):
		return err
	case errors.As(err, &n):
		s.refuse(n.code, n.text)
		return s.link.err
	}
	for _, r := range replies {
		if errors.Is(err, r.err) {
			s.refuse(r.code, r.text)
			return s.link.err
		}
	}
	if !errors.Is(err, context.Canceled) {
		s.srv.d.Log.Error("command failed", maillog.Proto, "pop3", maillog.Conn, s.id, maillog.User, s.user, maillog.Err, err)
	}
	s.refuse("SYS/TEMP", "Internal error occurred. Refer to server log for more information.")
	return s.link.err
}

func (s *session) refuse(code, text string) {
	if code != "" {
		text = "[" + code + "] " + text
	}
	s.say("-ERR " + maillog.OneLine(text))
}

// unavailable logs that something beneath cannot be had now, and answers that
// the client may try again.
func (s *session) unavailable(doing string, err error) error {
	s.srv.d.Log.Error("unavailable", maillog.Proto, "pop3", maillog.Conn, s.id, maillog.User, s.user, "doing", doing, maillog.Err, err)
	return &no{"SYS/TEMP", "Internal error occurred, try again later."}
}
