package imap_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"mailserver/auth"
	"mailserver/imap"
	"mailserver/internal/acl"
	"mailserver/internal/login"
	"mailserver/internal/setting"
	"mailserver/internal/testenv"
	"mailserver/schema"
	"mailserver/storage"
)

// users are those of the sample database.
var users = map[string]string{"joe@vmail.example": "joes-secret", "ann@vmail.example": "anns-secret"}

// who is an Authenticator that knows users; down makes it undecided.
type who struct{ down bool }

func (w who) Plain(_ context.Context, _ auth.Client, user, password string) (auth.Identity, error) {
	switch {
	case w.down:
		return auth.Identity{}, auth.ErrUnavailable
	case users[user] == "" || users[user] != password:
		return auth.Identity{}, auth.ErrBadCredentials
	}
	return auth.Identity{User: user, Mechanism: "PLAIN"}, nil
}

func (w who) Mechanisms(_ context.Context, c auth.Client, plaintext bool) []string {
	if c.TLS || plaintext {
		return []string{"PLAIN"}
	}
	return nil
}

func (w who) Begin(ctx context.Context, c auth.Client, _ string, done func(auth.Identity)) sasl.Server {
	return sasl.NewPlainServer(func(_, user, password string) error {
		id, err := w.Plain(ctx, c, user, password)
		if err == nil {
			done(id)
		}
		return err
	})
}

// house is a server on a port of its own.
type house struct {
	t        testing.TB
	srv      *imap.Server
	store    *storage.Store
	dir      string
	addr     string
	rows     map[string]string
	log      *lockedBuffer
	auth     login.Authenticator
	level    slog.Level
	quota    int64
	messages atomic.Int64  // quota_message_count
	fts      atomic.Bool   // searches use the text index
	late     time.Duration // the server's clock is behind by
	sharing  atomic.Bool   // there are the namespaces shared/%u/ and Public/
}

func open(t testing.TB, opt imap.ListenerOptions, rows map[string]string) *house {
	t.Helper()
	return openAt(t, t.TempDir(), opt, rows)
}

func openAt(t testing.TB, dir string, opt imap.ListenerOptions, rows map[string]string) *house {
	t.Helper()
	h := &house{t: t, dir: dir, rows: rows, log: &lockedBuffer{}, auth: who{}}
	if _, fuzz := t.(*testing.F); fuzz {
		h.level = slog.LevelError
	}
	state, err := schema.OpenState(t.Context(), filepath.Join(h.dir, "state.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if h.store, err = storage.Open(storage.Deps{State: state, Config: func(context.Context) (*storage.Config, error) {
		return &storage.Config{IdleCheck: 30 * time.Second, MaxMessages: int(h.messages.Load()), FTS: h.fts.Load()}, nil
	}, TextDir: filepath.Join(h.dir, "fts")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { defer func() { recover() }(); h.store.Close(); state.Close() })
	h.serve(opt)
	return h
}

func (h *house) serve(opt imap.ListenerOptions) {
	table, err := setting.NewTable(imap.Config{})
	if err != nil {
		h.t.Fatal(err)
	}
	cert := certificate(h.t)
	h.srv = imap.New(imap.Deps{
		Auth: h.auth,
		Account: func(_ context.Context, user string) (*storage.Account, error) {
			if users[user] == "" {
				return nil, nil
			}
			return h.account(user), nil
		},
		Sharing: h.others(),
		TLS:     func() *tls.Config { return cert },
		Config: func(context.Context) (*imap.Config, error) {
			cfg := &imap.Config{}
			return cfg, table.Fill(cfg, h.rows)
		},
		Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: h.level})),
		Now: func() time.Time { return time.Now().Add(-h.late) },
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- h.srv.Serve(context.Background(), l, opt) }()
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := h.srv.Shutdown(ctx); err != nil {
			h.t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != imap.ErrServerClosed {
			h.t.Errorf("serve: %v", err)
		}
	})
}

// others are the namespaces of a house with sharing; ann is in the group team.
func (h *house) others() imap.Sharing {
	return imap.Sharing{
		Namespaces: func(context.Context) ([]imap.Namespace, error) {
			if !h.sharing.Load() {
				return nil, nil
			}
			return []imap.Namespace{
				{Prefix: "shared/%u/", List: "children"},
				{Prefix: "Public/", List: "children", Public: h.public()},
			}, nil
		},
		Groups: func(_ context.Context, user string) ([]string, error) {
			if user == "ann@vmail.example" {
				return []string{"team"}, nil
			}
			return nil, nil
		},
		Sharers: func(ctx context.Context, who acl.Who, limit int) ([]string, error) {
			return h.store.Sharers(ctx, who, limit)
		},
	}
}

func (h *house) public() *storage.Account {
	dir := filepath.Join(h.dir, "public")
	return h.store.Account(storage.Spec{User: "public:" + dir, Dir: dir, UID: -1, GID: -1, Public: true})
}

func (h *house) account(user string) (a *storage.Account) {
	defer func() { recover() }()
	return h.store.Account(storage.Spec{User: user, Dir: filepath.Join(h.dir, "mail", user), UID: -1, GID: -1, Quota: h.quota})
}

func certificate(t testing.TB) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// client is one connection of a dialog.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	vars map[string]string
}

func (h *house) dial() *client {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	return &client{t: h.t, conn: conn, r: bufio.NewReader(conn), vars: map[string]string{}}
}

// by is the same house for a subtest.
func (h *house) by(t testing.TB) *house {
	return &house{t: t, store: h.store, dir: h.dir, addr: h.addr, log: h.log}
}

// login returns a client that has logged in as joe.
func (h *house) login() *client {
	h.t.Helper()
	c := h.dial()
	c.until(`^\* OK `)
	c.send("login LOGIN joe@vmail.example joes-secret")
	c.until(`^login OK `)
	return c
}

func (c *client) raw(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) send(s string) { c.t.Helper(); c.raw(s + "\r\n") }

func (c *client) line() string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("after %q: %v", s, err)
	}
	return strings.TrimSuffix(s, "\r\n")
}

// until reads up to a line that matches, and returns all lines.
func (c *client) until(pattern string) []string {
	c.t.Helper()
	re := regexp.MustCompile(pattern)
	var lines []string
	for {
		s := c.line()
		lines = append(lines, s)
		if m := re.FindStringSubmatch(s); m != nil {
			for i, name := range re.SubexpNames() {
				if name != "" {
					c.vars[name] = m[i]
				}
			}
			return lines
		}
	}
}

// do sends a command and returns the lines of its answer.
func (c *client) do(command string) []string {
	c.t.Helper()
	c.send("x " + command)
	return c.until(`^x `)
}

func (c *client) closed() {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if rest, err := io.ReadAll(c.r); err == nil && len(rest) > 0 {
		c.t.Errorf("before closing: %q", rest)
	}
}

var variable = regexp.MustCompile(`\$\{?[a-zA-Z]+\}?`)

func (c *client) expand(s string, quote bool) string {
	return variable.ReplaceAllStringFunc(s, func(name string) string {
		v, ok := c.vars[strings.Trim(name, "${}")]
		if !ok {
			return name
		}
		if quote {
			return regexp.QuoteMeta(v)
		}
		return v
	})
}

// run plays a script.
func (h *house) run(s *testenv.Script) {
	t := h.t
	for _, m := range s.Mail {
		h.put(m)
	}
	clients := map[string]*client{}
	vars := map[string]string{}
	for _, st := range s.Steps {
		c := clients[st.Client]
		if c == nil {
			c = h.dial()
			c.vars = vars
			clients[st.Client] = c
		}
		if err := c.step(st); err != nil {
			t.Fatalf("%s:%d: %s %s\n%v", s.Name, st.Line, st.Verb, st.Text, err)
		}
	}
}

func (c *client) step(st testenv.Step) error {
	switch st.Verb {
	case "C:":
		c.send(c.expand(st.Text, false))
	case "C=":
		text, err := strconv.Unquote(st.Text)
		if err != nil {
			return err
		}
		c.raw(c.expand(text, false))
	case "S:":
		if got, want := c.line(), c.expand(st.Text, false); got != want {
			return fmt.Errorf("got  %s\nwant %s", got, want)
		}
	case "S~":
		re, got := c.expand(st.Text, true), c.line()
		m := regexp.MustCompile(re).FindStringSubmatch(got)
		if m == nil {
			return fmt.Errorf("got  %s\nwant a match", got)
		}
		for i, name := range regexp.MustCompile(re).SubexpNames() {
			if name != "" {
				c.vars[name] = m[i]
			}
		}
	case "S...":
		c.until(c.expand(st.Text, true))
	case "TLS":
		return startTLS(c)
	case "CLOSED":
		c.closed()
	case "CLOSE":
		c.conn.Close()
	default:
		return fmt.Errorf("verb %s", st.Verb)
	}
	return nil
}

// put appends the message of a section mail/USER/FOLDER:FLAGS.
func (h *house) put(m testenv.Section) {
	h.t.Helper()
	user, folder, _ := strings.Cut(m.Path, "/")
	folder, flags, _ := strings.Cut(folder, ":")
	folder = strings.TrimPrefix(folder, ".")
	ctx, a := h.t.Context(), h.account(user)
	if folder != "INBOX" {
		a.Create(ctx, folder, nil)
	}
	d, err := a.NewDraft(ctx, folder, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	io.WriteString(d, strings.ReplaceAll(m.Text, "\n", "\r\n"))
	var meta storage.AppendMeta
	for _, f := range flags {
		meta.Flags = append(meta.Flags, maildirFlags[f])
	}
	if _, _, err := a.Append(ctx, folder, []*storage.Draft{d}, []storage.AppendMeta{meta}); err != nil {
		h.t.Fatal(err)
	}
}

func startTLS(c *client) error {
	tc := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	c.conn, c.r = tc, bufio.NewReader(tc)
	return tc.Handshake()
}
