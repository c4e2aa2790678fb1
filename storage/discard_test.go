package storage

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func fileNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestExpungeOfMany: the files leave the mailbox at once, and the disk soon
// after; what a crash leaves goes at the next Select.
func TestExpungeOfMany(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	const n = 2*discardFrom + 1
	for i := range n {
		w.deliver("INBOX", fmt.Sprintf("Subject: %d\n\ntext\n", i))
	}
	v := w.sel("INBOX")
	most := imap.UIDSet{{Start: 2, Stop: n}}
	if _, err := v.Store(ctx, most, imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted}, nil); err != nil {
		t.Fatal(err)
	}
	if err := v.Expunge(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if left := fileNames(t, w.path("cur")); len(left) != 1 {
		t.Errorf("left in cur: %q", left)
	}
	w.poll(v)
	want(t, "left", show(v), "1()R")
	v.Close()
	if err := os.WriteFile(w.path("tmp", discarded+"of.a.crash"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	w.sel("INBOX")
	if left := fileNames(t, w.path("tmp")); len(left) != 0 {
		t.Errorf("left in tmp: %q", left)
	}
}

// TestReadAhead: what is read ahead is what there is, whatever its size, and
// whatever happens meanwhile.
func TestReadAhead(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	text := func(i int) string {
		lines := i * i * i % 2500
		return fmt.Sprintf("Subject: %d\r\n\r\n", i) + strings.Repeat("a line of some length\r\n", lines)
	}
	const n = 200
	for i := range n {
		w.deliver("INBOX", strings.ReplaceAll(text(i), "\r\n", []string{"\n", "\r\n"}[i%2]))
	}
	v, other := w.sel("INBOX"), w.sel("INBOX")
	for uid := imap.UID(1); uid <= n; uid++ {
		switch uid {
		case 50: // read ahead already, or about to be
			if _, err := other.Store(ctx, uids(55, 90), imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted}, nil); err != nil {
				t.Fatal(err)
			}
			if err := other.Expunge(ctx, nil); err != nil {
				t.Fatal(err)
			}
		case 100:
			if _, err := other.Store(ctx, imap.UIDSet{{Start: 1}}, imap.StoreFlagsAdd, []imap.Flag{imap.FlagFlagged}, nil); err != nil {
				t.Fatal(err)
			}
		case 55, 90:
			if _, err := v.Open(ctx, uid); err != ErrExpunged {
				t.Errorf("%d, expunged: %v", uid, err)
			}
			continue
		}
		if got := w.body(v, uid); got != text(int(uid)-1) {
			t.Fatalf("message %d has %d bytes, want %d", uid, len(got), len(text(int(uid)-1)))
		}
	}
	w.poll(v)
	if n := w.readers.Load(); n != 0 {
		t.Errorf("%d views read ahead", n)
	}
}
