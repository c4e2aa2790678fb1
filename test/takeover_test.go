package test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// peerDovecot is a Dovecot that serves joe's mail on the ports of a host, while
// the host does not.
type peerDovecot struct {
	t   *testing.T
	h   *host
	dir string
	cmd *exec.Cmd
}

// mailOwner is the owner of joe's mailbox in the sample.
const mailOwner = 842

func newPeerDovecot(t *testing.T, h *host, mail string) *peerDovecot {
	t.Helper()
	need(t, "dovecot")
	if _, err := user.Lookup("dovenull"); err != nil || os.Geteuid() != 0 {
		t.Skip("Dovecot runs as root, and as the users dovecot and dovenull")
	}
	dir, err := os.MkdirTemp("", "dc-") // a path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	conf := fmt.Sprintf("base_dir = %[1]s/run\nstate_dir = %[1]s/state\nlog_path = %[1]s/log\nprotocols = imap pop3\nssl = no\n"+
		"listen = 127.0.0.1\nauth_failure_delay = 0\ninstance_name = takeover\nmail_location = maildir:%[2]s\nfirst_valid_uid = 1\n"+
		"passdb {\n driver = static\n args = password={plain}joes-secret\n}\nuserdb {\n driver = static\n args = uid=%[3]d gid=%[3]d home=%[1]s\n}\n"+
		"service imap-login {\n inet_listener imap {\n  port = %[4]d\n }\n inet_listener imaps {\n  port = 0\n }\n}\n"+
		"service pop3-login {\n inet_listener pop3 {\n  port = %[5]d\n }\n inet_listener pop3s {\n  port = 0\n }\n}\n",
		dir, mail, mailOwner, h.base+143, h.base+110)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	d := &peerDovecot{t: t, h: h, dir: dir}
	t.Cleanup(d.stop)
	return d
}

func (d *peerDovecot) start() {
	d.t.Helper()
	d.cmd = exec.Command("dovecot", "-F", "-c", filepath.Join(d.dir, "conf"))
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", d.h.addr(143)); err == nil {
			c.Close()
			return
		}
	}
	d.t.Fatal("Dovecot does not answer")
}

func (d *peerDovecot) stop() {
	if d.cmd == nil {
		return
	}
	d.cmd.Process.Signal(os.Interrupt)
	d.cmd.Wait()
	d.cmd = nil
	if d.t.Failed() {
		text, _ := os.ReadFile(filepath.Join(d.dir, "log"))
		d.t.Logf("log of Dovecot:\n%.3000s", text)
	}
}

// rawIMAP speaks to whoever has the port.
type rawIMAP struct {
	t   *testing.T
	c   net.Conn
	r   *bufio.Reader
	tag int
}

func (h *host) rawIMAP() *rawIMAP { return h.rawIMAPAs("joe@vmail.example") }

func (h *host) rawIMAPAs(user string) *rawIMAP { return h.rawIMAPWith(user, "joes-secret") }

func (h *host) rawIMAPWith(user, password string) *rawIMAP {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr(143))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	i := &rawIMAP{t: h.t, c: c, r: bufio.NewReader(c)}
	i.r.ReadString('\n')
	i.do(`LOGIN %s "%s"`, user, password)
	return i
}

func (i *rawIMAP) do(format string, args ...any) (lines []string) {
	i.t.Helper()
	i.tag++
	tag := fmt.Sprintf("t%d ", i.tag)
	i.c.SetDeadline(time.Now().Add(2 * time.Minute))
	fmt.Fprintf(i.c, tag+format+"\r\n", args...)
	for {
		line, err := i.r.ReadString('\n')
		if err != nil {
			i.t.Fatalf("%.200s: %v", fmt.Sprintf(format, args...), err)
		}
		if rest, ok := strings.CutPrefix(line, tag); ok {
			if !strings.HasPrefix(rest, "OK") {
				i.t.Fatalf("%.200s: %s", fmt.Sprintf(format, args...), rest)
			}
			return lines
		}
		lines = append(lines, line)
	}
}

// fill appends messages to a mailbox, many at a time.
func (i *rawIMAP) fill(box string, n int) {
	flags := []string{"", `\Seen`, `\Seen \Answered`, `\Flagged`, `$Forwarded NonJunk`, `\Seen keyword-` + strconv.Itoa(n%7)}
	const many = 100 // we take no more
	for from := 0; from < n; from += many {
		var b strings.Builder
		fmt.Fprintf(&b, "APPEND %s", box)
		for k := from; k < min(from+many, n); k++ {
			m := fmt.Sprintf("From: a@example.org\r\nTo: joe@vmail.example\r\nSubject: number %d\r\nMessage-ID: <%d.%x@example.org>\r\n"+
				"Date: Thu, 19 Nov 2026 10:00:00 +0000\r\n\r\nbody %d\r\n.dot\r\n%s\r\n", k, k, box, k, strings.Repeat("x", k%300))
			fmt.Fprintf(&b, ` (%s) "%02d-Mar-2021 10:00:00 +0100" {%d+}`+"\r\n%s", flags[k%len(flags)], k%28+1, len(m), m)
		}
		i.do("%s", b.String())
	}
}

// oddNames are mailboxes as IMAP has them.
var oddNames = []string{"INBOX", "Sent", "Lists", "Lists.go", "Lists.go.announce", `"with space"`, `"R&AOQ-ksm&APY-rg&AOU-s"`, `"a &- b"`,
	`"quote'(x)"`, "x#y", `"&ZeVnLIqe-"`, "UPPER", "upper", "tilde~", "dash-", "1", "_", "a=b", `"A very long name of a mailbox, but still one"`, "Trash"}

// clients are what synchronises with the server, each with its own idea of what
// it has already.
type clients struct {
	h    *host
	tree string
}

func newClients(t *testing.T, h *host) *clients {
	c := &clients{h: h, tree: t.TempDir()}
	h.mbsyncConf(c.tree)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(c.tree, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("offlineimaprc", fmt.Sprintf("[general]\naccounts = a\nmetadata = %[1]s/offline\nui = basic\n[Account a]\nlocalrepository = near\nremoterepository = far\n"+
		"[Repository near]\ntype = Maildir\nlocalfolders = %[1]s/off\nsep = .\n[Repository far]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = %[2]d\nremoteuser = joe@vmail.example\nremotepass = joes-secret\nssl = no\nstarttls = no\nauth_mechanisms = PLAIN\n", c.tree, h.base+143))
	write("fetchmailrc", fmt.Sprintf("set idfile \"%[1]s/ids\"\npoll 127.0.0.1 proto POP3 uidl port %[2]d\n user \"joe@vmail.example\" sslproto \"\" password \"joes-secret\" keep mda \"cat >> %[1]s/fetched\"\n", c.tree, h.base+110))
	os.Mkdir(filepath.Join(c.tree, "getmail"), 0o700)
	write("getmail/getmailrc", fmt.Sprintf("[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = %d\nusername = joe@vmail.example\npassword = joes-secret\ntimeout = 10\n"+
		"[destination]\ntype = MDA_external\npath = /bin/sh\narguments = (\"-c\", \"cat >> %s/got; sleep 0.03\")\nallow_root_commands = true\n[options]\nread_all = false\ndelete = false\n", h.base+110, c.tree))
	return c
}

var (
	offlineMove = regexp.MustCompile(`(?m)^ *(Copy message|Adding|Removing|Deleting|Creating folder|New folder).*`)
	getmailEnd  = regexp.MustCompile(`(\d+) messages \(\d+ bytes\) retrieved`)
)

// sync runs all of them, and says what was moved.
func (c *clients) sync() (moved []string) {
	t := c.h.t
	t.Helper()
	before := c.state()
	run := func(name string, args ...string) string {
		cmd := exec.Command(need(t, name), args...)
		cmd.Env = append(os.Environ(), "HOME="+c.tree, "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		for range 10 {
			// getmail waits in vain for a child that ends before the wait begins. It
			// remembers what it had fetched before.
			if name != "getmail" || !strings.Contains(string(out), "waiting child pid") {
				break
			}
			again := exec.Command(name, args...)
			again.Env = cmd.Env
			out, err = again.CombinedOutput()
		}
		if err != nil && !(name == "fetchmail" && err.Error() == "exit status 1") {
			t.Fatalf("%s: %v\n%s\n%s", name, err, last(string(out), 3000), c.h.log.tail(10))
		}
		return string(out)
	}
	run("mbsync", "-c", filepath.Join(c.tree, "rc"), "c")
	if os.Getenv("MAILSERVER_LONG") != "fast" { // it copies some 30 messages a second
		out := run("offlineimap", "-o", "-c", filepath.Join(c.tree, "offlineimaprc"))
		moved = append(moved, offlineMove.FindAllString(out, 10)...)
	}
	run("fetchmail", "-f", filepath.Join(c.tree, "fetchmailrc"), "--pidfile", filepath.Join(c.tree, "pid"), "--nosyslog")
	if os.Getenv("MAILSERVER_LONG") == "fast" {
		return append(moved, c.changed(before)...)
	}
	out := run("getmail", "--getmaildir", filepath.Join(c.tree, "getmail"))
	if m := getmailEnd.FindStringSubmatch(out); m == nil || m[1] != "0" {
		moved = append(moved, "getmail: "+last(out, 100))
	}
	return append(moved, c.changed(before)...)
}

func (c *clients) changed(before map[string]string) (moved []string) {
	for what, now := range c.state() {
		if now != before[what] {
			moved = append(moved, what+" has changed: "+difference(before[what], now))
		}
	}
	return moved
}

// settle moves what there is to move, at least that many things. What POP3 has
// fetched is read then, which IMAP learns the next time.
func (c *clients) settle(least int) {
	c.h.t.Helper()
	if moved := c.sync(); len(moved) < least {
		c.h.t.Errorf("only this was moved: %q", moved)
	}
	c.sync()
	if moved := c.sync(); len(moved) > 0 {
		c.h.t.Errorf("a run after that moved %q", moved)
	}
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// state is what the clients have: files with their flags, and bytes fetched.
func (c *clients) state() map[string]string {
	s := map[string]string{}
	for _, dir := range []string{"near", "off"} {
		var b strings.Builder
		filepath.WalkDir(filepath.Join(c.tree, dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (strings.Contains(path, "/cur/") || strings.Contains(path, "/new/")) {
				b.WriteString(path + "\n")
			}
			return nil
		})
		s[dir] = b.String()
	}
	for _, name := range []string{"fetched", "got"} {
		if st, err := os.Stat(filepath.Join(c.tree, name)); err == nil {
			s[name] = fmt.Sprint(st.Size())
		}
	}
	return s
}

func difference(a, b string) string {
	have := map[string]bool{}
	for line := range strings.Lines(a) {
		have[line] = true
	}
	var out []string
	for line := range strings.Lines(b) {
		if !have[line] && len(out) < 5 {
			out = append(out, "+"+strings.TrimSpace(line))
		}
		delete(have, line)
	}
	for line := range have {
		if len(out) < 10 {
			out = append(out, "-"+strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "\n")
}

// TestTakeOverOfDovecot is the move of a mail host that no client notices: a
// Dovecot has filled a tree, clients have synchronised with it; the server takes
// over on the same ports, and nothing is moved; nor when Dovecot comes back.
func TestTakeOverOfDovecot(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"dovecot", "mbsync", "offlineimap", "fetchmail", "getmail"} {
		need(t, p)
	}
	names, total := []string{"INBOX", "Lists.go", `"R&AOQ-ksm&APY-rg&AOU-s"`}, 300
	if os.Getenv("MAILSERVER_LONG") != "" {
		names, total = oddNames, 50000
		if n, err := strconv.Atoi(os.Getenv("MAILSERVER_LONG")); err == nil && n > 1 {
			total = n
		}
	}
	h := sampleHost(t, "")
	h.mustRun("config", "set", "disable_plaintext_auth=no", "mail_max_userip_connections=0")
	mail := h.folder("joe")
	if err := os.MkdirAll(mail, 0o700); err != nil {
		t.Fatal(err)
	}
	for dir := mail; dir != filepath.Dir(h.dir); dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o711)
	}
	os.Chown(mail, mailOwner, mailOwner)
	os.Chown(filepath.Dir(mail), mailOwner, mailOwner)
	for dir := filepath.Dir(h.dir); dir != "/" && dir != "/tmp"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	d := newPeerDovecot(t, h, mail)
	d.start()
	begun := time.Now()
	lap := func(what string) {
		t.Logf("%6.1f s  %s", time.Since(begun).Seconds(), what)
		begun = time.Now()
	}

	i := h.rawIMAP()
	for _, name := range names {
		if name != "INBOX" {
			i.do("CREATE %s", name)
			i.do("SUBSCRIBE %s", name)
		}
		i.fill(name, total/len(names))
		i.do("SELECT %s", name)
		i.do(`STORE 3:5 +FLAGS (\Deleted)`)
		i.do("EXPUNGE")
		i.do(`STORE 10,20 FLAGS (\Seen Work $Label1)`)
	}
	i.do("LOGOUT")
	lap("Dovecot has filled the tree")
	c := newClients(t, h)
	c.settle(2)
	lap("clients have synchronised with Dovecot")
	d.stop()

	h.start()
	if moved := c.sync(); len(moved) > 0 {
		t.Errorf("the first run with us moved %q", moved)
	}
	lap("clients have synchronised with us: nothing was moved")
	c.oneMore("from us")
	i = h.rawIMAP()
	i.do("SELECT %s", names[1])
	i.do(`STORE 7 +FLAGS (\Flagged)`)
	i.do(`STORE 9 +FLAGS (\Deleted)`)
	i.do("EXPUNGE")
	i.do("LOGOUT")
	c.settle(2)
	h.check()
	h.stop()
	lap("changes by us")

	d.start()
	if moved := c.sync(); len(moved) > 0 {
		t.Errorf("the first run back with Dovecot moved %q", moved)
	}
	lap("clients have synchronised with Dovecot again: nothing was moved")
	c.oneMore("from Dovecot")
	c.settle(2)
	d.stop()

	h.start()
	if moved := c.sync(); len(moved) > 0 {
		t.Errorf("the second run with us moved %q", moved)
	}
	lap("and with us again")
	h.openMailboxes("joe")
	h.check()
}

// oneMore appends a message to INBOX.
func (c *clients) oneMore(subject string) {
	i := c.h.rawIMAP()
	m := "Subject: one more " + subject + "\r\nMessage-ID: <" + strings.ReplaceAll(subject, " ", ".") + "@example.org>\r\n\r\nx\r\n"
	i.do("APPEND INBOX {%d+}\r\n%s", len(m), m)
	i.do("LOGOUT")
	io.Copy(io.Discard, i.r)
}
