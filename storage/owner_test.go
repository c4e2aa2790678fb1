package storage

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOwnersLink needs root. A user who puts a link in the place of the own
// Maildir gets no further than the user's own rights: while the server is root,
// and while it is mail_owner with the capabilities that LeaveRoot keeps.
func TestOwnersLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for name, attr := range map[string]*syscall.SysProcAttr{
		"root": nil,
		"mail_owner": {
			Credential:  &syscall.Credential{Uid: 990, Gid: 990},
			AmbientCaps: []uintptr{unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := openTemp(t)
			program := filepath.Join(dir, "program")
			copyFile(t, "/proc/self/exe", program)
			for _, sub := range []string{"secret/cur", "secret/new", "secret/tmp", "etc", "homes/u", "homes/w"} {
				os.MkdirAll(filepath.Join(dir, sub), 0o700)
			}
			os.Chmod(filepath.Join(dir, "homes"), 0o711)
			os.WriteFile(filepath.Join(dir, "secret/cur/1.x:2,"), []byte(mail), 0o600)
			for _, home := range []string{"u", "w"} {
				os.Chown(filepath.Join(dir, "homes", home), 842, 842)
			}
			// What the users plant.
			os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "homes/u/Mail"))
			os.Symlink(filepath.Join(dir, "etc"), filepath.Join(dir, "homes/w/sub"))
			for _, link := range []string{"u/Mail", "w/sub"} {
				os.Lchown(filepath.Join(dir, "homes", link), 842, 842)
			}
			state := filepath.Join(dir, "state")
			os.Mkdir(state, 0o777)
			os.Chmod(state, 0o777)

			cmd := exec.Command(program, "-test.run=^TestOwnersLinkProcess$", "-test.v")
			cmd.Env = append(os.Environ(), "STORAGE_LINK_DIR="+dir, "TMPDIR="+state)
			cmd.SysProcAttr = attr
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for sub, want := range map[string]int{"secret/cur": 1, "secret/new": 0, "secret/tmp": 0, "etc": 0} {
				if list, err := os.ReadDir(filepath.Join(dir, sub)); err != nil || len(list) != want {
					t.Errorf("%s: %v, %v", sub, list, err)
				}
			}
			var st unix.Stat_t
			if unix.Lstat(filepath.Join(dir, "homes/v/Mail/new"), &st); st.Uid != 842 {
				t.Errorf("a Maildir without links belongs to %d", st.Uid)
			}
		})
	}
}

// TestOwnersLinkProcess is the server of TestOwnersLink.
func TestOwnersLinkProcess(t *testing.T) {
	dir := os.Getenv("STORAGE_LINK_DIR")
	if dir == "" {
		t.Skip("TestOwnersLink runs it")
	}
	w := newWorld(t)
	ctx := context.Background()
	account := func(mail ...string) *Account {
		spec := Spec{User: mail[0], Dir: filepath.Join(dir, "homes", filepath.Join(mail...)), UID: 842, GID: 842}
		spec.Home = filepath.Join(dir, "homes", mail[0])
		return w.Account(spec)
	}
	for _, planted := range []*Account{account("u", "Mail"), account("w", "sub", "Mail")} {
		if err := deliver(planted, "INBOX", mail); err == nil {
			t.Errorf("delivered to %s", planted.spec.Dir)
		}
		if v, err := planted.Select(ctx, "INBOX", true); err == nil {
			t.Errorf("read %s: %d messages", planted.spec.Dir, v.Len())
		}
		if _, err := planted.Create(ctx, "x", nil); err == nil {
			t.Errorf("made a mailbox in %s", planted.spec.Dir)
		}
	}
	// The rights are there again: the home is made where its owner may not.
	w.acc = account("v", "Mail")
	w.deliver("INBOX", mail)
}

// openTemp is a directory that every user may pass through.
func openTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for p := dir; p != "/" && p != os.TempDir(); p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestHomesOfTwoOwners needs root: what is above a home is everybody's way.
func TestHomesOfTwoOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	defer unix.Umask(unix.Umask(0o077))
	dir, w := openTemp(t), newWorld(t)
	for i, user := range []string{"a", "b"} {
		home := filepath.Join(dir, "vmail", "example.org", user)
		w.acc = w.Account(Spec{User: user, Dir: filepath.Join(home, "x", "Mail"), Home: home, UID: 842 + i, GID: 800})
		w.deliver("INBOX", mail)
		w.sel("INBOX").Close()
		for p, want := range map[string][2]uint32{
			filepath.Join(home, "x"): {842 + uint32(i), dirMode}, home: {842 + uint32(i), dirMode},
			filepath.Dir(home): {0, aboveMode}, filepath.Join(dir, "vmail"): {0, aboveMode},
		} {
			var st unix.Stat_t
			if unix.Lstat(p, &st); st.Uid != want[0] || st.Mode&0o777 != want[1] {
				t.Errorf("%s belongs to %d, mode %o", p, st.Uid, st.Mode)
			}
		}
	}
}
