package policy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mailserver/internal/address"
	"mailserver/internal/setting"
	"mailserver/policy"
	"mailserver/schema"
	"mailserver/smtp"
)

// env is an engine over a real mail.sqlite, that another program changes.
type env struct {
	t     testing.TB
	e     *policy.Engine
	mail  *schema.Mail
	state *schema.State
	path  string
	log   *syncBuffer
	deps  policy.Deps
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newEnv(t testing.TB) *env {
	t.Helper()
	v := newEnvAlone(t)
	v.withDNS()
	return v
}

// newFile is the file of a server that has been set up, made once: a copy for
// each test is all the same, and under the race detector much quicker.
var newFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "policy-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "mail.sqlite")
	if err := schema.CreateMail(ctx, path); err != nil {
		return nil, err
	}
	m, err := schema.OpenMail(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(m.AddDefaultClasses(ctx), m.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// newEnvAlone has no DNS server, whose sockets would hold up the clock of a
// synctest bubble.
func newEnvAlone(t testing.TB) *env {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mail.sqlite")
	file, err := newFile()
	if err == nil {
		err = os.WriteFile(path, file, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := schema.OpenMail(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	v := &env{t: t, mail: m, path: path, log: &syncBuffer{}}
	table, err := setting.NewTable(policy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	v.deps = policy.Deps{
		Mail: m,
		Log:  slog.New(slog.NewTextHandler(v.log, nil)),
		Config: func(ctx context.Context) (*policy.Config, error) {
			view, err := m.View(ctx)
			if err != nil {
				return nil, err
			}
			rows, err := view.Settings(ctx)
			if err != nil {
				return nil, err
			}
			var c policy.Config
			return &c, table.Fill(&c, rows)
		},
		Interfaces: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.0.2.53")}, nil },
	}
	v.e = policy.New(v.deps)
	return v
}

// withState gives the engine what it remembers by.
func (v *env) withState() {
	v.t.Helper()
	var err error
	if v.state, err = schema.OpenState(ctx, filepath.Join(v.t.TempDir(), "state.sqlite")); err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { v.state.Close() })
	v.deps.State = v.state
	v.e = policy.New(v.deps)
}

// exec runs a statement as another program would.
func (v *env) exec(query string, args ...any) {
	v.t.Helper()
	if err := v.script(query, args...); err != nil {
		v.t.Fatalf("%s: %v", query, err)
	}
}

func (v *env) script(query string, args ...any) error {
	for _, a := range args {
		text := "NULL"
		switch a := a.(type) {
		case string:
			text = fmt.Sprintf("CAST(x'%x' AS TEXT)", a)
		case int:
			text = fmt.Sprint(a)
		}
		query = strings.Replace(query, "?", text, 1)
	}
	return schema.Script(ctx, v.path, query)
}

func (v *env) set(name, value string) {
	v.t.Helper()
	v.exec(`INSERT INTO Setting VALUES (?, ?) ON CONFLICT DO UPDATE SET stValue = excluded.stValue`, name, value)
}

func (v *env) class(name, list string, text ...any) {
	v.t.Helper()
	text = append(text, nil)
	v.exec(`INSERT OR REPLACE INTO Restriction (rsName, rsList, rsText) VALUES (?, ?, ?)`, name, list, text[0])
}

func (v *env) access(table, key, action string) {
	v.t.Helper()
	v.exec(`INSERT OR REPLACE INTO Access (acTable, acKey, acAction) VALUES (?, ?, ?)`, table, key, action)
}

func (v *env) accessRow(typ, table, key, action string, prio int) {
	v.t.Helper()
	v.exec(`INSERT INTO Access (acTable, acType, acKey, acAction, acPriority) VALUES (?, ?, ?, ?, ?)`, table, typ, key, action, prio)
}

// stranger is a client of the internet whose names are in order.
var stranger = policy.Client{Addr: netip.MustParseAddr("192.0.2.10"), Port: 4711, Name: "mx.example.net", ReverseName: "mx.example.net"}

func addr(s string) address.Address {
	a, err := address.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

// here is an existing recipient of a mailbox domain of ours.
func here(s string, rclass int) policy.Recipient {
	a := addr(s)
	return policy.Recipient{Original: a, Address: a, Class: 842, Domain: a.Domain, RClass: rclass, Listed: true}
}

// there is a recipient elsewhere.
func there(s string) policy.Recipient {
	a := addr(s)
	return policy.Recipient{Original: a, Address: a, Class: schema.External, Domain: a.Domain, RClass: 30, Listed: true}
}

func from(s string) policy.Sender {
	a := addr(s)
	return policy.Sender{Original: a, Address: a, Class: schema.External, Listed: true}
}

// reply says a verdict as the client sees it; "ok" if nothing was refused.
func reply(v policy.Verdict) string {
	if v.OK() {
		return "ok"
	}
	code, enhanced, text := smtp.Reply(v)
	return fmt.Sprintf("%d %s %s", code, enhanced, text)
}

// warnings are the lines for the log.
func warnings(v policy.Verdict) string {
	var list []string
	for _, w := range v.Warnings {
		list = append(list, w.Event+": "+smtp.LogText(w))
	}
	return strings.Join(list, "\n")
}

// open begins a session and a transaction.
func (v *env) open(c policy.Client, helo, sender string) *policy.Session {
	v.t.Helper()
	s := v.e.NewSession(c)
	for _, got := range []policy.Verdict{s.Connect(ctx), s.Helo(ctx, helo, true), s.Mail(ctx, from(sender), 0)} {
		if !got.OK() {
			v.t.Fatalf("before RCPT: %s", reply(got))
		}
	}
	return s
}

// rcpt sends a whole session and returns the reply to RCPT.
func (v *env) rcpt(c policy.Client, helo, sender string, to policy.Recipient) policy.Verdict {
	v.t.Helper()
	return v.open(c, helo, sender).Rcpt(context.Background(), to)
}

// try asks about an ordinary recipient.
func (v *env) try() string {
	v.t.Helper()
	return reply(v.rcpt(stranger, "mx.example.net", "a@example.net", here("u@here.example", 30)))
}

func netipAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func check(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}
