package imap_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailserver/imap"
)

// BenchmarkCold is the first SELECT ever and the first FETCH of all envelopes in
// a mailbox that another server has left: processor time of this process, that
// of the client among it, in µs a message.
func BenchmarkCold(b *testing.B) {
	const n = 10_000
	h := open(b, imap.ListenerOptions{}, nil)
	inbox := filepath.Join(h.dir, "mail", "joe@vmail.example")
	fillTree(b, inbox, n)
	commands := []string{"SELECT INBOX", "FETCH 1:* (FLAGS UID RFC822.SIZE ENVELOPE)"}
	var cpu, wall [2]time.Duration
	for b.Loop() {
		b.StopTimer()
		if err := h.store.Forget(context.Background(), "joe@vmail.example"); err != nil {
			b.Fatal(err)
		}
		os.Remove(filepath.Join(inbox, "dovecot-uidlist"))
		c := h.login()
		b.StartTimer()
		for i, command := range commands {
			used, begun := processorTime(b), time.Now()
			c.Send("x " + command)
			skipTo(b, c.R, "x ")
			wall[i] += time.Since(begun)
			cpu[i] += processorTime(b) - used
		}
		b.StopTimer()
		c.do("LOGOUT")
		b.StartTimer()
	}
	for i, name := range []string{"SELECT", "ENVELOPE"} {
		b.ReportMetric(float64(cpu[i].Nanoseconds())/1000/float64(b.N)/n, name+"-cpu-us/msg")
		b.ReportMetric(float64(wall[i].Nanoseconds())/1000/float64(b.N)/n, name+"-us/msg")
	}
}

// fillTree makes a Maildir of n messages, mostly short texts, some with a large
// part.
func fillTree(b testing.TB, inbox string, n int) {
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(inbox, sub), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		lines := 20 + i*i%90
		if i%33 == 0 {
			lines = 1200
		}
		when := time.Unix(1_700_000_000+int64(i)*60, 0)
		text := fmt.Sprintf("From: Some One <s%d@elsewhere.example>\nTo: <joe@vmail.example>\nSubject: weekly report %d\nDate: %s\nMessage-ID: <%d@bench.example>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n",
			i%97, i, when.Format(time.RFC1123Z), i) + strings.Repeat("a line of a message as long as others\n", lines)
		name := fmt.Sprintf("%d.M%06dP1.bench,S=%d,W=%d:2,S", when.Unix(), i, len(text), len(text)+strings.Count(text, "\n"))
		if err := os.WriteFile(filepath.Join(inbox, "cur", name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

// skipTo reads to a line that begins so.
func skipTo(b testing.TB, r interface{ ReadSlice(byte) ([]byte, error) }, begin string) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			b.Fatal(err)
		}
		if bytes.HasPrefix(line, []byte(begin)) {
			return
		}
	}
}

func processorTime(b testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
