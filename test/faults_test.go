package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/internal/testenv"
)

// TestLockedDirectoryIsATemporaryFailure: another program keeps readers out of
// mail.sqlite. What was looked up before and cannot have changed is still
// known; anything else is answered 451, nothing is lost, and it goes on when
// the lock is gone.
func TestLockedDirectoryIsATemporaryFailure(t *testing.T) {
	t.Parallel()
	h := sampleHost(t, "")
	h.start()
	s := h.sender()
	if err := s.send("joe@vmail.example", message("before", "x", "x")); err != nil {
		t.Fatal(err)
	}
	unlock := lockShared(t, filepath.Join(h.dir, "mail.sqlite-shm"))
	if err := s.send("joe@vmail.example", message("known", "x", "x")); err != nil {
		t.Errorf("to a known address while it is locked: %v", err)
	}
	err := s.send("ann@vmail.example", message("during", "x", "x"))
	if got := code(err); got != 451 {
		t.Errorf("while it is locked: %v, want 451", err)
	}
	unlock()
	if s2, err := dialSender(h.addr(25)); err != nil {
		t.Errorf("after the lock: %v", err)
	} else if err := s2.send("joe@vmail.example", message("after", "x", "x")); err != nil {
		t.Errorf("after the lock: %v", err)
	}
	found := idsIn(t, []string{h.folder("joe"), h.folder("ann")})
	if found["before"] != 1 || found["known"] != 1 || found["during"] != 0 || found["after"] != 1 {
		t.Errorf("the mailbox holds %v", found)
	}
}

// TestOpenTransactionHoldsNothingUp: somebody leaves a transaction open in the
// sqlite3 shell; mail goes on with the rows as they were.
func TestOpenTransactionHoldsNothingUp(t *testing.T) {
	need(t, "sqlite3")
	h := sampleHost(t, "")
	h.start()
	shell := exec.Command("sqlite3", filepath.Join(h.dir, "mail.sqlite"))
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	defer shell.Wait()
	defer in.Close()
	fmt.Fprintln(in, "BEGIN EXCLUSIVE; UPDATE Address SET active=0 WHERE addLocalpart='joe'; SELECT 'held';")
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("%q, %v", line, err)
	}
	s := h.sender()
	if err := s.send("joe@vmail.example", message("held", "x", "x")); err != nil {
		t.Errorf("while it is open: %v", err)
	}
	fmt.Fprintln(in, "COMMIT; SELECT 'done';")
	waitFor(t, "the change counts", func() bool { return code(s.send("joe@vmail.example", message("after", "x", "x"))) == 550 })
}

// lockShared takes all locks of SQLite's WAL index, as a program does that
// shuts readers out.
func lockShared(t *testing.T, path string) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The eight locks are bytes 120 to 127 of the file.
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: 120, Len: 8}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lk); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Fatalf("lock %s: %v", path, err)
	}
	return func() { f.Close() }
}

// TestFullDisk: 452, no part of a message to be seen, and it goes on when there
// is room again.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	small := testenv.Dir(t)
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(small, syscall.MNT_DETACH) })
	h := sampleHost(t, filepath.Join(small, "data"))
	t.Cleanup(h.stop) // before the file system goes
	h.start()

	ballast := filepath.Join(small, "ballast")
	fill(t, ballast)
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 2000)
	s := h.sender()
	for i := range 3 {
		err := s.send("joe@vmail.example", message(fmt.Sprint("full", i), "x", body))
		if got := code(err); got != 452 && got != 451 {
			t.Fatalf("on a full disk: %v, want 452", err)
		} else if got == 451 {
			t.Errorf("on a full disk: %v, want 452", err)
		}
	}
	if list := messages(t, h.folder("joe")); len(list) > 0 {
		t.Errorf("parts of messages can be seen: %v", list)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.send("joe@vmail.example", message("room", "x", body)); err != nil {
		t.Errorf("with room again: %v\n%s", err, h.log.tail(10))
	}
	if found := idsIn(t, []string{h.folder("joe")}); found["room"] != 1 || len(found) != 1 {
		t.Errorf("the mailbox holds %v", found)
	}
	h.check()
}

// fill writes until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 16, 1 << 12, 1} {
		block := make([]byte, size)
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
	}
}
