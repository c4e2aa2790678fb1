package smtp

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"mailserver/policy"
)

// FuzzSession: whatever a client sends, the session ends when the client does,
// every reply is well formed, no message is committed that was not ended by
// CRLF "." CRLF or BDAT LAST, and none is left open.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n",
		"EHLO x\r\n\x00MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nBDAT 3\r\nabcBDAT 2 LAST\r\nxy",
		"HELO x\r\nMAIL FROM:<\"a b\"@c> SIZE=1 BODY=8BITMIME\r\nRCPT TO:<@r:c@d> NOTIFY=NEVER ORCPT=rfc822;x\r\nRSET\r\n",
		"AUTH PLAIN\r\n*\r\nAUTH LOGIN dQ==\r\n=\r\n", "GET / HTTP/1.0\r\n\r\n", "VRFY <x>\r\nNOOP\r\nHELP\r\nETRN x\r\n",
		"DATA\r\n\n.\n\r.\r\r\n.\r\n", "BDAT 99999999999999\r\n", "EHLO \xff\r\n", "STARTTLS\r\n\x16\x03\x01",
	} {
		f.Add(seed, uint8(0))
	}
	f.Fuzz(func(t *testing.T, in string, role uint8) {
		opt := ListenerOptions{Role: policy.Role(role % 3), TLS: None, Auth: AuthPlaintext}
		w := newWorld(t, "smtpd_error_sleep_time=0", "smtpd_forbid_unauth_pipelining=no", "message_size_limit=5000")
		w.srv.d.Log = slog.New(slog.DiscardHandler)
		cc, sc := memPipe(net.TCPAddrFromAddrPort(addrPort("192.0.2.1:1")), net.TCPAddrFromAddrPort(addrPort("192.0.2.25:25")))
		io.WriteString(cc, in)
		cc.(*memConn).CloseWrite()
		newSession(w.srv, sc, opt).serve(context.Background())
		out, _ := io.ReadAll(cc)
		checkReplies(t, string(out))
		checkMessages(t, w, in)
	})
}

func checkReplies(t *testing.T, out string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(out, "\r\n"), "\r\n") {
		good := len(line) >= 4 && len(line) <= 510 && line[0] >= '2' && line[0] <= '5' && (line[3] == ' ' || line[3] == '-')
		if !good || strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("reply %q in %q", line, out)
		}
	}
}

func checkMessages(t *testing.T, w *world, in string) {
	ends := strings.Count(in, "\r\n.\r\n") + strings.Count(strings.ToUpper(in), "BDAT")
	if n := len(w.messages()); n > ends {
		t.Fatalf("%d messages, %d ends in %q", n, ends, in)
	}
	for _, m := range w.messages() {
		if len(m.env.To) == 0 {
			t.Fatalf("a message to nobody: %q", in)
		}
	}
}
