package delivery

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mailserver/policy"
)

// small mounts a file system of 1 MiB at dir, and unmounts it at the end.
func small(t *testing.T, dir string, uid int) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
}

// fill takes the rest of the room; the function it returns gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			break
		}
	}
	f.Close()
	return func() { os.Remove(name) }
}

func files(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != "filler" {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFullSpool(t *testing.T) {
	f := newFixture(t)
	spool := filepath.Join(f.dir, "spool")
	f.shut()
	small(t, spool, 0)
	f.open()
	full := func(what, to, body string) {
		t.Helper()
		_, out := f.send(envelope("s@x.test", to), body, policy.Effects{})
		if o := out[0]; o.Code != 452 || o.Enhanced != "4.3.1" || o.Text != "Insufficient system storage" {
			t.Errorf("%s: %+v", what, o)
		}
		if n := files(t, spool); n != 0 || len(f.queued()) != 0 {
			t.Errorf("%s: %d files, queue %q", what, n, f.queued())
		}
	}
	full("too big for the disk", "a@box.test", text+strings.Repeat("0123456789\r\n", 200_000))
	free := fill(t, spool)
	full("to the queue", "x@out.test", text+strings.Repeat("0123456789\r\n", 4000))
	full("mailbox and queue", "mixed@box.test", text+strings.Repeat("0123456789\r\n", 4000))
	if n := len(f.box("a@box.test")); n != 0 {
		t.Errorf("a refused message is in the mailbox %d times", n)
	}
	f.ok("s@x.test", "a@box.test") // small, and needs no spool
	free()
	f.run()
	f.ok("s@x.test", "mixed@box.test")
	f.until("relayed", func() bool { return len(f.sink.Messages()) == 1 && len(f.queued()) == 0 })
}

func TestFullMailbox(t *testing.T) {
	f := newFixture(t)
	mail := filepath.Join(f.dir, "mail")
	small(t, mail, 842)
	f.ok("s@x.test", "a@box.test") // makes the directories
	free := fill(t, mail)
	before := files(t, mail)
	_, out := f.send(envelope("s@x.test", "a@box.test"), text+strings.Repeat("0123456789\r\n", 4000), policy.Effects{})
	if o := out[0]; o.Code != 452 || o.Enhanced != "4.3.1" {
		t.Errorf("%+v", o)
	}
	if after := files(t, mail); after != before {
		t.Errorf("%d files became %d", before, after)
	}
	free()
	f.ok("s@x.test", "a@box.test")
	if n := len(f.box("a@box.test")); n != 2 {
		t.Errorf("%d messages", n)
	}
}
