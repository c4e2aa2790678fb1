package imap_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mailserver/imap"
	"mailserver/internal/acl"
	"mailserver/internal/dialogtest"
	"mailserver/internal/login"
	"mailserver/internal/setting"
	"mailserver/internal/testenv"
	"mailserver/schema"
	"mailserver/storage"
)

// house is a server on a port of its own.
type house struct {
	t        testing.TB
	srv      *imap.Server
	store    *storage.Store
	dir      string
	addr     string
	rows     map[string]string
	log      *dialogtest.Buffer
	auth     login.Authenticator
	level    slog.Level
	quota    int64
	messages atomic.Int64  // quota_message_count
	fts      atomic.Bool   // searches use the text index
	ftsMax   atomic.Int64  // fts_max_size
	late     time.Duration // the server's clock is behind by
	sharing  atomic.Bool   // there are the namespaces shared/%u/ and Public/
}

func open(t testing.TB, opt imap.ListenerOptions, rows map[string]string) *house {
	t.Helper()
	return openAt(t, t.TempDir(), opt, rows)
}

func openAt(t testing.TB, dir string, opt imap.ListenerOptions, rows map[string]string) *house {
	t.Helper()
	h := &house{t: t, dir: dir, rows: rows, log: &dialogtest.Buffer{}, auth: dialogtest.Who{}}
	if _, fuzz := t.(*testing.F); fuzz {
		h.level = slog.LevelError
	}
	state, err := schema.OpenState(t.Context(), filepath.Join(h.dir, "state.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if h.store, err = storage.Open(storage.Deps{State: state, Config: func(context.Context) (*storage.Config, error) {
		return &storage.Config{IdleCheck: 30 * time.Second, MaxMessages: int(h.messages.Load()), FTS: h.fts.Load(), FTSMaxSize: h.ftsMax.Load()}, nil
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
	cert := dialogtest.Certificate(h.t)
	h.srv = imap.New(imap.Deps{
		Auth: h.auth,
		Account: func(_ context.Context, user string) (*storage.Account, error) {
			if dialogtest.Password(user) == "" {
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
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	c.Until(`^\* OK `)
	c.Send("login LOGIN joe@vmail.example joes-secret")
	c.Until(`^login OK `)
	return c
}

// do sends a command and returns the lines of its answer.
func (c *client) do(command string) []string {
	c.T.Helper()
	c.Send("x " + command)
	return c.Until(`^x `)
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
