package imap_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mailserver/imap"
	"mailserver/internal/memtest"
	"mailserver/internal/testenv"
)

// deepMail has a multipart in a multipart, levels deep.
func deepMail(levels int) string {
	var b strings.Builder
	b.WriteString("Subject: deep\nMIME-Version: 1.0\n")
	for i := range levels {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	b.WriteString("Content-Type: text/plain\n\nneedle\n")
	for i := levels - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "--b%d--\n", i)
	}
	return b.String()
}

// crowd is a header with many recipients.
func crowd(n int) string {
	var b strings.Builder
	b.WriteString("Subject: crowd\nFrom: a@x.example\nTo: r0@x.example")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, ",\n r%d@x.example", i)
	}
	b.WriteString("\n\nneedle\n")
	return b.String()
}

// TestHostileMail: what mail may hold costs bounded time and memory in each
// command that looks at it.
func TestHostileMail(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	for _, text := range []string{
		deepMail(10_000),
		crowd(100_000),
		"Subject: parts\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 100_000) + "--b--\n",
		"Subject: long\nX: " + strings.Repeat("a", 5<<20) + "\n\nneedle\n",
		"Subject: rfc822\n" + strings.Repeat("Content-Type: message/rfc822\n\n", 10_000) + "\nneedle\n",
		"References: " + strings.Repeat("<a@b> ", 200_000) + "\nSubject: " + strings.Repeat("Re: [x] ", 200_000) + "\n\nneedle\n",
		"Subject: =?utf-8?B?" + strings.Repeat("4pyT", 200_000) + "?=\nContent-Type: text/plain" + strings.Repeat("; a*0=b", 50_000) + "\n\nneedle\n",
	} {
		h.put(testenv.Section{Path: "joe@vmail.example/INBOX", Text: text})
	}
	c := h.login()
	c.do("SELECT INBOX")
	for _, cmd := range []string{
		"FETCH 1:* (ENVELOPE BODYSTRUCTURE)", "FETCH 1:* (BODY RFC822.SIZE)", "FETCH 1:* BODY.PEEK[HEADER.FIELDS (TO REFERENCES)]",
		"FETCH 1:* BODY.PEEK[1.1.1.1.1.1.1.1.1.1.1.1]", "FETCH 1:* BINARY.PEEK[1]", "SEARCH TEXT needle", "SEARCH TO r99999@x.example",
		"SORT (SUBJECT TO DISPLAYFROM DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL",
		"FETCH 1:* BODY.PEEK[" + strings.Repeat("1.", 99) + "1]", "COPY 1:* INBOX",
	} {
		c.within(t, cmd, "OK")
	}
	c.within(t, "FETCH 1 BODY.PEEK["+strings.Repeat("1.", 200)+"1]", "BAD")
}

// within runs a command and bounds what it costs, in time of the processor: the
// test machine may be busy.
func (c *client) within(t *testing.T, command, want string) {
	t.Helper()
	start, before := testenv.CPUTime(), allocated()
	c.Send("x " + command)
	status := c.discard("x ")
	took, cost := testenv.CPUTime()-start, allocated()-before
	name := command[:min(len(command), 60)]
	t.Logf("%-60q %8v %6d KB", name, took.Round(time.Millisecond), cost>>10)
	if (took > 10*time.Second || cost > 100<<20) && !memtest.Race {
		t.Errorf("%s: %v, %d MB were allocated", name, took, cost>>20)
	}
	if !strings.HasPrefix(status, want) {
		t.Errorf("%s: %.100s", name, status)
	}
}

// discard reads to the tagged line without keeping what comes before, and
// returns that.
func (c *client) discard(tag string) string {
	c.Conn.SetReadDeadline(time.Now().Add(5 * time.Minute))
	start := true
	for {
		part, prefix, err := c.R.ReadLine()
		if err != nil {
			c.T.Fatal(err)
		}
		if start && strings.HasPrefix(string(part), tag) {
			return strings.TrimPrefix(string(part), tag)
		}
		start = !prefix
	}
}

// TestHostileCommands: absurd commands get a clear answer, and the session goes
// on.
func TestHostileCommands(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	for i := range 20 {
		h.put(testenv.Section{Path: "joe@vmail.example/INBOX", Text: fmt.Sprintf("Subject: %d\n\ntext\n", i)})
	}
	c := h.login()
	c.do("CREATE " + strings.Repeat("a.", 15) + "a")
	c.do("SELECT INBOX")
	before := memtest.Heap()
	long := strings.Repeat("x", 10<<20)
	for _, tt := range []struct{ command, want string }{
		{long, "BAD"},
		{"SEARCH SUBJECT " + long, "BAD"},
		{`SEARCH SUBJECT "` + long + `"`, "BAD"},
		{"SEARCH SUBJECT {10485760+}\r\n" + long, "BAD"},
		{"STATUS {10485760+}\r\n" + long + " (MESSAGES)", "BAD"},
		{"SEARCH SUBJECT {18446744073709551615}", "BAD"},
		{"SEARCH SUBJECT {4294967296}", "BAD"},
		{"SEARCH SUBJECT {-1}", "BAD"},
		{"APPEND INBOX {9223372036854775807}", "NO [TOOBIG]"},
		{"APPEND INBOX {99999999999999999999}", "BAD"},
		{"SEARCH " + strings.Repeat("(", 10_000) + "ALL" + strings.Repeat(")", 10_000), "BAD"},
		{"SEARCH " + strings.Repeat("NOT ", 10_000) + "ALL", "BAD"},
		{"SEARCH " + strings.Repeat("OR ALL ", 5_000) + "ALL", "BAD"},
		{"SEARCH " + strings.Repeat("FUZZY ", 10_000) + "ALL", "BAD"},
		{"SEARCH " + strings.Repeat("ALL ", 15_000) + "ALL", "OK"},
		{"SEARCH " + strings.Repeat("TEXT a ", 5_000) + "ALL", "BAD"},
		{"FETCH 1 (" + strings.Repeat("FLAGS ", 5_000) + "UID)", "OK"},
		{"FETCH 1 " + strings.Repeat("(", 10_000), "BAD"},
		{`LIST "" ` + strings.Repeat("a*%", 10_000), "BAD"},
		{`LIST "" ` + strings.Repeat("a*%", 300), "OK"},
		{`LIST "" ` + strings.Repeat("*", 1_000), "OK"},
		{`LIST "" (` + strings.Repeat("%*% ", 99) + `x)`, "OK"},
		{`LIST "" (` + strings.Repeat("%*% ", 9_000) + `x)`, "BAD"},
		{"STATUS ../../etc/passwd (MESSAGES)", "NO [CANNOT]"},
		{"CREATE ../x", "NO [CANNOT]"},
		{"CREATE /etc/x", "NO [CANNOT]"},
		{"CREATE x/../../y", "NO [CANNOT]"},
		{"CREATE \"a\x00b\"", "BAD"},
		{"CREATE {3+}\r\na\x00b", "BAD"},
		{"CREATE " + strings.Repeat("a.", 400) + "a", "NO [CANNOT]"},
		{"CREATE " + strings.Repeat("y", 2_000), "BAD"},
		{"RENAME INBOX ../x", "NO [CANNOT]"},
		{"UID FETCH 1:4294967295 UID", "OK"},
		{"UID FETCH 1:4294967295,1:4294967295,4294967295:1 UID", "OK"},
		{"UID FETCH 4294967295:* UID", "OK"},
		{"UID FETCH 99999999999 UID", "BAD"},
		{"FETCH " + strings.Repeat("1,", 20_000) + "1 UID", "OK"},
		{"FETCH 1:4294967295 UID", "BAD"},
		{"UID STORE 4294967295:1 +FLAGS (\\Seen)", "OK"},
		{"STORE 1 +FLAGS (" + strings.Repeat("a ", 10_000) + "b)", "BAD"},
		{"UID SEARCH UID 1:4294967295", "OK"},
		{"SEARCH RETURN (PARTIAL 1:4294967295) ALL", "OK"},
		{"SORT (" + strings.Repeat("REVERSE ", 10_000) + "DATE) UTF-8 ALL", "BAD"},
		{"FETCH 1 BODY.PEEK[]<9223372036854775807.9223372036854775807>", "OK"},
		{"ID (" + strings.Repeat(`"a" "b" `, 1_000) + `"c" "d")`, "BAD"},
		{"ENABLE " + strings.Repeat("X ", 10_000) + "Y", "OK"},
	} {
		c.within(t, tt.command, tt.want)
		if got := c.do("NOOP"); len(got) == 0 || !strings.HasPrefix(got[len(got)-1], "x OK") {
			t.Fatalf("after %.60s: %q", tt.command, got)
		}
	}
	memtest.Settles(t, "bytes held", 8<<20, func() int64 { return memtest.Heap() - before })
}

// TestHostileBeforeLogin: who has not logged in may send little.
func TestHostileBeforeLogin(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	c := h.dial()
	c.Line()
	go func() { // the server closes on the way
		for range 100 {
			if _, err := io.WriteString(c.Conn, strings.Repeat("x", 100<<10)); err != nil {
				return
			}
		}
	}()
	c.Conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
	out, _ := io.ReadAll(c.R)
	if len(out) > 1000 {
		t.Errorf("%d bytes of answer", len(out))
	}
}
