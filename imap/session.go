package imap

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mailserver/auth"
	"mailserver/internal/control"
	"mailserver/internal/imapwire"
	"mailserver/internal/login"
	"mailserver/internal/maillog"
	"mailserver/internal/tlscert"
	"mailserver/storage"
)

// state is a set of session states, RFC 9051 §3.
type state uint8

const (
	notAuthenticated state = 1 << iota
	authenticated
	selected
	loggedOut

	loggedIn = authenticated | selected
	anyState = notAuthenticated | loggedIn
)

// session is one connection. All fields belong to its goroutine, but for what
// the comment of a field says.
type session struct {
	srv  *Server
	opt  ListenerOptions
	raw  net.Conn
	link *link // safe for wake
	dec  *imapwire.Decoder
	enc  *imapwire.Encoder
	id   string // for the log
	peer auth.Client

	cfg     *Config
	state   state
	tag     string // of the command that runs
	bad     int    // bad commands in a row
	others  int    // sessions of the server when this one began
	begun   time.Time
	tries   int // failed log-ins
	lastTry string
	shown   atomic.Pointer[control.Session] // safe for any goroutine
	closing struct {                        // safe for any goroutine
		sync.Mutex
		bye bool
	}

	user    string
	counted bool
	account *storage.Account
	on      enabled
	hidden  map[string]bool // capabilities that are not offered, see hide
	box     *selection      // nil unless selected
	notify  *notify         // nil: NOTIFY was never used
	gone    counts
}

// enabled is what ENABLE, or a command that implies it, has turned on.
type enabled struct{ condstore, qresync, utf8, rev2, uidOnly bool }

// counts are for the log-out line.
type counts struct{ deleted, expunged int }

// selection is the selected mailbox.
type selection struct {
	view   *storage.View
	place  place
	flags  string       // what FLAGS has told
	exists uint32       // what EXISTS has told
	recent uint32       // what RECENT has told
	quiet  uint64       // flags were told up to this MODSEQ; 0: all
	saved  imapwire.Set // UIDs of SEARCH RETURN (SAVE), RFC 5182
	words  flagWords    // of the last message told; dropped by each Poll

	contexts      []*searchContext
	contextModSeq uint64 // that contexts agree with
}

// flagWords is what a set of flags is called.
type flagWords struct {
	flags  storage.FlagSet
	recent bool
	text   []byte
}

func newSession(srv *Server, c net.Conn, opt ListenerOptions, others int) *session {
	s := &session{srv: srv, opt: opt, raw: c, state: notAuthenticated, begun: srv.d.Now(), id: login.NewID(), others: others}
	s.link = &link{conn: c, now: srv.d.Now, wait: readTimeout}
	s.dec = imapwire.NewDecoder(s.link)
	s.enc = imapwire.NewEncoder(s.link)
	s.dec.Continue = s.askForLiteral
	s.peer = login.NewClient("imap", c)
	s.show()
	return s
}

// Run serves the session to its end.
func (s *session) Run(ctx context.Context) {
	defer s.end()
	s.link.until(s.begun.Add(loginTimeout))
	if err := s.greet(ctx); err != nil {
		s.logDisconnect(err)
		return
	}
	for s.state != loggedOut {
		err := s.await(ctx)
		if err == nil {
			err = s.command(ctx)
		}
		if err != nil {
			s.farewell(err)
			return
		}
	}
	s.logDisconnect(nil)
}

// greet does the handshake of a TLS listener and says the first line.
func (s *session) greet(ctx context.Context) (err error) {
	if s.cfg, err = s.srv.d.Config(ctx); err != nil {
		s.bye("UNAVAILABLE", "Configuration cannot be read now.")
		return err
	}
	if limit := s.cfg.MaxConnections; limit > 0 && s.others >= limit {
		if s.opt.TLS != login.TLSWrapper { // else a handshake would cost what there is not
			s.bye("UNAVAILABLE", "Too many connections.")
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
	s.enc.Raw("* OK [CAPABILITY ").Raw(s.capabilities(ctx)).Raw("] ").Raw(maillog.OneLine(text)).CRLF()
	return nil
}

var errTooMany = errors.New("too many connections")

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
	s.dec.Reset(s.link)
	s.peer.TLS = true
	s.show()
	return nil
}

// await waits for the next command, without buffers.
// Meanwhile NOTIFY may have something to tell.
func (s *session) await(ctx context.Context) error {
	wait := idleTimeout
	if s.state == notAuthenticated {
		wait = loginTimeout
	}
	until := s.srv.d.Now().Add(wait)
	for woken := false; ; woken = true {
		if s.dec.Buffered() > 0 {
			return s.leaving()
		}
		if err := s.tellBetween(ctx, woken); err != nil {
			return err
		}
		err := s.park(until.Sub(s.srv.d.Now()))
		if s.notify == nil || !errors.Is(err, errWoken) {
			return err
		}
		if err := s.leaving(); err != nil {
			return err
		}
	}
}

// park waits for the client, without buffers.
func (s *session) park(wait time.Duration) error {
	if err := s.enc.Park(); err != nil {
		return err
	}
	s.link.park(wait)
	defer s.link.unpark()
	if s.notify != nil {
		defer s.watch()()
	}
	if err := s.leaving(); err != nil {
		return err
	}
	return s.dec.Park()
}

// Leave asks the session to say BYE once no command runs. Safe for any
// goroutine.
func (s *session) Leave() {
	s.closing.Lock()
	s.closing.bye = true
	s.closing.Unlock()
	s.link.wake()
}

// Cut closes the connection under the session. Safe for any goroutine.
func (s *session) Cut() { s.raw.Close() }

// show tells other goroutines what the session is now.
func (s *session) show() {
	s.shown.Store(&control.Session{Proto: "imap", ID: s.id, User: s.user, Remote: s.peer.Remote.String(), TLS: s.peer.TLS, Begun: s.begun})
}

// Shown is what show has told. Safe for any goroutine.
func (s *session) Shown() control.Session { return *s.shown.Load() }

func (s *session) leaving() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closing.bye {
		return errWoken
	}
	return nil
}

// askForLiteral sends the continuation request for a literal.
func (s *session) askForLiteral() error {
	s.enc.Raw("+ OK\r\n")
	return s.enc.Flush()
}

// farewell says why the session ends, if the client can still hear it.
func (s *session) farewell(err error) {
	var timeout net.Error
	switch {
	case errors.Is(err, errWoken):
		s.bye("", "Server shutting down.")
	case errors.As(err, &timeout) && timeout.Timeout() && s.enc.Err() == nil:
		s.bye("", "Disconnected for inactivity.")
	case errors.Is(err, imapwire.ErrFlood):
		s.bye("TOOBIG", "Literal is too large.")
	case errors.Is(err, errSelectedGone):
		s.bye("", "Selected mailbox was deleted, have to disconnect.")
	}
	s.logDisconnect(err)
}

func (s *session) bye(code, text string) {
	s.enc.Raw("* BYE ")
	if code != "" {
		s.enc.Raw("[").Raw(code).Raw("] ")
	}
	s.enc.Raw(text).CRLF()
	s.enc.Flush()
}

// end gives everything back.
func (s *session) end() {
	s.unselect()
	s.unnotify()
	s.enc.Park()
	s.dec.Free()
	if s.state != loggedOut {
		login.Linger(s.link.conn, s.srv.d.Now())
	}
	s.link.conn.Close()
	s.release()
}

// release gives back the place of a session of its user.
func (s *session) release() {
	if s.counted {
		s.srv.Exit(s.user, s.peer.Remote)
		s.counted = false
	}
}

func (s *session) unselect() {
	if s.box != nil {
		s.box.view.Close()
		s.box = nil
	}
	if s.state == selected {
		s.state = authenticated
	}
}
