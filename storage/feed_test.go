package storage

import (
	"os"
	"path/filepath"
	"testing"
)

// TestFeedSeesOtherPrograms: mailboxes that other programs make and remove, and
// messages that come into one that nobody has open, are seen by the next look.
func TestFeedSeesOtherPrograms(t *testing.T) {
	w := newWorld(t)
	w.deliver("INBOX", "Subject: x\n\ntext\n")
	if _, err := w.acc.Create(t.Context(), "Sent", nil); err != nil {
		t.Fatal(err)
	}
	f, err := w.acc.Feed(nil, func() {})
	if err != nil {
		t.Fatal(err)
	}
	look := func() {
		t.Helper()
		for _, b := range w.Store.open() {
			b.look()
		}
	}
	look()
	f.Take()
	dir := w.acc.spec.Dir
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, ".Foreign", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".Sent", "new", "1.foreign.host"), []byte("Subject: y\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	look()
	mail, news, over := f.Take()
	if mail["Sent"]&Arrived == 0 || len(news) != 1 || news[0].Name != "Foreign" || over {
		t.Errorf("%v %+v %v", mail, news, over)
	}
	// What this process does is told once.
	if _, err := w.acc.Create(t.Context(), "Ours", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, ".Foreign")); err != nil {
		t.Fatal(err)
	}
	look()
	if _, news, _ = f.Take(); len(news) != 2 || news[0].Name != "Ours" || news[1].Name != "Foreign" {
		t.Errorf("%+v", news)
	}
	if _, err := w.acc.Create(t.Context(), "Foreign", nil); err != nil { // its row is left
		t.Fatal(err)
	}
	f.Close()
	f.Close()
	if w.Store.open() != nil {
		t.Error("mailboxes are looked at for nobody")
	}
}

// TestFeedRename: what has come into a mailbox is told under its new name.
func TestFeedRename(t *testing.T) {
	w := newWorld(t)
	a := w.acc
	for _, name := range []string{"A", "A.b"} {
		if _, err := a.Create(t.Context(), name, nil); err != nil {
			t.Fatal(err)
		}
	}
	f, err := a.Feed("me", func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w.deliver("A.b", "Subject: x\n\ntext\n")
	if _, err := a.Status(t.Context(), "A.b"); err != nil {
		t.Fatal(err)
	}
	if err := a.Rename(CausedBy(t.Context(), "me"), "A", "Z"); err != nil {
		t.Fatal(err)
	}
	mail, news, _ := f.Take()
	if mail["Z.b"] != Arrived|SeenChanged || len(mail) != 1 {
		t.Errorf("%v", mail)
	}
	if len(news) != 1 || news[0].Name != "Z" || news[0].Old != "A" || !news[0].Own {
		t.Errorf("%+v", news)
	}
}

// TestFeedIsBounded: nobody who does not Take makes us keep all.
func TestFeedIsBounded(t *testing.T) {
	f := &Feed{}
	for range maxNews + 1 {
		f.add(News{Kind: Subscribed, Name: "x"})
	}
	if f.news != nil || f.mail != nil || !f.Waiting() {
		t.Error("it is kept")
	}
	if _, _, over := f.Take(); !over || f.Waiting() {
		t.Error("overflow is not told")
	}
}
