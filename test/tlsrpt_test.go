package test

import (
	"crypto/tls"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
)

// TestTLSReports: sessions are counted by domain and policy, and each domain
// that wants to know gets one report, by mail that is signed.
func TestTLSReports(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	m := &tlsMaker{t: t}
	m.make(nil, time.Now().Add(time.Hour), nil)
	cert := m.make([]string{"mx.good.example"}, time.Now().Add(time.Hour), m.ca)
	good := sinkAt(t, "127.0.1.61:25", &remotetest.Sink{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	plain := sinkAt(t, "127.0.1.62:25", nil)
	startNetwork(t, `
good.example. MX 10 mx.good.example.
mx.good.example. A 127.0.1.61
_smtp._tls.good.example. TXT "v=TLSRPTv1; rua=mailto:reports@good.example"
plain.example. MX 10 mx.plain.example.
mx.plain.example. A 127.0.1.62
dane.example. MX 10 mx.dane.example.
mx.dane.example. A 127.0.1.61
_25._tcp.mx.dane.example. TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000000
_smtp._tls.dane.example. TXT "v=TLSRPTv1; rua=mailto:tls@good.example"
`).Authenticate(true)
	h := sampleHost(t, "")
	h.mustRun("config", "set", "smtp_tlsrpt_enable=yes", "smtp_tls_security_level=dane", "tlsrpt_organization=Post")
	h.mustRun("dkim", "add", "mx.example")
	h.start()
	for _, to := range []string{"u@good.example", "v@plain.example", "w@dane.example"} {
		if err := h.mail(25, "ann@vmail.example", to); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "two went, one waits", func() bool {
		return len(recipients(good)) == 1 && len(recipients(plain)) == 1 && strings.Contains(h.mustRun("queue", "list"), "Server certificate not verified")
	})
	h.stop() // what was counted is kept
	var report struct {
		Organization string `json:"organization-name"`
		Policies     []struct {
			Policy struct {
				Type string   `json:"policy-type"`
				Text []string `json:"policy-string"`
			}
			Summary struct {
				Good int `json:"total-successful-session-count"`
				Bad  int `json:"total-failure-session-count"`
			}
			Failures []map[string]any `json:"failure-details"`
		}
	}
	if err := json.Unmarshal([]byte(h.mustRun("tlsrpt", "show", "dane.example")), &report); err != nil {
		t.Fatal(err)
	}
	p := report.Policies[0]
	if report.Organization != "Post" || p.Policy.Type != "tlsa" || p.Policy.Text[0] != "3 1 1 "+strings.Repeat("0", 64) || p.Summary.Bad != 1 || p.Failures[0]["result-type"] != "validation-failure" ||
		p.Failures[0]["receiving-mx-hostname"] != "mx.dane.example" || p.Failures[0]["receiving-ip"] != "127.0.1.61" {
		t.Errorf("%+v", report)
	}
	list := h.mustRun("tlsrpt", "list")
	for _, want := range []string{"good.example   no-policy-found  1     0", "plain.example  no-policy-found  0     1", "dane.example   tlsa             0     1"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}
	h.start()
	today := time.Now().UTC().Format(time.DateOnly)
	if out := h.mustRun("tlsrpt", "send", "--day", today, "--dry-run"); !strings.Contains(out, "good.example: mailto:reports@good.example") || strings.Contains(out, "plain") {
		t.Errorf("%s", out)
	}
	h.mustRun("tlsrpt", "send", "--day", today)
	waitFor(t, "both reports came", func() bool { return len(good.Messages()) == 3 })
	for _, got := range good.Messages()[1:] {
		if !strings.Contains(got.Data, "\r\nTLS-Report-Submitter: mx.example\r\n") || !strings.Contains(got.Data, "DKIM-Signature:") || !strings.Contains(got.Data, "application/tlsrpt+gzip") ||
			got.From != "<postmaster@mx.example>" {
			t.Errorf("%s %s", got.From, got.Data)
		}
	}
	if out := h.mustRun("tlsrpt", "send", "--day", today); out != "" {
		t.Errorf("twice: %s", out)
	}
}
