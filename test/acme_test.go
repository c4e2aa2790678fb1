package test

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"

	"mailserver/internal/dns/dnstest"
)

// TestACME starts with the certificate of init, has an authority sign one for
// the same key while a session is open, and one more for a name of a new row.
func TestACME(t *testing.T) {
	h := sampleHost(t, "")
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	names := dnstest.Start(t, "mx.example. 60 IN A 127.0.0.1\nimap.vmail.example. 60 IN A 127.0.0.1\n")
	quiet, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	port := freeBase(t) + 80
	made := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	front := wfe.New(quiet, store, va.New(quiet, port, port+1, true, names.Addr, store), made, nil, true, false, 0, 0)
	authority := httptest.NewTLSServer(front.Handler())
	t.Cleanup(authority.Close)
	trust := filepath.Join(t.TempDir(), "trust.pem")
	if err := os.WriteFile(trust, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	shown := func(name string) (issuer, key string) {
		conn, err := tls.Dial("tcp", h.addr(993), &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		leaf := conn.ConnectionState().PeerCertificates[0]
		return leaf.Issuer.CommonName, string(leaf.RawSubjectPublicKeyInfo)
	}
	issuer, key := shown("mx.example")
	if issuer != "mx.example" {
		t.Fatalf("at first the certificate is of %s", issuer)
	}
	h.mustRun("config", "set", "acme_ca_file="+trust, fmt.Sprintf("acme_http_address=127.0.0.1:%d", port), "acme_directory="+authority.URL+wfe.DirectoryPath)
	h.sql("INSERT INTO Cert (ctHostname, ctCertFile, ctKeyFile) VALUES ('imap.vmail.example', 'tls/imap.crt', 'tls/imap.key')")
	h.stop() // a restart looks at once; a running server within a minute
	h.start()
	end := time.Now().Add(patience)
	for time.Now().Before(end) && strings.Count(h.log.tail(1000), "certificate renewed hostname=") < 2 {
		time.Sleep(50 * time.Millisecond)
	}
	now, same := shown("mx.example")
	if !strings.HasPrefix(now, "Pebble") || same != key {
		t.Errorf("shown is a certificate of %s, same key %v\n%s", now, same == key, h.log.tail(5))
	}
	if other, k := shown("imap.vmail.example"); !strings.HasPrefix(other, "Pebble") || k == key {
		t.Errorf("the new name shows a certificate of %s", other)
	}
	out := mustOutside(t, "", "openssl", "s_client", "-starttls", "smtp", "-connect", h.addr(25), "-servername", "imap.vmail.example", "-brief")
	if !strings.Contains(out, "CN = imap.vmail.example") && !strings.Contains(out, "CN=imap.vmail.example") && !strings.Contains(out, "Peer certificate") {
		t.Errorf("openssl: %s", out)
	}
	h.check()
	swapUnderSession(t, h)
}

// swapUnderSession replaces the files of a certificate while a session is open.
func swapUnderSession(t *testing.T, h *host) {
	t.Helper()
	conn, err := tls.Dial("tcp", h.addr(993), &tls.Config{InsecureSkipVerify: true, ServerName: "imap.vmail.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, kind := range []string{".crt", ".key"} {
		text, err := os.ReadFile(filepath.Join(h.dir, "tls", certBase+kind))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.dir, "tls", "imap"+kind), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := bufio.NewReader(conn)
	conn.SetDeadline(time.Now().Add(patience))
	in.ReadString('\n')
	fmt.Fprint(conn, "a LOGIN joe@vmail.example joes-secret\r\nb NOOP\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("the open session: %v", err)
		}
		if strings.HasPrefix(line, "b ") {
			break
		}
	}
	next, err := tls.Dial("tcp", h.addr(993), &tls.Config{InsecureSkipVerify: true, ServerName: "imap.vmail.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if name := next.ConnectionState().PeerCertificates[0].DNSNames[0]; name != "mx.example" {
		t.Errorf("the next session still sees the certificate of %s", name)
	}
}

// certBase is the name, without its ending, of the certificate of init.
const certBase = "self-signed"
