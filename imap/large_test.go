package imap_test

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"mailserver/imap"
	"mailserver/internal/memtest"
)

// TestLargeMessageIsNotHeld: 50 MB in and out cost no memory of that size. All
// that was ever allocated counts, not only what was held at once.
func TestLargeMessageIsNotHeld(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	c := h.login()
	line := strings.Repeat("x", 76) + "\r\n"
	chunk := []byte(strings.Repeat(line, 1000))
	const n = 672 // about 50 MB
	head := "Subject: large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
	tail := "--b--\r\n"
	size := len(head) + n*len(chunk) + len(tail)

	before := allocated()
	c.Raw(fmt.Sprintf("a APPEND INBOX {%d+}\r\n%s", size, head))
	for range n {
		if _, err := c.Conn.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	c.Raw(tail + "\r\n")
	c.Until("^a OK")
	t.Logf("APPEND allocates %d KB", (allocated()-before)>>10)
	c.do("SELECT INBOX")
	for _, item := range []string{"BODYSTRUCTURE", "BODY.PEEK[]", "BODY.PEEK[1]", "BINARY.PEEK[1]", "BODY.PEEK[]<1000.40000000>"} {
		from := allocated()
		c.Send("f FETCH 1 " + item)
		got := c.literal()
		c.Until("^f OK")
		t.Logf("FETCH %s: %d bytes, allocates %d KB", item, got, (allocated()-from)>>10)
	}
	c.do("SEARCH BODY nothing")
	memtest.AtMost(t, "bytes allocated", 20<<20, int64(allocated()-before))
}

// literal reads the first line, and a literal at its end without keeping it.
func (c *client) literal() int64 {
	first := c.Line()
	m := regexp.MustCompile(`\{(\d+)\}$`).FindStringSubmatch(first)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	rest := n
	err := c.Patiently(func() error {
		got, err := io.CopyN(io.Discard, c.R, rest)
		rest -= got
		return err
	})
	if err != nil {
		c.T.Fatal(err)
	}
	return n
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestClientThatDoesNotRead holds up nobody else.
func TestClientThatDoesNotRead(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	lazy, other := h.login(), h.login()
	fill(other, 200)
	lazy.do("SELECT INBOX")
	other.do("SELECT INBOX")
	go func() {
		for range 2000 { // far more than the kernel keeps for it
			if _, err := io.WriteString(lazy.Conn, "x FETCH 1:* BODY.PEEK[]\r\n"); err != nil {
				return
			}
		}
	}()
	for range 20 {
		if got := other.do("STORE 1:* +FLAGS.SILENT (\\Seen)"); !strings.HasPrefix(got[len(got)-1], "x OK") {
			t.Fatal(got)
		}
		other.do("STORE 1:* -FLAGS.SILENT (\\Seen)")
	}
	if got := other.do("EXPUNGE"); got[0] != "x OK Expunge completed." {
		t.Error(got)
	}
	lazy.Conn.Close()
}

// TestShutdownLetsAppendFinish: what is being appended is stored and answered,
// then the session ends.
func TestShutdownLetsAppendFinish(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	c := h.login()
	c.Send("a APPEND INBOX {20}")
	c.Until(`^\+ OK`)
	c.Raw("Subject: x")
	down := make(chan error, 1)
	go func() { down <- h.srv.Shutdown(t.Context()) }()
	idle := h.dialUntilRefused()
	c.Raw("\r\n\r\nabcd\r\n\r\n")
	c.Until(`^a OK \[APPENDUID \d+ 1\] Append completed\.`)
	c.Until(`^\* BYE Server shutting down\.`)
	if err := <-down; err != nil || !idle {
		t.Error(err, idle)
	}
}

// dialUntilRefused waits until the server takes no more connections.
func (h *house) dialUntilRefused() bool {
	for range 10_000 {
		conn, err := net.Dial("tcp", h.addr)
		if err != nil {
			return true
		}
		conn.Close()
	}
	return false
}

// TestBrokenAppendLeavesNothing: a client that goes away in the middle.
func TestBrokenAppendLeavesNothing(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	c := h.login()
	c.Raw("a APPEND INBOX {6+}\r\na: 1\r\n {1000}\r\n")
	c.Until(`^\+ OK`)
	c.Raw("half")
	c.Conn.Close()
	other := h.login()
	if got := other.do("STATUS INBOX (MESSAGES)"); got[0] != "* STATUS INBOX (MESSAGES 0)" {
		t.Error(got)
	}
}
