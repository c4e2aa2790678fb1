package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mailserver/internal/landlock"
)

// TestLandlock: the server reaches what its rows name when it starts, and
// nothing that a row names later, not even as root.
func TestLandlock(t *testing.T) {
	if landlock.Version() == 0 {
		t.Skip("the kernel has no landlock")
	}
	out, err := os.MkdirTemp(".", "landlock-") // not below the directory for temporary files, which is open
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(out) })
	out, _ = filepath.Abs(out)
	os.Chmod(out, 0o777)
	for _, d := range []string{"named", "other"} {
		os.Mkdir(filepath.Join(out, d), 0o777)
		os.Chmod(filepath.Join(out, d), 0o777)
	}
	h := sampleHost(t, "")
	mailbox := func(name string) {
		if out, err := h.run("some secret", "mailbox", "add", name+"@vmail.example", "--password-stdin"); err != nil {
			t.Fatal(out)
		}
		h.sql(fmt.Sprintf("UPDATE VMailbox SET vmHome = '%s' WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = '%s')", filepath.Join(out, name, "home"), name))
	}
	h.mustRun("config", "set", "landlock=yes")
	mailbox("named")
	h.start()
	h.waitLog("landlock: only files of rows and of the system")
	mailbox("other")
	for _, to := range []string{"joe@vmail.example", "named@vmail.example"} {
		if err := h.mail(25, "a@elsewhere.example", to); err != nil {
			t.Fatal(err)
		}
	}
	count := func(name string) int {
		list, _ := filepath.Glob(filepath.Join(out, name, "home/Mail/new/*"))
		return len(list)
	}
	waitFor(t, "mail to the home of a row", func() bool { return count("named") == 1 && len(messages(t, h.folder("joe"))) == 1 })
	err = h.mail(25, "a@elsewhere.example", "other@vmail.example")
	h.waitLog("permission denied")
	if list, _ := os.ReadDir(filepath.Join(out, "other")); len(list) > 0 {
		t.Errorf("a place that no row named at the start was written to: %v", list)
	}
	h.stop()
	h.start()
	if err != nil { // it was not taken
		err = h.mail(25, "a@elsewhere.example", "other@vmail.example")
	}
	h.run("", "queue", "flush")
	waitFor(t, "mail to the home, after a start", func() bool { return count("other") == 1 })
	if err != nil {
		t.Error(err)
	}
}

// TestShadowHelper: a server that was started as root, and is no longer, has
// passwords of the system's users verified by a process that can read them, and
// do nothing else.
func TestShadowHelper(t *testing.T) {
	if os.Getenv("MAILSERVER_PEERS") != "1" || os.Getuid() != 0 {
		t.Skip("adds users to the system: only as root with MAILSERVER_PEERS=1")
	}
	for _, p := range []string{"useradd", "chpasswd"} {
		need(t, p)
	}
	name := fmt.Sprintf("ms%d", os.Getpid()%100000)
	owner := name + "o"
	systemUser(t, name, "of the system")
	systemUser(t, owner, "never used")
	h := ownersHost(t, "--own-mail")
	h.mustRun("config", "set", "auth_system_users=yes", "first_valid_uid=500", "home_mailbox=Maildir/", "mail_owner="+owner)
	mustOutside(t, "", "chown", "-R", owner+":", h.dir)
	h.start()
	try := func(user, password string) string {
		out, _ := outside(t, "", "curl", "-sS", "-k", "-v", "--user", user+":"+password, "imaps://"+h.addr(993)+"/INBOX")
		switch {
		case strings.Contains(out, "UNAVAILABLE"):
			return "unavailable"
		case strings.Contains(out, "AUTHENTICATIONFAILED"):
			return "no"
		case strings.Contains(out, "Logged in"):
			return "yes"
		}
		return out
	}
	helper := childOf(t, h.cmd.Process.Pid, "shadow-helper")
	for _, tt := range []struct{ user, password, want string }{
		{name, "of the system", "yes"}, {name, "of the system", "yes"}, {name, "another", "no"}, {owner + "x", "never used", "no"}, {"root", "", "no"},
	} {
		if got := try(tt.user, tt.password); got != tt.want {
			t.Errorf("%s %q: %s, want %s\n%s", tt.user, tt.password, got, tt.want, h.log.tail(5))
		}
	}
	mustOutside(t, name+":a new one\n", "chpasswd", "-c", "YESCRYPT")
	for password, want := range map[string]string{"of the system": "no", "a new one": "yes"} {
		if got := try(name, password); got != want {
			t.Errorf("after passwd(1), %q: %s\n%s", password, got, h.log.tail(5))
		}
	}
	server, small := procStatus(t, h.cmd.Process.Pid), procStatus(t, helper)
	if server["Uid"] == "0" || small["Uid"] != "0" || small["CapPrm"] != "0000000000000004" || small["CapBnd"] == "" || small["NoNewPrivs"] != "1" {
		t.Errorf("the server: %v\nits helper: %v", server, small)
	}
	t.Logf("the helper has %s KiB of its own", small["RssAnon"])
	if text := strings.Join(h.log.all(), "\n"); strings.Contains(text, "a new one") || strings.Contains(text, "of the system") {
		t.Error("a password is in the log")
	}
	if p, err := os.FindProcess(helper); err == nil {
		p.Kill()
	}
	if got := try(name, "another new one"); got != "unavailable" {
		t.Errorf("without the helper: %s", got)
	}
}

// childOf is the child of a process with a word in its command line.
func childOf(t *testing.T, parent int, word string) int {
	t.Helper()
	list, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range list {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if !strings.Contains(string(line), word) {
			continue
		}
		var pid int
		fmt.Sscan(filepath.Base(dir), &pid)
		if procStatus(t, pid)["PPid"] == fmt.Sprint(parent) {
			return pid
		}
	}
	t.Fatalf("no %s is a child of the server", word)
	return 0
}

// procStatus is the first word of each line of /proc/PID/status.
func procStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil
	}
	m := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		key, rest, _ := strings.Cut(line, ":")
		if f := strings.Fields(rest); len(f) > 0 {
			m[key] = f[0]
		}
	}
	return m
}

// TestUnitIsTight: what systemd thinks of the unit, 0 to 10, 2 or better.
func TestUnitIsTight(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	out, err := outside(t, "", "systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager", "../dist/systemd/mailserver.service")
	at := strings.LastIndex(out, "exposure level")
	if at < 0 {
		t.Skipf("systemd-analyze does not say: %v\n%s", err, out)
	}
	t.Log(strings.TrimSpace(out[at:]))
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
