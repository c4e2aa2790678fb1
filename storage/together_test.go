package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestManyLinks: links enough for one sync of the file system are all there, in
// index and tree; what cannot be linked is told, and leaves nothing.
func TestManyLinks(t *testing.T) {
	w := newWorld(t)
	first, err := w.acc.NewDraft(t.Context(), "INBOX", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Write([]byte(mail)); err != nil {
		t.Fatal(err)
	}
	specs := make([]Spec, syncWhole+10)
	drafts := make([]*Draft, len(specs))
	for i := range specs {
		specs[i] = w.spec
		specs[i].User, specs[i].Dir = fmt.Sprint("u", i), filepath.Join(t.TempDir(), "Mail")
		if drafts[i], err = first.Link(t.Context(), w.Account(specs[i]), "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(specs[0].Dir, nil, 0o600); err != nil { // no directory can be made
		t.Fatal(err)
	}
	errs := DeliverAll(drafts)
	if errs[0] == nil {
		t.Error("a message is in a mailbox that cannot be")
	}
	if err := first.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, spec := range specs[1:] {
		if errs[i+1] != nil {
			t.Fatal(errs[i+1])
		}
		v, err := w.Account(spec).Select(t.Context(), "INBOX", false)
		if err != nil {
			t.Fatal(err)
		}
		want(t, spec.User, w.body(v, 1), mail)
		v.Close()
		if diffs, err := w.Check(t.Context(), spec); err != nil || len(diffs) > 0 {
			t.Error(diffs, err)
		}
	}
}
