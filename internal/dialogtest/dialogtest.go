// Package dialogtest has what the tests of imap and pop3 share: users and their
// passwords, a certificate, and a client whose errors end the test.
package dialogtest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"

	"mailserver/auth"
	"mailserver/internal/testenv"
	"mailserver/storage"
)

// Password is that of a user of the sample database; "": there is no such user.
func Password(user string) string {
	switch user {
	case "joe@vmail.example":
		return "joes-secret"
	case "ann@vmail.example":
		return "anns-secret"
	}
	return ""
}

// Who is an Authenticator that knows the users; Down makes it undecided.
type Who struct{ Down bool }

// Plain implements login.Authenticator.
func (w Who) Plain(_ context.Context, _ auth.Client, user, password string) (auth.Identity, error) {
	switch {
	case w.Down:
		return auth.Identity{}, auth.ErrUnavailable
	case Password(user) == "" || Password(user) != password:
		return auth.Identity{}, auth.ErrBadCredentials
	}
	return auth.Identity{User: user, Mechanism: "PLAIN"}, nil
}

// Mechanisms implements login.Authenticator.
func (w Who) Mechanisms(_ context.Context, c auth.Client, plaintext bool) []string {
	if c.TLS || plaintext {
		return []string{"PLAIN"}
	}
	return nil
}

// Begin implements login.Authenticator.
func (w Who) Begin(ctx context.Context, c auth.Client, _ string, done func(auth.Identity)) sasl.Server {
	return sasl.NewPlainServer(func(_, user, password string) error {
		id, err := w.Plain(ctx, c, user, password)
		if err == nil {
			done(id)
		}
		return err
	})
}

// Certificate makes one that no authority has signed.
func Certificate(t testing.TB) *tls.Config {
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

// Buffer is a log that a server writes while a test reads it.
type Buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is what has been written.
func (l *Buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Play runs the steps of a script; dial makes the client of a new name.
func Play(t testing.TB, s *testenv.Script, dial func() *Client) {
	t.Helper()
	clients := map[string]*Client{}
	vars := map[string]string{}
	for _, st := range s.Steps {
		c := clients[st.Client]
		if c == nil {
			c = dial()
			c.Vars = vars
			clients[st.Client] = c
		}
		if err := c.Do(st); err != nil {
			t.Fatalf("%s:%d: %s %s\n%v", s.Name, st.Line, st.Verb, st.Text, err)
		}
	}
}

var maildirFlags = map[rune]goimap.Flag{'S': goimap.FlagSeen, 'R': goimap.FlagAnswered, 'F': goimap.FlagFlagged, 'T': goimap.FlagDeleted, 'D': goimap.FlagDraft}

// Put appends the message of a section mail/USER/FOLDER:FLAGS to the mailbox of
// its user's account.
func Put(t testing.TB, account func(user string) *storage.Account, m testenv.Section) {
	t.Helper()
	user, folder, _ := strings.Cut(m.Path, "/")
	folder, flags, _ := strings.Cut(folder, ":")
	folder = strings.TrimPrefix(folder, ".")
	ctx, a := t.Context(), account(user)
	if folder != "INBOX" {
		a.Create(ctx, folder, nil)
	}
	d, err := a.NewDraft(ctx, folder, 0)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, strings.ReplaceAll(m.Text, "\n", "\r\n"))
	var meta storage.AppendMeta
	for _, f := range flags {
		meta.Flags = append(meta.Flags, maildirFlags[f])
	}
	if _, _, err := a.Append(ctx, folder, []*storage.Draft{d}, []storage.AppendMeta{meta}); err != nil {
		t.Fatal(err)
	}
}
