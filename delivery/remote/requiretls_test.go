package remote

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
)

// TestRequireTLS: such mail goes over TLS with a verified certificate, to a host
// that offers the extension, and nowhere else, RFC 8689 §4.2.
func TestRequireTLS(t *testing.T) {
	good, roots := certificate(t, "mx.test", time.Now().Add(time.Hour))
	with := &tls.Config{Certificates: []tls.Certificate{good}}
	for _, tt := range []struct {
		name, policy string
		server       *tls.Config
		roots        *x509.CertPool
		exts         []string
		status       Status
		want         string
	}{
		{"as it should be", "may", with, roots, []string{"REQUIRETLS"}, Sent, "tls"},
		{"level of the row is kept", "fingerprint match=" + print256(good.Certificate[0]), with, x509.NewCertPool(), []string{"REQUIRETLS"}, Sent, "tls"},
		{"no TLS", "may", nil, roots, []string{"REQUIRETLS"}, Deferred, "TLS is required, but was not offered"},
		{"level none", "none", with, roots, []string{"REQUIRETLS"}, Sent, "tls"},
		{"certificate of nobody", "may", with, x509.NewCertPool(), []string{"REQUIRETLS"}, Deferred, "Server certificate not verified"},
		{"not offered", "may", with, roots, nil, Bounced, "REQUIRETLS is required, but was not offered by host mx.test[192.0.2.1]"},
	} {
		s := start(t, &remotetest.Sink{TLS: tt.server, Exts: tt.exts})
		c := client(settings(), single, map[string]*remotetest.Sink{"192.0.2.1": s})
		m := mail("x\r\n", "u@x.test")
		m.RequireTLS = true
		r := c.Deliver(t.Context(), &Hop{Host: "mx.test", TLS: tt.policy, TLSConfig: &tls.Config{RootCAs: tt.roots}}, m)[0]
		switch {
		case r.Status != tt.status:
			t.Errorf("%s: %+v", tt.name, r)
		case tt.want != "tls" && (!strings.Contains(r.Text, tt.want) || len(s.Messages()) != 0):
			t.Errorf("%s: %+v", tt.name, r)
		case tt.want == "tls" && (!s.Messages()[0].TLS || !strings.Contains(strings.Join(s.Lines(), "\n"), " REQUIRETLS")):
			t.Errorf("%s: %+v", tt.name, s.Lines())
		}
		if tt.status == Bounced && r.Enhanced != "5.7.30" {
			t.Errorf("%s: %s", tt.name, r.Enhanced)
		}
	}
}

// TestRequireTLSOfReports: with the null sender mail goes in any case, and says
// REQUIRETLS to who offers it and is who it must be, RFC 8689 §5.
func TestRequireTLSOfReports(t *testing.T) {
	good, roots := certificate(t, "mx.test", time.Now().Add(time.Hour))
	with := &tls.Config{Certificates: []tls.Certificate{good}}
	for _, tt := range []struct {
		name, policy string
		server       *tls.Config
		roots        *x509.CertPool
		exts         []string
		status       Status
		tls, says    bool
	}{
		{"offered", "may", with, roots, []string{"REQUIRETLS"}, Sent, true, true},
		{"level none", "none", with, roots, []string{"REQUIRETLS"}, Sent, true, true},
		{"not offered", "may", with, roots, nil, Sent, true, false},
		{"certificate of nobody", "may", with, x509.NewCertPool(), []string{"REQUIRETLS"}, Sent, true, false},
		{"no TLS", "may", nil, roots, []string{"REQUIRETLS"}, Sent, false, false},
		{"no TLS, the row wants it", "encrypt", nil, roots, nil, Deferred, false, false},
		{"certificate of nobody, the row wants one", "secure", with, x509.NewCertPool(), nil, Deferred, false, false},
	} {
		s := start(t, &remotetest.Sink{TLS: tt.server, Exts: tt.exts})
		c := client(settings(), single, map[string]*remotetest.Sink{"192.0.2.1": s})
		m := mail("x\r\n", "u@x.test")
		m.RequireTLS, m.From = true, ""
		r := c.Deliver(t.Context(), &Hop{Host: "mx.test", TLS: tt.policy, TLSConfig: &tls.Config{RootCAs: tt.roots}}, m)[0]
		if r.Status != tt.status || tt.status == Sent && (s.Messages()[0].TLS != tt.tls || strings.Contains(strings.Join(s.Lines(), "\n"), " REQUIRETLS") != tt.says) {
			t.Errorf("%s: %+v\n%v", tt.name, r, s.Lines())
		}
	}
}

func TestTLSNotRequired(t *testing.T) {
	for text, want := range map[string]bool{
		"TLS-Required: No\r\n\r\nx":                              true,
		"Subject: x\r\ntls-required:\r\n NO \r\n\r\nx":           true,
		"TLS-Required: Yes\r\n\r\nx":                             false,
		"TLS-Required: No\r\nTLS-Required: No\r\n\r\nx":          false,
		"Subject: x\r\n\r\nTLS-Required: No\r\n":                 false,
		"X-TLS-Required: No\r\n\r\n":                             false,
		"":                                                       false,
		strings.Repeat("A: b\r\n", 300_000) + "TLS-Required: No": false,
	} {
		if got := TLSNotRequired(strings.NewReader(text)); got != want {
			t.Errorf("%.40q: %v", text, got)
		}
	}
}

// TestTLSRequiredNo: DANE of the recipient is ignored for who asks so, and what
// the operator asks for is not.
func TestTLSRequiredNo(t *testing.T) {
	good, _ := certificate(t, "mx.test", time.Now().Add(time.Hour))
	z := signed{zone: zone{mx: map[string][]MX{"x.test": {{10, "mx.test"}}}, addr: map[string]string{"mx.test": "192.0.2.1"}}, mx: true, host: true,
		tlsa: []string{"3 1 1 " + strings.Repeat("ab", 32)}}
	for _, tt := range []struct {
		level, field string
		requires     bool
		setting      bool
		status       Status
	}{
		{"dane", "TLS-Required: No\r\n", false, true, Sent},
		{"dane", "", false, true, Deferred},
		{"dane", "TLS-Required: No\r\n", false, false, Deferred},
		{"dane", "TLS-Required: No\r\n", true, true, Deferred},
		{"dane-only", "TLS-Required: No\r\n", false, true, Deferred},
		{"secure", "TLS-Required: No\r\n", false, true, Deferred},
	} {
		s := start(t, &remotetest.Sink{TLS: &tls.Config{Certificates: []tls.Certificate{good}}, Exts: []string{"REQUIRETLS"}})
		cfg := settings()
		cfg.TLSRequired = tt.setting
		c := client(cfg, z.zone, map[string]*remotetest.Sink{"192.0.2.1": s})
		c.d.Resolver = z
		m := mail(tt.field+"\r\nx\r\n", "u@x.test")
		m.RequireTLS = tt.requires
		r := c.Deliver(t.Context(), &Hop{Host: "x.test", MX: true, TLS: tt.level, TLSConfig: &tls.Config{RootCAs: x509.NewCertPool()}}, m)[0]
		if r.Status != tt.status {
			t.Errorf("%+v: %+v", tt, r)
		}
	}
}
