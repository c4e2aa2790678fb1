package pop3_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"mailserver/internal/dialogtest"
	"mailserver/internal/login"
	"mailserver/internal/setting"
	"mailserver/internal/testenv"
	"mailserver/pop3"
	"mailserver/schema"
	"mailserver/storage"
)

// house is a server on a port of its own.
type house struct {
	t     testing.TB
	srv   *pop3.Server
	store *storage.Store
	dir   string
	addr  string
	rows  map[string]string
	log   *dialogtest.Buffer
	auth  login.Authenticator
	level slog.Level
	late  time.Duration // the server's clock is behind by
}

func open(t testing.TB, opt pop3.ListenerOptions, rows map[string]string) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), rows: rows, log: &dialogtest.Buffer{}, auth: dialogtest.Who{}}
	if _, fuzz := t.(*testing.F); fuzz {
		h.level = slog.LevelError
	}
	state, err := schema.OpenState(t.Context(), filepath.Join(h.dir, "state.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if h.store, err = storage.Open(storage.Deps{State: state}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { defer func() { recover() }(); h.store.Close(); state.Close() })
	h.serve(opt)
	return h
}

func (h *house) serve(opt pop3.ListenerOptions) {
	table, err := setting.NewTable(pop3.Config{})
	if err != nil {
		h.t.Fatal(err)
	}
	cert := dialogtest.Certificate(h.t)
	h.srv = pop3.New(pop3.Deps{
		Auth:    h.auth,
		Account: func(_ context.Context, user string) (*storage.Account, error) { return h.account(user), nil },
		TLS:     func() *tls.Config { return cert },
		Config: func(context.Context) (*pop3.Config, error) {
			cfg := &pop3.Config{}
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
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := h.srv.Shutdown(ctx); err != nil {
			h.t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != pop3.ErrServerClosed {
			h.t.Errorf("serve: %v", err)
		}
	})
}

func (h *house) account(user string) (a *storage.Account) {
	defer func() { recover() }()
	return h.store.Account(storage.Spec{User: user, Dir: filepath.Join(h.dir, "mail", user), UID: -1, GID: -1})
}

// client is one connection of a dialog.
type client struct{ *dialogtest.Client }

func (h *house) dial() *client { h.t.Helper(); return &client{dialogtest.Dial(h.t, h.addr)} }

// by is the same house for a subtest.
func (h *house) by(t testing.TB) *house {
	return &house{t: t, store: h.store, dir: h.dir, addr: h.addr, log: h.log}
}

// login returns a client that has logged in as joe.
func (h *house) login() *client {
	h.t.Helper()
	c := h.dial()
	c.Line()
	c.Send("USER joe@vmail.example")
	c.Send("PASS joes-secret")
	c.Until(`^\+OK Logged in\.$`)
	return c
}

// do sends a command and returns the line of its answer.
func (c *client) do(command string) string {
	c.T.Helper()
	c.Send(command)
	return c.Line()
}

// list sends a command and returns the lines of its answer, without the last.
func (c *client) list(command string) []string {
	c.T.Helper()
	c.Send(command)
	lines := c.Until(`^\.$|^-ERR`)
	return lines[:len(lines)-1]
}

// run plays a script.
func (h *house) run(s *testenv.Script) {
	for _, m := range s.Mail {
		h.put(m)
	}
	dialogtest.Play(h.t, s, func() *dialogtest.Client { return h.dial().Client })
}

// put appends the message of a section mail/USER/FOLDER:FLAGS.
func (h *house) put(m testenv.Section) { h.t.Helper(); dialogtest.Put(h.t, h.account, m) }
