package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// TestUnfinishedCopyIsTakenBack: after a crash in the middle of a copy nothing of
// it is there; what a living process copies is left alone.
func TestUnfinishedCopyIsTakenBack(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.acc.Create(ctx, "To", nil)
	for range 3 {
		w.append("INBOX", "Subject: x\n\ntext\n")
	}
	v := w.sel("INBOX")
	if _, err := v.Copy(ctx, imap.SeqSet{{Start: 1, Stop: 3}}, "To"); err != nil {
		t.Fatal(err)
	}
	v.Close()
	if list, err := w.state.Copyings(ctx); err != nil || len(list) != 0 {
		t.Fatal("a finished copy is still recorded", list, err)
	}
	cur := filepath.Join(w.acc.spec.Dir, ".To", "cur")
	for prefix, owner := range map[string]string{"1.dead_": "1 0", "2.alive_": thisProcess()} {
		for _, n := range []string{"000001", "000002"} {
			if err := os.WriteFile(filepath.Join(cur, prefix+n+",S=12,W=14:2,"), []byte("Subject: y\n\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := w.state.Write(ctx, func(tx *schema.Tx) error {
			return tx.AddCopying(&schema.Copying{Dir: cur, Prefix: prefix, Owner: owner})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w.reopen()
	v = w.sel("To")
	defer v.Close()
	if v.Len() != 5 {
		t.Errorf("%d messages", v.Len())
	}
	names, _ := filepath.Glob(filepath.Join(cur, "*"))
	if all := strings.Join(names, " "); strings.Contains(all, "1.dead_") || !strings.Contains(all, "2.alive_") {
		t.Error(all)
	}
	if list, _ := w.state.Copyings(ctx); len(list) != 1 {
		t.Error(list)
	}
}
