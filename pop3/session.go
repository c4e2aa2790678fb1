package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"mailserver/auth"
	"mailserver/internal/control"
	"mailserver/internal/login"
	"mailserver/internal/maillog"
	"mailserver/internal/tlscert"
)

// state is a set of session states, RFC 1939 §3.
type state uint8

const (
	authorization state = 1 << iota
	transaction
	ended
)

// session is one connection. All fields belong to its goroutine, but for what
// the comment of a field says.
type session struct {
	srv  *Server
	opt  ListenerOptions
	raw  net.Conn
	link *link  // safe for wake
	id   string // for the log
	peer auth.Client

	cfg    *Config
	state  state
	bad    int // bad commands in a row
	others int // sessions of the server when this one began
	begun  time.Time
	shown  atomic.Pointer[control.Session] // safe for any goroutine

	claimed string // what USER has told
	named   bool   // USER was given
	tries   int    // failed log-ins
	lastTry string
	refused bool // a password came that may not come without TLS

	user    string
	counted bool
	locked  bool
	drop    *maildrop // nil before the log-in
	counts  counts
}

// counts are for the line at the end of a session.
type counts struct{ top, topBytes, retr, retrBytes int64 }

func newSession(srv *Server, c net.Conn, opt ListenerOptions, others int) *session {
	s := &session{srv: srv, opt: opt, raw: c, state: authorization, begun: srv.d.Now(), id: login.NewID(), others: others}
	s.link = &link{conn: c, now: srv.d.Now}
	s.peer = login.NewClient("pop3", c)
	s.show()
	return s
}

// Run serves the session to its end.
func (s *session) Run(ctx context.Context) {
	defer s.end()
	s.link.until(s.begun.Add(loginTimeout))
	err := s.greet(ctx)
	for err == nil && s.state != ended {
		err = s.command(ctx)
	}
	s.farewell(err)
}

// greet does the handshake of a TLS listener and says the first line.
func (s *session) greet(ctx context.Context) (err error) {
	if s.cfg, err = s.srv.d.Config(ctx); err != nil {
		s.say("-ERR [SYS/TEMP] Configuration cannot be read now.")
		s.link.flush()
		s.cfg = new(Config)
		return err
	}
	if limit := s.cfg.MaxConnections; limit > 0 && s.others >= limit {
		if s.opt.TLS != login.TLSWrapper { // else a handshake would cost what there is not
			s.say("-ERR [SYS/TEMP] Too many connections.")
			s.link.flush()
		}
		return errTooMany
	}
	if s.opt.TLS == login.TLSWrapper {
		if err := s.handshake(ctx); err != nil {
			return err
		}
	}
	text := s.cfg.Greeting
	if s.opt.Hostname != "" && s.opt.Hostname != s.cfg.Hostname {
		text = strings.Replace(text, s.cfg.Hostname, s.opt.Hostname, 1)
	}
	s.say("+OK " + maillog.OneLine(text))
	return nil
}

var errTooMany = errors.New("too many connections")

func (s *session) tlsConfig() *tls.Config {
	if s.srv.d.TLS == nil {
		return nil
	}
	return s.srv.d.TLS()
}

// handshake starts TLS; nothing read before it survives.
func (s *session) handshake(ctx context.Context) error {
	cfg := s.tlsConfig()
	if cfg == nil {
		return errors.New("no certificate")
	}
	ctx, shown := tlscert.Watch(ctx)
	if err := s.link.startTLS(ctx, cfg); err != nil {
		return err
	}
	s.peer.Shown = shown.Leaf
	s.peer.TLS = true
	s.show()
	return nil
}

// say writes a line.
func (s *session) say(line string) {
	s.link.say(line)
	s.link.say("\r\n")
}

// Leave asks the session to end once no command runs. Safe for any goroutine.
func (s *session) Leave() { s.link.wake() }

// Cut closes the connection under the session. Safe for any goroutine.
func (s *session) Cut() { s.raw.Close() }

// show tells other goroutines what the session is now.
func (s *session) show() {
	s.shown.Store(&control.Session{Proto: "pop3", ID: s.id, User: s.user, Remote: s.peer.Remote.String(), TLS: s.peer.TLS, Begun: s.begun})
}

// Shown is what show has told. Safe for any goroutine.
func (s *session) Shown() control.Session { return *s.shown.Load() }

// farewell says why the session ends, if the client can still hear it.
func (s *session) farewell(err error) {
	var timeout net.Error
	switch {
	case errors.Is(err, errLeave):
		s.say("-ERR [SYS/TEMP] Server shutting down.")
	case errors.As(err, &timeout) && timeout.Timeout() && s.link.err == nil:
		s.say("-ERR Disconnected for inactivity.")
	case errors.Is(err, errLongLine):
		s.say("-ERR Input line too long.")
	}
	s.link.flush()
	s.logDisconnect(err)
}

// end gives everything back. What was marked is forgotten: RFC 1939 §6.
func (s *session) end() {
	if s.drop != nil {
		s.drop.close()
	}
	if s.state != ended {
		login.Linger(s.link.conn, s.srv.d.Now())
	}
	s.link.release()
	s.link.conn.Close()
	if s.locked {
		s.srv.drops.unlock(s.user)
	}
	if s.counted {
		s.srv.Exit(s.user, s.peer.Remote)
	}
}
