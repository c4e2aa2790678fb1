package test

import (
	"os/exec"
	"strings"
	"testing"
)

func TestDemoShowsAMailGoingInAndComingOut(t *testing.T) {
	out, err := exec.Command(program, "demo", "--once").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"C: RCPT TO:<sales@alias.example>", "S: 250 2.0.0 Ok", "logged in by IMAP as joe@vmail.example",
		"Subject: Hello from the demo", "read by IMAP after"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the demo does not say %q:\n%s", want, out)
		}
	}
}

func TestOneServerADirectory(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	out, err := h.run("", "serve")
	if err == nil || !strings.Contains(out, "another server runs") {
		t.Errorf("a second server: %v\n%s", err, out)
	}
	if code := err.(*exec.ExitError).ExitCode(); code != 75 {
		t.Errorf("exit code %d", code)
	}
}

func TestServeRefusesUnknownSettings(t *testing.T) {
	h := sampleHost(t, "")
	if out, err := exec.Command(program, "config", "set", "smtpd_nonsense=1", "--data", h.dir).CombinedOutput(); err == nil {
		t.Errorf("config set took it: %s", out)
	}
	h.sql("INSERT INTO Setting VALUES ('smtpd_nonsense', '1')")
	out, err := h.run("", "serve")
	if err == nil || !strings.Contains(out, "smtpd_nonsense") || err.(*exec.ExitError).ExitCode() != 78 {
		t.Errorf("serve: %v\n%s", err, out)
	}
}
