package imap_test

import (
	"fmt"
	"runtime"
	"testing"

	"mailserver/imap"
	"mailserver/internal/login"
	"mailserver/internal/memtest"
)

// TestIdleConnectionsHoldLittle counts what a connection in IDLE holds, both
// ends and the kernel's file tables of Go included.
func TestIdleConnectionsHoldLittle(t *testing.T) {
	if testing.Short() {
		t.Skip()
	}
	for _, tls := range []bool{false, true} {
		opt, most := imap.ListenerOptions{}, int64(20<<10)
		if tls {
			opt.TLS, most = login.TLSMay, 40<<10 // both ends of TLS
		}
		for name, wait := range map[string]func(*client){"IDLE": waitsInIdle, "NOTIFY": waitsForNotify} {
			t.Run(fmt.Sprintf("%s tls=%v", name, tls), func(t *testing.T) { idleCost(t, opt, tls, wait, most) })
		}
	}
}

func waitsInIdle(c *client) {
	c.Send("i IDLE")
	c.Until(`^\+ idling`)
}

func waitsForNotify(c *client) {
	c.do("NOTIFY SET STATUS (selected (MessageNew (UID ENVELOPE) MessageExpunge FlagChange))" +
		" (personal (MessageNew MessageExpunge FlagChange MailboxName)) (subscribed (SubscriptionChange)) (mailboxes (A B C D) (MailboxMetadataChange))")
}

func idleCost(t *testing.T, opt imap.ListenerOptions, tls bool, wait func(*client), most int64) {
	const n = 200
	h := open(t, opt, map[string]string{"mail_max_userip_connections": "0"})
	idleClient(h, tls, wait) // whatever is made once
	before, g := memtest.HeapAndStacks(), runtime.NumGoroutine()
	all := make([]*client, n)
	for i := range all {
		all[i] = idleClient(h, tls, wait)
		all[i].R = nil // the test's own buffer
	}
	memtest.Settles(t, "bytes a connection", most, func() int64 { return (memtest.HeapAndStacks() - before) / n })
	t.Logf("%.1f goroutines a connection", float64(runtime.NumGoroutine()-g)/n)
	runtime.KeepAlive(all)
}

func idleClient(h *house, tls bool, wait func(*client)) *client {
	c := h.dial()
	c.Line()
	if tls {
		c.do("STARTTLS")
		if err := c.TLS(""); err != nil {
			h.t.Fatal(err)
		}
	}
	c.do("LOGIN joe@vmail.example joes-secret")
	c.do("SELECT INBOX")
	wait(c)
	return c
}

// BenchmarkFetch is a client that asks for a whole mailbox.
func BenchmarkFetch(b *testing.B) {
	h := open(b, imap.ListenerOptions{}, nil)
	c := h.login()
	const n = 10_000
	fill(c, n)
	c.do("SELECT INBOX")
	c.do("FETCH 1:* (ENVELOPE BODYSTRUCTURE)") // fills the cache
	for _, items := range []string{"FLAGS", "(UID FLAGS RFC822.SIZE INTERNALDATE)", "ENVELOPE", "(ENVELOPE BODYSTRUCTURE)", "BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)]", "BODY.PEEK[]"} {
		b.Run(items, func(b *testing.B) {
			for b.Loop() {
				if got := len(c.do("FETCH 1:* " + items)); got < n {
					b.Fatal(got)
				}
			}
		})
	}
	for _, cmd := range []string{"SELECT INBOX", "SEARCH UNSEEN", "SEARCH SUBJECT nothing", "SEARCH BODY nothing", "STORE 1:* +FLAGS.SILENT (\\Seen)"} {
		b.Run(cmd, func(b *testing.B) {
			for b.Loop() {
				c.do(cmd)
			}
		})
	}
}

// fill appends n messages, many in one command.
func fill(c *client, n int) {
	for i := 0; i < n; i += 100 {
		c.Raw("f APPEND INBOX")
		for j := range min(100, n-i) {
			text := fmt.Sprintf("From: a%d@remote.example\r\nTo: joe@vmail.example\r\nSubject: number %d\r\nMessage-ID: <%d@x>\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n\r\n%s", j, i+j, i+j, letter)
			c.Raw(fmt.Sprintf(" {%d+}\r\n%s", len(text), text))
		}
		c.Raw("\r\n")
		c.Until("^f OK")
	}
}
