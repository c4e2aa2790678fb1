package storage

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/emersion/go-imap/v2"
)

const scanned = 3 * firstScanFrom

// filled is an account whose INBOX others have filled: every tenth message is not
// seen, the last three lie in new/.
func filled(t *testing.T) *world {
	w := newWorld(t)
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(w.path(sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i := range scanned {
		where, end := "cur", ":2,S"
		if i%10 == 9 {
			end = ":2,"
		}
		if i >= scanned-3 {
			where, end = "new", ""
		}
		w.put(where, fmt.Sprintf("%d.M%06dP7Q%d.host%s", 1700000000+i/5, i%5, scanned-i, end), fmt.Sprintf("Subject: %d\n\n", i+1))
	}
	odd := w.path("cur", "1700000000.M0P0.dir")
	if err := os.Mkdir(odd, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(odd) })
	return w
}

func TestFirstSelectTellsAllBeforeTheRowsAreThere(t *testing.T) {
	w := filled(t)
	v := w.sel("INBOX")
	if v.opening == nil {
		t.Fatal("it was opened in the other way")
	}
	if v.Len() != scanned || v.Recent() != 3 || v.UIDNext() != scanned+1 || v.FirstUnseen() != 10 || len(v.PermanentFlags()) != 6 {
		t.Error(v.Len(), v.Recent(), v.UIDNext(), v.FirstUnseen(), v.PermanentFlags())
	}
	told := v.HighestModSeq()
	w.poll(v)
	for seq, m := range v.Messages(imap.SeqSet{{Start: 1, Stop: 0}}) {
		if uint32(m.UID) != seq || m.Size != int64(len(fmt.Sprintf("Subject: %d\r\n\r\n", seq))) || m.ModSeq > told {
			t.Fatal(seq, m)
		}
	}
	for _, uid := range []imap.UID{1, 777, scanned} {
		want(t, "body", w.body(v, uid), fmt.Sprintf("Subject: %d\r\n\r\n", uid))
	}
	w.deliver("INBOX", mail)
	if ch := w.poll(v); ch.Exists != scanned+1 || !ch.Grown || len(ch.Expunged)+len(ch.Flags) != 0 {
		t.Error(ch)
	}
	if v.Recent() != 4 {
		t.Errorf("%d are recent", v.Recent())
	}
	v.Close()
	w.reopen()
	if v := w.sel("INBOX"); v.Len() != scanned+1 || v.opening != nil {
		t.Error(v.Len())
	}
}

// scan begins what the first SELECT does, and leaves the rows to the caller.
func (w *world) scan() *firstScan {
	w.t.Helper()
	ctx := context.Background()
	tree, err := w.tree(w.spec)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := tree.box(ctx, "INBOX")
	if err != nil {
		w.t.Fatal(err)
	}
	b.mu.Lock()
	b.views++
	s, err := b.firstScan(ctx)
	if err != nil || s == nil {
		w.t.Fatal(s, err)
	}
	return s
}

func TestFileGoneDuringFirstSelect(t *testing.T) {
	w := filled(t)
	s := w.scan()
	os.Remove(w.one("cur", fmt.Sprintf("*Q%d.*", scanned-4)))
	v := &View{b: s.b}
	v.openEarly(s)
	defer v.Close()
	if v.Len() != scanned {
		t.Error(v.Len())
	}
	<-v.opening.done
	if ch := w.poll(v); fmt.Sprint(ch.Expunged) != "[5]" || v.Len() != scanned-1 || v.UID(5) != 6 {
		t.Error(ch.Expunged, v.Len(), v.UID(5))
	}
}

// TestCrashDuringFirstSelect: what is durable stays, the rest follows.
func TestCrashDuringFirstSelect(t *testing.T) {
	w := filled(t)
	s := w.scan()
	if err := s.write(s.rows(0, 700)); err != nil {
		t.Fatal(err)
	}
	after := w.image()
	v := after.sel("INBOX")
	if v.Len() != scanned || v.UIDNext() != scanned+1 {
		t.Error(v.Len(), v.UIDNext())
	}
	for _, uid := range []imap.UID{1, 700, 701, scanned} {
		want(t, "body", after.body(v, uid), fmt.Sprintf("Subject: %d\r\n\r\n", uid))
	}
	if err := s.write(s.rows(700, scanned)); err != nil {
		t.Fatal(err)
	}
	s.b.views--
	s.b.mu.Unlock()
	s.b.t.release()
}

// TestFirstSelectWithoutIndex: the mailbox is closed for its session, and there
// for the next.
func TestFirstSelectWithoutIndex(t *testing.T) {
	w := filled(t)
	s := w.scan()
	s.b.row.Gen++ // as if another process had written it
	v := &View{b: s.b}
	v.openEarly(s)
	<-v.opening.done
	if _, err := v.Poll(context.Background(), true); err != ErrNoMailbox {
		t.Error(err)
	}
	v.Close()
	if v := w.sel("INBOX"); v.Len() != scanned {
		t.Error(v.Len())
	}
}

// TestFirstSelectWithoutAList: nobody has a list of UIDs, and none can be written.
func TestFirstSelectWithoutAList(t *testing.T) {
	w := filled(t)
	tree, err := w.tree(w.spec)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.release()
	if _, err := tree.box(t.Context(), "INBOX"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(w.path(uidListFile)); err != nil {
		t.Fatal(err)
	}
	v := w.sel("INBOX")
	if v.opening == nil {
		t.Error("it was opened in the other way")
	}
	if v.Len() != scanned || v.UIDNext() != scanned+1 {
		t.Error(v.Len(), v.UIDNext())
	}
	w.poll(v)
	v.Close()
	w.reopen()
	if v := w.sel("INBOX"); v.Len() != scanned || v.UIDNext() != scanned+1 {
		t.Error(v.Len(), v.UIDNext())
	}
}
