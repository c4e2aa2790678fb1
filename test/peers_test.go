package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// need skips the test when a program of others is missing. MAILSERVER_PEERS=1,
// which .ci/run sets, makes that a failure: a test that did not run has not
// passed.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	if os.Getenv("MAILSERVER_PEERS") == "1" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
	return ""
}

// patience is how long a test waits for what must come: a busy machine is slow,
// which is no fault.
const patience = 2 * time.Minute

// peerTime bounds one run of another program.
const peerTime = patience

// outside runs another program and returns what it said.
func outside(t *testing.T, stdin string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), peerTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, need(t, name), args...)
	cmd.WaitDelay = 5 * time.Second // what it started may hold its output for ever
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustOutside(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	out, err := outside(t, stdin, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func TestSwaks(t *testing.T) {
	t.Parallel()
	need(t, "swaks")
	h := sampleHost(t, "")
	h.start()
	port := func(n int) string { return strconv.Itoa(h.base + n) }
	base := []string{"--server", "127.0.0.1", "--ehlo", "client.elsewhere.example", "--from", "a@elsewhere.example"}
	login := []string{"--auth-user", "joe@vmail.example", "--auth-password", "joes-secret", "--from", "joe@vmail.example"}
	tests := []struct {
		name string
		args []string
		want string // in the dialog
		fail bool
	}{
		{"plain", []string{"--port", port(25), "--to", "joe@vmail.example"}, "250 2.0.0 Ok: queued as", false},
		{"several recipients", []string{"--port", port(25), "--to", "joe@vmail.example,ann@vmail.example"}, "250 2.0.0 Ok: queued as", false},
		{"starttls", []string{"--port", port(25), "--tls", "--to", "joe@vmail.example"}, "TLS started", false},
		{"pipelining", []string{"--port", port(25), "--pipeline", "--to", "sales@alias.example"}, "250 2.0.0 Ok: queued as", false},
		{"unknown", []string{"--port", port(25), "--to", "nobody@vmail.example"}, "550 5.1.1 <nobody@vmail.example>: Recipient address rejected: User unknown in virtual mailbox table", true},
		{"refused by class", []string{"--port", port(25), "--to", "strict@vmail.example"}, "", true},
		{"no relay", []string{"--port", port(25), "--to", "x@elsewhere.example"}, "", true},
		{"auth plain", append([]string{"--port", port(587), "--tls", "--auth", "PLAIN", "--to", "ann@vmail.example"}, login...), "235 2.7.0 Authentication successful", false},
		{"auth login", append([]string{"--port", port(587), "--tls", "--auth", "LOGIN", "--to", "ann@vmail.example"}, login...), "235 2.7.0 Authentication successful", false},
		{"auth over smtps", append([]string{"--port", port(465), "--tlsc", "--auth", "PLAIN", "--to", "ann@vmail.example"}, login...), "235 2.7.0 Authentication successful", false},
		{"wrong password", []string{"--port", port(587), "--tls", "--auth", "PLAIN", "--auth-user", "joe@vmail.example", "--auth-password", "no", "--to", "ann@vmail.example"}, "535 5.7.8", true},
		{"submission without login", []string{"--port", port(587), "--tls", "--to", "ann@vmail.example"}, "", true},
		{"lmtp", []string{"--port", port(24), "--protocol", "LMTP", "--to", "joe@vmail.example,nobody@vmail.example"}, "250 2.", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "refused by class" {
				// Loopback is in mynetworks; the class is for strangers.
				h.mustRun("config", "set", "mynetworks=192.0.2.0/24")
				defer h.mustRun("config", "unset", "mynetworks")
				tt.want = "554 5.7.1 <strict@vmail.example>: Recipient address rejected: Access denied"
			}
			if tt.name == "no relay" {
				h.mustRun("config", "set", "mynetworks=192.0.2.0/24")
				defer h.mustRun("config", "unset", "mynetworks")
				tt.want = "Relay access denied"
			}
			out, err := outside(t, "", "swaks", append(append([]string{}, base...), tt.args...)...)
			if (err != nil) != tt.fail || !strings.Contains(out, tt.want) {
				t.Errorf("%v; want %q in\n%s\n%s", err, tt.want, out, h.log.tail(5))
			}
		})
	}
	if n := len(messages(t, h.folder("joe"))); n != 5 {
		t.Errorf("joe has %d messages", n)
	}
	if n := len(messages(t, h.folder("ann"))); n != 4 {
		t.Errorf("ann has %d messages", n)
	}
	h.openMailboxes("joe", "ann")
	h.check()
}

func TestCurl(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	h := sampleHost(t, "")
	h.start()
	file := filepath.Join(t.TempDir(), "mail.txt")
	if err := os.WriteFile(file, message("curl", "by curl", "a body\r\nof two lines"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustOutside(t, "", "curl", "-sS", "--url", "smtp://"+h.addr(25)+"/client.elsewhere.example", "--mail-from", "a@elsewhere.example",
		"--mail-rcpt", "joe@vmail.example", "--upload-file", file)
	mustOutside(t, "", "curl", "-sS", "-k", "--ssl-reqd", "--user", "ann@vmail.example:anns-secret", "--url", "smtp://"+h.addr(587),
		"--mail-from", "ann@vmail.example", "--mail-rcpt", "joe@vmail.example", "--upload-file", file)
	user := []string{"-sS", "-k", "--user", "joe@vmail.example:joes-secret"}
	imap := func(args ...string) string { return mustOutside(t, "", "curl", append(user, args...)...) }
	if out := imap("imaps://" + h.addr(993) + "/INBOX;MAILINDEX=1"); !strings.Contains(out, "of two lines\r\n") {
		t.Errorf("message 1: %q", out)
	}
	if out := imap("imaps://" + h.addr(993) + "/INBOX;MAILINDEX=2;SECTION=HEADER.FIELDS%20(SUBJECT)"); !strings.Contains(out, "Subject: by curl") {
		t.Errorf("subject of message 2: %q", out)
	}
	imap("--upload-file", file, "imaps://"+h.addr(993)+"/INBOX")
	if out := imap("imaps://"+h.addr(993)+"/INBOX", "-X", "SEARCH SUBJECT curl"); !strings.Contains(out, "* SEARCH 1 2 3") {
		t.Errorf("search: %q", out)
	}
	if out := imap("--ssl-reqd", "imap://"+h.addr(143)+"/", "-X", `LIST "" *`); !strings.Contains(out, "INBOX") {
		t.Errorf("list: %q", out)
	}
	if out, err := outside(t, "", "curl", "-sS", "-k", "--user", "joe@vmail.example:wrong", "imaps://"+h.addr(993)+"/INBOX"); err == nil {
		t.Errorf("a wrong password was taken: %s", out)
	}
	h.check()
}

func TestPython(t *testing.T) {
	t.Parallel()
	need(t, "python3")
	h := sampleHost(t, "")
	h.start()
	out := mustOutside(t, "", "python3", "testdata/clients.py", strconv.Itoa(h.base))
	if !strings.Contains(out, "all well") {
		t.Errorf("%s", out)
	}
	h.check()
}

// TestMbsync copies a mailbox to a local tree, changes both sides, and copies
// again; the run after that moves nothing.
func TestMbsync(t *testing.T) {
	t.Parallel()
	need(t, "mbsync")
	h := sampleHost(t, "")
	h.start()
	s := h.sender()
	for i := range 5 {
		if err := s.send("joe@vmail.example", message(fmt.Sprint("sync", i), "sync", "x")); err != nil {
			t.Fatal(err)
		}
	}
	tree := t.TempDir()
	rc := h.mbsyncConf(tree)
	h.mustRun("config", "set", "disable_plaintext_auth=no")
	sync := func() string { return mustOutside(t, "", "mbsync", "-V", "-c", rc, "c") }
	sync()
	near := filepath.Join(tree, "near", "INBOX")
	if n := len(messages(t, near)); n != 5 {
		t.Fatalf("%d messages came", n)
	}
	// The local side gets one more and flags another; the server loses one.
	if err := os.WriteFile(filepath.Join(near, "new", "1700000000.1.local"), message("local", "sync", "x"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := messages(t, near)[0]
	if err := os.Rename(old, filepath.Join(near, "cur", strings.SplitN(filepath.Base(old), ":", 2)[0]+":2,FS")); err != nil {
		t.Fatal(err)
	}
	mustOutside(t, "", "curl", "-sS", "-k", "--user", "joe@vmail.example:joes-secret", "imaps://"+h.addr(993)+"/INBOX", "-X", `STORE 5 +FLAGS.SILENT (\Deleted)`)
	mustOutside(t, "", "curl", "-sS", "-k", "--user", "joe@vmail.example:joes-secret", "imaps://"+h.addr(993)+"/INBOX", "-X", "EXPUNGE")
	sync()
	if a, b := len(messages(t, near)), len(messages(t, h.folder("joe"))); a != 5 || b != 5 {
		t.Errorf("%d messages here, %d there", a, b)
	}
	before := listing(t, near, h.folder("joe"))
	sync()
	if after := listing(t, near, h.folder("joe")); after != before {
		t.Errorf("the run after the last one has moved something:\n%s\n%s", before, after)
	}
	flagged := 0
	for _, f := range messages(t, h.folder("joe")) {
		if strings.HasSuffix(f, ":2,FS") {
			flagged++
		}
	}
	if flagged != 1 {
		t.Errorf("%d messages are flagged on the server", flagged)
	}
	h.check()
}

// mbsyncConf is a configuration that keeps joe's mail in tree/near as it is here.
func (h *host) mbsyncConf(tree string) string {
	h.t.Helper()
	rc := filepath.Join(tree, "rc")
	conf := fmt.Sprintf(`IMAPAccount a
Host 127.0.0.1
Port %d
User joe@vmail.example
Pass joes-secret
SSLType None
AuthMechs LOGIN

IMAPStore far
Account a

MaildirStore near
Path %s/near/
Inbox %s/near/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Sync All
SyncState *
`, h.base+143, tree, tree)
	if err := os.MkdirAll(filepath.Join(tree, "near"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(rc, []byte(conf), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return rc
}

// listing names every message of some Maildirs.
func listing(t *testing.T, dirs ...string) string {
	t.Helper()
	var all []string
	for _, d := range dirs {
		all = append(all, messages(t, d)...)
	}
	return strings.Join(all, "\n")
}

func TestNeomuttInBatch(t *testing.T) {
	t.Parallel()
	need(t, "neomutt")
	h := sampleHost(t, "")
	h.start()
	rc := filepath.Join(t.TempDir(), "rc")
	conf := fmt.Sprintf(`set from="joe@vmail.example"
set smtp_url="smtp://joe@vmail.example@127.0.0.1:%d/"
set smtp_pass="joes-secret"
set ssl_starttls=yes
set ssl_verify_host=no
set ssl_verify_dates=no
set ssl_force_tls=no
set record=""
set hostname="client.elsewhere.example"
`, h.base+25)
	if err := os.WriteFile(rc, []byte(strings.Replace(conf, "set smtp_url=\"smtp://joe@vmail.example@", "set smtp_url=\"smtp://", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	h.mustRun("config", "set", "smtpd_tls_auth_only=no")
	out, err := outside(t, "Sent by neomutt.\n", "neomutt", "-n", "-F", rc, "-e", "set ssl_starttls=no", "-s", "From a batch", "ann@vmail.example")
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, h.log.tail(5))
	}
	list := messages(t, h.folder("ann"))
	if len(list) != 1 {
		t.Fatalf("ann has %d messages\n%s\n%s", len(list), out, h.log.tail(5))
	}
	text, err := os.ReadFile(list[0])
	if err != nil || !strings.Contains(string(text), "Sent by neomutt.") {
		t.Errorf("%v\n%s", err, text)
	}
}
