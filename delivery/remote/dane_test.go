package remote

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
)

// signed is a zone that DNSSEC vouches for, or parts of it.
type signed struct {
	zone
	mx, host bool
	tlsa     []string
	fails    bool
}

func (s signed) SecureMX(context.Context, string) (bool, error) { return s.mx, nil }
func (s signed) TLSABases(_ context.Context, host string) ([]string, error) {
	if !s.host {
		return nil, nil
	}
	return []string{host}, nil
}
func (s signed) TLSA(_ context.Context, name string) ([]string, error) {
	if s.fails {
		return nil, errors.New("server failure")
	}
	if name != "_25._tcp.mx.test" {
		return nil, fmt.Errorf("asked for %s", name)
	}
	return s.tlsa, nil
}

func TestDANE(t *testing.T) {
	good, _ := certificate(t, "mx.test", time.Now().Add(time.Hour))
	expired, _ := certificate(t, "mx.test", time.Now().Add(-time.Hour))
	other, _ := certificate(t, "other.test", time.Now().Add(time.Hour))
	leaf := func(c tls.Certificate) *x509.Certificate {
		l, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	spki := func(c tls.Certificate) string {
		return fmt.Sprintf("3 1 1 %x", sha256.Sum256(leaf(c).RawSubjectPublicKeyInfo))
	}
	anchor := func(c tls.Certificate) string { return fmt.Sprintf("2 0 2 %X", sha512.Sum512(leaf(c).Raw)) }
	full := func(c tls.Certificate) string { return fmt.Sprintf("3 0 0 %x", leaf(c).Raw) }
	z := zone{mx: map[string][]MX{"x.test": {{10, "mx.test"}}}, addr: map[string]string{"mx.test": "192.0.2.1"}}
	const no = "Server certificate not verified"
	for _, tt := range []struct {
		name   string
		dns    signed
		server *tls.Certificate
		level  string
		mayMX  bool
		want   string
	}{
		{name: "key", dns: signed{z, true, true, []string{spki(good)}, false}, server: &good, want: "tls"},
		{name: "key of another", dns: signed{z, true, true, []string{spki(other)}, false}, server: &good, want: no},
		{name: "one of two", dns: signed{z, true, true, []string{spki(other), full(good)}, false}, server: &good, want: "tls"},
		{name: "dates and names do not count for the host's own", dns: signed{z, true, true, []string{spki(expired)}, false}, server: &expired, want: "tls"},
		{name: "authority", dns: signed{z, true, true, []string{anchor(good)}, false}, server: &good, want: "tls"},
		{name: "authority, name does not fit", dns: signed{z, true, true, []string{anchor(other)}, false}, server: &other, want: no},
		{name: "authority, expired", dns: signed{z, true, true, []string{anchor(expired)}, false}, server: &expired, want: no},
		{name: "TLS not offered", dns: signed{z, true, true, []string{spki(good)}, false}, want: "TLS is required, but was not offered by host mx.test[192.0.2.1]"},
		{name: "no records", dns: signed{z, true, true, nil, false}, server: &good, want: "tls"},
		{name: "no records, no TLS", dns: signed{z, true, true, nil, false}, want: "plain"},
		{name: "no records, dane-only", dns: signed{z, true, true, nil, false}, server: &good, level: "dane-only", want: "no TLSA records found"},
		{name: "unusable", dns: signed{z, true, true, []string{"1 1 1 " + strings.Repeat("00", 32), "3 1 1 00"}, false}, server: &other, want: "tls"},
		{name: "unusable, no TLS", dns: signed{z, true, true, []string{"0 0 1 " + strings.Repeat("00", 32)}, false}, want: "TLS is required, but was not offered by host mx.test[192.0.2.1]"},
		{name: "unusable, dane-only", dns: signed{z, true, true, []string{"1 1 1 " + strings.Repeat("00", 32)}, false}, server: &good, level: "dane-only", want: "TLSA records unusable"},
		{name: "look-up fails", dns: signed{z, true, true, nil, true}, server: &good, want: "TLSA lookup error for mx.test:25"},
		{name: "MX not signed, host is", dns: signed{z, false, true, []string{spki(other)}, false}, server: &good, want: no},
		{name: "MX not signed, policy may", dns: signed{z, false, true, []string{spki(other)}, false}, server: &good, mayMX: true, want: "tls"},
		{name: "MX not signed, dane-only", dns: signed{z, false, true, []string{spki(good)}, false}, server: &good, level: "dane-only", want: "non DNSSEC destination"},
		{name: "host not signed", dns: signed{z, true, false, []string{spki(other)}, false}, server: &good, want: "tls"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &remotetest.Sink{}
			if tt.server != nil {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{*tt.server}}
			}
			start(t, s)
			cfg := settings()
			cfg.TLSLevel, cfg.InsecureMX = "dane", "dane"
			if tt.level != "" {
				cfg.TLSLevel = tt.level
			}
			if tt.mayMX {
				cfg.InsecureMX = "may"
			}
			c := client(cfg, tt.dns.zone, map[string]*remotetest.Sink{"192.0.2.1": s})
			c.d.Resolver = tt.dns
			r := c.Deliver(t.Context(), &Hop{Host: "x.test", MX: true}, mail("x\r\n", "u@x.test"))[0]
			if tt.want == "tls" || tt.want == "plain" {
				if r.Status != Sent || s.Messages()[0].TLS != (tt.want == "tls") {
					t.Fatalf("%+v %+v", r, s.Messages())
				}
			} else if r.Status != Deferred || r.Text != tt.want || len(s.Messages()) != 0 {
				t.Fatalf("%+v", r)
			}
		})
	}
}

// aliased has names for a host and records at some of them.
type aliased struct {
	zone
	bases []string
	at    map[string]string
}

func (a aliased) SecureMX(context.Context, string) (bool, error)      { return true, nil }
func (a aliased) TLSABases(context.Context, string) ([]string, error) { return a.bases, nil }
func (a aliased) TLSA(_ context.Context, name string) ([]string, error) {
	if a.at[name] == "" {
		return nil, nil
	}
	if a.at[name] == "fails" {
		return nil, errors.New("server failure")
	}
	return []string{a.at[name]}, nil
}

// TestDANEAlias: the name that has the records is asked for and is the one that
// a certificate under an authority must have, RFC 7672 §2.2.3, §3.2.3.
func TestDANEAlias(t *testing.T) {
	real, _ := certificate(t, "real.test", time.Now().Add(time.Hour))
	mx, _ := certificate(t, "mx.test", time.Now().Add(time.Hour))
	anchor := func(c tls.Certificate) string { return fmt.Sprintf("2 0 2 %x", sha512.Sum512(c.Certificate[0])) }
	const atReal, atMX = "_25._tcp.real.test", "_25._tcp.mx.test"
	for _, tt := range []struct {
		name string
		at   map[string]string
		cert tls.Certificate
		want string // name asked for, or the text
	}{
		{"at the end of the aliases", map[string]string{atReal: anchor(real), atMX: anchor(mx)}, real, "real.test"},
		{"at the first name only", map[string]string{atMX: anchor(mx)}, mx, "mx.test"},
		{"the first name's do not count beside them", map[string]string{atReal: anchor(real), atMX: anchor(mx)}, mx, "Server certificate not verified"},
		{"name of the alias in the certificate", map[string]string{atReal: anchor(mx)}, mx, "Server certificate not verified"},
		{"look-up fails", map[string]string{atReal: "fails", atMX: anchor(mx)}, mx, "TLSA lookup error for mx.test:25"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := ""
			s := start(t, &remotetest.Sink{TLS: &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
				asked = h.ServerName
				return &tt.cert, nil
			}}})
			cfg := settings()
			cfg.TLSLevel = "dane-only"
			z := zone{mx: map[string][]MX{"x.test": {{10, "mx.test"}}}, addr: map[string]string{"mx.test": "192.0.2.1"}}
			c := client(cfg, z, map[string]*remotetest.Sink{"192.0.2.1": s})
			c.d.Resolver = aliased{z, []string{"real.test", "mx.test"}, tt.at}
			r := c.Deliver(t.Context(), &Hop{Host: "x.test", MX: true}, mail("x\r\n", "u@x.test"))[0]
			if r.Status == Sent && asked != tt.want || r.Status != Sent && r.Text != tt.want {
				t.Errorf("asked for %q: %+v", asked, r)
			}
		})
	}
}

// sts is a policy that names one host.
type sts struct {
	host    string
	enforce bool
}

func (s sts) Allows(host string) bool { return host == s.host }
func (s sts) Enforced() bool          { return s.enforce }

func TestMTASTS(t *testing.T) {
	good, roots := certificate(t, "mx.test", time.Now().Add(time.Hour))
	z := zone{mx: map[string][]MX{"x.test": {{5, "evil.test"}, {10, "mx.test"}}}, addr: map[string]string{"mx.test": "192.0.2.1", "evil.test": "192.0.2.2"}}
	for _, tt := range []struct {
		name   string
		policy STSPolicy
		roots  *x509.CertPool
		row    string
		want   string // host, or the text
	}{
		{"none", nil, nil, "", "evil.test"},
		{"enforced", sts{"mx.test", true}, roots, "", "mx.test"},
		{"testing", sts{"mx.test", false}, roots, "", "evil.test"},
		{"certificate not trusted", sts{"mx.test", true}, x509.NewCertPool(), "", "Server certificate not verified"},
		{"certificate of another name", sts{"evil.test", true}, roots, "", "Server certificate not verified"},
		{"no exchanger named", sts{"gone.test", true}, roots, "", "MTA-STS policy of x.test names none of its mail exchangers"},
		{"the sender does not care", sts{"mx.test", true}, x509.NewCertPool(), "TLS-Required: no", "evil.test"},
		{"he does", sts{"mx.test", true}, x509.NewCertPool(), "TLS-Required: yes", "Server certificate not verified"},
		{"a row comes first", sts{"mx.test", true}, x509.NewCertPool(), "may", "evil.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, &remotetest.Sink{TLS: &tls.Config{Certificates: []tls.Certificate{good}}})
			cfg := settings()
			cfg.MTASTS, cfg.TLSRequired = true, true
			c := client(cfg, z, map[string]*remotetest.Sink{"192.0.2.1": s, "192.0.2.2": s})
			c.d.STS = func(_ context.Context, domain string) STSPolicy {
				if domain != "x.test" {
					t.Errorf("asked for %s", domain)
				}
				return tt.policy
			}
			text := "x\r\n"
			if strings.HasPrefix(tt.row, "TLS-Required") { // a field, not a row
				tt.row, text = "", tt.row+"\r\n\r\nx\r\n"
			}
			r := c.Deliver(t.Context(), &Hop{Host: "x.test", MX: true, TLS: tt.row, TLSConfig: &tls.Config{RootCAs: tt.roots}}, mail(text, "u@x.test"))[0]
			if r.Status == Sent && r.Host != tt.want || r.Status != Sent && r.Text != tt.want {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestParseTLSA(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for text, want := range map[string]bool{
		"3 1 1 " + sum: true, "2 0 1 " + sum: true, "3 0 2 " + sum + sum: true, "3 1 1 " + sum[:32] + " " + sum[32:]: true,
		"1 1 1 " + sum: false, "3 2 1 " + sum: false, "3 1 3 " + sum: false, "3 1 1 " + sum[2:]: false, "3 1 1": false, "": false, "3 1 1 zz": false, "3 0 0 ": false,
	} {
		if _, ok := parseTLSA(text); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}

func FuzzParseTLSA(f *testing.F) {
	f.Add("3 1 1 " + strings.Repeat("ab", 32))
	f.Fuzz(func(t *testing.T, text string) {
		if r, ok := parseTLSA(text); ok && len(r.data) == 0 {
			t.Errorf("%q without data", text)
		}
	})
}

func TestSourceAddress(t *testing.T) {
	a := &attempt{cfg: &Config{BindAddress: "192.0.2.7", BindAddress6: "[2001:db8::7]"}}
	for to, want := range map[string]string{"198.51.100.1": "192.0.2.7:0", "2001:db8::1": "[2001:db8::7]:0", "127.0.0.1": "<nil>"} {
		if from, err := a.source(host{addr: netip.MustParseAddr(to)}); err != nil || fmt.Sprint(from) != want {
			t.Errorf("to %s: from %v, %v", to, from, err)
		}
	}
	a.cfg.BindAddress = "2001:db8::7"
	if _, err := a.source(host{addr: netip.MustParseAddr("198.51.100.1")}); err == nil {
		t.Error("an address of the other family is taken")
	}
}
