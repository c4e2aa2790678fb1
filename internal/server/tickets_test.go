package server_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailserver/internal/testenv"
	"mailserver/internal/tlscert"
)

// oneTicket keeps what the server gave last.
type oneTicket struct {
	mu   sync.Mutex
	last *tls.ClientSessionState
}

func (o *oneTicket) Put(_ string, s *tls.ClientSessionState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s != nil {
		o.last = s
	}
}

func (o *oneTicket) Get(string) (*tls.ClientSessionState, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last, o.last != nil
}

// startTLSBy is what a client says before TLS; the answer's last line is followed
// by the handshake. Listeners that are not here begin with it.
var startTLSBy = map[testenv.Protocol][]string{
	testenv.SMTP: {"EHLO x\r\n", "250 ", "STARTTLS\r\n", "220 "}, testenv.Submission: {"EHLO x\r\n", "250 ", "STARTTLS\r\n", "220 "},
	testenv.IMAP: {"a STARTTLS\r\n", "a OK"}, testenv.POP3: {"STLS\r\n", "+OK"},
}

// resumed does a handshake with the last ticket of cache, and takes the next one.
func resumed(t *testing.T, e *testenv.Env, p testenv.Protocol, version uint16, cache *oneTicket) bool {
	t.Helper()
	conn, err := net.Dial("tcp", e.Addr(p))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	said := startTLSBy[p]
	if said != nil {
		in := bufio.NewReader(conn)
		in.ReadString('\n') // the greeting
		for i := 0; i < len(said); i += 2 {
			conn.Write([]byte(said[i]))
			for line := ""; len(line) < len(said[i+1]) || line[:len(said[i+1])] != said[i+1]; {
				if line, err = in.ReadString('\n'); err != nil {
					t.Fatal(p, err)
				}
			}
		}
	}
	tc := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, ClientSessionCache: cache})
	if err := tc.Handshake(); err != nil {
		t.Fatal(p, err)
	}
	tc.Write([]byte("x\r\n"))
	if _, err := tc.Read(make([]byte, 1)); err != nil { // a ticket of TLS 1.3 comes before all else
		t.Fatal(p, err)
	}
	return tc.ConnectionState().DidResume
}

// TestTickets: at every listener, sessions are resumed over the days, as keys
// change, whether or not clients are asked for a certificate; not with a ticket
// of a key that is gone, and not from where nobody asked to where one does.
func TestTickets(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := tlscert.SelfSigned(ca, ca+".key", "ca.example", time.Now()); err != nil {
		t.Fatal(err)
	}
	const asked = "INSERT INTO Setting (stName, stValue) VALUES ('smtpd_tls_ask_ccert', 'yes')"
	external := "INSERT INTO Setting (stName, stValue) VALUES ('ssl_client_ca_file', '" + ca + "')"
	for name, sql := range map[string]string{"nobody is asked": "", "SMTP asks": asked, "all ask": external, "both": asked + ";" + external} {
		t.Run(name, func(t *testing.T) {
			var days atomic.Int64
			now := func() time.Time { return time.Now().Add(time.Duration(days.Load()) * 25 * time.Hour) }
			e := testenv.Start(t, testenv.Options{SQL: sql, Now: now})
			for _, p := range []testenv.Protocol{testenv.SMTP, testenv.Submission, testenv.SMTPS, testenv.IMAP, testenv.IMAPS, testenv.POP3, testenv.POP3S} {
				for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
					cache, first := new(oneTicket), new(oneTicket)
					if resumed(t, e, p, version, cache) {
						t.Errorf("%s, %x: resumed without a ticket", p, version)
					}
					first.last = cache.last
					for range 3 {
						if !resumed(t, e, p, version, cache) {
							t.Errorf("%s, %x: not resumed on day %d", p, version, days.Load())
						}
						days.Add(1)
					}
					days.Add(5)
					if resumed(t, e, p, version, first) {
						t.Errorf("%s, %x: a ticket of more than a week ago", p, version)
					}
				}
			}
			if sql != "" {
				return
			}
			cache := new(oneTicket)
			resumed(t, e, testenv.SMTPS, tls.VersionTLS13, cache)
			e.SQL(asked)
			if resumed(t, e, testenv.SMTPS, tls.VersionTLS13, cache) {
				t.Error("resumed without the certificate that is asked for now")
			}
		})
	}
}
