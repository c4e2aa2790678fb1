package test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
)

// TestMinimumVersion: ssl_min_protocol refuses older versions, and tickets
// resume sessions.
func TestMinimumVersion(t *testing.T) {
	t.Parallel()
	h := sampleHost(t, "")
	h.mustRun("config", "set", "ssl_min_protocol=TLSv1.3")
	h.start()
	cache := tls.NewLRUClientSessionCache(4)
	for _, port := range []int{993, 465, 995} {
		if conn, err := tls.Dial("tcp", h.addr(port), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
			conn.Close()
			t.Errorf("port %d takes TLS 1.2", port)
		}
		for _, want := range []bool{false, true} {
			conn, err := tls.Dial("tcp", h.addr(port), &tls.Config{InsecureSkipVerify: true, ServerName: fmt.Sprintf("p%d.example", port), ClientSessionCache: cache})
			if err != nil {
				t.Fatal(err)
			}
			bufio.NewReader(conn).ReadString('\n') // the ticket comes before the greeting
			if got := conn.ConnectionState().DidResume; got != want {
				t.Errorf("port %d: resumed %v, want %v", port, got, want)
			}
			conn.Close()
		}
	}
}

// TestPlaintextOnlyByRow: passwords without TLS are refused, but where the row
// of the listener permits them.
func TestPlaintextOnlyByRow(t *testing.T) {
	t.Parallel()
	h := sampleHost(t, "")
	h.sql(fmt.Sprintf("INSERT INTO Listener (lsProtocol, lsAddress, lsTls, lsAuth) VALUES ('submission', '127.0.0.1:%d', 'may', 2), ('submission', '127.0.0.1:%d', 'may', 1)", h.base+26, h.base+27))
	h.start()
	for port, want := range map[int]bool{26: true, 27: false} {
		conn, err := net.Dial("tcp", h.addr(port))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patience))
		got := saslOver(t, conn, 465, sasl.NewPlainClient("", "joe@vmail.example", "joes-secret")) // the dialog without STARTTLS
		if isLoggedIn(got) != want || !want && got[0] != '5' {
			t.Errorf("port %d: %s", port, got)
		}
		conn.Close()
	}
}
