package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ownersHost is a data directory that others can pass through, below /tmp.
func ownersHost(t *testing.T, initArgs ...string) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "owners-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	h := &host{t: t, dir: filepath.Join(dir, "data"), base: freeBase(t), log: new(syncBuffer)}
	h.mustRun(append([]string{"init", "--hostname", "mx.example", "--port-base", strconv.Itoa(h.base), "--postmaster", "joe@one.example"}, initArgs...)...)
	h.mustRun("config", "set", "smtpd_error_sleep_time=0", "auth_failure_delay=0", "smtpd_client_connection_count_limit=0", "auth_throttle=no")
	t.Cleanup(h.stop)
	return h
}

func ownerOf(t *testing.T, path string) string {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Error(err)
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

// TestOwners: as root, the mail of each domain belongs to its UID, everything
// below a home is its owner's, and a link that an owner plants in the place of
// the own mail leads nowhere.
func TestOwners(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root gives mail to others")
	}
	h := ownersHost(t)
	homes := filepath.Join(filepath.Dir(h.dir), "vmail")
	h.mustRun("config", "set", "virtual_mailbox_home="+homes+"/%d/%n")
	for _, a := range [][2]string{{"one.example", "2001"}, {"two.example", "2002"}} {
		if out, err := h.run("", "domain", "add", a[0], "--class", a[1]); err != nil {
			t.Fatal(out)
		}
		if out, err := h.run("secret word", "mailbox", "add", "joe@"+a[0], "--password-stdin"); err != nil {
			t.Fatal(out)
		}
	}
	h.sql("UPDATE VMailbox SET vmGid = 2100 WHERE vmNum IN (SELECT addNum FROM Address JOIN Domain ON domNum = addDomNum WHERE domName = 'two.example')")
	h.start()
	send := func(to string) (string, error) {
		return outside(t, "", "curl", "-sS", "--url", "smtp://"+h.addr(25), "--mail-from", "a@elsewhere.example", "--mail-rcpt", to, "--upload-file", smallMail(t))
	}
	read := func(user string) (string, error) {
		return outside(t, "", "curl", "-sS", "-k", "--user", user+":secret word", "imaps://"+h.addr(993)+"/INBOX;MAILINDEX=1")
	}
	for domain, want := range map[string]string{"one.example": "2001:800", "two.example": "2002:2100"} {
		if out, err := send("joe@" + domain); err != nil {
			t.Fatalf("%s\n%s", out, h.log.tail(5))
		}
		if out, err := read("joe@" + domain); err != nil || !strings.Contains(out, "a log-in") {
			t.Errorf("%v %s\n%s", err, out, h.log.tail(5))
		}
		n := 0
		filepath.Walk(filepath.Join(homes, domain, "joe"), func(path string, info os.FileInfo, err error) error {
			n++
			if err != nil {
				t.Error(err)
			} else if got := ownerOf(t, path); got != want {
				t.Errorf("%s is of %s, not of %s", path, got, want)
			}
			return nil
		})
		if n < 6 {
			t.Errorf("%d files below the home of joe@%s", n, domain)
		}
	}
	// two plants links to what is one's, and to what is the server's.
	mail := filepath.Join(homes, "two.example", "joe", "Mail")
	if err := os.Rename(mail, mail+".was"); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(homes, "one.example", "joe", "Mail")
	before, _ := os.ReadDir(filepath.Join(victim, "new"))
	if err := os.Symlink(victim, mail); err != nil {
		t.Fatal(err)
	}
	os.Lchown(mail, 2002, 2100)
	send("joe@two.example")
	if out, err := read("joe@two.example"); err == nil && strings.Contains(out, "a log-in") {
		t.Errorf("reads the mail of another: %s", out)
	}
	time.Sleep(200 * time.Millisecond)
	if after, _ := os.ReadDir(filepath.Join(victim, "new")); len(after) != len(before) {
		t.Errorf("mail went through the link: %d files, then %d", len(before), len(after))
	}
	os.Remove(mail)
	if err := os.Rename(mail+".was", mail); err != nil {
		t.Fatal(err)
	}
	os.RemoveAll(filepath.Join(mail, "new"))
	if err := os.Symlink(h.dir, filepath.Join(mail, "new")); err != nil {
		t.Fatal(err)
	}
	send("joe@two.example")
	if list, _ := filepath.Glob(filepath.Join(h.dir, "*,S=*")); len(list) != 0 {
		t.Errorf("mail in the data directory: %v", list)
	}
	if out, err := send("joe@one.example"); err != nil {
		t.Errorf("others have no mail any more: %s", out)
	}
}

// TestUnprivileged: started by an ordinary user the server serves all mail as that
// user, whatever UIDs the rows have.
func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("becomes another user: only as root")
	}
	h := ownersHost(t, "--own-mail")
	if out, err := h.run("", "domain", "add", "one.example"); err != nil {
		t.Fatal(out)
	}
	if out, err := h.run("secret word", "mailbox", "add", "joe@one.example", "--password-stdin"); err != nil {
		t.Fatal(out)
	}
	mustOutside(t, "", "chown", "-R", "65534:65534", h.dir)
	copied := filepath.Join(filepath.Dir(h.dir), "mailserver") // the tests' own directory is root's
	mustOutside(t, "", "cp", program, copied)
	os.Chmod(copied, 0o755)
	h.command = exec.Command(copied, "serve", "--data", h.dir)
	h.command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	h.start()
	if out, err := outside(t, "", "curl", "-sS", "--url", "smtp://"+h.addr(25), "--mail-from", "a@elsewhere.example", "--mail-rcpt", "joe@one.example", "--upload-file", smallMail(t)); err != nil {
		t.Fatalf("%s\n%s", out, h.log.tail(5))
	}
	if out, err := outside(t, "", "curl", "-sS", "-k", "--user", "joe@one.example:secret word", "imaps://"+h.addr(993)+"/INBOX;MAILINDEX=1"); err != nil || !strings.Contains(out, "a log-in") {
		t.Errorf("%v %s", err, out)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(status), "CapEff:\t0000000000000000") {
		t.Errorf("it has rights: %v\n%s", err, status)
	}
	h.sql("UPDATE VMailbox SET vmUid = 2001") // no other UID can be had: all is this one's
	if out, err := outside(t, "", "curl", "-sS", "--url", "smtp://"+h.addr(25), "--mail-from", "a@elsewhere.example", "--mail-rcpt", "joe@one.example", "--upload-file", smallMail(t)); err != nil {
		t.Errorf("%s\n%s", out, h.log.tail(5))
	}
	filepath.Walk(h.dir, func(path string, _ os.FileInfo, err error) error {
		if got := ownerOf(t, path); err != nil || got != "65534:65534" && !strings.HasPrefix(filepath.Base(path), "mail.sqlite") {
			t.Errorf("%s is of %s: %v", path, got, err)
		}
		return nil
	})
}
