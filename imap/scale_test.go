package imap_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/imap"
	"mailserver/internal/memtest"
	"mailserver/internal/testenv"
)

// largeTree makes a Maildir of n messages, hard links to a few files.
func largeTree(t *testing.T, dir string, n int) {
	t.Helper()
	for _, sub := range []string{"cur", "new", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
	}
	const perFile = 30_000 // file systems bound the links of a file
	var first string
	for i := range n {
		name := filepath.Join(dir, "cur", fmt.Sprintf("%010d.M%06dP1.host,S=27,W=30:2,%s", 1_600_000_000+i/1000, i%1000, []string{"", "S", "FS"}[i%3]))
		if i%perFile == 0 {
			must(t, os.WriteFile(name, []byte("Subject: x\nTo: y\n\nsome text"), 0o600))
			first = name
			continue
		}
		must(t, os.Link(first, name))
	}
}

// TestLargeMailbox: what a mailbox costs to open, search and deliver to. With
// MAILSERVER_LONG=1 it has a million messages.
func TestLargeMailbox(t *testing.T) {
	n, most := 20_000, 2*time.Second
	if os.Getenv("MAILSERVER_LONG") == "1" {
		n, most = 1_000_000, 10*time.Second
	}
	h := open(t, imap.ListenerOptions{}, nil)
	largeTree(t, filepath.Join(h.dir, "mail", "joe@vmail.example"), n)
	c := h.login()
	timed := func(name string, do func()) time.Duration {
		start, worked := time.Now(), testenv.CPUTime()
		do()
		worked = testenv.CPUTime() - worked
		t.Logf("%-32s %v, %v of the processor", name, time.Since(start).Round(10*time.Microsecond), worked.Round(10*time.Microsecond))
		return worked
	}
	run := func(cmd string) func() {
		return func() {
			c.Send("x " + cmd)
			if got := c.discard("x "); !strings.HasPrefix(got, "OK") {
				t.Errorf("%s: %s", cmd, got)
			}
		}
	}
	timed("first SELECT, reads the tree", run("SELECT INBOX"))
	t.Logf("held: %d MB", memtest.Heap()>>20)
	c.do("UNSELECT")
	timed("then until its rows are there", run("STATUS INBOX (MESSAGES)"))
	t.Logf("held: %d MB", memtest.Heap()>>20)
	for _, cmd := range []string{"SELECT INBOX", "UID SEARCH FLAGGED", "UID SEARCH UID 500:600 UNSEEN", "UID FETCH 7000 (FLAGS)", "UID FETCH 1:100 (FLAGS)", "NOOP"} {
		if d := timed(cmd, run(cmd)); d > most {
			t.Errorf("%s takes %v", cmd, d)
		}
	}
	deliver := func() {
		d, err := h.account("joe@vmail.example").NewDraft(t.Context(), "INBOX", 0)
		must(t, err)
		io.WriteString(d, "Subject: new\r\n\r\ntext\r\n")
		must(t, d.Deliver(t.Context()))
	}
	for _, state := range []string{"selected", "closed"} {
		d := timed("50 deliveries, "+state, func() {
			for range 50 {
				deliver()
			}
		})
		if d > 50*100*time.Millisecond {
			t.Errorf("a delivery takes %v", d/50)
		}
		timed("then "+state+" NOOP", run("NOOP"))
		c.do("UNSELECT")
	}
}

// TestManySessionsOnOneMailbox: 100 sessions in IDLE are told of bursts of 1,000
// changes.
func TestManySessionsOnOneMailbox(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "0"})
	largeTree(t, filepath.Join(h.dir, "mail", "joe@vmail.example"), 1000)
	one := h.login()
	one.do("SELECT INBOX")
	const sessions, bursts = 100, 3
	var ready, told sync.WaitGroup
	for range sessions {
		c := h.login()
		c.do("SELECT INBOX")
		ready.Add(1)
		told.Go(func() {
			c.Send("i IDLE")
			c.Until(`^\+ idling`)
			ready.Done()
			// Bursts that come close together are told as one.
			c.Until(fmt.Sprintf(`^\* 1000 FETCH .*burst%d`, bursts-1))
			c.Send("DONE")
			c.Until("^i OK")
		})
	}
	ready.Wait()
	start, worked := time.Now(), testenv.CPUTime()
	for k := range bursts {
		one.Send(fmt.Sprintf("x STORE 1:1000 +FLAGS.SILENT (burst%d)", k))
		one.discard("x ")
	}
	told.Wait()
	worked = testenv.CPUTime() - worked
	t.Logf("%d bursts of 1,000 changes to %d sessions: %v, %v of the processor", bursts, sessions, time.Since(start).Round(time.Millisecond), worked.Round(time.Millisecond))
	if worked > 20*time.Second {
		t.Error("too slow")
	}
}
