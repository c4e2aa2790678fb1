package pop3_test

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailserver/internal/testenv"
	"mailserver/pop3"
)

const joe = "joe@vmail.example"

func (h *house) fill(n int) {
	h.t.Helper()
	for i := range n {
		h.put(testenv.Section{Path: joe + "/INBOX", Text: fmt.Sprintf("Subject: %d\n\nbody %d\n", i, i)})
	}
}

func (h *house) status() (messages, unseen, recent uint32) {
	h.t.Helper()
	st, err := h.account(joe).Status(h.t.Context(), "INBOX")
	if err != nil {
		h.t.Fatal(err)
	}
	return st.Messages, st.Unseen, st.Recent
}

// TestUpdateAtQuit: RFC 1939 §6: nothing changes before it.
func TestUpdateAtQuit(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, nil)
	h.fill(5)
	c := h.login()
	c.list("RETR 1")
	c.do("DELE 2")
	c.Conn.Close()
	c = h.login()
	if n, unseen, _ := h.status(); n != 5 || unseen != 5 {
		t.Errorf("%d messages, %d unseen after a session without QUIT", n, unseen)
	}
	for _, cmd := range []string{"RETR 1", "TOP 3 1", "RETR 4"} {
		c.list(cmd)
	}
	c.do("DELE 4")
	c.do("DELE 5")
	if got := c.do("QUIT"); got != "+OK Logging out, messages deleted." {
		t.Error(got)
	}
	if n, unseen, _ := h.status(); n != 3 || unseen != 2 {
		t.Errorf("%d messages, %d unseen; 3 and 2 should be there", n, unseen)
	}
}

func TestNoFlagUpdates(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, map[string]string{"pop3_no_flag_updates": "yes"})
	h.fill(3)
	c := h.login()
	c.list("RETR 1")
	c.do("DELE 2")
	c.do("QUIT")
	if n, unseen, recent := h.status(); n != 2 || unseen != 2 || recent != 2 {
		t.Errorf("%d messages, %d unseen, %d recent; all 2", n, unseen, recent)
	}
}

// TestDeletedFlag: what DELE has marked stays for IMAP, and is gone for POP3.
func TestDeletedFlag(t *testing.T) {
	for _, rows := range []map[string]string{
		{"pop3_deleted_flag": "$POP3Deleted"},
		{"pop3_deleted_flag": "$POP3Deleted", "pop3_delete_type": "flag", "pop3_no_flag_updates": "yes"},
	} {
		h := open(t, pop3.ListenerOptions{}, rows)
		h.fill(3)
		c := h.login()
		c.do("DELE 2")
		c.do("QUIT")
		if n, _, _ := h.status(); n != 3 {
			t.Errorf("%v: %d messages", rows, n)
		}
		c = h.login()
		if got := c.list("LIST"); len(got) != 3 || got[0] != "+OK 2 messages:" {
			t.Errorf("%v: %q", rows, got)
		}
		if got := c.list("UIDL"); !strings.HasPrefix(got[2], "2 00000003") {
			t.Errorf("%v: %q", rows, got)
		}
	}
}

// TestLast: RFC 1460 §5.
func TestLast(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, map[string]string{"pop3_enable_last": "yes"})
	h.fill(5)
	c := h.login()
	for _, step := range []struct{ cmd, last string }{
		{"NOOP", "+OK 0"}, {"DELE 4", "+OK 0"}, {"RETR 3", "+OK 3"}, {"RETR 2", "+OK 3"},
	} {
		c.Send(step.cmd)
		c.Until(map[bool]string{true: `^\.$`, false: `^\+OK`}[strings.HasPrefix(step.cmd, "RETR")])
		if got := c.do("LAST"); got != step.last {
			t.Errorf("after %s: %s", step.cmd, got)
		}
	}
	c.do("QUIT")
	c = h.login()
	if got := c.do("LAST"); got != "+OK 3" {
		t.Error(got)
	}
	c.do("RSET")
	if got := c.do("LAST"); got != "+OK 0" {
		t.Error(got)
	}
	c.do("QUIT")
	if _, unseen, _ := h.status(); unseen != 4 {
		t.Errorf("%d unseen after RSET", unseen)
	}
}

// TestExpungedMeanwhile: another session takes a message away.
func TestExpungedMeanwhile(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, nil)
	h.fill(3)
	a, b := h.login(), h.login()
	a.do("DELE 2")
	a.do("QUIT")
	if got := b.do("RETR 2"); got != "-ERR Message 2 expunged." {
		t.Error(got)
	}
	if got := b.list("LIST"); len(got) != 4 {
		t.Errorf("numbers have changed: %q", got)
	}
	b.do("DELE 2")
	b.do("DELE 3")
	if got := b.do("QUIT"); got != "+OK Logging out, messages deleted." {
		t.Error(got)
	}
	if n, _, _ := h.status(); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// TestUIDLOfFile: by the names of files, many at once.
func TestUIDLOfFile(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, map[string]string{"pop3_uidl_format": "%f"})
	h.fill(600)
	c := h.login()
	c.do("DELE 300")
	list := c.list("UIDL")
	if len(list) != 600 {
		t.Fatalf("%d lines", len(list))
	}
	name := regexp.MustCompile(`^(\d+) (\d{10}\.[^ :]+)$`)
	seen := map[string]bool{}
	for _, line := range list[1:] {
		m := name.FindStringSubmatch(line)
		if m == nil || seen[m[2]] || m[1] == "300" {
			t.Fatal(line)
		}
		seen[m[2]] = true
	}
}

// TestSent: a message comes as it is, in lines.
func TestSent(t *testing.T) {
	long := strings.Repeat("x", 40000)
	for _, tt := range []struct{ text, top0, retr string }{
		{"a: b\n\n.\n..\nx.\n", "a: b|", "a: b||..|...|x."},
		{".\n\n.", "..|", "..||.."},
		{"\n\n\nx\n", "", "|||x"},
		{"a: b\nc: d", "a: b|c: d", "a: b|c: d"},
		{"", "", ""},
		{"a: " + long + "\n\n" + long + "\n." + long, "a: " + long + "|", "a: " + long + "||" + long + "|.." + long},
		{"a: b\n\n" + strings.Repeat(".\n", 20000), "a: b|", "a: b|" + strings.Repeat("|..", 20000)},
		{"a: b\n" + long[:16384-8] + "\n\ny\n", "a: b|" + long[:16384-8] + "|", "a: b|" + long[:16384-8] + "||y"},
	} {
		h := open(t, pop3.ListenerOptions{}, nil)
		h.put(testenv.Section{Path: joe + "/INBOX", Text: tt.text})
		c := h.login()
		for cmd, want := range map[string]string{"TOP 1 0": tt.top0, "RETR 1": tt.retr, "TOP 1 30000": tt.retr} {
			if got := strings.Join(c.list(cmd)[1:], "|"); got != want {
				t.Errorf("%s of %.20q: %.60q, want %.60q", cmd, tt.text, got, want)
			}
		}
	}
}

func TestWorkarounds(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, map[string]string{"pop3_client_workarounds": "outlook-no-nuls, oe-ns-eoh"})
	h.put(testenv.Section{Path: joe + "/INBOX", Text: "a: b\n\nc\x00d\n"})
	h.put(testenv.Section{Path: joe + "/INBOX", Text: "a: b\nc: d\n"})
	c := h.login()
	if got := strings.Join(c.list("RETR 1"), "|"); got != "+OK 13 octets|a: b||c\x80d" {
		t.Errorf("%q", got)
	}
	if got := strings.Join(c.list("TOP 2 1"), "|"); got != "+OK|a: b|c: d|" {
		t.Errorf("%q", got)
	}
}

// TestPipelining: RFC 2449 §6.6.
func TestPipelining(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, nil)
	h.fill(100)
	c := h.dial()
	c.Line()
	var all strings.Builder
	all.WriteString("USER joe@vmail.example\r\nPASS joes-secret\r\n")
	for i := 1; i <= 100; i++ {
		fmt.Fprintf(&all, "RETR %d\r\nDELE %d\r\n", i, i)
	}
	go c.Raw(all.String() + "QUIT\r\n")
	if got := c.Until("^\\+OK Logging out"); len(got) != 2+100*6+1 {
		t.Errorf("%d lines: %q", len(got), got[:10])
	}
	if n, _, _ := h.status(); n != 0 {
		t.Errorf("%d messages", n)
	}
}

var anAnswer = regexp.MustCompile(`(?m)^(\+OK|-ERR|\+ )`)

// FuzzSession sends any bytes after a log-in. The server may answer what it
// likes, but must live on, and end.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"STAT\r\nLIST\r\nUIDL 1\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nRSET\r\nQUIT\r\n",
		"LIST 1 2\r\nTOP 1 1 1\r\nTOP 99999999999999999999 1\r\nTOP 1 -1\r\nLAST\r\nUIDL 0\r\n",
		"RETR 1\nTOP 1 0\nNOOP\n\n\r\r\n \r\n  RETR 1\r\nDELE  2\r\nquit",
		"CAPA\r\nAUTH PLAIN\r\n=\r\nSTLS\r\nUSER x\r\nPASS y\r\n\x00\xff\r\n",
	} {
		f.Add([]byte(s))
	}
	h := open(f, pop3.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "0", "pop3_no_flag_updates": "yes", "pop3_deleted_flag": "x", "pop3_enable_last": "yes"})
	h.fill(3)
	f.Fuzz(func(t *testing.T, in []byte) {
		c := h.by(t).login()
		go func() {
			c.Conn.Write(in)
			c.Conn.(*net.TCPConn).CloseWrite()
		}()
		c.Conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		out, err := io.ReadAll(c.R)
		c.Conn.Close()
		if err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("%v after %q", err, out)
		}
		if log := h.log.String(); strings.Contains(log, "session failed") {
			t.Fatal(log)
		}
		if len(out) > 0 && !anAnswer.Match(out) {
			t.Fatalf("not an answer: %q", out)
		}
	})
}

// FuzzLogin sends any bytes before a log-in.
func FuzzLogin(f *testing.F) {
	f.Add([]byte("CAPA\r\nAUTH PLAIN\r\n*\r\nAUTH PLAIN AGEAYg==\r\nUSER joe\r\nPASS x\r\nQUIT\r\n"))
	f.Add([]byte("USER\r\nPASS\r\nAPOP a b\r\nAUTH\r\nAUTH PLAIN =\r\nauth plain\r\nAA==\r\n"))
	h := open(f, pop3.ListenerOptions{}, nil)
	f.Fuzz(func(t *testing.T, in []byte) {
		c := h.by(t).dial()
		go func() {
			c.Conn.Write(in)
			c.Conn.(*net.TCPConn).CloseWrite()
		}()
		c.Conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		out, err := io.ReadAll(c.R)
		c.Conn.Close()
		if err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("%v after %q", err, out)
		}
		if log := h.log.String(); strings.Contains(log, "session failed") {
			t.Fatal(log)
		}
		if strings.Contains(string(out), "Logged in") {
			t.Fatalf("a log-in by %q", in)
		}
	})
}

// TestXUIDL: what the header calls a message, and duplicates.
func TestXUIDL(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, map[string]string{"pop3_reuse_xuidl": "yes", "pop3_uidl_duplicates": "rename", "pop3_uidl_format": "%u"})
	for _, field := range []string{"X-UIDL: abc", "x-uidl: 1", "Subject: none", "X-UIDL: abc", "X-UIDL: abc", "X-UIDL: a b", "X-UIDL: " + strings.Repeat("x", 71), "X-UIDL: 3", "X-UIDL: abc-2"} {
		h.put(testenv.Section{Path: joe + "/INBOX", Text: field + "\nSubject: x\n\nX-UIDL: body\n"})
	}
	c := h.login()
	want := []string{"+OK", "1 abc", "2 1", "3 3", "4 abc-2", "5 abc-3", "6 6", "7 7", "8 3-2", "9 abc-2-2"}
	if got := c.list("UIDL"); strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("%q, want %q", got, want)
	}
	if got := c.do("UIDL 4"); got != "+OK 4 abc-2" {
		t.Error(got)
	}
	c.do("DELE 1")
	if got := c.do("UIDL 5"); got != "+OK 5 abc-3" {
		t.Error(got)
	}
}
