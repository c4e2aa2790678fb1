package test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
)

// TestTLSRequiredNo, RFC 8689 §5: mail with TLS-Required: No goes to a host whose
// TLSA records fit nobody, and other mail waits; a report on it says so too. A
// row of the operator stands.
func TestTLSRequiredNo(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	m := &tlsMaker{t: t}
	m.make(nil, time.Now().Add(time.Hour), nil)
	sink := sinkAt(t, "127.0.1.61:25", &remotetest.Sink{TLS: &tls.Config{Certificates: []tls.Certificate{m.make([]string{"mx.dane.example"}, time.Now().Add(time.Hour), m.ca)}}})
	zone := "mx.dane.example. A 127.0.1.61\n_25._tcp.mx.dane.example. TLSA 3 1 1 " + strings.Repeat("00", 32) + "\n"
	for _, name := range []string{"dane", "row"} {
		zone += name + ".example. MX 10 mx.dane.example.\n"
	}
	startNetwork(t, zone).Authenticate(true)
	h := sampleHost(t, "")
	h.mustRun("config", "set", "smtp_tls_security_level=dane")
	h.sql("INSERT INTO TlsPolicy (tsNexthop, tsPolicy) VALUES ('row.example', 'dane-only')")
	h.start()
	send := func(to, field string) {
		t.Helper()
		c := h.sender()
		for _, line := range []string{"MAIL FROM:<ann@dane.example>", "RCPT TO:<" + to + ">"} {
			if err := c.cmd(250, "%s", line); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.cmd(354, "DATA"); err != nil {
			t.Fatal(err)
		}
		if err := c.cmd(250, "From: <ann@dane.example>\r\nSubject: way\r\n%s\r\nx\r\n.", field); err != nil {
			t.Fatal(err)
		}
	}
	const no = "TLS-Required: No\r\n"
	send("asks@dane.example", no)
	send("plain@dane.example", "")
	send("asks@row.example", no)
	waitFor(t, "the mail that asks", func() bool { return len(sink.Messages()) == 1 })
	waitFor(t, "two wait", func() bool {
		return strings.Count(h.mustRun("queue", "list"), "Server certificate not verified") == 2
	})
	if got := sink.Messages()[0]; !got.TLS || got.To[0] != "<asks@dane.example>" {
		t.Errorf("%+v", got)
	}
	send("u@nowhere.example", no) // its report goes the same way
	waitFor(t, "the report", func() bool { return len(sink.Messages()) == 2 })
	if got := sink.Messages()[1]; !strings.HasPrefix(got.From, "<>") || !strings.Contains(got.Data, "TLS-Required: No") || !strings.Contains(got.Data, "u@nowhere.example") {
		t.Errorf("%+v", got)
	}
	h.mustRun("config", "set", "tls_required_enable=no")
	send("again@dane.example", no)
	waitFor(t, "three wait", func() bool {
		return strings.Count(h.mustRun("queue", "list"), "Server certificate not verified") == 3
	})
}
