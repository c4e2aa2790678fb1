package storage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// many delivers more messages than are renamed at once, and selects them.
func (w *world) many() (v *View, n uint32) {
	w.t.Helper()
	n = behindFrom + 50
	for i := range n {
		w.deliver("INBOX", fmt.Sprintf("Subject: %d\n\ntext\n", i))
	}
	return w.sel("INBOX"), n
}

func (w *world) store(v *View, set imap.NumSet, op imap.StoreFlagsOp, flags ...imap.Flag) {
	w.t.Helper()
	if _, err := v.Store(context.Background(), set, op, flags, nil); err != nil {
		w.t.Fatal(err)
	}
}

// flagged counts the files whose names have all of the letters.
func flagged(t *testing.T, dir, letters string) (n int) {
	for _, name := range fileNames(t, dir) {
		if _, end := splitName(name); strings.HasPrefix(end, ":2,") && strings.Contains(end, letters) {
			n++
		}
	}
	return n
}

var everything = imap.UIDSet{{Start: 1}}

// TestStoreOfMany: names of files follow flags that were stored on many
// messages, whatever else is done with these messages meanwhile.
func TestStoreOfMany(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	v, n := w.many()
	w.store(v, everything, imap.StoreFlagsAdd, imap.FlagFlagged)
	w.store(v, uids(1, 2, 3), imap.StoreFlagsAdd, imap.FlagDeleted)
	w.store(v, uids(4), imap.StoreFlagsSet, imap.FlagSeen)
	if got := w.body(v, 5); !strings.Contains(got, "Subject: 4") {
		t.Errorf("message 5: %q", got)
	}
	if err := v.Expunge(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.acc.Create(ctx, "other", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Copy(ctx, uids(5, 6), "other"); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Move(ctx, uids(7), "other"); err != nil {
		t.Fatal(err)
	}
	w.store(v, everything, imap.StoreFlagsAdd, imap.FlagAnswered)
	w.poll(v)
	for uid := imap.UID(8); uid <= imap.UID(n); uid++ {
		if got := w.body(v, uid); !strings.HasPrefix(got, fmt.Sprintf("Subject: %d\r\n", uid-1)) {
			t.Fatalf("message %d: %q", uid, got)
		}
	}
	v.Close()
	w.Close() // waits for the names
	if got := flagged(t, w.path("cur"), "FR"); got != int(n)-5 {
		t.Errorf("%d files have both flags, want %d", got, n-5)
	}
	if got := flagged(t, w.path("cur"), "RS"); got != 1 {
		t.Errorf("%d files are seen and answered, want 1", got)
	}
	w.reopen()
	v = w.sel("INBOX")
	for pos, flags := range v.b.msgs.flags {
		if flags&behind != 0 {
			t.Fatalf("message %d is still behind", v.b.msgs.uid[pos])
		}
	}
}

// TestStoreOfManySurvivesCrash: the index has the flags that were answered, and
// names follow when the mailbox is next opened.
func TestStoreOfManySurvivesCrash(t *testing.T) {
	w := newWorld(t)
	v, n := w.many()
	w.store(v, everything, imap.StoreFlagsAdd, imap.FlagFlagged)
	v.b.mu.RLock() // nobody renames meanwhile
	after := w.image()
	v.b.mu.RUnlock()
	if got := flagged(t, after.path("cur"), "F"); got == int(n) {
		t.Fatal("the names are there already: this shows nothing")
	}
	v = after.sel("INBOX")
	count := 0
	for _, m := range v.Messages(everything) {
		if m.Flags&Flagged != 0 {
			count++
		}
	}
	if count != int(n) {
		t.Errorf("%d messages are flagged after a crash, want %d", count, n)
	}
	v.Close()
	after.reopen()
	if got := flagged(t, after.path("cur"), "F"); got != int(n) {
		t.Errorf("%d names tell it, want %d", got, n)
	}
	if got := len(fileNames(t, after.path("cur"))); got != int(n) {
		t.Errorf("%d files, want %d", got, n)
	}
}

// image is the world as a crash would leave it now.
func (w *world) image() *world {
	w.t.Helper()
	from, to := filepath.Dir(w.statePath()), w.t.TempDir()
	var files []string
	for _, end := range []string{"", "-wal"} {
		files = append(files, "state.sqlite"+end)
	}
	filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(from, path); err == nil && !d.IsDir() && !strings.HasPrefix(rel, "state.sqlite") {
			files = append(files, rel)
		}
		return nil
	})
	for _, rel := range files {
		text, err := os.ReadFile(filepath.Join(from, rel))
		if err == nil {
			os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o700)
			err = os.WriteFile(filepath.Join(to, rel), text, 0o600)
		}
		if err != nil && !os.IsNotExist(err) {
			w.t.Fatal(err)
		}
	}
	for _, sub := range []string{"tmp", "new"} {
		os.MkdirAll(filepath.Join(to, "home", "Mail", sub), 0o700)
	}
	image := &world{t: w.t, spec: w.spec}
	image.spec.Dir = filepath.Join(to, "home", "Mail")
	image.open(filepath.Join(to, "state.sqlite"))
	w.t.Cleanup(func() {
		if !w.t.Failed() {
			image.check()
		}
		image.Close()
		image.state.Close()
	})
	return image
}
