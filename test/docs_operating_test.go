package test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mailserver/internal/testenv"
	"mailserver/schema"
)

// TestBackupOfARunningServer: copies made as docs/operating.md says, while the
// server runs, make a server with the same mail and the same queue.
func TestBackupOfARunningServer(t *testing.T) {
	a := sampleHost(t, "")
	a.mustRun("domain", "set", "relay.example", "--transport", fmt.Sprintf("smtp:[127.0.0.1]:%d", freeBase(t)+25))
	a.start()
	s := a.sender()
	for to, id := range map[string]string{"joe@vmail.example": "here", "user@relay.example": "waiting"} {
		if err := s.send(to, message(id, "x", "x")); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "one waits", func() bool { return strings.Contains(a.mustRun("queue", "list", "--json"), "Connection refused") })

	copied := filepath.Join(testenv.Dir(t), "data")
	for _, dir := range []string{"spool/queue", "mail", "tls"} {
		if err := os.CopyFS(filepath.Join(copied, dir), os.DirFS(filepath.Join(a.dir, dir))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"mail.sqlite", "state.sqlite"} {
		into := fmt.Sprintf("VACUUM INTO '%s'", filepath.Join(copied, file))
		if err := schema.Script(context.Background(), filepath.Join(a.dir, file), into); err != nil {
			t.Fatal(err)
		}
	}
	s.c.Close()
	a.kill()

	b := &host{t: t, dir: copied, base: a.base, log: new(syncBuffer)}
	t.Cleanup(b.stop)
	if out, err := b.run("", "check", "--repair"); err != nil && !strings.Contains(out, "read by others") {
		t.Errorf("check --repair: %v\n%s", err, out)
	}
	b.start()
	if found := idsIn(t, []string{b.folder("joe")}); found["here"] != 1 {
		t.Errorf("the mailbox holds %v", found)
	}
	if out := b.mustRun("queue", "list", "--json"); !strings.Contains(out, "user@relay.example") {
		t.Errorf("the queue: %s", out)
	}
}

// TestExitCodesOfServe: what docs/operating.md and mailserver.8 say of a server
// that does not start.
func TestExitCodesOfServe(t *testing.T) {
	h := sampleHost(t, "")
	sql := func(text string) {
		t.Helper()
		if err := schema.Script(context.Background(), filepath.Join(h.dir, "mail.sqlite"), text); err != nil {
			t.Fatal(err)
		}
	}
	refuses := func(name string, want int, text string) {
		t.Helper()
		out, err := h.run("", "serve")
		exit, ok := err.(*exec.ExitError)
		if !ok || exit.ExitCode() != want || !strings.Contains(out, text) {
			t.Errorf("%s: %v, want %d and %q\n%s", name, err, want, text, out)
		}
	}
	h.start()
	refuses("a second server", 75, "another server runs on this data directory")
	h.stop()
	sql("INSERT INTO Setting VALUES ('nosuch', '1')")
	refuses("unknown setting", 78, "setting nosuch")
	sql("DELETE FROM Setting WHERE stName = 'nosuch'")
	sql("INSERT INTO Listener (lsNum, lsProtocol, lsAddress) VALUES (99, 'managesieve', '127.0.0.1:0')")
	refuses("unknown protocol", 78, "managesieve")
	sql("DELETE FROM Listener WHERE lsNum = 99")
	sql("PRAGMA user_version = 1000")
	refuses("newer file", 78, "database is newer than this program")
}

// TestRightsOnDisk: the table in docs/operating.md.
func TestRightsOnDisk(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	s := h.sender()
	if err := s.send("joe@vmail.example", message("rights", "x", "x")); err != nil {
		t.Fatal(err)
	}
	want := map[string]os.FileMode{".": 0o711, "mail.sqlite": 0o600, "mail.sqlite-wal": 0o600, "state.sqlite": 0o600,
		"state.sqlite-wal": 0o600, "spool": 0o700, "tls/self-signed.key": 0o600, "lock": 0o600}
	for name, mode := range want {
		checkMode(t, filepath.Join(h.dir, name), mode)
	}
	for _, file := range messages(t, h.folder("joe")) {
		checkMode(t, file, 0o600)
		checkMode(t, filepath.Dir(file), 0o700)
	}
}

func checkMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Error(err)
	} else if got := st.Mode().Perm(); got != want {
		t.Errorf("%s has mode %04o, want %04o", path, got, want)
	}
}
