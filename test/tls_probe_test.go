package test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startTLSOf is how openssl s_client begins TLS at a port; ” is at once.
var startTLSOf = map[int]string{25: "smtp", 587: "smtp", 143: "imap", 110: "pop3", 465: "", 993: "", 995: ""}

// sClient runs openssl s_client at a port and returns all that it says.
func sClient(t *testing.T, h *host, port int, stdin string, more ...string) string {
	t.Helper()
	args := append([]string{"s_client", "-connect", h.addr(port)}, more...)
	if s := startTLSOf[port]; s != "" {
		args = append(args, "-starttls", s)
	}
	out, _ := outside(t, stdin, "openssl", args...)
	return out
}

// TestNamesOfCertificates: the certificate is the listener's own, or the one for
// the name that the client asks for, or the first.
func TestNamesOfCertificates(t *testing.T) {
	need(t, "openssl")
	h := sampleHost(t, "")
	for _, name := range []string{"mail.one.example", "mail.two.example", "own.listener.example", "any.wild.example"} {
		mustOutside(t, "", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN="+name,
			"-addext", "subjectAltName=DNS:"+name, "-keyout", filepath.Join(h.dir, "tls", name+".key"), "-out", filepath.Join(h.dir, "tls", name+".crt"))
		h.sql(fmt.Sprintf("INSERT INTO Cert (ctHostname, ctCertFile, ctKeyFile) VALUES ('%s', 'tls/%s.crt', 'tls/%s.key')", strings.Replace(name, "any.", "*.", 1), name, name))
	}
	h.sql(fmt.Sprintf("UPDATE Listener SET lsHostname = 'own.listener.example', lsCertNum = (SELECT ctNum FROM Cert WHERE ctHostname = 'own.listener.example') WHERE lsAddress LIKE '%%:%d'", h.base+465))
	h.start()
	for port := range startTLSOf {
		for name, want := range map[string]string{"mail.one.example": "mail.one.example", "MAIL.TWO.example": "mail.two.example", "x.wild.example": "any.wild.example", "other.example": "mx.example", "": "mx.example"} {
			args := []string{"-noservername"}
			if name != "" {
				args = []string{"-servername", name}
			}
			if port == 465 {
				want = "own.listener.example"
			}
			out := sClient(t, h, port, "", args...)
			if !strings.Contains(out, "CN = "+want+"\n") && !strings.Contains(out, "CN="+want+"\n") {
				t.Errorf("port %d asked for %q: want %s\n%.600s", port, name, want, out)
			}
		}
	}
	conn, err := tls.Dial("tcp", h.addr(465), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, _ := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "220 own.listener.example ") {
		t.Errorf("greeting %q", line)
	}
}

// TestTLSProbes asks what scanners of TLS ask: old versions, weak ciphers,
// compression, renegotiation, a downgrade.
func TestTLSProbes(t *testing.T) {
	need(t, "openssl")
	h := sampleHost(t, "")
	h.start()
	weak := []uint16{tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
		tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	for port := range startTLSOf {
		for _, version := range []string{"-tls1", "-tls1_1"} {
			if out := sClient(t, h, port, "", version, "-cipher", "DEFAULT@SECLEVEL=0"); !strings.Contains(out, "alert protocol version") {
				t.Errorf("port %d %s:\n%.500s", port, version, out)
			}
		}
		for _, cipher := range []string{"3DES", "RC4", "NULL", "EXPORT", "aNULL", "kRSA"} {
			if out := sClient(t, h, port, "", "-tls1_2", "-cipher", cipher+"@SECLEVEL=0"); strings.Contains(out, "Verify return code") && !strings.Contains(out, "Cipher is (NONE)") {
				t.Errorf("port %d takes %s:\n%.500s", port, cipher, out)
			}
		}
		conn := probeDial(t, h, port, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: weak})
		if err := conn.Handshake(); err == nil {
			t.Errorf("port %d takes %s", port, tls.CipherSuiteName(conn.ConnectionState().CipherSuite))
		}
		conn.Close()
		if out := sClient(t, h, port, "", "-fallback_scsv", "-no_tls1_3"); !strings.Contains(out, "inappropriate fallback") {
			t.Errorf("port %d follows a downgrade:\n%.500s", port, out)
		}
		out := sClient(t, h, port, "", "-tls1_2", "-comp", "-legacy_server_connect")
		for _, want := range []string{"Compression: NONE", "Secure Renegotiation IS supported", "Server Temp Key: X25519"} {
			if !strings.Contains(out, want) {
				t.Errorf("port %d: no %q:\n%.2000s", port, want, out)
			}
		}
		if out := sClient(t, h, port, "", "-tls1_3"); !strings.Contains(out, "New, TLSv1.3, Cipher is TLS_") {
			t.Errorf("port %d, TLS 1.3:\n%.500s", port, out)
		}
		out = sClient(t, h, port, "R\n", "-tls1_2")
		for range 5 {
			if !strings.Contains(out, "unexpected record") { // the greeting came while the client waited for an answer
				break
			}
			out = sClient(t, h, port, "R\n", "-tls1_2")
		}
		if strings.Contains(out, "RENEGOTIATING") && !strings.Contains(out, "no renegotiation") && !strings.Contains(out, "alert unexpected message") {
			t.Errorf("port %d, renegotiation:\n%s", port, out)
		}
	}
}

// probeDial connects to a port, and says what begins TLS there.
func probeDial(t *testing.T, h *host, port int, conf *tls.Config) *tls.Conn {
	if port != 25 {
		return saslDial(t, h, port, conf)
	}
	nc, err := net.Dial("tcp", h.addr(port))
	if err != nil {
		t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(nc)
	in.ReadString('\n')
	fmt.Fprint(nc, "EHLO c.example\r\n")
	untilTag(t, in, "250 ")
	fmt.Fprint(nc, "STARTTLS\r\n")
	untilTag(t, in, "220 ")
	return tls.Client(nc, conf)
}

// TestNothingIsInjectedBeforeTLS: what is sent in plain text behind STARTTLS is
// no command of the session in TLS, CVE-2011-0411.
func TestNothingIsInjectedBeforeTLS(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	for port, tt := range map[int]struct{ first, start, inject, after, reply string }{
		25:  {"EHLO c.example\r\n", "STARTTLS\r\n", "EHLO injected.example\r\n", "NOOP\r\n", "250 2.0.0 Ok\r\n"},
		587: {"EHLO c.example\r\n", "STARTTLS\r\n", "MAIL FROM:<injected@vmail.example>\r\n", "NOOP\r\n", "250 2.0.0 Ok\r\n"},
		143: {"", "s STARTTLS\r\n", "i LOGIN joe@vmail.example joes-secret\r\n", "a NOOP\r\n", "a OK "},
		110: {"", "STLS\r\n", "USER joe@vmail.example\r\n", "CAPA\r\n", "+OK"},
	} {
		nc, err := net.Dial("tcp", h.addr(port))
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(patience))
		in := bufio.NewReader(nc)
		in.ReadString('\n')
		if tt.first != "" {
			fmt.Fprint(nc, tt.first)
			untilTag(t, in, "250 ")
		}
		fmt.Fprint(nc, tt.start+tt.inject) // in one packet
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ") && !strings.HasPrefix(line, "s OK") && !strings.HasPrefix(line, "+OK") {
			nc.Close() // refused: as good
			continue
		}
		conn := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
		if err := conn.Handshake(); err != nil {
			nc.Close()
			continue
		}
		fmt.Fprint(conn, tt.after)
		got, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil && err != io.EOF || err == nil && (!strings.HasPrefix(got, tt.reply) || strings.Contains(got, "injected")) {
			t.Errorf("port %d: %q, %v", port, got, err)
		}
		conn.Close()
	}
	if log := h.log.tail(100); strings.Contains(log, "Login: user=<joe") || strings.Contains(log, "ehlo=3") {
		t.Errorf("%s", log)
	}
}
