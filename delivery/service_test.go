package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"mailserver/delivery/queue"
	"mailserver/delivery/remote"
	"mailserver/delivery/remote/remotetest"
	"mailserver/delivery/route"
	"mailserver/internal/address"
	"mailserver/internal/setting"
	"mailserver/policy"
	"mailserver/schema"
	"mailserver/storage"
)

// sample is a host with mailboxes, aliases that leave it, and next hops.
const sample = `
INSERT INTO Setting VALUES ('myhostname', 'me.test'), ('virtual_mailbox_home', 'mail/%d/%n'), ('smtp_tls_security_level', 'none');
INSERT INTO Transport (tpNum, tpTransport, tpNexthop, tpMx, tpPort) VALUES (1, 'smtp', 'sink.test', 0, NULL),
  (2, 'smtp', 'down.test', 0, NULL), (3, 'error', '5.2.1 closed', 1, NULL), (4, 'uucp', 'x', 1, NULL);
INSERT INTO Domain (domNum, domName, domClass, domTpNum) VALUES (1, 'box.test', 842, NULL), (2, 'out.test', 0, 1),
  (3, 'down.test', 0, 2), (4, 'me.test', 1, NULL), (5, 'closed.test', 0, 3), (6, 'uucp.test', 0, 4);
INSERT INTO Address (addNum, addLocalpart, addDomNum) VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 1), (4, 'full', 1),
  (5, 'both', 1), (6, 'x', 2), (7, 'out', 1), (8, 'later', 3), (9, 'mixed', 1), (10, 'prog', 4), (11, 'postmaster', 4), (12, 'fullout', 1);
INSERT INTO VMailbox (vmNum, vmQuota) VALUES (1, NULL), (2, NULL), (3, NULL), (4, 10);
INSERT INTO VAlias (vaNum, vaTargetNum) VALUES (5, 1), (5, 2), (7, 6), (9, 1), (9, 6), (12, 4), (12, 6);
INSERT INTO Alias (aliasNum, aliasTarget) VALUES (10, '|/bin/true'), (11, 'c@box.test');
`

// fixture is a Service over real files, and a next hop that takes mail.
type fixture struct {
	t    testing.TB
	dir  string
	s    *Service
	sink *remotetest.Sink
	port int // of the sink
	d    Deps
	log  *logBuffer
	// dialed are next hops besides sink, by host:port.
	dialed map[string]*remotetest.Sink

	killedOnce bool // files in tmp are no fault then
	close      []func()
}

// logBuffer keeps the lines that the syslog form would print.
type logBuffer struct {
	mu    sync.Mutex
	lines []string
}

func (l *logBuffer) Enabled(context.Context, slog.Level) bool { return true }
func (l *logBuffer) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logBuffer) WithGroup(string) slog.Handler            { return l }
func (l *logBuffer) Handle(_ context.Context, r slog.Record) error {
	tag, line := "", r.Message
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "tag":
			tag = a.Value.String()
		case "line":
			line = a.Value.String()
		case "err":
			line += ": " + a.Value.String()
		}
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, tag+": "+line)
	return nil
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// names answers for hosts of the tests.
type names struct{}

func (names) MX(_ context.Context, domain string) ([]remote.MX, error) {
	return nil, &net.DNSError{Err: "no such host", Name: domain, IsNotFound: true}
}

func (names) Addresses(_ context.Context, host string) ([]netip.Addr, error) {
	switch host {
	case "sink.test":
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	case "down.test":
		return []netip.Addr{netip.MustParseAddr("192.0.2.2")}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func newFixture(t testing.TB, rows ...string) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), sink: &remotetest.Sink{Exts: []string{"PIPELINING", "SIZE 0", "8BITMIME", "DSN"}}, log: &logBuffer{}, dialed: make(map[string]*remotetest.Sink)}
	if err := f.sink.Start("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.sink.Stop)
	f.port = f.sink.Port()
	ctx := context.Background()
	if err := schema.CreateMail(ctx, f.mail()); err != nil {
		t.Fatal(err)
	}
	f.sql(append([]string{sample}, rows...)...)
	if os.Getuid() == 0 { // mailboxes get their own owner, who must reach them
		f.must(os.Chmod(f.dir, 0o755))
		f.must(os.Chmod(filepath.Dir(f.dir), 0o755))
		f.must(os.Mkdir(filepath.Join(f.dir, "mail"), 0o755))
		f.must(os.Chown(filepath.Join(f.dir, "mail"), 842, 800))
	}
	f.open()
	t.Cleanup(func() {
		f.shut()
		if tmp, _ := filepath.Glob(filepath.Join(f.dir, "mail/*/*/Mail/tmp/*")); len(tmp) > 0 && !f.killedOnce {
			t.Errorf("left in tmp: %q", tmp)
		}
	})
	return f
}

func (f *fixture) mail() string { return filepath.Join(f.dir, "mail.sqlite") }

func (f *fixture) sql(rows ...string) {
	f.t.Helper()
	if err := schema.Script(context.Background(), f.mail(), strings.Join(rows, "\n")); err != nil {
		f.t.Fatal(err)
	}
}

// open starts the service on the files as they are.
func (f *fixture) open() {
	f.t.Helper()
	ctx := context.Background()
	mail, err := schema.OpenMail(ctx, f.mail())
	f.must(err)
	state, err := schema.OpenState(ctx, filepath.Join(f.dir, "state.sqlite"))
	f.must(err)
	log := slog.New(f.log)
	store, err := storage.Open(storage.Deps{State: state, Log: log})
	f.must(err)
	f.d = Deps{
		Dir: f.dir, State: state, Mail: mail, Store: store, Log: log,
		Route:  route.New(route.Deps{Mail: mail, Config: settings[route.Config](mail), Log: log, Dir: f.dir}),
		Config: settings[Config](mail), QueueConfig: settings[queue.Config](mail), RemoteConfig: settings[remote.Config](mail),
		Resolver: names{},
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if s := f.dialed[addr]; s != nil {
				return net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port()))
			}
			if addr == "192.0.2.1:25" {
				return net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.port))
			}
			return net.Dial("tcp", "127.0.0.1:1")
		},
	}
	f.s, err = New(f.d)
	f.must(err)
	f.close = []func(){func() { mail.Close() }, func() { state.Close() }, func() { store.Close() }}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) shut() {
	for i := len(f.close) - 1; i >= 0; i-- {
		f.close[i]()
	}
	f.close = nil
}

// settings fills a Config from the rows, as the server does.
func settings[T any](mail *schema.Mail) func(context.Context) (*T, error) {
	return func(ctx context.Context) (*T, error) {
		view, err := mail.View(ctx)
		if err != nil {
			return nil, err
		}
		rows, err := view.Settings(ctx)
		if err != nil {
			return nil, err
		}
		tab, err := setting.NewTable(Config{}, queue.Config{}, remote.Config{}, route.Config{})
		if err != nil {
			return nil, err
		}
		var c T
		return &c, tab.Fill(&c, rows)
	}
}

// run starts the queue for the rest of the test, or until stop.
func (f *fixture) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.s.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				f.t.Error(err)
			}
		})
	}
	f.close = append(f.close, stop)
	return stop
}

func parse(s string) address.Address {
	a, err := address.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

func envelope(from string, to ...string) *Envelope {
	env := &Envelope{From: parse(from), Proto: "ESMTP", Helo: "client", Client: policy.Client{Name: "client.test", Addr: netip.MustParseAddr("192.0.2.50")}}
	for _, a := range to {
		env.To = append(env.To, Recipient{Address: parse(a)})
	}
	return env
}

const text = "Received: from client by me.test; Sat, 21 Nov 2026 07:00:00 +0000\r\nMessage-ID: <1@x>\r\nSubject: hello\r\n\r\n.line\r\nbody \xc3\xbc\r\n"

// send takes one message through Begin, Write and Commit.
func (f *fixture) send(env *Envelope, body string, eff policy.Effects) (string, []Outcome) {
	f.t.Helper()
	m, err := f.s.Begin(context.Background(), env)
	f.must(err)
	for rest := body; rest != ""; {
		n := min(len(rest), 4096)
		if _, err := io.WriteString(m, rest[:n]); err != nil {
			break // Commit answers for it
		}
		rest = rest[n:]
	}
	return m.ID(), m.Commit(context.Background(), eff)
}

// ok sends a message that must be taken.
func (f *fixture) ok(from string, to ...string) string {
	f.t.Helper()
	id, out := f.send(envelope(from, to...), text, policy.Effects{})
	if len(out) != 1 || out[0].Code != 250 || out[0].Text != "Ok: queued as "+id {
		f.t.Fatalf("outcome %+v", out)
	}
	return id
}

// box returns the messages of a mailbox, oldest first, with LF line ends.
func (f *fixture) box(user string) (list []string) {
	f.t.Helper()
	local, domain, _ := strings.Cut(user, "@")
	dir := filepath.Join(f.dir, "mail", domain, local, "Mail")
	for _, sub := range []string{"new", "cur"} {
		files, _ := os.ReadDir(filepath.Join(dir, sub))
		for _, e := range files {
			b, err := os.ReadFile(filepath.Join(dir, sub, e.Name()))
			f.must(err)
			list = append(list, string(b))
		}
	}
	return list
}

// queued lists "address state" of the queue.
func (f *fixture) queued() (list []string) {
	f.t.Helper()
	f.must(f.s.Queue().List(context.Background(), func(e queue.Entry) error {
		for _, r := range e.Recipients {
			list = append(list, fmt.Sprintf("%s %d", r.Address, r.State))
		}
		return nil
	}))
	return list
}

func (f *fixture) spool() (n int) {
	for _, dir := range []string{"tmp", "queue"} {
		list, err := os.ReadDir(filepath.Join(f.dir, "spool", dir))
		f.must(err)
		n += len(list)
	}
	return n
}

// until waits for something that a goroutine does.
func (f *fixture) until(what string, done func() bool) {
	f.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); {
		if time.Now().After(end) {
			f.t.Fatalf("%s: not within 10 s; queue %q, log:\n%s", what, f.queued(), f.log)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func lf(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

func TestDeliversInsideTheTransaction(t *testing.T) {
	f := newFixture(t)
	id := f.ok("s@x.test", "a@box.test")
	want := "Return-Path: <s@x.test>\nX-Original-To: a@box.test\nDelivered-To: a@box.test\n" + lf(text)
	if got := f.box("a@box.test"); len(got) != 1 || got[0] != want {
		t.Fatalf("mailbox %q\nwant %q", got, want)
	}
	if f.spool() != 0 || len(f.queued()) != 0 {
		t.Errorf("left %d files, %q", f.spool(), f.queued())
	}
	for _, line := range []string{
		"postfix/cleanup: " + id + ": message-id=<1@x>",
		"postfix/qmgr: " + id + ": from=<s@x.test>, size=" + fmt.Sprint(len(text)) + ", nrcpt=1 (queue active)",
		"postfix/virtual: " + id + ": to=<a@box.test>, relay=virtual, delay=",
		", dsn=2.0.0, status=sent (delivered to maildir)",
		"postfix/qmgr: " + id + ": removed",
	} {
		if !strings.Contains(f.log.String(), line) {
			t.Errorf("log lacks %q:\n%s", line, f.log)
		}
	}
}

func TestSharesOneFile(t *testing.T) {
	f := newFixture(t)
	f.ok("s@x.test", "both@box.test", "c@box.test", "a@box.test")
	var inodes []os.FileInfo
	for _, user := range []string{"a", "b", "c"} {
		got := f.box(user + "@box.test")
		if len(got) != 1 || got[0] != "Return-Path: <s@x.test>\n"+lf(text) {
			t.Fatalf("%s has %q", user, got)
		}
		list, _ := filepath.Glob(filepath.Join(f.dir, "mail/box.test", user, "Mail/new/*"))
		fi, err := os.Stat(list[0])
		f.must(err)
		inodes = append(inodes, fi)
	}
	if !os.SameFile(inodes[0], inodes[1]) || !os.SameFile(inodes[1], inodes[2]) {
		t.Error("three files")
	}
}

func TestRelays(t *testing.T) {
	f := newFixture(t)
	f.run()
	id := f.ok("s@x.test", "out@box.test")
	f.until("relayed", func() bool { return len(f.queued()) == 0 && f.spool() == 0 })
	got := f.sink.Messages()
	if len(got) != 1 || got[0].Data != text || got[0].To[0] != "<x@out.test> ORCPT=rfc822;out@box.test" {
		t.Fatalf("sink took %+v", got)
	}
	for _, line := range []string{
		"postfix/smtp: " + id + ": to=<x@out.test>, orig_to=<out@box.test>, relay=sink.test[192.0.2.1]:25, delay=",
		", dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as SINK)",
		"postfix/qmgr: " + id + ": removed",
	} {
		f.until(line, func() bool { return strings.Contains(f.log.String(), line) })
	}
}

func TestMixedDestinations(t *testing.T) {
	f := newFixture(t)
	f.ok("s@x.test", "mixed@box.test", "b@box.test")
	if len(f.box("a@box.test")) != 1 || len(f.box("b@box.test")) != 1 {
		t.Error("a mailbox lacks its copy")
	}
	if q := f.queued(); !slices.Equal(q, []string{"x@out.test 0"}) || f.spool() != 1 {
		t.Errorf("queue %q, %d files", q, f.spool())
	}
	f.run()
	f.until("relayed", func() bool { return len(f.sink.Messages()) == 1 && len(f.queued()) == 0 })
}

func TestRefusedAtTheDoor(t *testing.T) {
	f := newFixture(t)
	tests := []struct {
		name string
		to   []string
		eff  policy.Effects
		want string
	}{
		{name: "over quota", to: []string{"full@box.test"}, want: "552 5.2.2 <full@box.test>: Quota exceeded (mailbox for user is full)"},
		{name: "error transport", to: []string{"u@closed.test"}, want: "550 5.2.1 <u@closed.test>: closed"},
		{name: "unknown", to: []string{"nobody@box.test"}, want: `550 5.1.1 <nobody@box.test>: unknown user: "nobody@box.test"`},
		{name: "transport that we have not", to: []string{"u@uucp.test"}, want: "451 4.3.0 <u@uucp.test>: mail transport uucp is not implemented"},
	}
	for _, tt := range tests {
		_, out := f.send(envelope("s@x.test", tt.to...), text, tt.eff)
		if got := fmt.Sprintf("%d %s %s", out[0].Code, out[0].Enhanced, out[0].Text); got != tt.want {
			t.Errorf("%s: %s\nwant %s", tt.name, got, tt.want)
		}
	}
	loop := "Delivered-To: A@box.test\r\n" + text
	if _, out := f.send(envelope("s@x.test", "a@box.test"), loop, policy.Effects{}); out[0].Code != 554 || out[0].Enhanced != "5.4.6" {
		t.Errorf("loop: %+v", out)
	}
	hops := strings.Repeat("Received: from a by b\r\n", 51) + text
	if _, out := f.send(envelope("s@x.test", "a@box.test"), hops, policy.Effects{}); out[0].Code != 554 || out[0].Enhanced != "5.4.0" {
		t.Errorf("hops: %+v", out)
	}
	if len(f.queued()) != 0 || f.spool() != 0 || len(f.box("a@box.test")) != 0 {
		t.Errorf("left %q, %d files", f.queued(), f.spool())
	}
}

// TestOneFullMailboxOfTwo: one reply covers both, so the full one bounces.
func TestOneFullMailboxOfTwo(t *testing.T) {
	f := newFixture(t)
	f.run()
	f.ok("b@box.test", "full@box.test", "a@box.test")
	f.until("bounce", func() bool { return len(f.box("b@box.test")) == 1 && len(f.queued()) == 0 && f.spool() == 0 })
	got := f.box("b@box.test")[0]
	for _, part := range []string{"Return-Path: <>\n", "Subject: Undelivered Mail Returned to Sender\n", "To: b@box.test\n",
		"Final-Recipient: rfc822; full@box.test\n", "Action: failed\nStatus: 5.2.2\n", "Subject: hello\n"} {
		if !strings.Contains(got, part) {
			t.Errorf("bounce lacks %q:\n%s", part, got)
		}
	}
	if len(f.box("a@box.test")) != 1 {
		t.Error("the other mailbox lacks its copy")
	}
}

func TestLMTPAnswersForEach(t *testing.T) {
	f := newFixture(t)
	env := envelope("s@x.test", "a@box.test", "full@box.test", "nobody@box.test", "fullout@box.test")
	env.LocalOnly = true
	id, out := f.send(env, text, policy.Effects{})
	want := []string{"250 2.0.0 <a@box.test> " + id + " Saved", "552 5.2.2 <full@box.test>: Quota exceeded (mailbox for user is full)",
		`550 5.1.1 <nobody@box.test>: unknown user: "nobody@box.test"`, "250 2.0.0 <fullout@box.test> " + id + " Saved"}
	for i, o := range out {
		if i == 1 {
			continue // shares its mailbox with the last, which is taken
		}
		if got := fmt.Sprintf("%d %s %s", o.Code, o.Enhanced, o.Text); got != want[i] || o.Recipient.String() != env.To[i].Address.String() {
			t.Errorf("recipient %d: %s\nwant %s", i, got, want[i])
		}
	}
	if q := f.queued(); !slices.Contains(q, "x@out.test 0") {
		t.Errorf("queue %q", q)
	}
}

func TestEffects(t *testing.T) {
	f := newFixture(t)
	f.run()
	prepend := policy.Effects{Prepend: []string{"X-One: 1", "X-Two: 2"}}
	env := envelope("s@x.test", "a@box.test", "x@out.test")
	env.Effects = policy.Effects{Bcc: []string{"c@box.test"}}
	f.send(env, text, prepend)
	f.until("relayed", func() bool { return len(f.sink.Messages()) == 1 })
	if got := f.sink.Messages()[0].Data; got != "X-One: 1\r\nX-Two: 2\r\n"+text {
		t.Errorf("relayed %q", got)
	}
	if got := f.box("a@box.test"); len(got) != 1 || !strings.Contains(got[0], "\nX-One: 1\nX-Two: 2\nReceived:") && !strings.HasPrefix(got[0], "Return-Path: <s@x.test>\nX-One: 1\n") {
		t.Errorf("delivered %q", got)
	}
	if len(f.box("c@box.test")) != 1 {
		t.Error("no blind copy")
	}
	f.send(envelope("s@x.test", "b@box.test"), text, policy.Effects{Redirect: "c@box.test"})
	if len(f.box("c@box.test")) != 2 || len(f.box("b@box.test")) != 0 {
		t.Error("not redirected")
	}
	env = envelope("s@x.test", "b@box.test", "a@box.test")
	env.LocalOnly = true
	if _, out := f.send(env, text, policy.Effects{Redirect: "c@box.test"}); !out[0].OK() || !out[1].OK() || len(f.box("c@box.test")) != 3 {
		t.Errorf("not redirected by LMTP: %+v", out)
	}
	if _, out := f.send(envelope("s@x.test", "b@box.test"), text, policy.Effects{Discard: true}); !out[0].OK() || len(f.box("b@box.test")) != 0 {
		t.Error("not discarded")
	}
	id, _ := f.send(envelope("s@x.test", "b@box.test"), text, policy.Effects{Hold: true})
	if q := f.queued(); !slices.Equal(q, []string{"b@box.test 2"}) {
		t.Errorf("held: %q", q)
	}
	if _, err := f.s.Queue().Release(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	f.until("released", func() bool { return len(f.box("b@box.test")) == 1 && len(f.queued()) == 0 })
	f.send(envelope("s@x.test", "b@box.test"), text, policy.Effects{Filter: "smtp:[sink.test]"})
	f.until("filtered", func() bool { return len(f.sink.Messages()) == 2 })
}

// TestChangedRowActsOnQueuedMail: the next hop is asked for at every attempt.
func TestChangedRowActsOnQueuedMail(t *testing.T) {
	f := newFixture(t)
	f.run()
	id := f.ok("s@x.test", "later@down.test")
	line := "relay=none, delay="
	f.until(line, func() bool { return strings.Contains(f.log.String(), line) })
	f.until("waits", func() bool { return slices.Equal(f.queued(), []string{"later@down.test 0"}) })
	if want := "dsn=4.4.1, status=deferred (connect to down.test[192.0.2.2]:25: Connection refused)"; !strings.Contains(f.log.String(), want) {
		t.Errorf("log:\n%s", f.log)
	}
	f.sql("UPDATE Domain SET domTpNum = 1 WHERE domName = 'down.test'")
	if _, err := f.s.Queue().Retry(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	f.until("sent", func() bool { return len(f.sink.Messages()) == 1 && len(f.queued()) == 0 })
}

func TestNotifications(t *testing.T) {
	f := newFixture(t)
	f.run()
	reply := map[string]string{}
	f.sink.Answer = func(line string) string {
		for prefix, r := range reply {
			if strings.HasPrefix(line, prefix) {
				return r
			}
		}
		return ""
	}
	reply["RCPT TO:<x@out"] = "550 5.1.1 no such user"
	send := func(from, to string, notify ...smtp.DSNNotify) {
		t.Helper()
		env := envelope(from, to)
		env.To[0].Options.Notify = notify
		env.Options.EnvelopeID, env.Options.Return = "E1", smtp.DSNReturnHeaders
		if _, out := f.send(env, text, policy.Effects{}); !out[0].OK() {
			t.Fatal(out)
		}
		f.until("gone", func() bool { return len(f.queued()) == 0 && f.spool() == 0 })
	}
	send("b@box.test", "x@out.test", smtp.DSNNotifyNever)
	send("b@box.test", "x@out.test", smtp.DSNNotifySuccess)
	send("", "x@out.test")
	if n := len(f.box("b@box.test")); n != 0 {
		t.Fatalf("%d reports that nobody asked for", n)
	}
	send("b@box.test", "x@out.test", smtp.DSNNotifyFailure)
	send("b@box.test", "a@box.test", smtp.DSNNotifySuccess)
	got := f.box("b@box.test")
	if len(got) != 2 {
		t.Fatalf("%d reports", len(got))
	}
	for i, parts := range [][]string{
		{"Original-Envelope-Id: E1\n", "Status: 5.1.1\nRemote-MTA: dns; sink.test\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n", "Content-Type: text/rfc822-headers\n"},
		{"Subject: Successful Mail Delivery Report\n", "Final-Recipient: rfc822; a@box.test\nOriginal-Recipient: rfc822;a@box.test\nAction: delivered\nStatus: 2.0.0\n"},
	} {
		for _, part := range parts {
			if !slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, part) }) {
				t.Errorf("report %d lacks %q:\n%s", i, part, got)
			}
		}
	}
	if !strings.Contains(f.log.String(), "undeliverable bounce discarded") {
		t.Error("the failure of the null sender's mail is not in the log")
	}
}

func TestRelayHosts(t *testing.T) {
	f := newFixture(t, `INSERT INTO RelayHost (rhSender, rhNexthop, rhUser, rhPasswd) VALUES
		('', '[down.test]', NULL, NULL), ('@mine.test', '[sink.test]', 'u', 'p'), ('<>', '[down.test]:26', NULL, NULL);
		INSERT INTO Setting VALUES ('smtp_sasl_security_options', 'noanonymous');`)
	f.sink.Exts = append(f.sink.Exts, "AUTH PLAIN")
	f.run()
	f.ok("me@mine.test", "u@far.test")
	f.until("sent", func() bool { return len(f.sink.Messages()) == 1 })
	if got := f.sink.Messages()[0].User; got != "AUTH PLAIN AHUAcA==" {
		t.Errorf("logged in with %q", got)
	}
	f.ok("other@x.test", "u@far.test")
	f.ok("", "u@far.test")
	for _, line := range []string{"connect to down.test[192.0.2.2]:25: Connection refused", "connect to down.test[192.0.2.2]:26: Connection refused"} {
		f.until(line, func() bool { return strings.Contains(f.log.String(), line) })
	}
	f.ok("me@mine.test", "x@out.test") // has a transport row: the relay host is not asked, and gets no password
	f.until("sent", func() bool { return len(f.sink.Messages()) == 2 })
}

// downRouter fails while it is told to.
type downRouter struct {
	Router
	down bool
}

func (r *downRouter) Expand(ctx context.Context, to address.Address) ([]route.Destination, error) {
	if r.down {
		return nil, errors.New("database is locked")
	}
	return r.Router.Expand(ctx, to)
}

func TestLookupFailureIsTemporary(t *testing.T) {
	f := newFixture(t)
	r := &downRouter{Router: f.d.Route}
	f.s.d.Route = r
	r.down = true
	_, out := f.send(envelope("s@x.test", "a@box.test"), text, policy.Effects{})
	if o := out[0]; o.Code != 451 || o.Enhanced != "4.3.0" || f.spool() != 0 {
		t.Errorf("%+v, %d files", out, f.spool())
	}
	r.down = false
	f.ok("s@x.test", "out@box.test")
	r.down = true
	f.run()
	f.until("deferred", func() bool { return strings.Contains(f.log.String(), "status=deferred (address lookup failure)") })
	f.until("waits", func() bool { return slices.Equal(f.queued(), []string{"x@out.test 0"}) })
}

func TestBigMessageIsStreamed(t *testing.T) {
	f := newFixture(t)
	f.run()
	big := text + strings.Repeat(strings.Repeat("x", 74)+"\r\n", 100_000)
	if _, out := f.send(envelope("s@x.test", "a@box.test", "x@out.test"), big, policy.Effects{}); !out[0].OK() {
		t.Fatal(out)
	}
	f.until("relayed", func() bool { return len(f.sink.Messages()) == 1 && f.spool() == 0 })
	if f.sink.Messages()[0].Data != big {
		t.Error("relayed otherwise than it came")
	}
	if got := f.box("a@box.test"); len(got) != 1 || !strings.HasSuffix(got[0], lf(big)) {
		t.Error("delivered otherwise than it came")
	}
}

func TestReadHeader(t *testing.T) {
	tests := []struct {
		name, in string
		want     header
	}{
		{"empty", "", header{}},
		{"folded", "Received: a\r\n b\r\nDelivered-To:\r\n a@b\r\nMessage-ID: <x>\r\n\r\nReceived: body\r\n", header{1, []string{"a@b"}, "<x>"}},
		{"no body", "received: a\nRECEIVED : b\n", header{2, nil, ""}},
		{"long line", "X: " + strings.Repeat("y", 100_000) + "\r\nReceived: z\r\n\r\n", header{1, nil, ""}},
		{"no header", "\r\nReceived: a\r\n", header{}},
	}
	for _, tt := range tests {
		h, err := readHeader(strings.NewReader(tt.in))
		if err != nil || fmt.Sprint(h) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %+v %v, want %+v", tt.name, h, err, tt.want)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, s := range []string{"Received: a\r\n\r\n", "A:\r\n b", "\n", ":", "Message-ID: <a\x00b>\r\n", "Delivered-To: x\n\ty\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := readHeader(bytes.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		if h.Received+len(h.DeliveredTo) > bytes.Count(in, []byte("\n"))+1 {
			t.Fatalf("%q has %+v", in, h)
		}
		if s := printable(h.MessageID); strings.ContainsAny(s, "\r\n\x00 ") {
			t.Fatalf("%q is logged as %q", in, s)
		}
	})
}

func TestHops(t *testing.T) {
	tests := []struct {
		in   string
		host string
		mx   bool
		port int
	}{
		{"a.test", "a.test", true, 0}, {"[a.test]", "a.test", false, 0}, {"[a.test]:26", "a.test", false, 26},
		{"a.test:26", "a.test", true, 26}, {"[::1]:26", "::1", false, 26}, {"[a", "", false, -1}, {"a:b", "", false, -1},
		{"a:0", "", false, -1}, {"a:70000", "", false, -1}, {"", "", true, 0},
	}
	for _, tt := range tests {
		host, mx, port := splitHop(tt.in)
		if host != tt.host || port != tt.port || port >= 0 && mx != tt.mx {
			t.Errorf("%q: %q %v %d", tt.in, host, mx, port)
		}
	}
}
