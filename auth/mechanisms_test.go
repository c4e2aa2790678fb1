package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"
)

// everyMechanism is all that this server speaks.
var everyMechanism = []string{"scram-sha-256-plus", "scram-sha-256", "scram-sha-1-plus", "scram-sha-1", "cram-md5", "external", "plain", "login"}

// challengeUsers have their passwords in the forms that can be challenged, and
// one that cannot.
func challengeUsers(t *testing.T, path string) {
	for i, scheme := range []string{"PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "CRAM-MD5", "BLF-CRYPT"} {
		h, err := Hash(scheme, "pä wörd", rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		other(t, path, fmt.Sprintf(`INSERT INTO Address (addNum, addLocalpart, addDomNum) VALUES (%d, '%s', 2);
			INSERT INTO VMailbox (vmNum, vmPasswd) VALUES (%d, '%s')`, 100+i, strings.ToLower(scheme), 100+i, h))
	}
}

// pair returns the two ends of a TLS connection.
func tlsPair(t *testing.T, version uint16, client *tls.Certificate) (server, cl tls.ConnectionState, shown *x509.Certificate) {
	t.Helper()
	cert := certificate(t, "mx.example", nil)
	a, b := net.Pipe()
	s := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version, ClientAuth: tls.RequestClientCert})
	conf := &tls.Config{InsecureSkipVerify: true}
	if client != nil {
		conf.Certificates = []tls.Certificate{*client}
	}
	c := tls.Client(b, conf)
	t.Cleanup(func() { a.Close(); b.Close() })
	failed := make(chan error, 1)
	go func() { failed <- s.Handshake() }()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	go c.Read(make([]byte, 1)) // the ticket
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return s.ConnectionState(), c.ConnectionState(), cert.Leaf
}

// certificate makes one that is signed by ca, or by itself.
func certificate(t *testing.T, name string, ca *tls.Certificate) tls.Certificate {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		EmailAddresses: []string{"Ann@box.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true, IsCA: ca == nil}
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

// talk runs a SCRAM client of another library against a server.
func talk(s *Service, c Client, mechanism, user, password string, cb *scram.ChannelBinding) (Identity, error) {
	gen := scram.SHA256
	if strings.HasPrefix(mechanism, "SCRAM-SHA-1") {
		gen = scram.SHA1
	}
	client, err := gen.NewClient(user, password, "")
	if err != nil {
		return Identity{}, err
	}
	conv := client.NewConversation()
	if cb != nil {
		conv = client.NewConversationWithChannelBinding(*cb)
	}
	var id Identity
	server := s.Begin(context.Background(), c, mechanism, func(got Identity) { id = got })
	if server == nil {
		return id, fmt.Errorf("%s is not offered", mechanism)
	}
	challenge := ""
	for range 5 {
		response, err := conv.Step(challenge)
		if err != nil {
			return id, err
		}
		out, done, err := server.Next([]byte(response))
		if err != nil {
			return id, err
		}
		if done {
			if !conv.Valid() {
				return id, fmt.Errorf("the client does not trust the server")
			}
			return id, nil
		}
		challenge = string(out)
	}
	return id, fmt.Errorf("no end")
}

func TestSCRAM(t *testing.T) {
	s, path := newService(t, func(c *Config) { c.Mechanisms = everyMechanism; c.Throttle = false })
	challengeUsers(t, path)
	st13, cl13, shown := tlsPair(t, tls.VersionTLS13, nil)
	st12, cl12, _ := tlsPair(t, tls.VersionTLS12, nil)
	over13, over12 := Client{TLS: true, State: &st13, Shown: shown}, Client{TLS: true, State: &st12}
	exporter := scram.ChannelBinding{Type: "tls-exporter", Data: must(cl13.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32))}
	endPoint := must(scram.NewTLSServerEndpointBinding(&cl13))
	unique := scram.ChannelBinding{Type: "tls-unique", Data: cl12.TLSUnique}
	altered := exporter
	altered.Data = append([]byte{exporter.Data[0] ^ 1}, exporter.Data[1:]...)
	for _, tt := range []struct {
		name, mechanism, user, password string
		client                          Client
		binding                         *scram.ChannelBinding
		err                             error
	}{
		{"stored SHA-256", "SCRAM-SHA-256", "scram-sha-256", "pä wörd", Client{}, nil, nil},
		{"stored SHA-1", "SCRAM-SHA-1", "scram-sha-1", "pä wörd", Client{}, nil, nil},
		{"stored in clear", "SCRAM-SHA-256", "plain", "pä wörd", Client{}, nil, nil},
		{"stored in clear, SHA-1", "SCRAM-SHA-1", "plain", "pä wörd", Client{}, nil, nil},
		{"wrong password", "SCRAM-SHA-256", "scram-sha-256", "pa word", Client{}, nil, ErrBadCredentials},
		{"wrong password, clear", "SCRAM-SHA-1", "plain", "pa word", Client{}, nil, ErrBadCredentials},
		{"keys of the other digest", "SCRAM-SHA-1", "scram-sha-256", "pä wörd", Client{}, nil, ErrBadCredentials},
		{"bcrypt cannot be challenged", "SCRAM-SHA-256", "blf-crypt", "pä wörd", Client{}, nil, ErrBadCredentials},
		{"unknown user", "SCRAM-SHA-256", "eve", "pw", Client{}, nil, ErrBadCredentials},
		{"denied", "SCRAM-SHA-256", "denied", "pw", Client{}, nil, ErrBadCredentials},
		{"broken row", "SCRAM-SHA-256", "broken", "pw", Client{}, nil, ErrUnavailable},
		{"tls-exporter", "SCRAM-SHA-256-PLUS", "scram-sha-256", "pä wörd", over13, &exporter, nil},
		{"tls-exporter, SHA-1", "SCRAM-SHA-1-PLUS", "plain", "pä wörd", over13, &exporter, nil},
		{"tls-server-end-point", "SCRAM-SHA-256-PLUS", "plain", "pä wörd", over13, &endPoint, nil},
		{"tls-unique", "SCRAM-SHA-256-PLUS", "plain", "pä wörd", over12, &unique, nil},
		{"binding altered", "SCRAM-SHA-256-PLUS", "plain", "pä wörd", over13, &altered, ErrBadCredentials},
		{"binding of another connection", "SCRAM-SHA-256-PLUS", "plain", "pä wörd", over12, &exporter, ErrBadCredentials},
		{"tls-unique in TLS 1.3", "SCRAM-SHA-256-PLUS", "plain", "pä wörd", over13, &scram.ChannelBinding{Type: "tls-unique", Data: []byte("x")}, ErrSyntax},
		{"certificate not known", "SCRAM-SHA-256-PLUS", "plain", "pä wörd", over12, &endPoint, ErrSyntax},
		{"binding in the plain mechanism", "SCRAM-SHA-256", "plain", "pä wörd", over13, &exporter, ErrSyntax},
		{"TLS, client without bindings", "SCRAM-SHA-256", "plain", "pä wörd", over13, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := talk(s, tt.client, tt.mechanism, tt.user+"@box.example", tt.password, tt.binding)
			if err != tt.err {
				t.Fatalf("%v, want %v", err, tt.err)
			}
			if want := (Identity{tt.user + "@box.example", tt.mechanism}); err == nil && id != want {
				t.Errorf("%+v", id)
			}
		})
	}
}

// TestDowngradeIsNoticed: a client that could bind, and says that it was not
// offered to, talks to somebody in the middle. RFC 5802 §6.
func TestDowngradeIsNoticed(t *testing.T) {
	s, _ := newService(t, func(c *Config) { c.Mechanisms = everyMechanism })
	st, _, _ := tlsPair(t, tls.VersionTLS13, nil)
	for _, tt := range []struct {
		c   Client
		err error
	}{{Client{TLS: true, State: &st}, ErrBadCredentials}, {Client{}, nil}} {
		server := s.Begin(context.Background(), tt.c, "SCRAM-SHA-256", func(Identity) {})
		if _, _, err := server.Next([]byte("y,,n=ann@box.example,r=abc")); err != tt.err {
			t.Errorf("TLS %v: %v", tt.c.TLS, err)
		}
	}
}

// TestNobodyLooksLikeSomebody: salt and cost of a user who is not there stay
// the same, as those of one who is.
func TestNobodyLooksLikeSomebody(t *testing.T) {
	s, _ := newService(t, func(c *Config) { c.Mechanisms = everyMechanism })
	first := func(user string) string {
		server := s.Begin(context.Background(), Client{}, "SCRAM-SHA-256", func(Identity) {})
		out, _, err := server.Next([]byte("n,,n=" + user + ",r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(out), ",")
		return rest
	}
	for _, user := range []string{"eve@box.example", "denied@box.example", "ann@box.example"} {
		if a, b := first(user), first(user); a != b || !strings.HasSuffix(a, ",i=4096") {
			t.Errorf("%s: %s, then %s", user, a, b)
		}
	}
	if first("eve@box.example") == first("eva@box.example") {
		t.Error("all users who are not there have one salt")
	}
}

func TestCRAMMD5(t *testing.T) {
	s, path := newService(t, func(c *Config) { c.Mechanisms = everyMechanism })
	challengeUsers(t, path)
	for _, tt := range []struct {
		user, password string
		err            error
	}{
		{"cram-md5", "pä wörd", nil}, {"plain", "pä wörd", nil}, {"cram-md5", "pa word", ErrBadCredentials},
		{"blf-crypt", "pä wörd", ErrBadCredentials}, {"eve", "", ErrBadCredentials}, {"denied", "pw", ErrBadCredentials},
	} {
		var id Identity
		server := s.Begin(context.Background(), Client{}, "CRAM-MD5", func(got Identity) { id = got })
		challenge, _, err := server.Next(nil)
		if err != nil || !strings.HasSuffix(string(challenge), "@host.example>") {
			t.Fatalf("%s, %v", challenge, err)
		}
		m := hmac.New(md5.New, []byte(tt.password))
		m.Write(challenge)
		_, done, err := server.Next(fmt.Appendf(nil, "%s@box.example %x", tt.user, m.Sum(nil)))
		if err != tt.err || done != (err == nil) || done && id.User != tt.user+"@box.example" {
			t.Errorf("%s: %+v, %v, %v", tt.user, id, done, err)
		}
		if Claim(server) != tt.user+"@box.example" {
			t.Errorf("claim %q", Claim(server))
		}
	}
}

func TestExternal(t *testing.T) {
	ca := certificate(t, "our CA", nil)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	ann, denied, stranger := certificate(t, "ann@box.example", &ca), certificate(t, "denied@box.example", &ca), certificate(t, "ann@box.example", nil)
	var cfg *Config
	s, _ := newService(t, func(c *Config) { c.Mechanisms = everyMechanism; c.ClientCA = file; cfg = c })
	for _, tt := range []struct {
		name, field, authzid string
		cert                 tls.Certificate
		want                 string
		err                  error
	}{
		{"common name", "commonName", "", ann, "ann@box.example", nil},
		{"as himself", "commonName", "ANN@box.example", ann, "ann@box.example", nil},
		{"as another", "commonName", "bob@box.example", ann, "", ErrBadCredentials},
		{"address", "emailAddress", "", denied, "ann@box.example", nil},
		{"denied", "commonName", "", denied, "", ErrBadCredentials},
		{"signed by nobody", "commonName", "", stranger, "", ErrBadCredentials},
		{"odd field", "subject", "", ann, "", ErrUnavailable},
	} {
		cfg.CertName = tt.field
		st, _, _ := tlsPair(t, tls.VersionTLS13, &tt.cert)
		c := Client{TLS: true, State: &st}
		if got := strings.Join(s.Mechanisms(context.Background(), c, false), " "); !strings.Contains(got, "EXTERNAL") {
			t.Errorf("%s: offered %s", tt.name, got)
		}
		var id Identity
		_, err := run(s.Begin(context.Background(), c, "EXTERNAL", func(got Identity) { id = got }), []string{tt.authzid})
		if err != tt.err || id.User != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, id, err)
		}
	}
	if got := strings.Join(s.Mechanisms(context.Background(), Client{TLS: true}, false), " "); strings.Contains(got, "EXTERNAL") || strings.Contains(got, "PLUS") {
		t.Errorf("offered without a known connection: %s", got)
	}
}
