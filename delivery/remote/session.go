package remote

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// session is one conversation.
type session struct {
	a     *attempt
	h     host
	nc    net.Conn
	r     *bufio.Reader
	w     *bufio.Writer     // nil while nothing is to be sent; from writers
	exts  map[string]string // EHLO keywords in upper case, with their parameters
	tls   bool
	over  bool // nothing more is to be said
	setup time.Duration

	policy tlsPolicy
	key    string // of connections that may stand for this one
	dest   string // of the demand for such
	opened time.Time
	uses   int         // deliveries, with this one
	timer  *time.Timer // while it is kept
}

func newSession(a *attempt, h host, nc net.Conn) *session {
	return &session{a: a, h: h, nc: nc, r: bufio.NewReaderSize(nc, 2048)}
}

// writers and pieceBuffers are what sessions hold only while they send: most wait.
var (
	writers      = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, pieceSize) }}
	pieceBuffers = sync.Pool{New: func() any { return new([pieceSize]byte) }}
)

func (s *session) writer() *bufio.Writer {
	if s.w == nil {
		s.w = writers.Get().(*bufio.Writer)
		s.w.Reset(s.nc)
	}
	return s.w
}

// flush sends what was written.
func (s *session) flush() error {
	if s.w == nil {
		return nil
	}
	err := s.w.Flush()
	s.w.Reset(nil)
	writers.Put(s.w)
	s.w = nil
	return err
}

func (s *session) close() { s.nc.Close() }

// broken is a conversation that ended in the middle.
type broken struct {
	err   error
	stage string
}

func (b *broken) Error() string { return b.stage + ": " + b.err.Error() }

func (b *broken) Unwrap() error { return b.err }

// send writes one command; it goes out with the next read.
func (s *session) send(line string) {
	w := s.writer()
	w.WriteString(line)
	w.WriteString("\r\n")
}

// read flushes what was sent and reads a reply.
func (s *session) read(timeout time.Duration, stage string) (reply, error) {
	s.nc.SetDeadline(time.Now().Add(timeout))
	if err := s.flush(); err != nil {
		return reply{}, &broken{err, stage}
	}
	rep, err := readReply(s.r)
	if err != nil {
		return reply{}, &broken{err, stage}
	}
	return rep, nil
}

func (s *session) ask(line string, timeout time.Duration, stage string) (reply, error) {
	s.send(line)
	return s.read(timeout, stage)
}

// handshake goes from the greeting to where mail may be sent. again asks for
// another conversation without TLS; over is set when there is nothing to send
// mail on.
func (s *session) handshake(useTLS bool) (again bool) {
	if s.h.port == implicitTLS {
		if err := s.encrypt(); err != nil {
			return s.site(s.noTLS(err))
		}
	}
	if !s.greeting() || !s.hello() {
		return false
	}
	if useTLS && !s.tls {
		if again, ok := s.starttls(); !ok {
			return again
		}
	}
	if s.a.hop.User != "" {
		s.login()
	}
	return false
}

// site ends the conversation: this host takes no mail from us now.
func (s *session) site(r Result) bool {
	s.over = true
	r.Unreachable = true
	r.Host, r.Relay = s.h.name, s.h.relay()
	s.a.settle(&r)
	return false
}

// lost ends it because the connection broke.
func (s *session) lost(err error) bool { return s.site(s.breakage(err)) }

// breakage is the result of a broken conversation.
func (s *session) breakage(err error) Result {
	r := Result{Status: Deferred, Enhanced: "4.4.2"}
	var b *broken
	var ne net.Error
	switch {
	case !errors.As(err, &b):
		r.Text = err.Error()
	case errors.Is(err, errReply):
		r.Enhanced, r.Text = "4.5.0", fmt.Sprintf("host %s sent a malformed reply while %s", s.h, b.stage)
	case errors.As(err, &ne) && ne.Timeout(), errors.Is(err, os.ErrDeadlineExceeded):
		r.Text = fmt.Sprintf("conversation with %s timed out while %s", s.h, b.stage)
	default:
		r.Text = fmt.Sprintf("lost connection with %s while %s", s.h, b.stage)
	}
	return r
}

// greeting: a host that greets with 5xx is passed over as with 4xx,
// postconf(5) smtp_skip_5xx_greeting.
func (s *session) greeting() bool {
	rep, err := s.read(s.a.cfg.HeloTimeout, "receiving the initial server greeting")
	if err != nil {
		return s.lost(err)
	}
	if !rep.ok() {
		return s.site(s.refusedToTalk(rep, Deferred))
	}
	if s.isOurselves(rep) {
		return s.site(Result{Status: Bounced, Enhanced: "5.4.6", Text: "mail for " + s.a.hop.Host + " loops back to myself"})
	}
	return true
}

func (s *session) refusedToTalk(rep reply, status Status) Result {
	enhanced := rep.enhanced()
	if status == Deferred {
		enhanced = "4" + enhanced[1:]
	}
	return Result{Status: status, Enhanced: enhanced, Reply: rep.String(),
		Text: fmt.Sprintf("host %s refused to talk to me: %s", s.h, rep)}
}

// isOurselves: a host at the port of SMTP that greets with our name.
func (s *session) isOurselves(rep reply) bool {
	if s.a.hop.LMTP || s.h.port != 25 || len(rep.lines[0]) < 5 {
		return false
	}
	name, _, _ := strings.Cut(rep.lines[0][4:], " ")
	return strings.EqualFold(name, s.a.cfg.Hostname)
}

// hello says EHLO, or HELO to a host that does not know it.
func (s *session) hello() bool {
	verb, name := "EHLO", s.a.cfg.Helo
	if s.a.hop.LMTP {
		verb, name = "LHLO", s.a.cfg.LMTPHelo
	}
	s.exts = make(map[string]string)
	rep, err := s.ask(verb+" "+name, s.a.cfg.HeloTimeout, "performing the "+verb+" handshake")
	if err != nil {
		return s.lost(err)
	}
	if rep.code >= 500 && verb == "EHLO" && !s.tls {
		rep, err = s.ask("HELO "+name, s.a.cfg.HeloTimeout, "performing the HELO handshake")
		if err != nil {
			return s.lost(err)
		}
		if rep.ok() {
			return true
		}
	}
	if !rep.ok() {
		status := Deferred
		if rep.code >= 500 && s.a.last {
			status = Bounced
		}
		return s.site(s.refusedToTalk(rep, status))
	}
	for _, line := range rep.lines[1:] {
		word, rest, _ := strings.Cut(strings.TrimSpace(line[min(4, len(line)):]), " ")
		s.exts[strings.ToUpper(word)] = rest
	}
	return true
}

func (s *session) has(ext string) bool {
	_, ok := s.exts[ext]
	return ok
}

// starttls does what the policy asks. ok is false when the conversation is
// over; again then asks for one without TLS.
func (s *session) starttls() (again, ok bool) {
	must := s.policy.level >= levelEncrypt
	if !s.has("STARTTLS") {
		s.report("starttls-not-supported", "")
		if must {
			return false, s.site(Result{Status: Deferred, Enhanced: "4.7.4",
				Text: fmt.Sprintf("TLS is required, but was not offered by host %s", s.h)})
		}
		return false, true
	}
	rep, err := s.ask("STARTTLS", s.a.cfg.TLSTimeout, "performing the STARTTLS handshake")
	if err != nil {
		return false, s.lost(err)
	}
	if rep.code != 220 {
		s.report("starttls-not-supported", rep.String())
		if must {
			return false, s.site(Result{Status: Deferred, Enhanced: "4.7.4", Reply: rep.String(),
				Text: fmt.Sprintf("TLS is required, but host %s refused to start TLS: %s", s.h, rep)})
		}
		return false, true
	}
	if err := s.encrypt(); err != nil {
		s.report(s.failureType(err), err.Error())
		if !must {
			return true, false
		}
		return false, s.site(s.noTLS(err))
	}
	s.report(s.inTesting())
	return false, s.hello()
}

// inTesting is what a policy of MTA-STS in mode testing would have failed for:
// mail goes all the same, RFC 8461 §5.2.
func (s *session) inTesting() (failure, reason string) {
	tc, ok := s.nc.(*tls.Conn)
	if s.a.sts == nil || s.a.sts.Enforced() || !ok {
		return "", ""
	}
	if !s.a.sts.Allows(s.h.name) {
		return "certificate-host-mismatch", "the policy does not name " + s.h.name
	}
	p := tlsPolicy{level: levelSecure, match: []string{"hostname"}}
	if err := p.verdict(s.a, s.h, tc.ConnectionState()); err != nil {
		return s.failureType(err), err.Error()
	}
	return "", ""
}

// implicitTLS is the port where TLS comes before the greeting, RFC 8314 §3.3.
const implicitTLS = 465

// errCertificate: the handshake went well, and the host is not who it must be.
var errCertificate = errors.New("certificate verification failed")

func (s *session) noTLS(err error) Result {
	text := "Cannot start TLS: handshake failure"
	if errors.Is(err, errCertificate) {
		text = "Server certificate not verified"
	}
	if s.a.c.d.Log != nil {
		s.a.c.d.Log.Warn("TLS", "queue_id", s.a.m.ID, "host", s.h.relay(), "err", err.Error())
	}
	return Result{Status: Deferred, Enhanced: "4.7.5", Text: text}
}

// encrypt does the handshake. What the server sent before it is dropped: it
// was not protected.
func (s *session) encrypt() error {
	cfg := s.policy.config(s.a, s.h)
	if s.r.Buffered() > 0 {
		return errors.New("data before the TLS handshake")
	}
	s.nc.SetDeadline(time.Now().Add(s.a.cfg.TLSTimeout))
	tc := tls.Client(s.nc, cfg)
	if err := tc.HandshakeContext(context.Background()); err != nil {
		return err
	}
	if err := s.policy.verdict(s.a, s.h, tc.ConnectionState()); err != nil {
		return fmt.Errorf("%w: %w", errCertificate, err)
	}
	s.nc = tc
	s.r.Reset(tc)
	s.tls = true
	return nil
}

// sizeLimit is the SIZE that the server announced; 0 none.
func (s *session) sizeLimit() int64 {
	n, _ := strconv.ParseInt(s.exts["SIZE"], 10, 64)
	return n
}
