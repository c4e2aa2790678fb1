package schema

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"mailserver/internal/memtest"
)

// shellFile tells the test binary that it is another program.
const shellFile = "SCHEMA_SHELL_FILE"

// TestShell is another program: it runs each line of its input as SQL.
func TestShell(t *testing.T) {
	path := os.Getenv(shellFile)
	if path == "" {
		t.Skip("runs only as the child of others")
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(3000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
		if sc.Text() == "lock" {
			lockIndex(path)
		} else if _, err := db.Exec(sc.Text()); err != nil {
			fmt.Println("error", err)
			continue
		}
		fmt.Println("done")
	}
}

// lockIndex takes the locks on the shared memory that a recovery takes, and
// those of all readers.
func lockIndex(path string) {
	fd, err := syscall.Open(path+"-shm", syscall.O_RDWR, 0)
	if err == nil {
		err = syscall.FcntlFlock(uintptr(fd), syscall.F_SETLKW, &syscall.Flock_t{Type: syscall.F_WRLCK, Start: 121, Len: 7})
	}
	if err != nil {
		fmt.Println("error", err)
	}
}

// shell runs another program on the file at path.
type shell struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func newShell(t *testing.T, path string) *shell {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestShell$")
	cmd.Env = append(os.Environ(), shellFile+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sh := &shell{t, cmd, in, bufio.NewReader(out)}
	t.Cleanup(sh.end)
	return sh
}

func (sh *shell) do(line string) {
	sh.t.Helper()
	fmt.Fprintln(sh.in, line)
	if got, err := sh.out.ReadString('\n'); got != "done\n" {
		sh.t.Fatalf("%s: %q, %v", line, got, err)
	}
}

func (sh *shell) end() {
	sh.in.Close()
	sh.cmd.Process.Kill()
	sh.cmd.Wait()
}

// TestEveryChangeIsSeenAtTheNextView: whoever changes a row, and whatever
// becomes of the log.
func TestEveryChangeIsSeenAtTheNextView(t *testing.T) {
	ctx := context.Background()
	m, path := newMail(t, someRows)
	if m.file.Load().watch.index.mem == nil {
		t.Fatal("the shared memory of the file was not found")
	}
	here, sh := newShell(t, path), newShell(t, path)
	last := ""
	seen := func(what string) {
		t.Helper()
		s, err := view(t, m).Settings(ctx)
		if err != nil || s["greeting"] != last {
			t.Fatalf("after %s: %q, %v, want %q", what, s["greeting"], err, last)
		}
	}
	set := func(by func(string), n int) {
		last = fmt.Sprint(n)
		by(fmt.Sprintf("INSERT OR REPLACE INTO Setting VALUES ('greeting', '%d')", n))
	}
	own := func(query string) {
		if err := m.Write(ctx, func(tx *Tx) error { return tx.exec(query) }); err != nil {
			t.Fatal(err)
		}
	}
	writers := []struct {
		name string
		do   func(string)
	}{{"one program", sh.do}, {"another", here.do}, {"ourselves", own}, {"this process", func(q string) { other(t, path, q) }}}
	upkeep := []string{"", "PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(RESTART)", "PRAGMA wal_checkpoint(TRUNCATE)",
		"VACUUM", "CREATE TABLE More (x)", "DROP TABLE More"}
	for n := range 200 {
		w := writers[n%len(writers)]
		set(w.do, n)
		seen("a change by " + w.name)
		if also := upkeep[n%len(upkeep)]; also != "" {
			sh.do(also)
			seen(also)
		}
	}
	gone := newShell(t, path)
	for n := range 5 { // the last but us to close the file
		set(gone.do, 1000+n)
		gone.end()
		seen("a change by a program that has ended")
		gone = newShell(t, path)
	}
}

// TestReplacedFileIsSeen: a restore, with and without the log of the
// old file beside it.
func TestReplacedFileIsSeen(t *testing.T) {
	ctx := context.Background()
	m, path := newMail(t, someRows)
	last := view(t, m).Generation()
	for n := range 4 {
		backup := path + ".backup"
		newShell(t, path).do(fmt.Sprintf("VACUUM INTO '%s'", backup))
		other(t, backup, fmt.Sprintf("INSERT OR REPLACE INTO Setting VALUES ('greeting', 'restored %d')", n))
		lost := func(tx *Tx) error { return tx.exec("INSERT OR REPLACE INTO Setting VALUES ('greeting', 'lost')") }
		if err := m.Write(ctx, lost); err != nil {
			t.Fatal(err)
		}
		view(t, m)
		if n%2 == 1 {
			os.Remove(path + "-wal")
			os.Remove(path + "-shm")
		}
		if err := os.Rename(backup, path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(replacedAfter)
		check := func(want string) {
			t.Helper()
			v := view(t, m)
			s, err := v.Settings(ctx)
			if err != nil || s["greeting"] != want {
				t.Errorf("%q, %v, want %q", s["greeting"], err, want)
			}
			if v.Generation() <= last {
				t.Errorf("generation %d after %d", v.Generation(), last)
			}
			last = v.Generation()
		}
		check(fmt.Sprintf("restored %d", n))
		newShell(t, path).do("UPDATE Setting SET stValue = 'other program' WHERE stName = 'greeting'")
		check("other program")
		if err := m.Write(ctx, lost); err != nil {
			t.Fatal(err)
		}
		check("lost")
		if bad, err := exec.Command("sqlite3", path, "PRAGMA integrity_check").Output(); err == nil && string(bad) != "ok\n" {
			t.Fatalf("the file is broken: %s", bad)
		}
	}
	if err := os.Rename(path, path+".gone"); err != nil {
		t.Fatal(err)
	}
	view(t, m) // goes on with what it has
}

// TestViewOfAnUnchangedFileAsksNobody: neither a lock nor a system call is in
// its way.
func TestViewOfAnUnchangedFileAsksNobody(t *testing.T) {
	m, path := newMail(t, someRows)
	view(t, m)
	newShell(t, path).do("lock")
	memtest.Settles(t, "allocations", 1, func() int64 { return int64(testing.AllocsPerRun(100, func() { view(t, m) })) })
}

// TestLockedFileIsToldInTime: nobody waits the ten seconds and more that SQLite
// does.
func TestLockedFileIsToldInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	ctx := context.Background()
	m, path := newMail(t, someRows)
	view(t, m)
	locked := newShell(t, path)
	other(t, path, "INSERT INTO Setting VALUES ('greeting', 'x')")
	locked.do("lock")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for _, who := range []context.Context{ctx, gone} { // who comes later does not wait at all
		if _, err := m.View(who); !errors.Is(err, ErrLocked) {
			t.Errorf("%v, want ErrLocked", err)
		}
		if m.file.Load().watch.asked.Load() == 0 {
			t.Error("View has waited as long as SQLite")
		}
	}
	locked.end()
	for end := time.Now().Add(2 * time.Minute); ; {
		v, err := m.View(ctx)
		if err == nil {
			if s, _ := v.Settings(ctx); s["greeting"] != "x" {
				t.Errorf("the change is not seen: %v", s)
			}
			return
		}
		if !errors.Is(err, ErrLocked) || time.Now().After(end) {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
}
