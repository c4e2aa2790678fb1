package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// put writes a file as another program does.
func (w *world) put(where, name, text string) {
	w.t.Helper()
	tmp := w.path(filepath.Dir(where), "tmp", "put."+name)
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(tmp, w.path(where, name)); err != nil {
		w.t.Fatal(err)
	}
}

func TestFileThatGrows(t *testing.T) {
	w := newWorld(t)
	w.deliver("INBOX", mail)
	w.put("new", "1.x", "")
	v := w.sel("INBOX")
	os.WriteFile(w.one("cur", "1.x*"), []byte("longer\n"), 0o600)
	want(t, "body", w.body(v, 2), "longer\r\n")
	if m, _ := v.Msg(2); m.Size != int64(len("longer\r\n")) {
		t.Errorf("size %d", m.Size)
	}
	w.check()
}

// one returns the path of the only file that matches.
func (w *world) one(pattern ...string) string {
	w.t.Helper()
	list, _ := filepath.Glob(w.path(pattern...))
	if len(list) != 1 {
		w.t.Fatalf("%v: %v", pattern, list)
	}
	return list[0]
}

func TestForeignDelivery(t *testing.T) {
	w := newWorld(t)
	w.deliver("INBOX", mail)
	v := w.sel("INBOX")
	w.put("new", "1600000002.b.host", "Subject: b\n\nb\n")
	w.put("new", "1600000001.a.host", "Subject: a\n\na\n")
	w.put("cur", "1600000003.c.host:2,FS", "Subject: c\n\nc\n")
	w.put("cur", "1600000004.d.host", "Subject: d\n\nd\n")
	w.put("cur", ".hidden", "x")
	if ch := w.poll(v); ch.Exists != 5 || !ch.Grown {
		t.Fatalf("%+v", ch)
	}
	want(t, "in order of time", show(v), `1()R 2()R 3()R 4(\Flagged \Seen) 5()`)
	want(t, "body with CRLF", w.body(v, 2), "Subject: a\r\n\r\na\r\n")
	if m, _ := v.Msg(2); m.Size != int64(len("Subject: a\r\n\r\na\r\n")) {
		t.Errorf("size %d", m.Size)
	}
	w.check()
	// A file without flags in its name can get some.
	if _, err := v.Store(context.Background(), uids(5), imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen}, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(w.one("cur", "1600000004*"), "host:2,S") {
		t.Error("not renamed")
	}
}

func TestForeignFlagsAndExpunge(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for i := range 4 {
		w.append("INBOX", fmt.Sprintf("Subject: %d\r\n\r\n", i))
	}
	v := w.sel("INBOX")
	files, _ := filepath.Glob(w.path("cur", "*"))
	if err := os.Rename(files[0], files[0]+"FT"); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(w.path("dovecot-keywords"), []byte("0 NonJunk\n1 $Forwarded\n"), 0o600)
	if err := os.Rename(files[1], files[1]+"PSb"); err != nil {
		t.Fatal(err)
	}
	os.Remove(files[2])
	before := v.HighestModSeq()
	ch := w.poll(v)
	if fmt.Sprint(ch.Expunged) != "[3]" || fmt.Sprint(ch.Flags) != "[1 2]" || !ch.Keywords || v.HighestModSeq() <= before {
		t.Fatalf("%+v", ch)
	}
	want(t, "flags", show(v), `1(\Flagged \Deleted)R 2(\Seen $Forwarded)R 4()R`)
	w.check()
	v.Store(ctx, uids(2), imap.StoreFlagsAdd, []imap.Flag{imap.FlagDraft}, nil)
	if f := w.one("cur", "*P*b*"); !strings.HasSuffix(f, ":2,DSbP") {
		t.Errorf("the unknown letter is lost: %s", f)
	}
	// The name changes between the look and the command.
	f := w.one("cur", filepath.Base(files[3]))
	if err := os.Rename(f, f+"S"); err != nil {
		t.Fatal(err)
	}
	want(t, "body", w.body(v, 4), "Subject: 3\r\n\r\n")
	if _, err := v.Store(ctx, uids(4), imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted}, nil); err != nil {
		t.Fatal(err)
	}
	if err := v.Expunge(ctx, uids(4)); err != nil {
		t.Fatal(err)
	}
	w.poll(v)
	want(t, "at the end", show(v), `1(\Flagged \Deleted)R 2(\Seen \Draft $Forwarded)R`)
}

func TestForeignMoveFromNewToCur(t *testing.T) {
	w := newWorld(t)
	w.deliver("INBOX", mail)
	w.deliver("INBOX", mail)
	st, _ := w.acc.Status(context.Background(), "INBOX")
	f, _ := filepath.Glob(w.path("new", "*"))
	if err := os.Rename(f[0], w.path("cur", filepath.Base(f[0])+":2,S")); err != nil {
		t.Fatal(err)
	}
	after, err := w.acc.Status(context.Background(), "INBOX")
	if err != nil || after.UIDNext != st.UIDNext || after.Unseen != 1 || after.Recent != 1 {
		t.Errorf("%+v %v", after, err)
	}
	want(t, "INBOX", show(w.sel("INBOX")), `1(\Seen) 2()R`)
}

func TestDuplicateNames(t *testing.T) {
	w := newWorld(t)
	w.append("INBOX", mail)
	v := w.sel("INBOX")
	f := w.one("cur", "*")
	if err := os.Link(f, f+"S"); err != nil { // the same file twice
		t.Fatal(err)
	}
	os.WriteFile(w.path("new", strings.TrimSuffix(filepath.Base(f), ":2,")), []byte("other\n"), 0o600)
	w.poll(v)
	w.poll(v)
	if v.Len() != 2 {
		t.Fatalf("%d messages: %s", v.Len(), show(v))
	}
	want(t, "the first", w.body(v, 1), mail)
	want(t, "the other", w.body(v, 2), "other\r\n")
	w.check()
}

func TestIndexIsRebuiltFromTheTree(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.acc.Create(ctx, "a.b", nil)
	w.append("a.b", mail, imap.FlagSeen)
	w.append("a.b", mail, imap.FlagSeen, "kw")
	v := w.sel("a.b")
	if err := v.Remove(ctx, []imap.UID{1}); err != nil {
		t.Fatal(err)
	}
	v.Close()
	w.deliver("INBOX", mail)
	before, _ := w.acc.Status(ctx, "a.b")
	w.Close()
	w.state.Close()
	home := filepath.Dir(filepath.Dir(w.spec.Dir))
	for _, f := range []string{"state.sqlite", "state.sqlite-wal", "state.sqlite-shm"} {
		os.Remove(filepath.Join(home, f))
	}
	w.now = func() time.Time { return time.Now().Add(time.Hour) }
	w.open(filepath.Join(home, "state.sqlite"))
	if diffs, err := w.Check(ctx, w.spec); err != nil || len(diffs) == 0 {
		t.Errorf("check of a lost index: %v %v", diffs, err)
	}
	if err := w.Repair(ctx, w.spec); err != nil {
		t.Fatal(err)
	}
	w.check()
	want(t, "a.b", show(w.sel("a.b")), `2(\Seen kw)`)
	want(t, "INBOX", show(w.sel("INBOX")), "1()R")
	if after, _ := w.acc.Status(ctx, "a.b"); after.UIDValidity != before.UIDValidity || after.UIDNext != before.UIDNext || after.HighestModSeq <= before.HighestModSeq {
		t.Errorf("%+v after %+v", after, before)
	}
}

// TestCheckBesideAnotherProcess: `check` has counted what an account holds when
// the server delivers to it. That is no difference; a wrong count is one.
func TestCheckBesideAnotherProcess(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.deliver("INBOX", mail)
	v := w.sel("INBOX")
	if _, err := w.acc.Quota(ctx); err != nil {
		t.Fatal(err)
	}
	other := &world{t: t, spec: w.spec, now: w.now}
	other.open(w.statePath())
	defer other.state.Close()
	defer other.Close()
	for range 3 {
		other.append("INBOX", mail)
	}
	w.check()
	if q, err := w.acc.Quota(ctx); err != nil || q.Messages != 4 || q.Bytes != int64(4*len(mail)) {
		t.Errorf("quota after that: %+v %v", q, err)
	}
	v.b.t.bytes.Add(7)
	diffs, err := w.Check(ctx, w.spec)
	v.b.t.bytes.Add(-7)
	if err != nil || len(diffs) != 1 || !strings.Contains(diffs[0].What, "quota counts") {
		t.Errorf("check of a wrong count: %v %v", diffs, err)
	}
}

func TestCheckNamesEveryDifference(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for range 4 {
		w.append("INBOX", mail)
	}
	w.reopen()
	files, _ := filepath.Glob(w.path("cur", "*"))
	os.Remove(files[0])
	os.Rename(files[1], files[1]+"S")
	w.put("cur", "1600000000.x.host:2,", "x\n")
	os.WriteFile(files[2], []byte("longer than it was, by far; and by more than that\n"), 0o600)
	os.MkdirAll(w.path(".new", "cur"), 0o700)
	diffs, err := w.Check(ctx, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(diffs)
	for _, s := range []string{"the file is missing", "has the flags :2,S", "index has no such message", "RFC822.SIZE", "no such mailbox"} {
		if !strings.Contains(text, s) {
			t.Errorf("nothing says %q: %s", s, text)
		}
	}
	if err := w.Repair(ctx, w.spec); err != nil {
		t.Fatal(err)
	}
	os.Mkdir(w.path(".new", "new"), 0o700)
	if err := w.Repair(ctx, w.spec); err != nil {
		t.Fatal(err)
	}
	w.check()
}

func TestLinksOutOfTheMaildirAreNotFollowed(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.deliver("INBOX", mail)
	out := t.TempDir()
	for _, d := range []string{"cur", "new", "tmp"} {
		os.Mkdir(filepath.Join(out, d), 0o700)
	}
	os.Symlink(out, w.path(".out"))
	os.WriteFile(filepath.Join(out, "secret"), []byte("secret"), 0o600)
	os.Symlink(filepath.Join(out, "secret"), w.path("cur", "1600000000.s.host:2,"))
	want(t, "list", listed(t, w.acc), "INBOX")
	if _, err := w.acc.Select(ctx, "out", false); err == nil {
		t.Error("a mailbox outside was opened")
	}
	if err := deliver(w.acc, "out", mail); err == nil {
		t.Error("mail went outside")
	}
	want(t, "INBOX", show(w.sel("INBOX")), "1()R")
	os.Remove(w.path(".out"))
	os.Remove(w.path("cur", "1600000000.s.host:2,"))
	w.sel("INBOX")
}

func TestVanishedDirectory(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.acc.Create(ctx, "a", nil)
	w.append("a", mail)
	v := w.sel("a")
	os.RemoveAll(w.path(".a"))
	if _, err := v.Poll(ctx, true); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("poll: %v", err)
	}
	if err := deliver(w.acc, "a", mail); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("deliver: %v", err)
	}
	if _, err := w.acc.Create(ctx, "a", nil); err != nil {
		t.Fatal(err)
	}
	want(t, "made again", show(w.sel("a")), "")
	w.deliver("INBOX", mail)
	os.RemoveAll(w.spec.Dir)
	w.deliver("INBOX", mail)
	want(t, "INBOX", show(w.sel("INBOX")), "2()R")
	w.Repair(ctx, w.spec)
}
