package testenv

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
	"mailserver/internal/maillog"
	"mailserver/internal/server"
	"mailserver/schema"
	"mailserver/storage"
)

// Host is the name of every test server.
const Host = "mx.example"

// Protocol names the listener that a client connects to.
type Protocol string

// The listeners of a test server.
const (
	SMTP       Protocol = "mx"
	Submission Protocol = "submission" // STARTTLS, AUTH
	SMTPS      Protocol = "smtps"      // TLS, AUTH
	LMTP       Protocol = "lmtp"
	IMAP       Protocol = "imap"
	IMAPS      Protocol = "imaps"
	POP3       Protocol = "pop3"
	POP3S      Protocol = "pop3s"
)

// rows are the listeners in the order of their numbers. Port 0 lets the kernel
// choose; the zeros differ because the column is unique.
var rows = []struct {
	name Protocol
	row  schema.Listener
}{
	{SMTP, schema.Listener{Protocol: "mx", Address: "127.0.0.1:0", TLS: "may"}},
	{Submission, schema.Listener{Protocol: "submission", Address: "127.0.0.1:00", TLS: "encrypt", Auth: 1}},
	{SMTPS, schema.Listener{Protocol: "submission", Address: "127.0.0.1:000", TLS: "wrapper", Auth: 1}},
	{LMTP, schema.Listener{Protocol: "lmtp", Address: "127.0.0.1:0000", TLS: "none"}},
	{IMAP, schema.Listener{Protocol: "imap", Address: "127.0.0.1:00000", TLS: "may"}},
	{IMAPS, schema.Listener{Protocol: "imap", Address: "127.0.0.1:000000", TLS: "wrapper"}},
	{POP3, schema.Listener{Protocol: "pop3", Address: "127.0.0.1:0000000", TLS: "may"}},
	{POP3S, schema.Listener{Protocol: "pop3", Address: "127.0.0.1:00000000", TLS: "wrapper"}},
}

// settings make a server answer at once, and treat the test as a stranger.
var settings = map[string]string{
	"mynetworks": "",
	// Messages of tests are to be kept as they are, though they come from here.
	"local_header_rewrite_clients": "",
	"smtpd_error_sleep_time":       "0",
	"auth_failure_delay":           "0",
}

// Options says what is different from the sample server.
type Options struct {
	SQL  string   // run on mail.sqlite before the start
	Zone string   // zone file of its DNS server
	Fail []string // names that cannot be looked up: SERVFAIL
	// Dial reaches next hops; nil: the network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Now  func() time.Time
}

// Env is a running server.
type Env struct {
	*server.Server
	Dir string
	t   testing.TB
	opt Options
	DNS *dnstest.Server
	log *logBuffer
}

// Start makes a data directory with the sample rows, and serves it until the
// test ends.
func Start(t testing.TB, o Options) *Env {
	t.Helper()
	e := &Env{Dir: Dir(t), t: t, opt: o, log: new(logBuffer)}
	plan := server.Plan{Dir: e.Dir, Hostname: Host, Postmaster: "joe@vmail.example", Sample: true, Settings: server.OwnMail()}
	for name, value := range settings {
		plan.Settings[name] = value
	}
	for _, r := range rows {
		plan.Listeners = append(plan.Listeners, r.row)
	}
	if err := server.Create(context.Background(), plan); err != nil {
		t.Fatal(err)
	}
	if o.SQL != "" {
		e.SQL(o.SQL)
	}
	e.DNS = dnstest.Start(t, o.Zone)
	for _, name := range o.Fail {
		e.DNS.Fail(name, dnstest.Fault{Rcode: serverFailure})
	}
	e.start()
	t.Cleanup(e.Stop)
	return e
}

func (e *Env) start() {
	e.t.Helper()
	h, err := maillog.New(e.log, maillog.Syslog, slog.LevelInfo, "mx")
	if err != nil {
		e.t.Fatal(err)
	}
	e.Server, err = server.Start(context.Background(), server.Options{Dir: e.Dir, Log: slog.New(h), Now: e.opt.Now,
		DNS: dns.New(dns.Config{Servers: []string{e.DNS.Addr}, Entries: -1, Timeout: 2 * time.Minute, Attempts: 1}), Dial: e.opt.Dial, LookupUser: e.lookupUser})
	if err != nil {
		e.t.Fatalf("start: %v\n%s", err, e.Log())
	}
}

// serverFailure is SERVFAIL, RFC 1035 §4.1.1.
const serverFailure = 2

// stopTime is how long the end of a test server may take.
const stopTime = time.Minute

// Stop shuts the server down. Calling it again does nothing.
func (e *Env) Stop() {
	if e.Server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		e.t.Errorf("shutdown: %v", err)
	}
	e.Server = nil
}

// Restart stops the server and starts it on the same directory.
func (e *Env) Restart() {
	e.t.Helper()
	e.Stop()
	e.start()
}

// lookupUser knows two users of the system, sam and pat, whose homes lie in
// the data directory. Their UID is that of the test.
func (e *Env) lookupUser(name string) (*user.User, error) {
	if name != "sam" && name != "pat" {
		return nil, user.UnknownUserError(name)
	}
	home := filepath.Join(e.Dir, "home", name)
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	return &user.User{Uid: strconv.Itoa(os.Getuid()), Gid: strconv.Itoa(os.Getgid()), Username: name, HomeDir: home}, nil
}

// SQL runs statements on mail.sqlite as another program would.
func (e *Env) SQL(statements string) {
	e.t.Helper()
	if err := schema.Script(context.Background(), server.MailFile(e.Dir), statements); err != nil {
		e.t.Fatal(err)
	}
}

// Addr returns the address of a listener, for a client.
func (e *Env) Addr(p Protocol) string {
	for i, r := range rows {
		if r.name == p {
			return e.Server.Addr(int64(i + 1)).String()
		}
	}
	e.t.Fatalf("no listener is called %q", p)
	return ""
}

// Dial connects to a listener. smtps, imaps and pop3s begin with TLS.
func (e *Env) Dial(p Protocol) *Client {
	e.t.Helper()
	c, err := e.dial(p, e.vars())
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { c.Close() })
	return c
}

func (e *Env) dial(p Protocol, vars map[string]string) (*Client, error) {
	conn, err := net.DialTimeout("tcp", e.Addr(p), patience)
	if err != nil {
		return nil, err
	}
	c := NewClient(conn, vars)
	if p == SMTPS || p == IMAPS || p == POP3S {
		if err := c.TLS(Host); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return c, nil
}

// vars are the variables of a dialog.
func (e *Env) vars() map[string]string {
	v := map[string]string{"HOST": Host, "DIR": e.Dir}
	for _, r := range rows {
		_, port, _ := net.SplitHostPort(e.Addr(r.name))
		v[strings.ToUpper(string(r.name))] = port
	}
	return v
}

// Log returns the log so far.
func (e *Env) Log() string { return e.log.String() }

// Folder returns the directory of a folder: INBOX, or .Name.
func (e *Env) Folder(userName, folder string) string {
	e.t.Helper()
	spec := e.spec(userName)
	if folder == "INBOX" {
		return spec.Dir
	}
	return filepath.Join(spec.Dir, folder)
}

func (e *Env) spec(userName string) *storage.Spec {
	e.t.Helper()
	spec, err := e.Spec(context.Background(), userName)
	if err != nil || spec == nil {
		e.t.Fatalf("mailbox of %s: %v, %v", userName, spec, err)
	}
	return spec
}

// CheckMailboxes fails the test when the index of a mailbox and its tree do
// not agree.
func (e *Env) CheckMailboxes() {
	e.t.Helper()
	err := e.Server.CheckMailboxes(context.Background(), false, func(user string, diffs []storage.Difference, err error) {
		e.t.Errorf("check %s: %v, %v", user, diffs, err)
	})
	if err != nil {
		e.t.Error(err)
	}
}

// logBuffer keeps the log of a test server.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// tail returns the last lines of the log, for a failed test.
func (l *logBuffer) tail(n int) string {
	lines := strings.Split(strings.TrimSpace(l.String()), "\n")
	return fmt.Sprintf("log:\n  %s", strings.Join(lines[max(0, len(lines)-n):], "\n  "))
}
