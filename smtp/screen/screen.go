package screen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"mailserver/internal/maillog"
	"mailserver/internal/nets"
)

// Passes are until when a client has passed each test; zero: it has not.
type Passes struct{ Greet, DNSBL, Pipelining, NonSMTP, BareNewline time.Time }

// Deps is what a Screen needs.
type Deps struct {
	Config func(context.Context) (*Config, error)
	// Lookup gives the addresses of a name and how long they hold; none on any
	// failure.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, time.Duration)
	// Table looks a client up in an access table, Text a name in one.
	Table func(ctx context.Context, tables []string, a netip.Addr) (action string, ok bool, err error)
	Text  func(ctx context.Context, table, key string) (string, error)
	// Load and Save are the memory of who has passed.
	Load func(ctx context.Context, a netip.Addr) (Passes, error)
	Save func(ctx context.Context, a netip.Addr, p Passes) error
	// Forget removes what ended before a time.
	Forget func(ctx context.Context, before time.Time) error

	Log *slog.Logger // nil: no log
	Now func() time.Time
}

// maxLookups bounds the questions to DNS lists at a time.
const maxLookups = 256

// Screen looks at clients. Safe for concurrent use.
type Screen struct {
	d       Deps
	lookups chan struct{}
	running sync.WaitGroup // look-ups and writes

	mu     sync.Mutex // guards what follows
	open   map[netip.Addr]int
	total  int
	forgot time.Time
}

// New returns a Screen.
func New(d Deps) *Screen {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Screen{d: d, lookups: make(chan struct{}, maxLookups), open: make(map[netip.Addr]int)}
}

// Wait returns when nothing of clients that have gone is under way.
func (s *Screen) Wait() { s.running.Wait() }

// Waiting is how many clients are looked at now.
func (s *Screen) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// client is one connection.
type client struct {
	s     *Screen
	c     *Config
	nc    net.Conn
	addr  netip.Addr
	from  string // [addr]:port, as the log says it
	begun time.Time
	tls   *tls.Config // nil: STARTTLS is not offered
	stage string      // of the tests, for the log

	pass   Passes
	early  []byte // what it has said before its turn
	reply  string // to RCPT, once a test has failed
	failed bool
	gone   bool

	mu      sync.Mutex // guards waiting
	waiting bool       // for the client to say nothing
}

// Look looks at a client before the server does. on names the listener: its
// address, tag and protocol; startTLS is what it offers, or nil. The connection that is returned goes to the
// server; nil: it has been dealt with and is closed. stopping tells whether a
// deadline in the past means that the server stops.
func (s *Screen) Look(ctx context.Context, nc net.Conn, on []string, startTLS *tls.Config, stopping func() bool) net.Conn {
	c, err := s.d.Config(ctx)
	if err != nil { // the server has words for it
		return nc
	}
	remote, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil || !listed(c.Listeners, on) {
		return nc
	}
	x := &client{s: s, c: c, nc: nc, addr: remote.Addr().Unmap().WithZone(""), begun: s.d.Now(), tls: startTLS, stage: "tests before SMTP handshake"}
	x.from = fmt.Sprintf("[%s]:%d", x.addr, remote.Port())
	local, _ := netip.ParseAddrPort(nc.LocalAddr().String())
	x.log("connect", "CONNECT from %s to [%s]:%d", x.from, local.Addr().Unmap(), local.Port())
	defer s.leave(x.addr)
	if text := s.enter(x.addr, c); text != "" {
		x.log("reject", "NOQUEUE: reject: CONNECT from %s: %s", x.from, text)
		x.send(map[bool]string{true: "421 4.7.0 " + c.Hostname + " Error: too many connections\r\n",
			false: "421 4.3.2 All screening ports are busy\r\n"}[text == "too many connections"])
		nc.Close()
		return nil
	}
	if x.examine(ctx, local.Addr().Unmap(), stopping) {
		if len(x.early) > 0 {
			return &told{Conn: nc, said: x.early}
		}
		return nc
	}
	nc.Close()
	return nil
}

func listed(list, on []string) bool {
	for _, w := range list {
		for _, name := range on {
			if name != "" && strings.EqualFold(w, name) {
				return true
			}
		}
	}
	return false
}

// enter counts a client, and says why it is one too many.
func (s *Screen) enter(a netip.Addr, c *Config) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	s.open[a]++
	switch {
	case c.ClientCount > 0 && s.open[a] > c.ClientCount:
		return "too many connections"
	case s.total > c.Most:
		return "all screening ports busy"
	}
	return ""
}

func (s *Screen) leave(a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.open[a]--; s.open[a] == 0 {
		delete(s.open, a)
	}
}

// examine is all tests; true: the client goes on to the server.
func (x *client) examine(ctx context.Context, local netip.Addr, stopping func() bool) bool {
	x.s.forget(x.c)
	switch x.access(ctx) {
	case "permit":
		x.log("allowlisted", "ALLOWLISTED %s", x.from)
		return true
	case "reject":
		x.log("denylisted", "DENYLISTED %s", x.from)
		if x.fail(x.c.DenyAction, "5.3.2 Service currently unavailable") {
			return x.over()
		}
	}
	x.pass, _ = x.s.d.Load(ctx, x.addr) // not known now: as if it were new
	if !x.failed && x.known() {
		x.log("pass old", "PASS OLD %s", x.from)
		return true
	}
	allowed, _ := x.c.allowOn()
	if !x.failed && !allowed.Contains(local) {
		x.log("allowlist veto", "ALLOWLIST VETO %s", x.from)
		x.failed, x.reply = true, "450 4.3.2 Service currently unavailable"
	}
	if !x.before(ctx, stopping) {
		return x.over()
	}
	if x.failed || x.wantsDeep() {
		x.talk(ctx, stopping)
		return x.over()
	}
	if x.known() { // or a fault has been passed over
		x.log("pass new", "PASS NEW %s", x.from)
	}
	x.save()
	return true
}

// over is the end of a client that does not go on.
func (x *client) over() bool {
	if !x.failed && !x.gone && x.reply == "" {
		x.save()
	}
	x.log("disconnect", "DISCONNECT %s", x.from)
	return false
}

// access is what postscreen_access_list says: permit, reject, or nothing.
func (x *client) access(ctx context.Context) string {
	mine, _ := nets.ParseList(x.c.MyNetworks)
	for _, word := range x.c.Access {
		switch strings.ToLower(word) {
		case "permit_mynetworks":
			if mine.Contains(x.addr) {
				return "permit"
			}
			continue
		case "permit", "reject":
			return strings.ToLower(word)
		}
		action, ok, err := x.s.d.Table(ctx, []string{word}, x.addr)
		if err != nil {
			x.warn("%s: table lookup error", word)
			return ""
		}
		if !ok {
			continue
		}
		switch strings.ToLower(action) {
		case "permit", "reject":
			return strings.ToLower(action)
		case "dunno":
			return ""
		}
		x.warn("%s: unknown command: %s -- ignoring this and all remaining commands", word, action)
		return ""
	}
	return ""
}

// known reports whether the client has passed all tests that are made.
func (x *client) known() bool {
	now := x.s.d.Now()
	return x.pass.Greet.After(now) && (len(x.c.Sites) == 0 || x.pass.DNSBL.After(now)) && !x.wantsDeep()
}

// wantsDeep reports whether a test behind the greeting is open.
func (x *client) wantsDeep() bool {
	now := x.s.d.Now()
	return x.c.Pipelining && !x.pass.Pipelining.After(now) || x.c.NonSMTP && !x.pass.NonSMTP.After(now) ||
		x.c.BareNewline && !x.pass.BareNewline.After(now)
}

// fail makes an action's consequence of a failed test; true: the client has
// been dropped. Its reply is text behind the code.
func (x *client) fail(action, text string) (dropped bool) {
	switch action {
	case "drop":
		x.failed = true
		x.send("521 " + text + "\r\n")
		return true
	case "enforce":
		if !x.failed {
			x.reply = "550 " + text
		}
		x.failed = true
	}
	return false
}

// send writes a reply; who does not read it is not waited for.
func (x *client) send(text string) error {
	if x.c.SoftBounce && text[0] == '5' {
		text = "4" + text[1:4] + strings.Replace(text[4:], "5.", "4.", 1)
	}
	x.nc.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, err := x.nc.Write([]byte(text))
	return err
}

// save remembers what the client has passed.
func (x *client) save() {
	pass, addr := x.pass, x.addr
	x.s.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := x.s.d.Save(ctx, addr, pass); err != nil {
			x.s.d.Log.Error("remember a client", "err", err)
		}
	})
}

// forget cleans the memory from time to time.
func (s *Screen) forget(c *Config) {
	now := s.d.Now()
	s.mu.Lock()
	due := c.Cleanup > 0 && now.Sub(s.forgot) >= c.Cleanup
	if due {
		s.forgot = now
	}
	s.mu.Unlock()
	if !due || s.d.Forget == nil {
		return
	}
	s.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.d.Forget(ctx, now.Add(-c.Retention)); err != nil {
			s.d.Log.Error("forget clients", "err", err)
		}
	})
}

// Tag is the syslog tag of lines.
const Tag = "postfix/postscreen"

func (x *client) log(msg, format string, args ...any) {
	maillog.Event(x.s.d.Log, slog.LevelInfo, Tag, fmt.Sprintf(format, args...), msg, slog.String(maillog.Remote, x.from))
}

func (x *client) warn(format string, args ...any) {
	maillog.Event(x.s.d.Log, slog.LevelWarn, Tag, "warning: "+fmt.Sprintf(format, args...), "warning", slog.String(maillog.Remote, x.from))
}

// after is how long the client has been here, as postscreen(8) writes it: two
// digits, no more than are there.
func (x *client) after() string {
	d := x.s.d.Now().Sub(x.begun).Seconds()
	switch {
	case d < 0.005:
		return "0"
	case d < 1:
		return fmt.Sprintf("%.2g", d)
	case d < 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d), ".0")
	}
	return fmt.Sprintf("%.0f", d)
}

// hangup ends a client that has gone.
func (x *client) hangup() {
	x.gone = true
	x.log("hangup", "HANGUP after %s from %s in %s", x.after(), x.from, x.stage)
}

// told is a connection whose client has said something already.
type told struct {
	net.Conn
	said []byte
}

// Read gives what was said first.
func (t *told) Read(p []byte) (int, error) {
	if len(t.said) == 0 {
		return t.Conn.Read(p)
	}
	n := copy(p, t.said)
	if t.said = t.said[n:]; len(t.said) == 0 {
		t.said = nil
	}
	return n, nil
}

// CloseWrite ends our side, where the connection can.
func (t *told) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
