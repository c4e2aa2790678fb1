package command

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailserver/internal/asuser"
)

func run(t *testing.T, line, in string) Outcome {
	t.Helper()
	return Run(t.Context(), &Program{Line: line, ID: asuser.ID{UID: os.Getuid(), GID: os.Getgid()},
		Env: []string{"X=y z"}, Stdin: strings.NewReader(in), Limit: 20 * time.Second})
}

func TestOutcomes(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nprintf '%s|' \"$@\" \"$X\" > "+dir+"/out\ncat >> "+dir+"/out\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, line, want, text string }{
		{"success", "true", "2.0.0", "delivered to command: true"},
		{"no such user", "exit 67", "5.1.1", "user unknown"},
		{"again", "exit 75", "4.3.0", "temporary failure"},
		{"no permission", "exit 77", "5.7.0", "permission denied"},
		{"not sysexits", "false", "5.3.0", `Command died with status 1: "false"`},
		{"output", "echo no; exit 69", "5.3.0", "service unavailable. Command output: no"},
		{"output with code", "echo 4.2.2 mailbox full; exit 1", "4.2.2", "mailbox full"},
		{"signal", "kill -9 $$", "4.3.0", `Command died with signal 9: "kill -9 $$"`},
		{"not there", "/nonexistent/x y", "4.3.0", `temporary failure. Command output: `},
		{"not there, for the shell", "nonexistent-x", "5.3.0", `Command died with status 127`},
		{"empty", "  ", "5.3.5", "mail system configuration error"},
		{"a child that stays", "sleep 30 & exit 0", "2.0.0", ""},
		{"much output", "head -c 100000 /dev/zero; exit 75", "4.3.0", "temporary failure"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := run(t, tt.line, strings.Repeat("line\n", 50000)) // more than a pipe holds
			if got.Enhanced != tt.want || !strings.HasPrefix(got.Text, tt.text) || len(got.Text) > 2*maxOutput {
				t.Errorf("%s %.200q", got.Enhanced, got.Text)
			}
		})
	}
	if got := run(t, script+" a  b", "text"); got.Enhanced != "2.0.0" {
		t.Fatalf("%+v", got)
	}
	if b, _ := os.ReadFile(dir + "/out"); string(b) != "a|b|y z|text" {
		t.Errorf("arguments and input: %q", b)
	}
}

// TestTimeLimit: what a command has started dies with it.
func TestTimeLimit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "child")
	var child []byte
	for limit := 200 * time.Millisecond; child == nil; limit *= 2 { // a slow machine has not begun by then
		p := &Program{Line: "sleep 600 & echo -n $! >" + file + ".new; mv " + file + ".new " + file + "; sleep 600",
			ID: asuser.ID{UID: os.Getuid(), GID: os.Getgid()}, Stdin: strings.NewReader("x"), Limit: limit}
		if got := Run(t.Context(), p); got.Enhanced != "5.3.0" || !strings.HasPrefix(got.Text, "Command time limit exceeded: ") {
			t.Fatalf("%+v", got)
		}
		child, _ = os.ReadFile(file)
	}
	for end := time.Now().Add(time.Minute); runs(string(child)); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("its child goes on")
		}
	}
}

// runs reports whether a process is there, and not only what init has not
// taken notice of.
func runs(pid string) bool {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}

func TestRights(t *testing.T) {
	if os.Getuid() != 0 {
		got := Run(t.Context(), &Program{Line: "true", ID: asuser.ID{UID: 1, GID: 1}, Stdin: strings.NewReader(""), Limit: time.Second})
		if got.Enhanced != "4.3.5" {
			t.Errorf("without rights: %+v", got)
		}
		return
	}
	got := Run(context.Background(), &Program{Line: "id -u; id -G; grep -E 'Cap(Eff|Prm|Inh|Amb)' /proc/self/status | tr -d '\\n\\t'; exit 69",
		ID: asuser.ID{UID: 65534, GID: 65533}, Stdin: strings.NewReader(""), Limit: 2 * time.Minute})
	none := "0000000000000000"
	if want := "65534 65533 CapInh:" + none + "CapPrm:" + none + "CapEff:" + none + "CapAmb:" + none; !strings.HasSuffix(got.Text, want) {
		t.Errorf("%q, want ...%q", got.Text, want)
	}
}
