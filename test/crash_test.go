package test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sender is an SMTP client that sends one message after another on one
// connection, and knows which were answered 250.
type sender struct {
	c *textproto.Conn
}

func dialSender(addr string) (*sender, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	s := &sender{textproto.NewConn(conn)}
	if _, _, err := s.c.ReadResponse(220); err != nil {
		s.c.Close()
		return nil, err
	}
	if err := s.cmd(250, "EHLO client.elsewhere.example"); err != nil {
		s.c.Close()
		return nil, err
	}
	return s, nil
}

// sender connects to port 25 of the host until the test ends.
func (h *host) sender() *sender {
	h.t.Helper()
	s, err := dialSender(h.addr(25))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { s.c.Close() })
	return s
}

// sendJoe sends messages to joe over one connection, whose ids are prefix and a
// number from 0.
func (h *host) sendJoe(prefix string, n int) *sender {
	h.t.Helper()
	s := h.sender()
	for i := range n {
		if err := s.send("joe@vmail.example", message(fmt.Sprint(prefix, i), "s", "x")); err != nil {
			h.t.Fatal(err)
		}
	}
	return s
}

func (s *sender) cmd(code int, format string, args ...any) error {
	if err := s.c.PrintfLine(format, args...); err != nil {
		return err
	}
	_, _, err := s.c.ReadResponse(code)
	return err
}

// send returns nil when the message was answered 250.
func (s *sender) send(to string, msg []byte) error {
	return s.sendTo([]string{to}, msg)
}

// sendTo is send to several.
func (s *sender) sendTo(list []string, msg []byte) error {
	if err := s.cmd(250, "MAIL FROM:<a@elsewhere.example>"); err != nil {
		return err
	}
	for _, to := range list {
		if err := s.cmd(250, "RCPT TO:<%s>", to); err != nil {
			return err
		}
	}
	if err := s.cmd(354, "DATA"); err != nil {
		return err
	}
	w := s.c.DotWriter()
	if _, err := w.Write(msg); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, _, err := s.c.ReadResponse(250)
	return err
}

// code is the reply code of an error of send; 0 when it is none.
func code(err error) int {
	var e *textproto.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// load sends from many connections until stop is closed, and returns the ids
// that were answered 250; count is how many they are.
func load(addr string, connections int, stop chan struct{}, prefix string, users []string, count *atomic.Int64) []string {
	var mu sync.Mutex
	var acked []string
	var wg sync.WaitGroup
	body := strings.Repeat("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n", 60)
	for n := range connections {
		wg.Go(func() {
			s, err := dialSender(addr)
			if err != nil {
				return
			}
			defer s.c.Close()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%s-%d-%d", prefix, n, i)
				if err := s.send(users[rand.IntN(len(users))], message(id, "load", body)); err != nil {
					if code(err) == 0 {
						return // the connection is gone
					}
					continue
				}
				mu.Lock()
				acked = append(acked, id)
				mu.Unlock()
				count.Add(1)
			}
		})
	}
	wg.Wait()
	return acked
}

var testID = regexp.MustCompile(`(?m)^X-Test-ID: (\S+?)\r?$`)

// idsIn counts the messages below some Maildirs by their id.
func idsIn(t *testing.T, dirs []string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	for _, dir := range dirs {
		for _, file := range messages(t, dir) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := testID.FindSubmatch(text)
			if m == nil {
				t.Errorf("%s is not a whole message (%d bytes)", file, len(text))
				continue
			}
			found[string(m[1])]++
		}
	}
	return found
}

// TestKillLosesNothingAcknowledged: kill -9 in the middle of 20 connections,
// 20 times; whatever was answered 250 is there, once.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	h := sampleHost(t, "")
	users := []string{"joe@vmail.example", "ann@vmail.example", "open@vmail.example"}
	var acked []string
	for round := range rounds {
		h.start()
		stop := make(chan struct{})
		done := make(chan []string)
		var count atomic.Int64
		go func() { done <- load(h.addr(25), 20, stop, fmt.Sprint("r", round), users, &count) }()
		waitFor(t, "the first 250", func() bool { return count.Load() > 0 })
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		h.kill()
		close(stop)
		acked = append(acked, <-done...)
	}
	h.start()
	found := idsIn(t, []string{h.folder("joe"), h.folder("ann"), h.folder("open")})
	lost, double := 0, 0
	for _, id := range acked {
		if found[id] == 0 {
			lost++
		}
	}
	for _, n := range found {
		if n > 1 {
			double++
		}
	}
	if lost > 0 || double > 0 {
		t.Errorf("%d of %d acknowledged messages are lost, %d are there twice", lost, len(acked), double)
	}
	if len(acked) < rounds {
		t.Errorf("only %d messages were answered 250 in %d rounds: that proves nothing", len(acked), rounds)
	}
	t.Logf("%d acknowledged in %d rounds, %d on disk", len(acked), rounds, len(found))
	h.openMailboxes("joe", "ann", "open")
	h.check()
}

// TestKillDuringACommand: the server dies while a command of aliases(5) has a
// message. The message is not lost, and the command gets it at most once more.
func TestKillDuringACommand(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("commands run as another user")
	}
	h := sampleHost(t, "")
	dir, err := os.MkdirTemp("", "command-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	h.sql(fmt.Sprintf("INSERT INTO Address (addLocalpart, addDomNum) SELECT 'slow', domNum FROM Domain WHERE domName = 'mx.example';"+
		"INSERT INTO Alias (aliasNum, aliasTarget) SELECT addNum, '|echo x >> %[1]s/begun; cat >/dev/null; sleep 1; echo x >> %[1]s/done' FROM Address WHERE addLocalpart = 'slow';", dir))
	h.start()
	s, err := dialSender(h.addr(25))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.send("slow@mx.example", message("slow", "slow", "x")); err != nil {
		t.Fatal(err)
	}
	runs := func(name string) int {
		text, _ := os.ReadFile(filepath.Join(dir, name))
		return strings.Count(string(text), "x")
	}
	waitFor(t, "the command runs", func() bool { return runs("begun") == 1 })
	h.kill()
	h.start()
	waitFor(t, "the queue is empty", func() bool { return strings.Contains(h.mustRun("queue", "list"), "Mail queue is empty") })
	if begun, done := runs("begun"), runs("done"); begun != 2 || done < 1 || done > 2 {
		t.Errorf("the command began %d times and ended %d times\n%s", begun, done, h.log.tail(10))
	}
	h.check()
}

// sendMany sends n messages, numbered from 0, over ten connections; an error
// fails the test.
func (h *host) sendMany(n int, send func(s *sender, i int) error) {
	h.t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			s, err := dialSender(h.addr(25))
			if err != nil {
				h.t.Error(err)
				return
			}
			defer s.c.Close()
			for i := int(next.Add(1)) - 1; i < n && err == nil; i = int(next.Add(1)) - 1 {
				if err = send(s, i); err != nil {
					h.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
