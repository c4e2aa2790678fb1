package smtp

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mailserver/policy"
)

const (
	sentOK = "250 2.0.0 Ok: queued as 4F3A21"
	goOn   = "354 End data with <CR><LF>.<CR><LF>"
)

// in runs a test in a synctest bubble with a server.
func in(t *testing.T, opt ListenerOptions, rows []string, fn func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { fn(t, start(t, opt, rows...)) })
}

func TestMessageIn(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.ehlo()
		c.do("MAIL FROM:<a@example.org> RET=HDRS ENVID=q+2Br BODY=8BITMIME", "250 2.1.0 Ok")
		c.do("RCPT TO:<marked@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@example.net", "250 2.1.5 Ok")
		c.do("DATA", goOn)
		c.do("Subject: x\r\n\r\n..stuffed\r\nbare\nCR\rhere\r\n.", sentOK)
		c.do("QUIT", "221 2.0.0 Bye")
		c.closed()
		synctest.Wait()

		got := w.messages()
		if len(got) != 1 {
			t.Fatalf("%d messages", len(got))
		}
		want := "X-Mark: yes\r\n" +
			"Received: from there.example (client.example [192.0.2.1])\r\n" +
			"\tby mx.example.net (Postfix) with ESMTP id 4F3A21\r\n" +
			"\tfor <marked@example.net>; Sat, 21 Nov 2026 07:55:25 +0000 (UTC)\r\n" +
			"Subject: x\r\n\r\n.stuffed\r\nbare\r\nCR here\r\n"
		if got[0].text != want {
			t.Errorf("text\n%q, want\n%q", got[0].text, want)
		}
		env := got[0].env
		if env.From.String() != "a@example.org" || env.Options.EnvelopeID != "q+r" || env.Options.Return != "HDRS" ||
			len(env.To) != 1 || env.To[0].Options.OriginalRecipient != "x+y@example.net" ||
			fmt.Sprint(env.To[0].Options.Notify) != "[SUCCESS DELAY]" || !env.Effects.Hold || env.Effects.Prepend != nil {
			t.Errorf("envelope %+v", env)
		}
		wantLog := `connect from client.example[192.0.2.1]
4F3A21: client=client.example[192.0.2.1]
disconnect from client.example[192.0.2.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5
`
		if got := w.logged(); got != wantLog {
			t.Errorf("log\n%swant\n%s", got, wantLog)
		}
	})
}

func TestReceivedOfSeveralRecipientsNamesNone(t *testing.T) {
	in(t, ListenerOptions{Hostname: "mx2.example.net"}, nil, func(t *testing.T, w *world) {
		c := w.dialFrom("[2001:db8::1]:4711")
		c.want("220 mx2.example.net ESMTP Postfix")
		c.begin()
		c.do("RCPT TO:<c@example.net>", "250 2.1.5 Ok")
		c.do("DATA", goOn)
		c.do("\r\nx\r\n.", sentOK)
		want := "Received: from there.example (unknown [IPv6:2001:db8::1])\r\n" +
			"\tby mx2.example.net (Postfix) with ESMTP id 4F3A21;\r\n" +
			"\tSat, 21 Nov 2026 07:55:25 +0000 (UTC)\r\n\r\nx\r\n"
		if got := w.messages()[0].text; got != want {
			t.Errorf("%q, want\n%q", got, want)
		}
	})
}

func TestFirstLineOfMbox(t *testing.T) {
	for in, want := range map[string]string{
		"From me\r\n\r\nx":        "X-Mailbox-Line: From me\r\n\r\nx\r\n",
		">From me\r\nSubject: x":  "X-Mailbox-Line: >From me\r\nSubject: x\r\n",
		" text\r\nmore":           "\r\n text\r\nmore\r\n",
		"From: a@example.org":     "From: a@example.org\r\n",
		strings.Repeat("x", 3000): strings.Repeat("x", 3000) + "\r\n",
	} {
		msg := &fakeMessage{w: &world{}}
		for n := 1; n <= len(in)+5; n += 7 {
			msg.text.Reset()
			tk := intake{msg: msg}
			tk.content.Dots = true
			for rest := in + "\r\n.\r\n"; rest != ""; {
				piece := rest[:min(n, len(rest))]
				tk.feed([]byte(piece))
				rest = rest[len(piece):]
			}
			tk.close()
			if msg.text.String() != want {
				t.Errorf("%.30q in pieces of %d: %.60q", in, n, msg.text.String())
			}
		}
	}
}

func TestStorageFailureIsTemporaryAndTheSessionGoesOn(t *testing.T) {
	for _, tt := range []struct {
		name         string
		begin, write error
		answer       string
	}{
		{"begin, disk full", fmt.Errorf("open: %w", syscall.ENOSPC), nil, "452 4.3.1 Insufficient system storage"},
		{"begin, other", errors.New("broken"), nil, "451 4.3.0 Error: queue file write error"},
		{"write, disk full", nil, fmt.Errorf("write: %w", syscall.EDQUOT), "452 4.3.1 Insufficient system storage"},
		{"write, other", nil, errors.New("broken"), "451 4.3.0 Error: queue file write error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
				w.beginErr, w.writeErr = tt.begin, tt.write
				c := w.dial()
				c.begin()
				if tt.begin != nil {
					c.do("DATA", tt.answer)
					c.do("RSET", "250 2.0.0 Ok")
				} else {
					c.do("DATA", goOn)
					c.do(strings.Repeat("NOOP\r\n", 20000)+".", tt.answer)
				}
				w.mu.Lock()
				w.beginErr, w.writeErr = nil, nil
				w.mu.Unlock()
				c.begin()
				c.do("DATA", goOn)
				c.do("x\r\n.", sentOK)
				if n := len(w.messages()); n != 1 {
					t.Errorf("%d messages", n)
				}
			})
		})
	}
}

func TestSettingsThatCannotBeReadAre451(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.ehlo()
		w.mu.Lock()
		w.noConfig = errBroken
		w.mu.Unlock()
		c.do("NOOP", "250 2.0.0 Ok")
		c.do("MAIL FROM:<a@example.org>", "451 4.3.0 Temporary lookup failure")
		other := w.dialFrom("192.0.2.1:1") // a greeting from what is known
		other.want("220 mx.example.net ESMTP Postfix")
		w.mu.Lock()
		w.noConfig = nil
		w.mu.Unlock()
		c.do("MAIL FROM:<a@example.org>", "250 2.1.0 Ok")
		c.do("RCPT TO:<broken@example.net>", "451 4.3.0 <broken@example.net>: Temporary lookup failure")
		c.do("RSET", "250 2.0.0 Ok")
		c.do("MAIL FROM:<broken@example.org>", "451 4.3.0 <broken@example.org>: Temporary lookup failure")
	})
}

func TestWithoutAnySettingsTheClientIsSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.noConfig = errBroken
		go w.srv.Serve(t.Context(), w.ln, ListenerOptions{})
		c := w.dialFrom("192.0.2.1:1")
		c.want("421 4.3.0 localhost Server local data error")
		c.closed()
	})
}

func TestChangedSettingActsAtTheNextCommand(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.ehlo()
		c.do("VRFY b@example.net", "252 2.0.0 b@example.net")
		w.set("disable_vrfy_command", "yes")
		c.do("VRFY b@example.net", "502 5.5.1 VRFY command is disabled")
		w.set("smtpd_forbid_bare_newline", "perhaps")
		c.do("VRFY b@example.net", "451 4.3.0 Temporary lookup failure")
		if !strings.Contains(w.logged(), "smtpd_forbid_bare_newline") {
			t.Error("the log does not name the setting")
		}
	})
}

func TestIdleClientTimesOut(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.begin()
		start := time.Now()
		c.want("421 4.4.2 mx.example.net Error: timeout exceeded")
		c.closed()
		if d := time.Since(start); d != 300*time.Second {
			t.Errorf("after %v", d)
		}
		synctest.Wait()
		if !strings.Contains(w.logged(), "timeout after RCPT from client.example[192.0.2.1]\n") {
			t.Error(w.logged())
		}
	})
}

func TestSlowCommandLineTimesOut(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		for range 11 { // a byte every 29 s keeps no session
			c.raw("N")
			time.Sleep(29 * time.Second)
		}
		c.want("421 4.4.2 mx.example.net Error: timeout exceeded")
		c.closed()
	})
}

func TestSlowMessageMayTakeLongerThanTheTimeout(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.begin()
		c.do("DATA", goOn)
		line := strings.Repeat("x", 598) + "\r\n"
		for range 1000 { // 600 bytes a second
			c.raw(line)
			time.Sleep(time.Second)
		}
		c.do(".", sentOK)
	})
}

func TestTricklingMessageIsEnded(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.begin()
		c.do("DATA", goOn)
		start := time.Now()
		for time.Since(start) < 301*time.Second {
			c.raw("x")
			time.Sleep(10 * time.Second)
		}
		c.want("421 4.4.2 mx.example.net Error: timeout exceeded")
		c.closed()
		synctest.Wait()
		if !strings.Contains(w.logged(), "timeout after DATA (31 bytes) from ") || w.aborted != 1 {
			t.Error(w.aborted, w.logged())
		}
	})
}

func TestLostConnectionInDataKeepsNothing(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.begin()
		c.do("DATA", goOn)
		c.raw("Subject: x\r\n\r\nhalf")
		c.conn.Close()
		synctest.Wait()
		if len(w.messages()) != 0 || w.aborted != 1 {
			t.Errorf("%d messages, %d aborted", len(w.messages()), w.aborted)
		}
		if !strings.Contains(w.logged(), "lost connection after DATA (18 bytes) from client.example[192.0.2.1]\n") {
			t.Error(w.logged())
		}
	})
}

func TestErrorLimits(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		start := time.Now()
		for range 20 {
			c.do("FOO", "500 5.5.2 Error: command not recognized")
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("20 errors took %v, want a second for each over 10", d)
		}
		c.want("421 4.7.0 mx.example.net Error: too many errors")
		c.closed()
		synctest.Wait()
		if !strings.Contains(w.logged(), "too many errors after UNKNOWN from client.example[192.0.2.1]\n") {
			t.Error(w.logged())
		}
	})
}

func TestJunkCommandsBecomeErrors(t *testing.T) {
	in(t, ListenerOptions{}, []string{"smtpd_junk_command_limit=3", "smtpd_error_sleep_time=0"}, func(t *testing.T, w *world) {
		c := w.dial()
		for range 3 + 1 + 20 { // the limit counts from 0
			c.do("NOOP", "250 2.0.0 Ok")
		}
		c.want("421 4.7.0 mx.example.net Error: too many errors")
	})
}

func TestConnectionLimitsPerClient(t *testing.T) {
	in(t, ListenerOptions{}, []string{"smtpd_client_connection_count_limit=2"}, func(t *testing.T, w *world) {
		a, b := w.dial(), w.dial()
		c := w.dialFrom("192.0.2.1:9")
		c.want("421 4.7.0 mx.example.net Error: too many connections from 192.0.2.1")
		c.closed()
		w.dialFrom("192.0.2.2:9").want("220 mx.example.net ESMTP Postfix") // another client
		a.do("QUIT", "221 2.0.0 Bye")
		a.closed()
		synctest.Wait()
		w.dial()
		b.do("QUIT", "221 2.0.0 Bye")
	})
}

func TestIPv6NetworkIsOneClient(t *testing.T) {
	in(t, ListenerOptions{}, []string{"smtpd_client_connection_count_limit=1"}, func(t *testing.T, w *world) {
		w.dialFrom("[2001:db8::1]:9").want("220 mx.example.net ESMTP Postfix")
		w.dialFrom("[2001:db8::2]:9").want("421 4.7.0 mx.example.net Error: too many connections from 2001:db8::2")
		w.dialFrom("[2001:db8:1::1]:9").want("220 mx.example.net ESMTP Postfix")
	})
}

func TestMyNetworksHaveNoConnectionLimit(t *testing.T) {
	in(t, ListenerOptions{}, []string{"smtpd_client_connection_count_limit=1"}, func(t *testing.T, w *world) {
		for range 5 {
			w.dialFrom("127.0.0.1:9").want("220 mx.example.net ESMTP Postfix")
		}
	})
}

func TestRatesPerClient(t *testing.T) {
	in(t, ListenerOptions{}, []string{"smtpd_client_connection_rate_limit=2", "smtpd_client_message_rate_limit=1",
		"smtpd_client_recipient_rate_limit=1"}, func(t *testing.T, w *world) {
		c := w.dial()
		c.begin()
		c.do("RCPT TO:<c@example.net>", "450 4.7.1 Error: too many recipients from 192.0.2.1")
		c.do("RSET", "250 2.0.0 Ok")
		c.do("MAIL FROM:<>", "450 4.7.1 Error: too much mail from 192.0.2.1")
		time.Sleep(61 * time.Second)
		c.do("MAIL FROM:<>", "250 2.1.0 Ok")
		w.dial()
		w.dial()
		w.dialFrom("192.0.2.1:9").want("421 4.7.0 mx.example.net Error: too many connections from 192.0.2.1")
	})
}

func TestServerWideLimit(t *testing.T) {
	in(t, ListenerOptions{}, []string{"smtpd_connection_limit=2"}, func(t *testing.T, w *world) {
		w.dial()
		w.dial()
		c := w.dialFrom("127.0.0.1:9")
		c.want("421 4.3.2 All server ports are busy")
		c.closed()
	})
}

func TestRefusedAtConnect(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		w.connect = policy.Verdict{Action: policy.Refuse, Reason: policy.AccessDenied, Code: 554,
			Subject: "client.example[192.0.2.1]", Class: policy.ClassClient}
		c := w.dialFrom("192.0.2.1:9")
		c.want("554 5.7.1 <client.example[192.0.2.1]>: Client host rejected: Access denied")
		c.do("EHLO x", "503 5.7.0 Error: access denied for client.example[192.0.2.1]")
		c.do("QUIT", "221 2.0.0 Bye")
		c.closed()
		synctest.Wait()
		want := "NOQUEUE: reject: CONNECT from client.example[192.0.2.1]: 554 5.7.1 " +
			"<client.example[192.0.2.1]>: Client host rejected: Access denied; proto=SMTP\n"
		if !strings.Contains(w.logged(), want) {
			t.Error(w.logged())
		}
	})
}

func TestRejectLines(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.do("EHLO bad.example", "554 5.7.1 <bad.example>: Helo command rejected: Access denied")
		c.ehlo()
		c.do("MAIL FROM:<spammer@example.org>", "554 5.7.1 <spammer@example.org>: Sender address rejected: Access denied")
		c.do("MAIL FROM:<a@example.org>", "250 2.1.0 Ok")
		c.do("RCPT TO:<nobody@example.net>", "550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown in virtual mailbox table")
		c.do("RCPT TO:<warned@example.net>", "250 2.1.5 Ok")
		w.mu.Lock()
		w.endOfData = policy.Verdict{Action: policy.Refuse, Reason: policy.AccessDenied, Code: 554,
			Subject: "END-OF-MESSAGE", Class: policy.ClassEndOfData}
		w.mu.Unlock()
		c.do("DATA", goOn)
		c.do("x\r\n.", "554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: Access denied")
		c.do("MAIL FROM:<a@example.org>", "250 2.1.0 Ok")
		c.do("RCPT TO:<drop@example.net>", "521 5.7.1 <drop@example.net>: Recipient address rejected: Access denied")
		c.closed()
		synctest.Wait()
		for _, want := range []string{
			"NOQUEUE: reject: EHLO from client.example[192.0.2.1]: 554 5.7.1 <bad.example>: Helo command rejected: Access denied; proto=SMTP helo=<bad.example>",
			"NOQUEUE: reject: MAIL from client.example[192.0.2.1]: 554 5.7.1 <spammer@example.org>: Sender address rejected: Access denied; from=<spammer@example.org> proto=ESMTP helo=<there.example>",
			"NOQUEUE: reject: RCPT from client.example[192.0.2.1]: 550 5.1.1 <nobody@example.net>: Recipient address rejected: User unknown in virtual mailbox table; from=<a@example.org> to=<nobody@example.net> proto=ESMTP helo=<there.example>",
			"NOQUEUE: reject_warning: RCPT from client.example[192.0.2.1]: 550 5.7.1 <warned@example.net>: Recipient address rejected: Access denied; from=<a@example.org> to=<warned@example.net> proto=ESMTP helo=<there.example>",
			"4F3A21: reject: END-OF-MESSAGE from client.example[192.0.2.1]: 554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: Access denied; from=<a@example.org> to=<warned@example.net> proto=ESMTP helo=<there.example>",
		} {
			if !strings.Contains(w.logged(), want+"\n") {
				t.Errorf("missing %s\nin %s", want, w.logged())
			}
		}
		if len(w.messages()) != 0 {
			t.Error("a refused message was committed")
		}
	})
}

func TestShutdownSays421AndLetsAMessageFinish(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		idle, busy := w.dial(), w.dial()
		busy.begin()
		busy.do("DATA", goOn)
		w.committing = make(chan struct{})
		done := make(chan error)
		go func() { done <- w.srv.Shutdown(t.Context()) }()
		idle.want("421 4.3.2 mx.example.net Service shutting down, closing transmission channel")
		idle.closed()
		busy.send("x", ".")
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("Shutdown returned %v before the message was taken", err)
		default:
		}
		close(w.committing)
		busy.want(sentOK, "421 4.3.2 mx.example.net Service shutting down, closing transmission channel")
		busy.closed()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if len(w.messages()) != 1 {
			t.Error("the message was not taken")
		}
	})
}

func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		c := w.dial()
		c.begin()
		c.do("DATA", goOn)
		ctx, cancel := contextWithTimeout(t, 10*time.Second)
		defer cancel()
		if err := w.srv.Shutdown(ctx); err == nil {
			t.Error("Shutdown did not say that it cut a session off")
		}
		if w.aborted != 1 {
			t.Error("the message was not dropped")
		}
	})
}

func TestFaultInOneSessionEndsOnlyThat(t *testing.T) {
	in(t, ListenerOptions{}, nil, func(t *testing.T, w *world) {
		w.srv.d.Judge = func(c policy.Client) Judge {
			if c.Port == 13 {
				return nil
			}
			return &fakeJudge{w: w}
		}
		c := w.dialFrom("192.0.2.1:13")
		c.want("421 4.3.0 Error: internal error")
		c.closed()
		w.dial().do("QUIT", "221 2.0.0 Bye")
	})
}
