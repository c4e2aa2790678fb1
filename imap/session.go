package imap

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"mailserver/auth"
	"mailserver/internal/imapwire"
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
	cancel  context.CancelFunc
	closing struct { // safe for any goroutine
		sync.Mutex
		bye bool
	}

	user    string
	counted bool
	account *storage.Account
	on      enabled
	box     *selection // nil unless selected
	gone    counts
}

// enabled is what ENABLE, or a command that implies it, has turned on.
type enabled struct{ condstore, qresync, utf8, rev2 bool }

// counts are for the log-out line.
type counts struct{ deleted, expunged int }

// selection is the selected mailbox.
type selection struct {
	view  *storage.View
	saved imapwire.Set // UIDs of SEARCH RETURN (SAVE), RFC 5182
}

func newSession(srv *Server, c net.Conn, opt ListenerOptions) *session {
	s := &session{srv: srv, opt: opt, raw: c, state: notAuthenticated, begun: srv.d.Now(), id: newID()}
	s.link = &link{conn: c, now: srv.d.Now, wait: readTimeout}
	s.dec = imapwire.NewDecoder(s.link)
	s.enc = imapwire.NewEncoder(s.link)
	s.dec.Continue = s.askForLiteral
	s.peer = auth.Client{Service: "imap", Remote: addrOf(c.RemoteAddr()), Local: addrOf(c.LocalAddr())}
	return s
}

func newID() string {
	var b [9]byte
	rand.Read(b[:])
	return base64.RawStdEncoding.EncodeToString(b[:])
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// serve runs the session to its end.
func (s *session) serve(ctx context.Context) {
	defer s.end()
	s.link.until(s.begun.Add(loginTimeout))
	if err := s.greet(ctx); err != nil {
		s.logDisconnect(err)
		return
	}
	for s.state != loggedOut {
		err := s.await()
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
	if s.opt.TLS == TLSWrapper {
		if err := s.handshake(); err != nil {
			return err
		}
	}
	if limit := s.cfg.MaxConnections; limit > 0 && s.others >= limit {
		s.bye("UNAVAILABLE", "Too many connections.")
		return errTooMany
	}
	text := s.cfg.Greeting
	if s.opt.Hostname != "" && s.opt.Hostname != s.cfg.Hostname {
		text = strings.Replace(text, s.cfg.Hostname, s.opt.Hostname, 1)
	}
	s.enc.Raw("* OK [CAPABILITY ").Raw(s.capabilities(ctx)).Raw("] ").Raw(oneLine(text)).CRLF()
	return nil
}

var errTooMany = errors.New("too many connections")

// handshake starts TLS; nothing read before it survives.
func (s *session) handshake() error {
	cfg := s.tlsConfig()
	if cfg == nil {
		return errors.New("no certificate")
	}
	if err := s.link.startTLS(cfg); err != nil {
		return err
	}
	s.dec.Reset(s.link)
	s.peer.TLS = true
	return nil
}

// await waits for the next command, without buffers.
func (s *session) await() error {
	wait := idleTimeout
	if s.state == notAuthenticated {
		wait = loginTimeout
	}
	if s.dec.Buffered() > 0 {
		return s.leaving()
	}
	if err := s.enc.Park(); err != nil {
		return err
	}
	s.link.park(wait)
	defer s.link.unpark()
	if err := s.leaving(); err != nil {
		return err
	}
	return s.dec.Park()
}

// leave asks the session to say BYE once no command runs. Safe for any
// goroutine.
func (s *session) leave() {
	s.closing.Lock()
	s.closing.bye = true
	s.closing.Unlock()
	s.link.wake()
}

// cut closes the connection under the session, and ends what it is doing. Safe
// for any goroutine.
func (s *session) cut() {
	s.cancel()
	s.raw.Close()
}

func (s *session) leaving() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closing.bye {
		return errWoken
	}
	return nil
}

// command reads and runs one command. Its error ends the session.
func (s *session) command(ctx context.Context) error {
	limit := int64(loginLineLimit)
	if s.state != notAuthenticated {
		limit = s.cfg.MaxLineLength
	}
	s.dec.Begin(limit)
	s.dec.UTF8 = s.on.utf8 || s.on.rev2
	row := s.readName()
	run := s.prepare(ctx, row)
	if err := s.dec.Err(); err != nil {
		return s.refuse(row, err)
	}
	answer, err := run(ctx)
	if err != nil {
		answer, err = s.replyTo(row, err)
	}
	if err == nil && !s.dec.Ended() {
		err = s.skip()
	}
	if err != nil {
		return err
	}
	s.bad = 0
	return s.finish(ctx, row, answer)
}

// readName reads tag and name of a command; nil if there is no such command.
func (s *session) readName() *command {
	s.tag = ""
	tag := s.dec.Tag()
	if s.dec.Err() != nil {
		return nil
	}
	s.tag = tag
	s.dec.SP()
	name := s.dec.Keyword()
	if name == "UID" {
		s.dec.SP()
		name += " " + s.dec.Keyword()
	}
	if s.dec.Err() != nil {
		return nil
	}
	row, ok := s.srv.commands[name]
	if !ok {
		s.dec.Fail("Unknown command.")
		return &command{name: name}
	}
	return row
}

// prepare checks that the command is legal now, and reads its arguments.
func (s *session) prepare(ctx context.Context, row *command) func(context.Context) (reply, error) {
	if s.dec.Err() != nil {
		return nil
	}
	cfg, err := s.srv.d.Config(ctx)
	if err != nil {
		return func(context.Context) (reply, error) { return reply{}, err }
	}
	s.cfg = cfg
	if row.states&s.state == 0 {
		s.dec.Fail("%s", wrongState(row, s.state))
		return nil
	}
	if row.args && s.dec.Err() == nil {
		s.dec.SP()
	}
	run := row.parse(s, s.dec)
	if !row.streams {
		s.dec.End()
	}
	return run
}

func wrongState(row *command, now state) string {
	switch {
	case row.states&loggedIn == 0:
		return "Already logged in."
	case now == notAuthenticated:
		return "Please login first."
	default:
		return "No mailbox selected."
	}
}

// refuse answers a command that could not be read.
func (s *session) refuse(row *command, cause error) error {
	if !imapwire.IsSyntax(cause) {
		return cause
	}
	if err := s.skip(); err != nil {
		return err
	}
	most := maxBad
	if s.state == notAuthenticated {
		most = maxBadLogin
	}
	if s.bad++; s.bad >= most {
		s.bye("", "Too many invalid IMAP commands.")
		return errTooManyBad
	}
	s.bad1(row, cause.Error())
	return nil
}

var errTooManyBad = errors.New("too many invalid commands")

func (s *session) bad1(row *command, text string) {
	if s.tag == "" {
		s.enc.Raw("* BAD Error in IMAP tag: ").Raw(oneLine(text)).CRLF()
		return
	}
	s.enc.Raw(s.tag).Raw(" BAD ")
	if row != nil && row.states&s.state != 0 || row != nil && row.states == 0 {
		s.enc.Raw("Error in IMAP command ").Raw(row.name).Raw(": ")
	}
	s.enc.Raw(oneLine(text)).CRLF()
}

// skip reads over what is left of a refused command.
func (s *session) skip() error {
	limit := int64(loginSkipLimit)
	if s.state != notAuthenticated {
		limit = skipLimit
	}
	return s.dec.Skip(limit)
}

// finish tells what has changed in the mailbox, then answers the command.
func (s *session) finish(ctx context.Context, row *command, a reply) error {
	if s.box != nil && s.state == selected {
		if err := s.tellChanges(ctx, !row.keepSeq); err != nil {
			return err
		}
	}
	s.answer(row, a)
	if s.enc.Err() != nil {
		return s.enc.Err()
	}
	if row.after != nil {
		return row.after(s, ctx)
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
	s.enc.Park()
	s.dec.Free()
	// A client that is still sending must be able to read the last line.
	if c, ok := s.raw.(*net.TCPConn); ok && s.state != loggedOut {
		c.CloseWrite()
		c.SetReadDeadline(s.srv.d.Now().Add(time.Second))
		io.CopyN(io.Discard, c, 64<<10)
	}
	s.link.conn.Close()
	if s.counted {
		s.srv.exit(userIP{s.user, s.peer.Remote})
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

// oneLine keeps a text from ending its line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
