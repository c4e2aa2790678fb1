package renewal

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/mholt/acmez/v3/acme"

	"mailserver/internal/dns/dnstest"
	"mailserver/internal/testport"
	"mailserver/internal/tlscert"
)

// authority is a running ACME server, which comes back to ports of this host.
type authority struct {
	*httptest.Server
	http, tls string // addresses that challenges are answered at
	caFile    string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "5")
	names := dnstest.Start(t, "mx.example. 60 IN A 127.0.0.1\nimap.example. 60 IN A 127.0.0.1\n")
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	httpPort, tlsPort := testport.Base(t, 0), testport.Base(t, 0)
	made := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	checks := va.New(quiet, httpPort, tlsPort, true, names.Addr, store)
	front := wfe.New(quiet, store, checks, made, nil, true, false, 0, 0)
	a := &authority{Server: httptest.NewTLSServer(front.Handler()),
		http: net.JoinHostPort("127.0.0.1", strconv.Itoa(httpPort)), tls: net.JoinHostPort("127.0.0.1", strconv.Itoa(tlsPort))}
	t.Cleanup(a.Close)
	a.trust(t)
	return a
}

// trust writes the certificate that the directory's HTTPS shows.
func (a *authority) trust(t *testing.T) {
	t.Helper()
	a.caFile = filepath.Join(t.TempDir(), "directory.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})
	if err := os.WriteFile(a.caFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// world is a renewer over a directory with a certificate that signs itself.
type world struct {
	*Renewer
	cfg  Config
	rows []tlscert.Row
	now  time.Time
	log  bytes.Buffer
}

func newWorld(t *testing.T, a *authority) *world {
	t.Helper()
	w := &world{cfg: Config{Directory: a.URL + wfe.DirectoryPath, CAFile: a.caFile, Contact: "postmaster@mx.example"}, now: time.Now()}
	dir := t.TempDir()
	w.rows = []tlscert.Row{{Num: 1, Hostname: "mx.example", CertFile: "tls/mx.crt", KeyFile: "tls/mx.key"}}
	if err := tlscert.SelfSigned(filepath.Join(dir, "tls/mx.crt"), filepath.Join(dir, "tls/mx.key"), "mx.example", w.now); err != nil {
		t.Fatal(err)
	}
	w.Renewer = New(Deps{Dir: dir, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Now: func() time.Time { return w.now },
		Rows:   func(context.Context) ([]tlscert.Row, error) { return w.rows, nil },
		Config: func(context.Context) (*Config, error) { return &w.cfg, nil }})
	return w
}

func (w *world) look(t *testing.T) *x509.Certificate {
	t.Helper()
	if err := w.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	cert := w.leaf(w.rows[0])
	if cert == nil {
		t.Fatalf("no certificate\n%s", w.log.String())
	}
	return cert
}

func selfSigned(c *x509.Certificate) bool {
	return c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func TestChallenges(t *testing.T) {
	a := newAuthority(t)
	for name, change := range map[string]func(*testing.T, *world){
		"http-01":     func(_ *testing.T, w *world) { w.cfg.HTTPAddress = a.http },
		"tls-alpn-01": func(_ *testing.T, w *world) { w.cfg.TLSAddress = a.tls },
		"webroot": func(t *testing.T, w *world) {
			w.cfg.Webroot = t.TempDir()
			l, err := net.Listen("tcp", a.http)
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: http.FileServer(http.Dir(w.cfg.Webroot))}
			go srv.Serve(l)
			t.Cleanup(func() { srv.Close() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, a)
			change(t, w)
			before, err := os.ReadFile(filepath.Join(w.d.Dir, "tls/mx.key"))
			if err != nil {
				t.Fatal(err)
			}
			got := w.look(t)
			if selfSigned(got) || got.VerifyHostname("mx.example") != nil {
				t.Fatalf("got %v\n%s", got.Subject, w.log.String())
			}
			if after, _ := os.ReadFile(filepath.Join(w.d.Dir, "tls/mx.key")); !bytes.Equal(before, after) {
				t.Error("another key: a TLSA record would be wrong")
			}
			if _, err := tls.LoadX509KeyPair(filepath.Join(w.d.Dir, "tls/mx.crt"), filepath.Join(w.d.Dir, "tls/mx.key")); err != nil {
				t.Error(err)
			}
			if again := w.look(t); again.SerialNumber.Cmp(got.SerialNumber) != 0 {
				t.Error("renewed though it is new")
			}
			if w.cfg.Webroot != "" {
				if left, _ := filepath.Glob(filepath.Join(w.cfg.Webroot, ".well-known/acme-challenge/*")); len(left) != 0 {
					t.Error("left behind:", left)
				}
			}
		})
	}
}

func TestRenewal(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, a)
	w.cfg.HTTPAddress = a.http
	first := w.look(t)
	if w.look(t); w.tries["mx.example"].info.SelectedTime.IsZero() {
		t.Fatal("the authority has not been asked when to renew")
	}
	info := w.tries["mx.example"].info
	if !info.SelectedTime.After(first.NotBefore) || !info.SelectedTime.Before(first.NotAfter) {
		t.Errorf("to be renewed at %v", info.SelectedTime)
	}
	w.now = info.SelectedTime.Add(-time.Hour)
	if w.look(t).SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Error("renewed before its time")
	}
	w.now = w.tries["mx.example"].info.SelectedTime.Add(time.Hour)
	second := w.look(t)
	if second.SerialNumber.Cmp(first.SerialNumber) == 0 || !strings.Contains(w.log.String(), "the authority wants it renewed") {
		t.Errorf("not renewed\n%s", w.log.String())
	}
}

func TestNoWayToAnswer(t *testing.T) {
	w := newWorld(t, newAuthority(t))
	if !selfSigned(w.look(t)) || !strings.Contains(w.log.String(), "no challenge can be answered") {
		t.Fatal(w.log.String())
	}
}

func TestFailuresBackOff(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, a)
	w.cfg.HTTPAddress = "127.0.0.1:0" // where the authority does not come
	var at []time.Duration
	start := w.now
	for range 24 * 60 {
		before := w.tries["mx.example"]
		failed := 0
		if before != nil {
			failed = before.failed
		}
		if failed < 4 || w.now.After(before.next) {
			w.look(t)
		}
		if w.tries["mx.example"].failed > failed {
			at = append(at, w.now.Sub(start).Round(time.Minute))
		}
		if len(at) == 3 {
			break
		}
		w.now = w.now.Add(time.Minute)
	}
	if len(at) != 3 || at[0] != 0 || at[1] != 30*time.Minute || at[2] != 90*time.Minute {
		t.Errorf("tried after %v\n%s", at, w.log.String())
	}
	if !selfSigned(w.leaf(w.rows[0])) {
		t.Error("the old certificate is gone")
	}
}

func TestRowsLeftAlone(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, a)
	w.cfg.HTTPAddress = a.http
	outside := filepath.Join(t.TempDir(), "own.crt")
	w.rows = append(w.rows, tlscert.Row{Hostname: "own.example", CertFile: outside, KeyFile: outside + ".key"},
		tlscert.Row{Hostname: "*.example", CertFile: "tls/wild.crt", KeyFile: "tls/wild.key"},
		tlscert.Row{Hostname: "imap.example", CertFile: "tls/imap.crt", KeyFile: "tls/imap.key"})
	w.look(t)
	w.look(t)
	if _, err := os.Stat(outside); err == nil {
		t.Error("wrote to a file outside the data directory")
	}
	if n := strings.Count(w.log.String(), "dns-01"); n != 1 {
		t.Errorf("a wildcard is refused %d times\n%s", n, w.log.String())
	}
	if c := w.leaf(w.rows[3]); c == nil || selfSigned(c) {
		t.Errorf("no certificate for a new row\n%s", w.log.String())
	}
	if st, err := os.Stat(filepath.Join(w.d.Dir, "tls/imap.key")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", st, err)
	}
	w.cfg.Directory = ""
	if err := w.Look(t.Context()); err != nil {
		t.Errorf("switched off: %v", err)
	}
}

func TestOddTokens(t *testing.T) {
	for _, token := range []string{"", "../../etc/passwd", "a/b", "a\x00"} {
		if err := webroot(t.TempDir()).Present(t.Context(), challenge(token)); err == nil {
			t.Errorf("token %q is written", token)
		}
	}
}

func challenge(token string) acme.Challenge {
	return acme.Challenge{Token: token, KeyAuthorization: "x"}
}

// TestKeyIsChanged: the next key is shown before it is used, and used when asked.
func TestKeyIsChanged(t *testing.T) {
	a := newAuthority(t)
	w := newWorld(t, a)
	w.cfg.HTTPAddress = a.http
	first := w.look(t)
	keyFile := filepath.Join(w.d.Dir, "tls/mx.key")
	if err := tlscert.Roll(keyFile); err != tlscert.ErrNoNext {
		t.Errorf("without a next key: %v", err)
	}
	for range 2 {
		if err := tlscert.MakeNext(keyFile); err != nil {
			t.Fatal(err)
		}
	}
	next, err := tlscert.NextTLSA(keyFile)
	if err != nil || !strings.HasPrefix(next, "3 1 1 ") || next == tlscert.TLSA(first.RawSubjectPublicKeyInfo) {
		t.Fatalf("next %q, %v", next, err)
	}
	if w.look(t).SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Error("renewed before it was asked for")
	}
	if err := tlscert.Roll(keyFile); err != nil {
		t.Fatal(err)
	}
	second := w.look(t)
	if tlscert.TLSA(second.RawSubjectPublicKeyInfo) != next {
		t.Errorf("another key\n%s", w.log.String())
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(w.d.Dir, "tls/mx.crt"), keyFile); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(keyFile + ".*"); len(left) != 0 {
		t.Error("left behind:", left)
	}
	if w.look(t).SerialNumber.Cmp(second.SerialNumber) != 0 {
		t.Error("renewed again")
	}
}
