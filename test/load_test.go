package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
)

// manyUsers adds mailboxes u0 to un-1 with the password "x".
func (h *host) manyUsers(n int) []string {
	var sql strings.Builder
	var users []string
	for i := range n {
		fmt.Fprintf(&sql, "INSERT INTO Address (addLocalpart, addDomNum) SELECT 'u%d', domNum FROM Domain WHERE domName='vmail.example';"+
			"INSERT INTO VMailbox (vmNum, vmPasswd) SELECT addNum, '{PLAIN}x' FROM Address WHERE addLocalpart='u%d';", i, i)
		users = append(users, fmt.Sprintf("u%d", i))
		passwords[users[i]] = "x"
	}
	h.sql("BEGIN;" + sql.String() + "COMMIT;")
	return users
}

// TestLoadWithAWatcher: 20 connections deliver 5,000 messages of 4 KB to 100
// mailboxes while a client watches one of them by IDLE: nothing lost, nothing
// double, index and tree agree.
func TestLoadWithAWatcher(t *testing.T) {
	total := 5000
	if testing.Short() {
		total = 500
	}
	h := sampleHost(t, "")
	h.start()
	users := h.manyUsers(100)
	told, watcher := h.watch(users[0])
	defer watcher.Close()

	body := strings.Repeat(strings.Repeat("m", 70)+"\r\n", 56)
	begun, used := time.Now(), h.cpu()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			s, err := dialSender(h.addr(25))
			if err != nil {
				t.Error(err)
				return
			}
			defer s.c.Close()
			for {
				i := int(next.Add(1)) - 1
				if i >= total {
					return
				}
				if err := s.send(users[i%len(users)]+"@vmail.example", message(fmt.Sprint("load", i), "load", body)); err != nil {
					t.Errorf("message %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begun)
	t.Logf("%d messages in %v: %.0f a second, %.2f ms CPU each; resident %d KiB", total, took.Round(time.Millisecond),
		float64(total)/took.Seconds(), (h.cpu()-used).Seconds()*1000/float64(total), h.resident())

	var dirs []string
	for _, u := range users {
		dirs = append(dirs, h.folder(u))
	}
	found := idsIn(t, dirs)
	for i := range total {
		if n := found[fmt.Sprint("load", i)]; n != 1 {
			t.Errorf("message %d is there %d times", i, n)
		}
	}
	want := uint32(total / len(users))
	for end := time.Now().Add(patience); told.Load() != want && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if got := told.Load(); got != want {
		t.Errorf("the watcher was told of %d messages, want %d", got, want)
	}
	h.openMailboxes(users...)
	h.check()
}

// watch idles in the INBOX of a user and keeps the number of messages that it
// was told.
func (h *host) watch(user string) (*atomic.Uint32, *imapclient.Client) {
	h.t.Helper()
	told := new(atomic.Uint32)
	c, err := imapclient.DialInsecure(h.addr(143), &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				told.Store(*d.NumMessages)
			}
		}}})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := c.Login(user+"@vmail.example", passwords[user]).Wait(); err != nil {
		h.t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		h.t.Fatal(err)
	}
	if _, err := c.Idle(); err != nil {
		h.t.Fatal(err)
	}
	return told, c
}

// cpu is the time that the server has used, in ticks of 10 ms.
func (h *host) cpu() time.Duration {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(h.cmd.Process.Pid), "stat"))
	if err != nil {
		h.t.Skip("no /proc")
	}
	// Fields 14 and 15, after the name of the program, which ends in ")".
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	var user, system int64
	fmt.Sscan(f[11], &user)
	fmt.Sscan(f[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// resident is the memory of the server in KiB.
func (h *host) resident() int { return h.status("VmRSS:") }

// peak is the most that it ever was since the last call of forgetPeak.
func (h *host) peak() int { return h.status("VmHWM:") }

func (h *host) status(field string) int {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(h.cmd.Process.Pid), "status"))
	if err != nil {
		h.t.Skip("no /proc")
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			var n int
			fmt.Sscan(rest, &n)
			return n
		}
	}
	return 0
}

// forgetPeak begins a new measurement of peak.
func (h *host) forgetPeak() {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join("/proc", fmt.Sprint(h.cmd.Process.Pid), "clear_refs"), []byte("5"), 0); err != nil {
		h.t.Skip("no /proc/PID/clear_refs")
	}
}
