package smtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailserver/policy"
)

func tlsConfig(t *testing.T) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.example.net"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// upgrade makes the client's side TLS.
func (c *client) upgrade() {
	c.t.Helper()
	tc := tls.Client(c.conn.(net.Conn), &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.conn = tc
}

// lines reads a reply of several lines.
func (c *client) lines() []string {
	var list []string
	for {
		line := c.line()
		list = append(list, line)
		if len(line) < 4 || line[3] != '-' {
			return list
		}
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestEHLOOffers(t *testing.T) {
	const base = "250-mx.example.net|250-PIPELINING|250-SIZE 10240000|250-VRFY|"
	const rest = "250-ENHANCEDSTATUSCODES|250-8BITMIME|250-DSN|250-SMTPUTF8|250-CHUNKING|250 BINARYMIME"
	for _, tt := range []struct {
		name string
		opt  ListenerOptions
		rows []string
		want string
	}{
		{"plain", ListenerOptions{TLS: None}, nil, base + rest},
		{"STARTTLS", ListenerOptions{TLS: May, Auth: AuthWithTLS}, nil, base + "250-STARTTLS|" + rest},
		{"plaintext AUTH", ListenerOptions{TLS: May, Auth: AuthPlaintext}, nil, base + "250-STARTTLS|250-AUTH PLAIN LOGIN|" + rest},
		{"tls_auth_only", ListenerOptions{TLS: May, Auth: AuthPlaintext}, []string{"smtpd_tls_auth_only=yes"}, base + "250-STARTTLS|" + rest},
		{"encrypt", ListenerOptions{TLS: Encrypt, Auth: AuthPlaintext}, nil, base + "250-STARTTLS|" + rest},
		{"broken clients", ListenerOptions{TLS: None, Auth: AuthPlaintext}, []string{"broken_sasl_auth_clients=yes"},
			base + "250-AUTH PLAIN LOGIN|250-AUTH=PLAIN LOGIN|" + rest},
		{"sasl off", ListenerOptions{TLS: None, Auth: AuthPlaintext}, []string{"smtpd_sasl_auth_enable=no"}, base + rest},
		{"no limit, no VRFY", ListenerOptions{TLS: None}, []string{"message_size_limit=0", "disable_vrfy_command=yes"},
			"250-mx.example.net|250-PIPELINING|250-SIZE|" + rest},
		{"discarded", ListenerOptions{TLS: None}, []string{"smtpd_discard_ehlo_keywords=chunking, binarymime"},
			base + "250-ENHANCEDSTATUSCODES|250-8BITMIME|250-DSN|250 SMTPUTF8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.opt.TLS != None {
				tt.opt.TLSConfig = tlsConfig(t)
			}
			in(t, tt.opt, tt.rows, func(t *testing.T, w *world) {
				c := w.dial()
				c.send("EHLO there.example")
				if got := strings.Join(c.lines(), "|"); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			})
		})
	}
}

func TestStartTLSForgetsAndDropsWhatCameBefore(t *testing.T) {
	in(t, ListenerOptions{TLS: May, TLSConfig: tlsConfig(t), Auth: AuthWithTLS},
		[]string{"smtpd_helo_required=yes", "smtpd_tls_received_header=yes", "smtpd_sasl_authenticated_header=yes"},
		func(t *testing.T, w *world) {
			c := w.dial()
			c.ehlo()
			c.raw("STARTTLS\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.net>\r\n")
			c.want("220 2.0.0 Ready to start TLS")
			c.upgrade()
			c.do("MAIL FROM:<a@example.org>", "503 5.5.1 Error: send HELO/EHLO first")
			c.ehlo()
			c.do("STARTTLS", "554 5.5.1 Error: TLS already active")
			c.do("AUTH PLAIN "+b64("\x00user@example.net\x00secret"), "235 2.7.0 Authentication successful")
			c.do("MAIL FROM:<a@example.org>", "250 2.1.0 Ok")
			c.do("RCPT TO:<b@example.net>", "250 2.1.5 Ok")
			c.do("DATA", goOn)
			c.do("x\r\n.", sentOK)
			c.do("QUIT", "221 2.0.0 Bye")
			synctest.Wait()
			got := w.messages()
			if len(got) != 1 || got[0].env.User != "user@example.net" || got[0].env.Proto != "ESMTPSA" {
				t.Fatalf("%+v", got)
			}
			want := "Received: from there.example (client.example [192.0.2.1])\r\n" +
				"\t(using TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 bits)\r\n\t key-exchange X25519MLKEM768)\r\n" +
				"\t(No client certificate requested)\r\n" +
				"\t(Authenticated sender: user@example.net)\r\n" +
				"\tby mx.example.net (Postfix) with ESMTPSA id 4F3A21\r\n\tfor <b@example.net>; "
			if !strings.HasPrefix(got[0].text, want) {
				t.Errorf("%q", got[0].text)
			}
			for _, line := range []string{
				`improper command pipelining after STARTTLS from client.example[192.0.2.1]: MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.net>\r\n`,
				"4F3A21: client=client.example[192.0.2.1], sasl_method=PLAIN, sasl_username=user@example.net",
				"disconnect from client.example[192.0.2.1] ehlo=2 starttls=1/2 auth=1 mail=1/2 rcpt=1 data=1 quit=1 commands=8/10",
			} {
				if !strings.Contains(w.logged(), line+"\n") {
					t.Errorf("missing %s in\n%s", line, w.logged())
				}
			}
		})
}

func TestWrapperListener(t *testing.T) {
	in(t, ListenerOptions{Role: policy.Submission, TLS: Wrapper, TLSConfig: tlsConfig(t), Auth: AuthWithTLS}, nil, func(t *testing.T, w *world) {
		c := w.dialFrom("192.0.2.1:1")
		c.upgrade()
		c.want("220 mx.example.net ESMTP Postfix")
		c.send("EHLO there.example")
		if got := strings.Join(c.lines(), "|"); !strings.Contains(got, "AUTH PLAIN LOGIN") || strings.Contains(got, "STARTTLS") {
			t.Error(got)
		}
		c.do("QUIT", "221 2.0.0 Bye")
	})
}

func TestEncryptDemandsSTARTTLS(t *testing.T) {
	in(t, ListenerOptions{TLS: Encrypt, TLSConfig: tlsConfig(t), Auth: AuthPlaintext}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.ehlo()
		for _, line := range []string{"MAIL FROM:<a@example.org>", "AUTH PLAIN", "VRFY a", "RSET"} {
			c.do(line, "530 5.7.0 Must issue a STARTTLS command first")
		}
		c.raw("BDAT 6\r\nQUIT\r\n") // the chunk is no command
		c.want("530 5.7.0 Must issue a STARTTLS command first")
		c.do("NOOP", "250 2.0.0 Ok")
	})
}

func TestAuth(t *testing.T) {
	in(t, ListenerOptions{TLS: None, Auth: AuthPlaintext}, []string{"smtpd_soft_error_limit=100", "smtpd_hard_error_limit=100"}, func(t *testing.T, w *world) {
		c := w.dial()
		c.ehlo()
		c.do("AUTH", "501 5.5.4 Syntax: AUTH mechanism")
		c.do("AUTH ANONYMOUS", "535 5.7.8 Error: authentication failed: Invalid authentication mechanism")
		c.do("AUTH PLAIN !!!", "501 5.5.2 Error: cannot decode the response")
		c.do("AUTH PLAIN "+b64("\x00user@example.net\x00wrong"), "535 5.7.8 Error: authentication failed: authentication failure")
		c.do("AUTH PLAIN "+b64("x"), "535 5.7.8 Error: authentication failed: bad protocol")
		c.do("AUTH PLAIN "+b64("\x00broken\x00x"), "454 4.7.0 Temporary authentication failure: authentication is not available now")
		c.do("AUTH PLAIN", "334 ")
		c.do("*", "501 5.7.0 Authentication aborted")
		c.do("AUTH PLAIN", "334 ")
		c.do(strings.Repeat("A", 12300), "500 5.5.6 SASL response limit exceeded")
		c.do("AUTH LOGIN", "334 "+b64("Username:"))
		c.do(b64("bob@example.net"), "334 "+b64("Password:"))
		c.do(b64("guess"), "535 5.7.8 Error: authentication failed: authentication failure")
		c.do("AUTH LOGIN "+b64("user@example.net"), "334 "+b64("Password:"))
		c.do(b64("secret"), "235 2.7.0 Authentication successful")
		c.do("AUTH LOGIN", "503 5.5.1 Error: already authenticated")
		synctest.Wait()
		for _, line := range []string{
			"warning: client.example[192.0.2.1]: SASL PLAIN authentication failed: authentication failure, sasl_username=user@example.net",
			"warning: client.example[192.0.2.1]: SASL LOGIN authentication failed: authentication failure, sasl_username=bob@example.net",
			"warning: client.example[192.0.2.1]: SASL PLAIN authentication aborted",
		} {
			if !strings.Contains(w.logged(), line+"\n") {
				t.Errorf("missing %s in\n%s", line, w.logged())
			}
		}
		if strings.Contains(w.logged(), "secret") || strings.Contains(w.logged(), "guess") {
			t.Error("a password is in the log")
		}
	})
}

func TestAuthOutOfPlace(t *testing.T) {
	in(t, ListenerOptions{TLS: None}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.do("AUTH PLAIN", "503 5.5.1 Error: authentication not enabled")
	})
	in(t, ListenerOptions{TLS: May, TLSConfig: tlsConfig(t), Auth: AuthWithTLS}, []string{"smtpd_client_auth_rate_limit=1"}, func(t *testing.T, w *world) {
		c := w.dial()
		c.begin()
		c.do("AUTH PLAIN", "503 5.5.1 Error: MAIL transaction in progress")
		c.do("RSET", "250 2.0.0 Ok")
		c.do("AUTH PLAIN "+b64("\x00user@example.net\x00secret"), "504 5.5.4 Encryption required for requested authentication mechanism")
		c.do("STARTTLS", "220 2.0.0 Ready to start TLS")
		c.upgrade()
		c.do("AUTH PLAIN "+b64("\x00a\x00b"), "535 5.7.8 Error: authentication failed: authentication failure")
		c.do("AUTH PLAIN "+b64("\x00a\x00b"), "450 4.7.1 Error: too many AUTH commands from 192.0.2.1")
	})
}

func TestLMTPAnswersEachRecipient(t *testing.T) {
	in(t, ListenerOptions{Role: policy.LMTP, TLS: None}, nil, func(t *testing.T, w *world) {
		c := w.dialFrom("192.0.2.1:1")
		c.want("220 mx.example.net LMTP Postfix")
		c.do("EHLO x", "500 5.5.2 Error: command not recognized")
		c.send("LHLO x")
		c.lines()
		c.do("MAIL FROM:<a@example.org>", "250 2.1.0 Ok")
		c.do("RCPT TO:<one@example.net>", "250 2.1.5 Ok")
		c.do("RCPT TO:<nobody@example.net>", "550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown in virtual mailbox table")
		c.do("RCPT TO:<full@example.net>", "250 2.1.5 Ok")
		c.do("DATA", goOn)
		c.send("x", ".")
		c.want("250 2.0.0 <one@example.net> 4F3A21 Saved", "452 4.2.2 <full@example.net> Quota exceeded")
		if got := w.messages()[0].env; !got.LocalOnly || got.Proto != "LMTP" {
			t.Errorf("%+v", got)
		}
		w.mu.Lock()
		w.writeErr = errBroken
		w.mu.Unlock()
		c.do("MAIL FROM:<a@example.org>", "250 2.1.0 Ok")
		c.do("RCPT TO:<one@example.net>", "250 2.1.5 Ok")
		c.do("RCPT TO:<two@example.net>", "250 2.1.5 Ok")
		c.raw("BDAT 3 LAST\r\nx\r\n")
		c.want("451 4.3.0 Error: queue file write error", "451 4.3.0 Error: queue file write error")
		c.do("NOOP", "250 2.0.0 Ok")
	})
}

func TestBDAT(t *testing.T) {
	in(t, ListenerOptions{TLS: None}, []string{"message_size_limit=100", "smtpd_error_sleep_time=0"}, func(t *testing.T, w *world) {
		c := w.dial()
		c.begin()
		c.raw("BDAT 11\r\nSubject: x\r")
		c.want("250 2.0.0 Ok: 11 bytes")
		c.do("RCPT TO:<c@example.net>", "503 5.5.1 Error: RCPT after BDAT")
		c.do("DATA", "503 5.5.1 Error: DATA after BDAT")
		c.do("MAIL FROM:<>", "503 5.5.1 Error: nested MAIL command")
		c.raw("BDAT 10 LAST\r\n\n\r\n.\r\nend.")
		c.want("250 2.0.0 Ok: 23 bytes queued as 4F3A21") // and the line end that it lacked
		if got := w.messages()[0].text; !strings.HasSuffix(got, "(UTC)\r\nSubject: x\r\n\r\n.\r\nend.\r\n") {
			t.Errorf("%q", got)
		}
		c.do("BDAT 0 LAST", "503 5.5.1 Error: need RCPT command")

		c.begin()
		c.raw("BDAT 6\r\nQUIT\r\nBDAT 101 LAST\r\n" + strings.Repeat("NOOP\r\n", 17)[:101])
		c.want("250 2.0.0 Ok: 6 bytes", "552 5.3.4 Chunk exceeds message size limit")
		c.do("MAIL FROM:<>", "250 2.1.0 Ok") // LAST has ended the transaction

		c.do("RCPT TO:<b@example.net>", "250 2.1.5 Ok")
		c.do("BDAT 0", "551 5.7.1 Null BDAT request")
		c.raw("BDAT 3\r\nabc")
		c.want("551 5.0.0 Discarded 3 bytes after earlier error")
		c.do("RSET", "250 2.0.0 Ok")

		c.do("MAIL FROM:<> BODY=BINARYMIME", "250 2.1.0 Ok")
		c.do("RCPT TO:<b@example.net>", "250 2.1.5 Ok")
		c.do("DATA", "503 5.5.1 Error: BODY=BINARYMIME needs BDAT")
		c.raw("BDAT 5 LAST\r\n\r\n\x00\rx")
		c.want("250 2.0.0 Ok: 5 bytes queued as 4F3A21")
		if got := w.messages()[1].text; !strings.HasSuffix(got, "(UTC)\r\n\r\n\x00\rx") {
			t.Errorf("%q", got)
		}

		c.do("MAIL FROM:<>", "250 2.1.0 Ok")
		c.raw("BDAT 6\r\nQUIT\r\n")
		c.want("554 5.5.1 Error: no valid recipients")
		c.do("RCPT TO:<b@example.net>", "503 5.5.1 Error: RCPT after BDAT")
		c.do("BDAT x LAST", "521 5.5.4 Syntax: BDAT count [LAST]")
		c.closed()
	})
}

func TestLMTPBDATSpeaksOncePerRecipientAtTheEnd(t *testing.T) {
	in(t, ListenerOptions{Role: policy.LMTP, TLS: None}, nil, func(t *testing.T, w *world) {
		c := w.dialFrom("192.0.2.1:1")
		c.line()
		c.do("MAIL FROM:<>", "250 2.1.0 Ok")
		c.do("RCPT TO:<one@example.net>", "250 2.1.5 Ok")
		c.do("RCPT TO:<full@example.net>", "250 2.1.5 Ok")
		c.raw("BDAT 3\r\nx\r\nBDAT 3 LAST\r\ny\r\n")
		c.want("250 2.0.0 Ok: 3 bytes", "250 2.0.0 <one@example.net> 4F3A21 Saved", "452 4.2.2 <full@example.net> Quota exceeded")
	})
}

func TestPipelining(t *testing.T) {
	in(t, ListenerOptions{TLS: None}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.ehlo()
		c.raw("MAIL FROM:<a@example.org>\r\nRCPT TO:<nobody@example.net>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n")
		c.want("250 2.1.0 Ok", "550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown in virtual mailbox table",
			"250 2.1.5 Ok", goOn)
		c.raw("x\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n")
		c.want(sentOK, "250 2.1.0 Ok", "221 2.0.0 Bye")
		c.closed()
	})
}

// writeCounter counts the packets of the server.
type writeCounter struct {
	net.Conn
	n int
}

func (w *writeCounter) Write(p []byte) (int, error) { w.n++; return w.Conn.Write(p) }

func TestPipelinedRepliesGoInOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cc, sc := memPipe(net.TCPAddrFromAddrPort(addrPort("192.0.2.1:1")), net.TCPAddrFromAddrPort(addrPort("192.0.2.25:25")))
		count := &writeCounter{Conn: sc}
		c := &client{t: t, conn: cc}
		c.raw("") // nothing yet
		ss := newSession(w.srv, count, ListenerOptions{TLS: None})
		go ss.serve(t.Context())
		c.want("220 mx.example.net ESMTP Postfix")
		c.ehlo()
		before := count.n
		c.raw("MAIL FROM:<a@example.org>\r\n" + strings.Repeat("RCPT TO:<b@example.net>\r\n", 10) + "DATA\r\n")
		for range 12 {
			c.line()
		}
		if got := count.n - before; got != 1 {
			t.Errorf("%d writes for 12 replies", got)
		}
		c.conn.Close()
	})
}

func TestImproperPipeliningEndsTheSession(t *testing.T) {
	for _, tt := range []struct{ name, send, log string }{
		{"after EHLO", "EHLO x\r\nMAIL FROM:<>\r\n", `improper command pipelining after EHLO from client.example[192.0.2.1]: MAIL FROM:<>\r\n`},
		{"after DATA", "DATA\r\nMAIL FROM:<>\r\n", `improper command pipelining after DATA from client.example[192.0.2.1]: MAIL FROM:<>\r\n`},
		{"without EHLO", "MAIL FROM:<>\r\nRCPT TO:<x>\r\n", `improper command pipelining after MAIL from client.example[192.0.2.1]: RCPT TO:<x>\r\n`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, ListenerOptions{TLS: None}, nil, func(t *testing.T, w *world) {
				c := w.dial()
				c.raw(tt.send)
				c.want("554 5.5.0 Error: SMTP protocol synchronization")
				c.closed()
				synctest.Wait()
				if !strings.Contains(w.logged(), tt.log+"\n") {
					t.Error(w.logged())
				}
			})
		})
	}
	in(t, ListenerOptions{TLS: None}, []string{"smtpd_forbid_unauth_pipelining=no"}, func(t *testing.T, w *world) {
		c := w.dial()
		c.raw("HELO x\r\nMAIL FROM:<>\r\n")
		c.want("250 mx.example.net", "250 2.1.0 Ok")
	})
}

func TestBareNewlineReject(t *testing.T) {
	rows := []string{"smtpd_forbid_bare_newline=reject"}
	in(t, ListenerOptions{TLS: None}, rows, func(t *testing.T, w *world) {
		c := w.dial()
		c.begin()
		c.do("DATA", goOn)
		c.do("a\nb\r\n.", "550 5.5.2 mx.example.net Error: bare <LF> received")
		c.raw("NOOP\n")
		c.want("550 5.5.2 mx.example.net Error: bare <LF> received")
		c.closed()
		if len(w.messages()) != 0 {
			t.Error("taken")
		}
	})
	in(t, ListenerOptions{TLS: None}, rows, func(t *testing.T, w *world) {
		c := w.dialFrom("127.0.0.1:1") // in mynetworks
		c.line()
		c.begin()
		c.do("DATA", goOn)
		c.do("a\n.\nb\r\n.", sentOK)
		if n := len(w.messages()); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestRejectFooter(t *testing.T) {
	in(t, ListenerOptions{TLS: None}, []string{`smtpd_reject_footer=For help, call\n$client_address at $server_name`}, func(t *testing.T, w *world) {
		c := w.dial()
		c.send("FOO")
		c.want("500-5.5.2 Error: command not recognized", "500-5.5.2 For help, call", "500 5.5.2 192.0.2.1 at mx.example.net")
		w.set("smtpd_reject_footer", `\c. See example.net`)
		c.do("FOO", "500 5.5.2 Error: command not recognized. See example.net")
		c.do("NOOP", "250 2.0.0 Ok")
	})
}

func TestSizeLimit(t *testing.T) {
	in(t, ListenerOptions{TLS: None}, []string{"message_size_limit=1000"}, func(t *testing.T, w *world) {
		c := w.dial()
		c.ehlo()
		c.do("MAIL FROM:<a@example.org> SIZE=1001", "552 5.3.4 Message size exceeds fixed limit")
		c.begin()
		c.do("DATA", goOn)
		c.do(strings.Repeat("QUIT\r\n", 200)+".", "552 5.3.4 Error: message file too big")
		c.do("NOOP", "250 2.0.0 Ok")
		if len(w.messages()) != 0 || w.aborted != 1 {
			t.Error("kept")
		}
		synctest.Wait()
		if !strings.Contains(w.logged(), "NOQUEUE: reject: MAIL from client.example[192.0.2.1]: 552 5.3.4 "+
			"Message size exceeds fixed limit; from=<a@example.org> proto=ESMTP helo=<there.example>\n") {
			t.Error(w.logged())
		}
	})
}

// TestIdleClients is the other process of BenchmarkIdleConnection.
func TestIdleClients(t *testing.T) {
	var addr, mode string
	var n int
	if _, err := fmt.Sscan(os.Getenv("IDLE_CLIENTS"), &addr, &n, &mode); err != nil {
		t.Skip("runs only as a client of the benchmark")
	}
	keep := make([]net.Conn, 0, n) // an unreachable one is closed
	for range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if TLSMode(mode) == Wrapper {
			conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
		}
		keep = append(keep, conn)
		c := &client{t: t, conn: conn}
		c.line()
		c.begin()
		c.do("DATA", goOn)
		c.do(strings.Repeat("x\r\n", 10000)+".", sentOK)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	for _, conn := range keep {
		conn.Close()
	}
}
