package test

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"mailserver/delivery/remote/remotetest"
)

// sendRequiring sends over STARTTLS with REQUIRETLS; the error is that of MAIL,
// RCPT or DATA.
func sendRequiring(h *host, from, to string) error {
	conn, err := net.Dial("tcp", h.addr(25))
	if err != nil {
		return err
	}
	c, err := gosmtp.NewClientStartTLS(conn, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer c.Close()
	if ok, _ := c.Extension("REQUIRETLS"); !ok {
		return fmt.Errorf("REQUIRETLS is not offered")
	}
	if err := c.Mail(from, &gosmtp.MailOptions{RequireTLS: true}); err != nil {
		return err
	}
	if err := c.Rcpt(to, nil); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "From: <%s>\r\nSubject: for few\r\n\r\nthe secret body\r\n", from)
	return w.Close()
}

// TestRequireTLSEndToEnd, RFC 8689: mail with REQUIRETLS goes where the next hop
// offers it, with a certificate, and says so there; else it comes back without
// its body, by the same rules; a report that cannot keep them goes without,
// RFC 8689 §5.
func TestRequireTLSEndToEnd(t *testing.T) {
	t.Parallel()
	m := &tlsMaker{t: t}
	m.make(nil, time.Now().Add(time.Hour), nil)
	sinkTLS := &tls.Config{Certificates: []tls.Certificate{m.make([]string{"localhost"}, time.Now().Add(time.Hour), m.ca)}}
	good := &remotetest.Sink{TLS: sinkTLS, Exts: []string{"REQUIRETLS"}}
	plain := &remotetest.Sink{TLS: sinkTLS}
	h := sampleHost(t, "")
	ca := filepath.Join(h.dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.ca.Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	h.mustRun("config", "set", "smtp_tls_CAfile="+ca, "inet_protocols=ipv4")
	for name, s := range map[string]*remotetest.Sink{"good.example": good, "plain.example": plain} {
		sinkAt(t, "127.0.0.1:0", s)
		h.mustRun("domain", "add", name, "--class", "relay", "--transport", fmt.Sprintf("smtp:[localhost]:%d", s.Port()))
		h.mustRun("address", "add", "@"+name)
	}
	h.start()

	if err := sendRequiring(h, "ann@vmail.example", "u@good.example"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the mail with REQUIRETLS", func() bool { return len(good.Messages()) == 1 })
	if got := good.Messages()[0]; !got.TLS || !strings.Contains(strings.Join(good.Lines(), "\n"), "REQUIRETLS") {
		t.Errorf("%+v\n%v", got, good.Lines())
	}
	if err := h.mail(25, "ann@vmail.example", "u@plain.example"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "other mail", func() bool { return len(plain.Messages()) == 1 })

	if err := sendRequiring(h, "ann@vmail.example", "u@plain.example"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the report", func() bool { return len(messages(t, h.folder("ann"))) == 1 })
	text, err := os.ReadFile(messages(t, h.folder("ann"))[0])
	if err != nil || strings.Contains(string(text), "the secret body") || !strings.Contains(string(text), "Subject: for few") ||
		!strings.Contains(string(text), "Status: 5.7.30") || !strings.Contains(strings.Join(strings.Fields(string(text)), " "), "REQUIRETLS is required, but was not offered by host localhost") {
		t.Errorf("%v\n%s", err, text)
	}

	if err := sendRequiring(h, "ann@good.example", "u@plain.example"); err != nil { // the report is under the same rules
		t.Fatal(err)
	}
	waitFor(t, "the report to who offers it", func() bool { return len(good.Messages()) == 2 })
	if got := good.Messages()[1]; !got.TLS || strings.Contains(got.Data, "the secret body") {
		t.Errorf("%+v", got)
	}
	if n := strings.Count(strings.Join(good.Lines(), "\n"), "MAIL FROM:<> "); n != 1 {
		t.Errorf("%v", good.Lines())
	}

	if err := sendRequiring(h, "ann@plain.example", "v@plain.example"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the report to who does not offer it", func() bool { return len(plain.Messages()) == 2 })
	if got := plain.Messages()[1]; !got.TLS || got.From != "<>" || strings.Contains(got.Data, "the secret body") || !strings.Contains(got.Data, "5.7.30") {
		t.Errorf("%+v", got)
	}
	if said := strings.Join(plain.Lines(), "\n"); strings.Contains(said, "REQUIRETLS") {
		t.Errorf("%s", said)
	}
	if err := h.mail(25, "ann@vmail.example", "u@good.example"); err != nil { // without the extension all is as ever
		t.Fatal(err)
	}
	waitFor(t, "mail without it", func() bool { return len(good.Messages()) == 3 })
}
