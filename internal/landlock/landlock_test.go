package landlock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// onThread runs fn on a thread that ends with it.
func onThread(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked
		fn()
	}()
	<-done
}

func TestWhatIsForbiddenCannotBeOpened(t *testing.T) {
	if Version() == 0 {
		t.Skip("the kernel has no landlock")
	}
	dir := t.TempDir()
	for _, d := range []string{"mine/tmp", "mine/new", "shown", "hidden"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, d, "file"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	read := func(name string) error { _, err := os.ReadFile(at(name)); return err }
	write := func(name string) error { return os.WriteFile(at(name), []byte("y"), 0o600) }
	onThread(func() {
		err := RestrictThread(Rules{Read: []string{at("shown"), at("not there")}, Write: []string{at("mine"), at("hidden/none")}})
		if err != nil {
			t.Error(err)
			return
		}
		for what, err := range map[string]error{
			"read own": read("mine/new/file"), "write own": write("mine/new/file"), "make": write("mine/tmp/fresh"),
			"rename": os.Rename(at("mine/tmp/file"), at("mine/new/moved")), "link": os.Link(at("mine/new/file"), at("mine/tmp/linked")),
			"remove": os.Remove(at("mine/new/moved")), "read shown": read("shown/file"),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		for what, err := range map[string]error{
			"read hidden": read("hidden/file"), "write hidden": write("hidden/file"), "make hidden": write("hidden/fresh"),
			"write shown": write("shown/file"), "make shown": write("shown/fresh"), "remove shown": os.Remove(at("shown/file")),
			"through a link": func() error { os.Symlink(at("hidden/file"), at("mine/way")); return read("mine/way") }(),
			"system":         func() error { _, err := os.ReadFile("/etc/passwd"); return err }(),
		} {
			if !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
	if err := read("hidden/file"); err != nil { // other threads are as before
		t.Error(err)
	}
}
