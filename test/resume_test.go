package test

import (
	"crypto/tls"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
)

// lastWords end a session at a port.
func lastWords(port int) string {
	if port == 143 || port == 993 {
		return "a LOGOUT\r\n"
	}
	return "QUIT\r\n"
}

var sessionLine = regexp.MustCompile(`(?m)^(New|Reused), TLSv1`)

// TestOpenSSLResumes: openssl s_client resumes its session at every listener,
// and does not from where nobody asked for a certificate to where one is.
func TestOpenSSLResumes(t *testing.T) {
	t.Parallel()
	need(t, "openssl")
	h := sampleHost(t, "")
	h.start()
	for port := range startTLSOf {
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			file := filepath.Join(t.TempDir(), "session")
			for _, step := range []struct{ option, want string }{{"-sess_out", "New"}, {"-sess_in", "Reused"}} {
				out := sClient(t, h, port, lastWords(port), version, "-ign_eof", step.option, file)
				if got := sessionLine.FindStringSubmatch(out); got == nil || got[1] != step.want {
					t.Errorf("port %d, %s %s: %q, want %s\n%s", port, version, step.option, got, step.want, out)
				}
			}
			if port != 587 {
				continue
			}
			h.mustRun("config", "set", "smtpd_tls_ask_ccert=yes")
			if out := sClient(t, h, port, lastWords(port), version, "-ign_eof", "-sess_in", file); !strings.Contains(out, "New, TLSv1") {
				t.Errorf("%s: resumed without the certificate that is asked for\n%s", version, out)
			}
			h.mustRun("config", "unset", "smtpd_tls_ask_ccert")
		}
	}
}

// TestResumedSessionsHaveTodaysRights: EXTERNAL goes by the certificate that the
// session began with, and by the authorities of now.
func TestResumedSessionsHaveTodaysRights(t *testing.T) {
	t.Parallel()
	h := authHost(t)
	caFile, certFile, keyFile := clientCertificate(t, "plain@vmail.example")
	otherCA, _, _ := clientCertificate(t, "plain@vmail.example")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	h.mustRun("config", "set", "ssl_client_ca_file="+caFile, "auth_throttle=no")
	h.start()
	caches := make(map[int]tls.ClientSessionCache)
	for _, step := range []struct {
		ca               string
		resumed, allowed bool
	}{{caFile, false, true}, {caFile, true, true}, {otherCA, true, false}} {
		h.mustRun("config", "set", "ssl_client_ca_file="+step.ca)
		for _, port := range saslPorts {
			if caches[port] == nil {
				caches[port] = tls.NewLRUClientSessionCache(1)
			}
			conn := saslDial(t, h, port, &tls.Config{InsecureSkipVerify: true, ServerName: "mx.example", Certificates: []tls.Certificate{pair}, ClientSessionCache: caches[port]})
			if err := conn.Handshake(); err != nil {
				t.Fatal(err)
			}
			line := saslOver(t, conn, port, sasl.NewExternalClient(""))
			if got := conn.ConnectionState().DidResume; got != step.resumed || isLoggedIn(line) != step.allowed {
				t.Errorf("%+v, port %d: resumed %v, %s", step, port, got, line)
			}
			conn.Close()
		}
	}
}
