package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/testenv"
)

// backedUp is a host with ten messages of joe, each larger than what else is in
// a Maildir and is read each time, and a directory for backups on the file
// system of the mail.
func backedUp(t *testing.T) (*host, string) {
	h := sampleHost(t, "")
	h.start()
	s := h.sender()
	for i := range 10 {
		if err := s.send("joe@vmail.example", message(fmt.Sprint("m", i), "s", strings.Repeat("x\r\n", 2000))); err != nil {
			t.Fatal(err)
		}
	}
	return h, filepath.Join(testenv.Dir(t), "backups")
}

func (h *host) backup(to string) (m struct {
	Dir          string
	Read, Linked int64
}) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.mustRun("backup", "--json", to)), &m); err != nil {
		h.t.Fatal(err)
	}
	return m
}

// flip turns one byte of a file; size and time stay.
func flip(t *testing.T, path string) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	f, err := os.OpenFile(path, os.O_WRONLY, 0) // the same inode, as a disk does
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close(), os.Chtimes(path, st.ModTime(), st.ModTime())); err != nil {
		t.Fatal(err)
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// exitCode is that of a program that h.run ran.
func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// TestVerifyNamesEachFile: a flipped byte, a missing file, one cut short and
// one too many are each named, and the exit code is for monitors.
func TestVerifyNamesEachFile(t *testing.T) {
	t.Parallel()
	need(t, "sha256sum")
	h, to := backedUp(t)
	b := h.backup(to)
	if out := h.mustRun("verify", to); !strings.Contains(out, ": whole: ") || b.Read == 0 {
		t.Errorf("read %d: %s", b.Read, out)
	}
	mustOutside(t, "", "sh", "-c", `cd "$1" && sha256sum --quiet --strict -c sums/*`, "sh", b.Dir)

	files := messages(t, filepath.Join(b.Dir, "mail", "joe@vmail.example"))
	flip(t, files[0])
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(files[2], 7); err != nil {
		t.Fatal(err)
	}
	added := filepath.Join(filepath.Dir(files[0]), "1.added")
	if err := os.WriteFile(added, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	size := fileSize(t, files[3])
	named := func(dir, path string) string { return strings.TrimPrefix(path, dir+"/") }
	faults := map[string]bool{ // true: only by reading
		named(b.Dir, files[0]) + ": has changed since the backup\n":                true,
		named(b.Dir, files[1]) + ": is missing\n":                                  false,
		fmt.Sprintf("%s: has 7 bytes, had %d\n", named(b.Dir, files[2]), size):     false,
		named(b.Dir, added) + ": is not of this backup\n":                          false,
		"mail: 10 messages of " + fmt.Sprint(8*size+7+1) + " bytes, the manifest ": false,
	}
	for _, args := range [][]string{{"verify", to}, {"verify", "--quick", to}} {
		out, err := h.run("", args...)
		if code := exitCode(err); code != 78 {
			t.Errorf("%s: exit code %d", args, code)
		}
		n := 0
		for text, byReading := range faults {
			if byReading && len(args) == 3 {
				continue
			}
			if n++; !strings.Contains(out, text) {
				t.Errorf("%s does not say %q:\n%s", args, text, out)
			}
		}
		if strings.Count(out, "\n") != n {
			t.Errorf("%s says more:\n%s", args, out)
		}
	}
}

// TestBackupReadsWhatIsNew: the next backup carries the sums of unchanged mail
// over, under other flags too; and a byte that turned meanwhile is found.
func TestBackupReadsWhatIsNew(t *testing.T) {
	t.Parallel()
	h, to := backedUp(t)
	first := h.backup(to)
	c := h.login("joe")
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	c.Logout()
	list := messages(t, h.folder("joe"))
	size := fileSize(t, list[0])
	if first.Read < 10*size {
		t.Errorf("the first backup read %d bytes", first.Read)
	}
	flip(t, list[5])
	if err := os.Rename(first.Dir, filepath.Join(to, "20200101T000000Z")); err != nil { // one a second
		t.Fatal(err)
	}
	second := h.backup(to)
	if second.Read >= size || second.Linked != 10 {
		t.Errorf("the second backup read %d bytes, linked %d", second.Read, second.Linked)
	}
	out, err := h.run("", "verify", to)
	if code := exitCode(err); code != 78 || !strings.Contains(out, filepath.Base(list[5])+": has changed since the backup\n") || strings.Count(out, "\n") != 1 {
		t.Errorf("exit code %d: %s", code, out)
	}
	flip(t, list[5])
	h.mustRun("verify", to)
}

// TestRestoreOfOneMoment: --at takes the newest backup that is no younger: its
// mail, its rows; for all and for one mailbox.
func TestRestoreOfOneMoment(t *testing.T) {
	t.Parallel()
	h, to := backedUp(t)
	first := h.backup(to)
	if err := os.Rename(first.Dir, filepath.Join(to, "20200101T000000Z")); err != nil {
		t.Fatal(err)
	}
	lost := messages(t, h.folder("joe"))[:4]
	for _, file := range lost {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	s := h.sender()
	if err := s.send("joe@vmail.example", message("later", "s", "x")); err != nil {
		t.Fatal(err)
	}
	h.mustRun("address", "add", "later@vmail.example")
	h.backup(to)

	for at, want := range map[string]int{"2020-06-01 12:00": 10, "2020-06-01": 10, "": 7} {
		args := []string{"restore", to}
		if at != "" {
			args = append(args, "--at", at)
		}
		r := &host{t: t, dir: filepath.Join(testenv.Dir(t), "restored"), base: h.base, log: new(syncBuffer)}
		r.mustRun(args...)
		if n := len(messages(t, r.folder("joe"))); n != want {
			t.Errorf("at %q: %d messages, want %d", at, n, want)
		}
		if known := strings.Contains(r.mustRun("address", "list"), "later@vmail.example"); known != (at == "") {
			t.Errorf("at %q: the address that came later is there: %v", at, known)
		}
	}
	if out, err := h.run("", "restore", to, "--at", "2019-12-31"); err == nil || !strings.Contains(out, "no backup") {
		t.Errorf("before the first: %v %s", err, out)
	}
	if out := h.mustRun("restore", to, "--mailbox", "joe@vmail.example", "--at", "2020-06-01"); !strings.HasPrefix(out, "4 messages came back") {
		t.Error(out)
	}
	h.check()
}

// TestRestoreComparesSums: what a disk has changed in a backup is named by the
// restore that brings it back, and so is what it has lost; the rest comes back.
func TestRestoreComparesSums(t *testing.T) {
	t.Parallel()
	h, to := backedUp(t)
	b := h.backup(to)
	files := messages(t, filepath.Join(b.Dir, "mail", "joe@vmail.example"))
	flip(t, files[0])
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	faults := []string{strings.TrimPrefix(files[0], b.Dir+"/") + ": has changed since the backup\n", strings.TrimPrefix(files[1], b.Dir+"/") + ": is missing\n",
		"2 files of the backup have changed since it was made; what is there was restored as it is\n"}
	named := func(out string, err error) {
		t.Helper()
		if code := exitCode(err); code != 78 {
			t.Errorf("exit code %d", code)
		}
		for _, text := range faults {
			if strings.Count(out, text) != 1 {
				t.Errorf("want %q once:\n%s", text, out)
			}
		}
	}
	r := &host{t: t, dir: filepath.Join(testenv.Dir(t), "restored"), base: h.base, log: new(syncBuffer)}
	named(r.run("", "restore", to))
	if n := len(messages(t, r.folder("joe"))); n != 9 {
		t.Errorf("%d messages, want 9", n)
	}
	r.check()

	for _, file := range messages(t, h.folder("joe")) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	out, err := h.run("", "restore", to, "--mailbox", "joe@vmail.example")
	named(out, err)
	if !strings.Contains(out, "9 messages came back") {
		t.Error(out)
	}
}
