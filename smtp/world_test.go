package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"mailserver/auth"
	"mailserver/delivery"
	"mailserver/internal/address"
	"mailserver/internal/maillog"
	"mailserver/internal/milter"
	"mailserver/internal/setting"
	"mailserver/policy"
)

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// world is a server with all that stands below it replaced. Local parts of
// recipients say what happens to them: see its methods.
type world struct {
	t   *testing.T
	srv *Server
	ln  *memListener

	mu       sync.Mutex // guards what follows
	rows     map[string]string
	noConfig error
	got      []taken
	aborted  int
	log      bytes.Buffer

	beginErr, writeErr error
	connect            policy.Verdict
	endOfData          policy.Verdict
	committing         chan struct{} // Commit waits for it, if there is one
}

// taken is a message that Commit was called for.
type taken struct {
	env  delivery.Envelope
	eff  policy.Effects
	text string
}

// start runs a server with one listener until the test ends.
func start(t *testing.T, opt ListenerOptions, rows ...string) *world {
	w := newWorld(t, rows...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		w.srv.Serve(ctx, w.ln, opt)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return w
}

func newWorld(t *testing.T, rows ...string) *world {
	w := &world{t: t, ln: newMemListener(), rows: map[string]string{"myhostname": "mx.example.net"}}
	for _, row := range rows {
		name, value, _ := strings.Cut(row, "=")
		w.rows[name] = value
	}
	table, err := setting.NewTable(Config{})
	if err != nil {
		t.Fatal(err)
	}
	w.srv = New(Deps{
		Judge:  func(c policy.Client) Judge { return &fakeJudge{w: w} },
		Route:  fakeRouter{},
		Accept: fakeAccepter{w},
		Auth:   fakeAuth{},
		Config: func(context.Context) (*Config, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.noConfig != nil {
				return nil, w.noConfig
			}
			c := new(Config)
			return c, table.Fill(c, w.rows)
		},
		Milter: func(context.Context) (*milter.Config, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			table, err := setting.NewTable(milter.Config{})
			if err != nil {
				return nil, err
			}
			c := new(milter.Config)
			return c, table.Fill(c, w.rows)
		},
		Resolve: func(_ context.Context, a netip.Addr) (string, string, bool) {
			if a == netip.MustParseAddr("192.0.2.1") {
				return "client.example", "client.example", false
			}
			return unknown, unknown, false
		},
		Log: slog.New(&lineHandler{w}),
		Now: func() time.Time { return time.Date(2026, 11, 21, 7, 55, 25, 0, time.UTC) },
	})
	return w
}

func (w *world) set(name, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows[name] = value
}

// messages returns what was committed.
func (w *world) messages() []taken {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]taken(nil), w.got...)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// lineHandler writes the lines that syslog would show.
type lineHandler struct{ w *world }

func (h *lineHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *lineHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *lineHandler) WithGroup(string) slog.Handler            { return h }
func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == maillog.Line {
			line = a.Value.String()
		}
		return true
	})
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	fmt.Fprintln(&h.w.log, line)
	return nil
}

type fakeJudge struct {
	w *world
}

func (j *fakeJudge) Connect(context.Context) policy.Verdict {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	return j.w.connect
}
func (j *fakeJudge) Helo(_ context.Context, name string, _ bool) policy.Verdict {
	if name == "bad.example" {
		return policy.Verdict{Action: policy.Refuse, Reason: policy.AccessDenied, Code: 554, Subject: name, Class: policy.ClassHelo}
	}
	return policy.Verdict{}
}
func (j *fakeJudge) TLS(*tls.ConnectionState) {}
func (j *fakeJudge) Login(string, string)     {}
func (j *fakeJudge) Pipelined()               {}
func (j *fakeJudge) Reset()                   {}
func (j *fakeJudge) Mail(_ context.Context, from policy.Sender, _ int64) policy.Verdict {
	if from.Address.Local == "spammer" {
		return policy.Verdict{Action: policy.Refuse, Reason: policy.AccessDenied, Code: 554,
			Subject: from.Address.String(), Class: policy.ClassSender}
	}
	return policy.Verdict{}
}
func (j *fakeJudge) Rcpt(_ context.Context, to policy.Recipient) policy.Verdict {
	refuse := policy.Verdict{Action: policy.Refuse, Code: 550, Subject: to.Address.String(), Class: policy.ClassRecipient}
	switch to.Original.Local {
	case "nobody":
		refuse.Reason, refuse.Detail = policy.UserUnknown, "virtual mailbox table"
	case "later":
		refuse.Reason, refuse.Code = policy.TryAgain, 450
	case "drop":
		refuse.Reason, refuse.Action, refuse.Code = policy.AccessDenied, policy.Disconnect, 521
	case "marked":
		return policy.Verdict{Effects: policy.Effects{Hold: true, Prepend: []string{"X-Mark: yes"}}}
	case "warned":
		refuse.Action, refuse.Event, refuse.Reason = policy.Continue, "reject_warning", policy.AccessDenied
		return policy.Verdict{Warnings: []policy.Verdict{refuse}}
	default:
		return policy.Verdict{}
	}
	return refuse
}
func (j *fakeJudge) Vrfy(ctx context.Context, to policy.Recipient) policy.Verdict {
	return j.Rcpt(ctx, to)
}
func (j *fakeJudge) Etrn(context.Context, string) policy.Verdict { return policy.Verdict{} }
func (j *fakeJudge) Data(context.Context) policy.Verdict         { return policy.Verdict{} }
func (j *fakeJudge) EndOfData(context.Context, policy.Content) policy.Verdict {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	return j.w.endOfData
}

// fakeRouter knows every address; "broken" cannot be looked up.
type fakeRouter struct{}

var errBroken = errors.New("database is locked")

func (fakeRouter) Sender(_ context.Context, a address.Address) (policy.Sender, error) {
	if a.Local == "broken" {
		return policy.Sender{}, errBroken
	}
	return policy.Sender{Original: a, Address: a}, nil
}

func (fakeRouter) Recipient(_ context.Context, a address.Address) (policy.Recipient, error) {
	if a.Local == "broken" {
		return policy.Recipient{}, errBroken
	}
	q := a
	if q.Domain == "" {
		q.Domain = "mx.example.net"
	}
	return policy.Recipient{Original: a, Address: q, Listed: true}, nil
}

type fakeAccepter struct{ w *world }

func (f fakeAccepter) Begin(_ context.Context, env *delivery.Envelope) (Message, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.w.beginErr != nil {
		return nil, f.w.beginErr
	}
	return &fakeMessage{w: f.w, env: env}, nil
}

type fakeMessage struct {
	w    *world
	env  *delivery.Envelope
	text bytes.Buffer
}

func (m *fakeMessage) Rewrite(fn func(io.Writer) error) error {
	var b bytes.Buffer
	err := fn(&b)
	if err == nil {
		m.text = b
	}
	return err
}

func (m *fakeMessage) Refused() bool { return false }

func (m *fakeMessage) Spare() (delivery.Spare, error) { return &spare{}, nil }

type spare struct{ bytes.Buffer }

func (s *spare) Open() io.Reader { return bytes.NewReader(s.Bytes()) }
func (s *spare) Drop()           {}

func (m *fakeMessage) Open() io.Reader { return bytes.NewReader(m.text.Bytes()) }

func (m *fakeMessage) ID() string { return "4F3A21" }
func (m *fakeMessage) Write(p []byte) (int, error) {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	if m.w.writeErr != nil {
		return 0, m.w.writeErr
	}
	return m.text.Write(p)
}
func (m *fakeMessage) Size() int64 { return int64(m.text.Len()) }
func (m *fakeMessage) Abort() {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.w.aborted++
}
func (m *fakeMessage) Commit(_ context.Context, eff policy.Effects) []delivery.Outcome {
	if m.w.committing != nil {
		<-m.w.committing
	}
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	m.w.got = append(m.w.got, taken{*m.env, eff, m.text.String()})
	if !m.env.LocalOnly {
		return []delivery.Outcome{{Code: 250}}
	}
	var list []delivery.Outcome
	for _, r := range m.env.To {
		o := delivery.Outcome{Recipient: r.Address, Code: 250}
		if r.Address.Local == "full" {
			o.Code, o.Enhanced, o.Text = 452, "4.2.2", "<"+r.Address.String()+"> Quota exceeded"
		}
		list = append(list, o)
	}
	return list
}

// fakeAuth knows user@example.net with the password secret.
type fakeAuth struct{}

func (fakeAuth) Mechanisms(_ context.Context, c auth.Client, plaintext bool) []string {
	if !c.TLS && !plaintext {
		return nil
	}
	return []string{"PLAIN", "LOGIN"}
}

func (a fakeAuth) Begin(_ context.Context, c auth.Client, mech string, done func(auth.Identity)) sasl.Server {
	claim := new(string)
	check := func(user, password string) error {
		*claim = user
		switch {
		case user == "broken":
			return auth.ErrUnavailable
		case user != "user@example.net" || password != "secret":
			return auth.ErrBadCredentials
		}
		done(auth.Identity{User: user, Mechanism: mech})
		return nil
	}
	if mech == "LOGIN" {
		return claimed{&fakeLogin{check: check}, claim}
	}
	return claimed{sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), claim}
}

// claimed tells who the client says it is, as a server of package auth does.
type claimed struct {
	sasl.Server
	name *string
}

func (c claimed) Claim() string { return *c.name }

type fakeLogin struct {
	check func(user, password string) error
	step  int
	user  string
}

func (l *fakeLogin) Next(response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte("Username:"), false, nil
	}
	l.step++
	if l.step == 1 {
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

// client is the other side of a session.
type client struct {
	t    *testing.T
	conn io.ReadWriteCloser
	buf  []byte
}

// dial connects from an outside client and reads the greeting.
func (w *world) dial() *client {
	c := w.dialFrom("192.0.2.1:4711")
	c.want("220 mx.example.net ESMTP Postfix")
	return c
}

func (w *world) dialFrom(addr string) *client {
	return &client{t: w.t, conn: w.ln.dial(addr)}
}

func (c *client) send(lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		c.t.Fatalf("send %q: %v", lines, err)
	}
}

func (c *client) raw(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatalf("send %q: %v", text, err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	for {
		if i := bytes.Index(c.buf, []byte("\r\n")); i >= 0 {
			line := string(c.buf[:i])
			c.buf = c.buf[i+2:]
			return line
		}
		var p [512]byte
		n, err := c.conn.Read(p[:])
		c.buf = append(c.buf, p[:n]...)
		if n == 0 {
			return fmt.Sprintf("(%v)%s", err, c.buf)
		}
	}
}

// want reads lines that must be these.
func (c *client) want(lines ...string) {
	c.t.Helper()
	for _, want := range lines {
		if got := c.line(); got != want {
			c.t.Fatalf("server said %q, want %q", got, want)
		}
	}
}

// do sends a line and wants a reply.
func (c *client) do(line, reply string) {
	c.t.Helper()
	c.send(line)
	c.want(reply)
}

func (c *client) closed() {
	c.t.Helper()
	if got := c.line(); got != "(EOF)" {
		c.t.Fatalf("server said %q, want the end of the connection", got)
	}
	c.conn.Close()
}

// ehlo greets and reads over the extensions.
func (c *client) ehlo() {
	c.t.Helper()
	c.send("EHLO there.example")
	for line := c.line(); !strings.HasPrefix(line, "250 "); line = c.line() {
		if !strings.HasPrefix(line, "250-") {
			c.t.Fatalf("EHLO: %q", line)
		}
	}
}

// begin goes up to a recipient that is accepted.
func (c *client) begin() {
	c.t.Helper()
	c.ehlo()
	c.do("MAIL FROM:<a@example.org>", "250 2.1.0 Ok")
	c.do("RCPT TO:<b@example.net>", "250 2.1.5 Ok")
}

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}
