package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A message moves away, and the server dies before its first mailbox knows;
// then it moves back, before anybody has looked there. It must not stand there
// twice, or who expunges the old one takes the new one.
func TestMoveBackAfterCrash(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if _, err := w.acc.Create(ctx, "b", nil); err != nil {
		t.Fatal(err)
	}
	w.append("INBOX", mail)
	w.append("INBOX", mail)
	w.sel("INBOX").Close()
	w.sel("b").Close()
	w.reopen()
	files, err := filepath.Glob(w.path("cur", "*"))
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	if err := os.Rename(files[0], w.path(".b", "cur", filepath.Base(files[0]))); err != nil {
		t.Fatal(err)
	}
	b := w.sel("b")
	want(t, "b", show(b), "1()")
	moved, err := b.Move(ctx, uids(1), "INBOX")
	if err != nil || moved.Dest.String() != "3" {
		t.Fatalf("%+v %v", moved, err)
	}
	in := w.sel("INBOX")
	want(t, "INBOX", strings.ReplaceAll(show(in), "R", ""), "2() 3()")
}

// The list of UIDs that Dovecot reads must not have one name twice.
func TestMoveThereAndBackHasNewName(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	if _, err := w.acc.Create(ctx, "b", nil); err != nil {
		t.Fatal(err)
	}
	w.append("INBOX", mail)
	in := w.sel("INBOX")
	if _, err := in.Move(ctx, uids(1), "b"); err != nil {
		t.Fatal(err)
	}
	b := w.sel("b")
	email, err := b.Facts(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Move(ctx, uids(1), "INBOX"); err != nil {
		t.Fatal(err)
	}
	w.poll(in)
	if again, err := in.Facts(ctx, 2); err != nil || again.EmailID != email.EmailID {
		t.Errorf("%v, was %v: %v", again, email, err)
	}
	text, err := os.ReadFile(w.path(uidListFile))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		_, name, _ := strings.Cut(line, ":")
		if names[name] {
			t.Errorf("twice in the list:\n%s", text)
		}
		names[name] = true
	}
}
