package test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// as runs the program by another name and returns its output and exit code.
func (h *host) as(name, stdin string, uid int, args ...string) (string, int) {
	h.t.Helper()
	link := filepath.Join(filepath.Dir(program), name)
	if err := os.Symlink(program, link); err != nil && !errors.Is(err, os.ErrExist) {
		h.t.Fatal(err)
	}
	cmd := exec.Command(link, args...)
	cmd.Stdin, cmd.Env = strings.NewReader(stdin), append(os.Environ(), "MAILSERVER_DATA="+h.dir)
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatalf("%s: %v", name, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// arrived waits for the n-th message of a user and returns the newest.
func (h *host) arrived(userName string, n int) string {
	h.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		list := messages(h.t, h.folder(userName))
		if len(list) < n {
			continue
		}
		newest, at := "", time.Time{}
		for _, file := range list {
			if st, err := os.Stat(file); err == nil && !st.ModTime().Before(at) {
				newest, at = file, st.ModTime()
			}
		}
		b, err := os.ReadFile(newest)
		if err != nil {
			h.t.Fatal(err)
		}
		return strings.ReplaceAll(string(b), "\r\n", "\n")
	}
	h.t.Fatalf("%s has not %d messages\n%s", userName, n, h.log.tail(20))
	return ""
}

func TestSendmail(t *testing.T) {
	h := sampleHost(t, "")
	if _, code := h.as("sendmail", "x\n", 0, "joe@vmail.example"); code != 75 {
		t.Errorf("no server: exit code %d", code)
	}
	h.start()
	had := len(messages(t, h.folder("joe")))
	text := "To: Joe <joe@vmail.example>\nBcc: secret@nowhere.example\nSubject: s\n\nline\n.\nend"
	text = strings.Replace(text, "Bcc: secret@nowhere.example", "Bcc: joe@vmail.example", 1)
	if out, code := h.as("sendmail", text, 0, "-t", "-i", "-F", `Cron "D"`, "-oem", "-f", "root@mx.example"); code != 0 || out != "" {
		t.Fatalf("%d %s", code, out)
	}
	got := h.arrived("joe", had+1)
	for _, want := range []string{"Return-Path: <root@mx.example>\n", "Received: by mx.example (Postfix, from userid 0)\n", "\nDate: ", "\nMessage-Id: <",
		"\nFrom: \"Cron \\\"D\\\"\" <root@mx.example>\n", "\n\nline\n.\nend\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(strings.ToLower(got), "bcc:") {
		t.Errorf("Bcc is left:\n%s", got)
	}
	if out, code := h.as("sendmail", "From: a@b.example\nDate: d\n\none\n.\ntwo\n", 0, "joe@vmail.example"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	if got := h.arrived("joe", had+2); strings.Contains(got, "two") || strings.Count(got, "Date: ") != 1 || strings.Count(got, "From: ") != 1 {
		t.Errorf("a dot ends it; fields stay:\n%s", got)
	}
	for _, tt := range []struct {
		name, stdin string
		code        int
		args        []string
	}{
		{"no recipient", "x\n", 64, nil},
		{"no recipient in the header", "Subject: x\n\nx\n", 64, []string{"-t"}},
		{"no such user", "x\n", 67, []string{"nobody-here@vmail.example"}},
		{"bad option", "", 64, []string{"-Z"}},
		{"mode that is missing", "", 64, []string{"-bd"}},
		{"mailq", "", 0, []string{"-bp"}},
		{"newaliases", "", 0, []string{"-bi"}},
		{"flush", "", 0, []string{"-q"}},
		{"bad recipient", "x\n", 64, []string{"a@"}},
	} {
		if out, code := h.as("sendmail", tt.stdin, 0, tt.args...); code != tt.code {
			t.Errorf("%s: exit code %d, want %d: %s", tt.name, code, tt.code, out)
		}
	}
	for name, args := range map[string][]string{"mailq": nil, "newaliases": nil, "postqueue": {"-p"}, "postmap": {"-q", "joe@vmail.example", "virtual_mailbox_maps"}} {
		if out, code := h.as(name, "", 0, args...); code != 0 {
			t.Errorf("%s: %d %s", name, code, out)
		}
	}
	if _, code := h.as("postsuper", "", 0, "-d", "NOSUCHID"); code != 67 {
		t.Errorf("postsuper: %d", code)
	}
	h.check()
}

// TestSendmailOfAUser: who asks is what the kernel says.
func TestSendmailOfAUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be several users")
	}
	h := sampleHost(t, "")
	os.Chmod(filepath.Dir(program), 0o755)
	h.start()
	had := len(messages(t, h.folder("joe")))
	const uid = 64999
	if out, code := h.as("sendmail", "x\n", uid, "joe@vmail.example"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	if got := h.arrived("joe", had+1); !strings.Contains(got, "Return-Path: <64999@mx.example>") {
		t.Errorf("%s", got)
	}
	if out, code := h.as("sendmail", "x\n", uid, "-f", "boss@vmail.example", "joe@vmail.example"); code != 77 {
		t.Errorf("the sender of another: %d %s", code, out)
	}
	if out, code := h.as("sendmail", "x\n", uid, "-f", "", "joe@vmail.example"); code != 0 {
		t.Errorf("the null sender: %d %s", code, out)
	}
	h.mustRun("config", "set", "trusted_users=*")
	if out, code := h.as("sendmail", "x\n", uid, "-f", "boss@vmail.example", "joe@vmail.example"); code != 0 {
		t.Errorf("trusted: %d %s", code, out)
	}
}

func TestDeliver(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	had := len(messages(t, h.folder("joe")))
	run := func(stdin string, args ...string) (string, int) {
		cmd := exec.Command(program, append([]string{"deliver", "--data", h.dir}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), cmd.ProcessState.ExitCode()
	}
	text := "From x  Thu Jan  1 00:00:00 2026\nSubject: s\n\nline\n.\n"
	if out, code := run(text, "-d", "joe@vmail.example", "-f", "s@x.example", "-a", "o@x.example", "-e", "-k"); code != 0 {
		t.Fatalf("%d %s", code, out)
	}
	want := "Return-Path: <s@x.example>\nX-Original-To: o@x.example\nDelivered-To: joe@vmail.example\nSubject: s\n\nline\n.\n"
	if got := h.arrived("joe", had+1); got != want {
		t.Errorf("%q", got)
	}
	if out, code := run(text, "-d", "joe@vmail.example", "-m", "No.Such.Folder"); code != 0 {
		t.Errorf("folder that is not there: %d %s", code, out)
	}
	h.arrived("joe", had+2)
	for _, tt := range []struct {
		code int
		args []string
	}{{67, []string{"-d", "nobody@vmail.example"}}, {64, []string{"-d", ""}}, {64, []string{"-x"}}, {64, []string{"-d", "joe@vmail.example", "-f", "a\nb"}}} {
		if out, code := run(text, tt.args...); code != tt.code {
			t.Errorf("%q: exit code %d, want %d: %s", tt.args, code, tt.code, out)
		}
	}
	h.sql(fmt.Sprintf("UPDATE VMailbox SET vmQuota = 100 WHERE vmNum = (SELECT addNum FROM Address JOIN Domain ON addDomNum = domNum WHERE addLocalpart = '%s' AND domName = '%s')", "joe", "vmail.example"))
	if out, code := run(strings.Repeat(text, 100), "-d", "joe@vmail.example"); code != 77 {
		t.Errorf("over quota: %d %s", code, out)
	}
	h.check()
}
