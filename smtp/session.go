package smtp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"mailserver/delivery"
	"mailserver/internal/maillog"
	"mailserver/internal/milter"
	"mailserver/internal/smtpwire"
	"mailserver/policy"
)

// session is one connection. One goroutine uses it; interrupt and cut may be
// called by others.
type session struct {
	conn
	srv *Server
	opt *ListenerOptions
	rd  *smtpwire.Reader
	set *settings // of the present command
	tag string    // of log lines

	client  policy.Client
	local   netip.Addr
	namaddr string     // "name[192.0.2.1]"
	counted netip.Addr // who the client is for the limits; invalid: no limit
	judge   Judge
	milters *milter.Session // nil: nobody is asked
	about   about           // for their macros

	tls   *tlsInfo // nil in plaintext
	helo  string   // '' none
	proto string   // SMTP, ESMTP, LMTP
	user  string   // who logged in, '' nobody
	mech  string
	tx    *transaction // nil outside of MAIL ... end of data

	forwarded forwarded // by XFORWARD, for the next message

	denied bool   // refused at connect: only QUIT is heard
	where  string // the last command, for the log
	bytes  int64  // of content in the present DATA or BDAT, for the log
	errors int    // since the last message
	junk   int
	counts [maxCommands]struct{ good, all uint16 }
	done   bool  // the loop ends after the present reply
	err    error // the connection failed
}

// transaction is what stands between MAIL and the end of the message.
type transaction struct {
	env  delivery.Envelope
	size int64              // announced, 0 unknown
	sent *delivery.Envelope // what Begin was given

	steps  string  // of the recipients, for the log
	msg    Message // once DATA or BDAT has begun
	intake *intake
	bdat   bool // by BDAT; bad: a chunk was refused
	bad    bool
}

// proto of a session before EHLO.
const plainSMTP = "SMTP"

func newSession(srv *Server, nc net.Conn, opt ListenerOptions) *session {
	s := &session{srv: srv, opt: &opt, tag: logTag(opt), proto: plainSMTP, where: "CONNECT"}
	s.conn = conn{closing: &srv.closing, nc: nc}
	s.rd = smtpwire.NewReader(&s.conn)
	if opt.Role == policy.LMTP {
		s.proto = "LMTP"
	}
	s.client, s.local = clientOf(nc, opt)
	return s
}

// clientOf takes a Unix-domain client for one on loopback, as Postfix does.
func clientOf(nc net.Conn, opt ListenerOptions) (policy.Client, netip.Addr) {
	c := policy.Client{Role: opt.Role, Tag: opt.Tag, Name: unknown, ReverseName: unknown}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	remote, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		c.Addr, c.Name, c.ReverseName = loopback, "localhost", "localhost"
		return c, loopback
	}
	c.Addr, c.Port = remote.Addr().Unmap().WithZone(""), remote.Port()
	local, _ := netip.ParseAddrPort(nc.LocalAddr().String())
	c.Local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	return c, local.Addr().Unmap()
}

// serve is the whole life of the session.
func (s *session) serve(ctx context.Context) {
	defer s.end(ctx)
	defer s.recovered()
	if !s.begin(ctx) {
		return
	}
	for !s.done && s.err == nil {
		s.command(ctx)
	}
}

// command reads one command, runs it and answers.
func (s *session) command(ctx context.Context) {
	if s.errors >= s.hardErrors() {
		s.info("too many errors", "too many errors after %s from %s", s.where, s.namaddr)
		s.last(s.hostReply(421, "4.7.0", "Error: too many errors"))
		return
	}
	s.content, s.each, s.until = false, !s.set.PerRequest, time.Now().Add(s.timeout)
	line, err := s.rd.ReadLine(s.set.LineLimit)
	if errors.Is(err, smtpwire.ErrLineTooLong) {
		s.warn("command too long", "%s: request longer than %d", s.namaddr, s.set.LineLimit)
		s.answer(ctx, unknownCommand, s.hostReply(500, "5.5.2", "Error: command too long"))
		return
	}
	if err != nil {
		s.lost(err)
		return
	}
	set, err := s.srv.config(ctx)
	s.set = set // there is one: begin had one
	s.timeout = s.patience()
	s.dispatch(ctx, strings.Trim(string(line), " \t"), err)
}

// dispatch finds the command of a line and runs it, or answers why not.
func (s *session) dispatch(ctx context.Context, line string, noConfig error) {
	verb, args := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		verb, args = line[:i], strings.TrimLeft(line[i:], " \t")
	}
	cmd := lookup(verb, s.opt.Role)
	s.where = cmd.name
	if r, bad := s.badLine(line, verb); bad {
		s.answer(ctx, unknownCommand, r)
		return
	}
	if s.outOfStep(cmd) {
		s.last(outOfStep)
		return
	}
	if r, bad := s.illegal(cmd, noConfig); bad {
		if cmd == unknownCommand {
			r = s.milterUnknown(ctx, verb, r)
		}
		if cmd.is(chunk) {
			r = s.skipChunk(args, r)
		}
		s.answer(ctx, cmd, r)
		return
	}
	s.answer(ctx, cmd, cmd.run(s, ctx, args))
}

// badLine answers what is no command at all.
func (s *session) badLine(line, verb string) (reply, bool) {
	switch {
	case line == "":
		return badSyntax, true
	case !isLetter(line[0]) || s.forbidden(verb):
		// Another protocol: a browser was led here, or TLS came too early.
		s.warn("non-SMTP command", "non-SMTP command from %s: %s", s.namaddr, maillog.Escaped([]byte(line), 100))
		return goodbye, true
	case s.rd.BareLF() && s.bareLFRefused():
		s.done = true
		return s.bareLFReply(), true
	case !utf8.ValidString(line):
		return badUTF8, true
	case smtpwire.HasControl(line):
		return badSyntax, true
	}
	return reply{}, false
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func (s *session) forbidden(verb string) bool {
	for _, word := range s.set.ForbiddenCommands {
		if strings.EqualFold(word, verb) {
			return true
		}
	}
	return false
}

// illegal answers a command that may not be given now.
func (s *session) illegal(cmd *command, noConfig error) (reply, bool) {
	switch {
	case cmd == unknownCommand:
		return notRecognized, true
	case s.denied && !cmd.is(always):
		return reply{503, "5.7.0", "Error: access denied for " + s.namaddr}, true
	case s.opt.TLS == Encrypt && s.tls == nil && !cmd.is(beforeTLS):
		return needStartTLS, true
	case noConfig != nil && cmd.is(settled):
		s.backendError(cmd.name+": read settings", noConfig)
		return lookupFailure, true
	}
	return s.wrongState(cmd)
}

// outOfStep reports input that came before the reply to cmd, where RFC 2920
// §3.1 wants the client to wait.
func (s *session) outOfStep(cmd *command) bool {
	early := s.rd.Pending()
	if len(early) == 0 || !cmd.is(waits) && (s.proto != plainSMTP || cmd.is(always)) {
		return false
	}
	s.info("improper pipelining", "improper command pipelining after %s from %s: %s", cmd.name, s.namaddr, maillog.Escaped(early, 100))
	s.judge.Pipelined()
	if s.set.ForbidPipelining {
		s.count(cmd, false)
	}
	return s.set.ForbidPipelining
}

// answer counts the outcome of a command and sends the reply, if there is one.
func (s *session) answer(ctx context.Context, cmd *command, r reply) {
	if s.err != nil {
		s.count(cmd, false)
		return
	}
	if cmd.is(junk) {
		if s.junk++; s.junk > s.junkMost()+1 { // the limit itself is still free
			s.errors++
		}
	}
	s.count(cmd, !r.failed() && r != goodbye)
	s.failedOnce(ctx, r)
	s.done = s.done || r.ends()
	s.say(r)
}

// failedOnce counts an error and holds a client up that makes many.
func (s *session) failedOnce(ctx context.Context, r reply) {
	if r.failed() {
		s.errors++
	}
	if s.errors > s.set.SoftErrors && s.set.ErrorSleep > 0 {
		s.flush()
		sleep(ctx, s.set.ErrorSleep)
	}
}

func (s *session) count(cmd *command, good bool) {
	n := &s.counts[cmd.index]
	n.all++
	if good {
		n.good++
	}
}

// say sends a reply with the footer of refusals.
func (s *session) say(r reply) {
	if r.code == 0 || s.err != nil {
		return
	}
	if err := s.put(s.footed(s.softened(r))); err != nil {
		s.lost(err)
	}
}

// softened is postconf(5) soft_bounce.
func (s *session) softened(r reply) reply {
	if s.set.SoftBounce && r.code >= 500 {
		r.code -= 100
		if r.enhanced != "" {
			r.enhanced = "4" + r.enhanced[1:]
		}
	}
	return r
}

// last sends a reply and ends the session.
func (s *session) last(r reply) {
	s.done = true
	s.say(r)
}

// lost ends the session because reading or writing failed.
func (s *session) lost(err error) {
	s.err = err
	where := s.where
	if s.content {
		where = fmt.Sprintf("%s (%d bytes)", s.where, s.bytes)
	}
	switch {
	case errors.Is(err, errTimeout):
		s.info("timeout", "timeout after %s from %s", where, s.namaddr)
		s.put(s.hostReply(421, "4.4.2", "Error: timeout exceeded"))
	case errors.Is(err, errShutdown):
		s.put(s.hostReply(421, "4.3.2", "Service shutting down, closing transmission channel"))
	default:
		s.info("lost connection", "lost connection after %s from %s", where, s.namaddr)
	}
}

// recovered keeps a fault in one session from ending the others.
func (s *session) recovered() {
	if p := recover(); p != nil {
		s.srv.d.Log.Error("session ended by a fault", slog.Any(maillog.Err, p),
			slog.String(maillog.Remote, s.namaddr), slog.String("stack", string(debug.Stack())))
		s.put(reply{421, "4.3.0", "Error: internal error"})
	}
}

// end gives back everything.
func (s *session) end(ctx context.Context) {
	s.reset()
	if s.milters != nil {
		s.milters.Close()
	}
	if s.counted.IsValid() {
		s.srv.limits.close(s.counted, s.set.RateUnit)
	}
	if s.namaddr != "" {
		s.info("disconnect", "disconnect from %s%s", s.namaddr, s.countsLine())
	}
	s.rd.Discard(nil)
	s.shut(ctx, s.where == "QUIT")
}

// reset ends the transaction, if there is one.
func (s *session) reset() {
	s.forwarded = forwarded{}
	if s.tx == nil {
		return
	}
	if s.tx.msg != nil {
		s.tx.msg.Abort()
	}
	s.tx = nil
	if s.milters != nil {
		s.milters.Abort()
	}
	s.judge.Reset()
}
