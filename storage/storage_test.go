package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// world is a Store over a directory, and the account that tests use.
type world struct {
	t     testing.TB
	state *schema.State
	*Store
	spec Spec
	acc  *Account
	now  func() time.Time
}

func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, spec: Spec{User: "u@example.org", Dir: filepath.Join(dir, "home", "Mail"), UID: -1, GID: -1}}
	w.open(filepath.Join(dir, "state.sqlite"))
	t.Cleanup(func() {
		if !t.Failed() {
			w.check()
		}
		w.Close()
		w.state.Close()
	})
	return w
}

func (w *world) open(path string) {
	w.t.Helper()
	state, err := schema.OpenState(context.Background(), path)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := Open(Deps{State: state, Now: w.now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.state, w.Store, w.acc = state, s, s.Account(w.spec)
}

// reopen closes the index and opens it, as a restart does.
func (w *world) reopen() {
	w.t.Helper()
	w.Close()
	w.state.Close()
	w.open(w.statePath())
}

func (w *world) statePath() string {
	return filepath.Join(filepath.Dir(filepath.Dir(w.spec.Dir)), "state.sqlite")
}

func (w *world) check() {
	w.t.Helper()
	diffs, err := w.Check(context.Background(), w.spec)
	if err != nil {
		w.t.Fatal("check:", err)
	}
	for _, d := range diffs {
		w.t.Error("check:", d)
	}
}

func (w *world) deliver(mailbox, text string) {
	w.t.Helper()
	if err := deliver(w.acc, mailbox, text); err != nil {
		w.t.Fatal(err)
	}
}

func deliver(a *Account, mailbox, text string) error {
	ctx := context.Background()
	d, err := a.NewDraft(ctx, mailbox, int64(len(text)))
	if err != nil {
		return err
	}
	defer d.Abort()
	if _, err := io.WriteString(d, text); err != nil {
		return err
	}
	return d.Deliver(ctx)
}

func (w *world) append(mailbox, text string, flags ...imap.Flag) imap.UID {
	w.t.Helper()
	ctx := context.Background()
	d, err := w.acc.NewDraft(ctx, mailbox, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	io.WriteString(d, text)
	_, uids, err := w.acc.Append(ctx, mailbox, []*Draft{d}, []AppendMeta{{Flags: flags}})
	if err != nil {
		w.t.Fatal(err)
	}
	return uids[0]
}

func (w *world) sel(mailbox string) *View {
	w.t.Helper()
	v, err := w.acc.Select(context.Background(), mailbox, false)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(v.Close)
	return v
}

func (w *world) poll(v *View) Changes {
	w.t.Helper()
	ch, err := v.Poll(context.Background(), true)
	if err != nil {
		w.t.Fatal(err)
	}
	return ch
}

func (w *world) body(v *View, uid imap.UID) string {
	w.t.Helper()
	b, err := v.Open(context.Background(), uid)
	if err != nil {
		w.t.Fatal(err)
	}
	defer b.Close()
	text, err := io.ReadAll(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func (w *world) path(elem ...string) string {
	return filepath.Join(append([]string{w.spec.Dir}, elem...)...)
}

// show writes a view as text: UID, flags, and R for \Recent.
func show(v *View) string {
	var out []string
	for _, m := range v.Messages(imap.SeqSet{{Start: 1, Stop: 0}}) {
		s := fmt.Sprintf("%d(%s)", m.UID, v.AppendFlags(nil, m.Flags))
		if m.Recent {
			s += "R"
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func want(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func uids(list ...imap.UID) imap.UIDSet { return imap.UIDSetNum(list...) }

const mail = "From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n"

func TestDeliveredMailIsSeenBySelectAndPoll(t *testing.T) {
	w := newWorld(t)
	w.deliver("INBOX", mail)
	v := w.sel("inbox")
	want(t, "after SELECT", show(v), "1()R")
	want(t, "body", w.body(v, 1), mail)
	wake := watched(v)
	w.deliver("INBOX", mail)
	<-wake
	ch := w.poll(v)
	if !ch.Grown || ch.Exists != 2 || ch.Recent != 2 || len(ch.Flags) != 0 || len(ch.Expunged) != 0 {
		t.Errorf("changes: %+v", ch)
	}
	want(t, "after Poll", show(v), "1()R 2()R")
	if n, _ := os.ReadDir(w.path("new")); len(n) != 0 {
		t.Errorf("new/ still has %d files", len(n))
	}
	m, _ := v.Msg(1)
	if m.Size != int64(len(mail)) {
		t.Errorf("size %d, want %d", m.Size, len(mail))
	}
}

func TestExamineChangesNothing(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.deliver("INBOX", mail)
	v, err := w.acc.Select(ctx, "INBOX", true)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	want(t, "EXAMINE", show(v), "1()R")
	_, err = v.Store(ctx, uids(1), imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen}, nil)
	_, err2 := v.Move(ctx, uids(1), "INBOX")
	for _, err := range []error{err, v.Expunge(ctx, nil), err2} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("got %v, want ErrReadOnly", err)
		}
	}
	if n, _ := os.ReadDir(w.path("new")); len(n) != 1 {
		t.Error("EXAMINE moved the file out of new/")
	}
	want(t, "SELECT after EXAMINE", show(w.sel("INBOX")), "1()R")
	w.poll(v)
	want(t, "EXAMINE after SELECT", show(v), "1()")
}

func TestTwoViewsSeeEachOther(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for range 4 {
		w.deliver("INBOX", mail)
	}
	a, b := w.sel("INBOX"), w.sel("INBOX")
	want(t, "second view", show(b), "1() 2() 3() 4()")
	res, err := a.Store(ctx, imap.SeqSetNum(2, 3), imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted, "$Label1"}, nil)
	if err != nil || !res.Keywords || res.Changed.String() != "2:3" {
		t.Fatalf("store: %+v %v", res, err)
	}
	<-watched(b)
	ch := w.poll(b)
	if fmt.Sprint(ch.Flags) != "[2 3]" || !ch.Keywords {
		t.Errorf("changes of b: %+v", ch)
	}
	if ch := w.poll(a); len(ch.Flags) != 0 {
		t.Errorf("a was told its own change: %+v", ch)
	}
	if err := a.Expunge(ctx, nil); err != nil {
		t.Fatal(err)
	}
	w.deliver("INBOX", mail)
	ch, err = b.Poll(ctx, false)
	if err != nil || len(ch.Expunged) != 0 || !ch.Grown || ch.Exists != 5 {
		t.Errorf("poll without expunge: %+v %v", ch, err)
	}
	if _, ok := b.Msg(2); ok || b.UID(5) != 5 {
		t.Error("an expunged message is still there, or the new one is not")
	}
	ch = w.poll(b)
	if fmt.Sprint(ch.Expunged) != "[3 2]" || ch.Vanished.String() != "2:3" || ch.Exists != 3 {
		t.Errorf("poll with expunge: %+v", ch)
	}
	want(t, "b", show(b), "1() 4() 5()R")
	if _, err := b.Open(ctx, 2); !errors.Is(err, ErrExpunged) {
		t.Errorf("open of an expunged message: %v", err)
	}
}

func TestStore(t *testing.T) {
	for _, c := range []struct {
		name  string
		have  []imap.Flag
		op    imap.StoreFlagsOp
		flags []imap.Flag
		want  string
		file  string
	}{
		{"add", nil, imap.StoreFlagsAdd, []imap.Flag{"\\seen", imap.FlagFlagged}, "\\Flagged \\Seen", ":2,FS"},
		{"remove", []imap.Flag{imap.FlagSeen, imap.FlagDraft}, imap.StoreFlagsDel, []imap.Flag{imap.FlagSeen}, "\\Draft", ":2,D"},
		{"replace", []imap.Flag{imap.FlagSeen, "k1"}, imap.StoreFlagsSet, []imap.Flag{"K2", imap.FlagAnswered}, "\\Answered K2", ":2,Rb"},
		{"replace by nothing", []imap.Flag{imap.FlagSeen, "k1"}, imap.StoreFlagsSet, nil, "", ":2,"},
		{"keyword in another case", []imap.Flag{"k1"}, imap.StoreFlagsDel, []imap.Flag{"K1"}, "", ":2,"},
		{"recent is left out", nil, imap.StoreFlagsAdd, []imap.Flag{"\\Recent", "\\Seen"}, "\\Seen", ":2,S"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.append("INBOX", mail, c.have...)
			v := w.sel("INBOX")
			if _, err := v.Store(context.Background(), uids(1), c.op, c.flags, nil); err != nil {
				t.Fatal(err)
			}
			m, _ := v.Msg(1)
			want(t, "flags", string(v.AppendFlags(nil, m.Flags)), c.want)
			files, _ := os.ReadDir(w.path("cur"))
			_, info := splitName(files[0].Name())
			want(t, "file", info, c.file)
			w.check()
			w.reopen()
			v = w.sel("INBOX")
			m, _ = v.Msg(1)
			want(t, "flags after a restart", string(v.AppendFlags(nil, m.Flags)), c.want)
		})
	}
}

func TestStoreUnchangedSince(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for range 3 {
		w.append("INBOX", mail)
	}
	v := w.sel("INBOX")
	since := v.HighestModSeq()
	if _, err := v.Store(ctx, uids(2), imap.StoreFlagsAdd, []imap.Flag{imap.FlagFlagged}, nil); err != nil {
		t.Fatal(err)
	}
	res, err := v.Store(ctx, imap.SeqSet{{Start: 1, Stop: 0}}, imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen}, &since)
	if err != nil || res.Modified.String() != "2" || res.Changed.String() != "1,3" {
		t.Errorf("got %+v %v", res, err)
	}
	m, _ := v.Msg(3)
	if m.ModSeq != res.ModSeq {
		t.Errorf("MODSEQ %d, want %d", m.ModSeq, res.ModSeq)
	}
}

func TestMoreKeywordsThanLetters(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.append("INBOX", mail)
	v := w.sel("INBOX")
	var flags []imap.Flag
	for i := range maxKeywords {
		flags = append(flags, imap.Flag(fmt.Sprintf("key%02d", i)))
	}
	if _, err := v.Store(ctx, uids(1), imap.StoreFlagsSet, flags, nil); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(v.PermanentFlags(), imap.FlagWildcard) {
		t.Error("PERMANENTFLAGS promises more keywords")
	}
	if _, err := v.Store(ctx, uids(1), imap.StoreFlagsAdd, []imap.Flag{"one-more"}, nil); !errors.Is(err, ErrKeywords) {
		t.Errorf("got %v, want ErrKeywords", err)
	}
	before := show(v)
	v.Close()
	w.reopen()
	want(t, "after a restart", show(w.sel("INBOX")), strings.TrimSuffix(before, "R"))
	if text, _ := os.ReadFile(w.path("dovecot-keywords")); strings.Count(string(text), "\n") != numLetters {
		t.Errorf("keyword file: %q", text)
	}
}

func TestCopyAndMove(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	if _, err := w.acc.Create(ctx, "Archive.2024", nil); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		w.append("INBOX", fmt.Sprintf("Subject: %d\r\n\r\n%d\r\n", i, i), imap.FlagSeen, "work")
	}
	w.append("Archive.2024", mail, "other")
	v := w.sel("INBOX")
	c, err := v.Copy(ctx, uids(2, 4), "Archive.2024")
	if err != nil || c.Source.String() != "2,4" || c.Dest.String() != "2:3" {
		t.Fatalf("copy: %+v %v", c, err)
	}
	m, err := v.Move(ctx, imap.SeqSetNum(1, 5), "Archive.2024")
	if err != nil || m.Source.String() != "1,5" || m.Dest.String() != "4:5" {
		t.Fatalf("move: %+v %v", m, err)
	}
	w.poll(v)
	want(t, "INBOX", show(v), `2(\Seen work)R 3(\Seen work)R 4(\Seen work)R`)
	a := w.sel("Archive.2024")
	want(t, "Archive", show(a), `1(other)R 2(\Seen work)R 3(\Seen work)R 4(\Seen work)R 5(\Seen work)R`)
	want(t, "copied body", w.body(a, 3), "Subject: 3\r\n\r\n3\r\n")
	want(t, "moved body", w.body(a, 5), "Subject: 4\r\n\r\n4\r\n")
	if _, err := v.Copy(ctx, uids(2), "Nowhere"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("copy to nowhere: %v", err)
	}
	for _, move := range []bool{false, true} {
		x := v.Copy
		if move {
			x = v.Move
		}
		if _, err := x(ctx, uids(3), "INBOX"); err != nil {
			t.Errorf("to the same mailbox: %v", err)
		}
	}
	w.poll(v)
	want(t, "INBOX at the end", show(v), `2(\Seen work)R 4(\Seen work)R 6(\Seen work)R 7(\Seen work)R`)
	w.check()
}

func TestVanished(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for range 10 {
		w.append("INBOX", mail)
	}
	v := w.sel("INBOX")
	expunge := func(set imap.UIDSet) {
		v.Store(ctx, set, imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted}, nil)
		if err := v.Expunge(ctx, nil); err != nil {
			t.Fatal(err)
		}
		w.poll(v)
	}
	expunge(uids(2, 3, 7))
	mark := v.HighestModSeq()
	expunge(uids(1, 10))
	for _, c := range []struct {
		since uint64
		set   imap.UIDSet
		want  string
	}{
		{0, nil, "1:3,7,10"},
		{mark, nil, "1,10"},
		{mark, uids(2, 3, 10, 11), "10"},
		{v.HighestModSeq(), nil, ""},
	} {
		got, err := v.Vanished(ctx, c.since, c.set)
		if err != nil {
			t.Fatal(err)
		}
		want(t, fmt.Sprintf("since %d of %v", c.since, c.set), got.String(), c.want)
	}
	v.b.row.Floor = v.HighestModSeq() + 1 // the history is forgotten
	got, _ := v.Vanished(ctx, mark, imap.UIDSet{{Start: 2, Stop: 8}})
	want(t, "without history", got.String(), "2:3,7")
}

func TestStatusAndQuota(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.spec.Quota = int64(3 * len(mail))
	w.acc = w.Account(w.spec)
	w.deliver("INBOX", mail)
	w.append("INBOX", mail, imap.FlagSeen, imap.FlagDeleted)
	st, err := w.acc.Status(ctx, "INBOX")
	if err != nil || st.Messages != 2 || st.Unseen != 1 || st.Deleted != 1 || st.Recent != 2 || st.UIDNext != 3 ||
		st.Size != int64(2*len(mail)) || st.DeletedSize != int64(len(mail)) {
		t.Errorf("status: %+v %v", st, err)
	}
	w.deliver("INBOX", mail)
	if err := deliver(w.acc, "INBOX", mail); !errors.Is(err, ErrOverQuota) {
		t.Errorf("over quota: %v", err)
	}
	q, err := w.acc.Quota(ctx)
	if err != nil || q.Messages != 3 || q.Bytes != int64(3*len(mail)) {
		t.Errorf("quota: %+v %v", q, err)
	}
	v := w.sel("INBOX")
	if err := v.Expunge(ctx, nil); err != nil {
		t.Fatal(err)
	}
	w.deliver("INBOX", mail)
	if n, _ := os.ReadDir(w.path("tmp")); len(n) != 0 {
		t.Errorf("%d files left in tmp/", len(n))
	}
}

func TestLinkSharesTheFile(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	other := w.spec
	other.User, other.Dir = "v@example.org", w.spec.Dir+"2"
	to := w.Account(other)
	d, err := w.acc.NewDraft(ctx, "INBOX", 0)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, mail)
	l, err := d.Link(ctx, to, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	late, err := d.Link(ctx, to, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Deliver(ctx), d.Deliver(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := late.Deliver(ctx); !errors.Is(err, ErrNoLink) {
		t.Errorf("a link after its file has gone to its place: %v", err)
	}
	v, err := to.Select(ctx, "INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	want(t, "linked", w.body(v, 1), mail)
	files, _ := filepath.Glob(w.path("new", "*"))
	twin, _ := filepath.Glob(filepath.Join(other.Dir, "cur", "*"))
	a, _ := os.Stat(files[0])
	b, _ := os.Stat(twin[0])
	if !os.SameFile(a, b) {
		t.Error("the bytes are on disk twice")
	}
	if diffs, err := w.Check(ctx, other); err != nil || len(diffs) > 0 {
		t.Error(diffs, err)
	}
}

func TestAppendIsAllOrNone(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	drafts := func(n int) (list []*Draft, meta []AppendMeta) {
		for range n {
			d, err := w.acc.NewDraft(ctx, "INBOX", 0)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(d, mail)
			list = append(list, d)
			meta = append(meta, AppendMeta{Time: when})
		}
		return list, meta
	}
	list, meta := drafts(3)
	_, got, err := w.acc.Append(ctx, "INBOX", list, meta)
	if err != nil || fmt.Sprint(got) != "[1 2 3]" {
		t.Fatal(got, err)
	}
	list, meta = drafts(3)
	meta[2].Flags = []imap.Flag{"not(a keyword"}
	if _, _, err := w.acc.Append(ctx, "INBOX", list, meta); !errors.Is(err, ErrBadKeyword) {
		t.Fatal(err)
	}
	list, meta = drafts(2)
	list[1].tmp.remove(list[1].name)
	if _, _, err := w.acc.Append(ctx, "INBOX", list, meta); err == nil {
		t.Fatal("append of a lost file worked")
	}
	v := w.sel("INBOX")
	want(t, "INBOX", show(v), "1()R 2()R 3()R")
	if m, _ := v.Msg(1); m.Time != when.Unix() {
		t.Errorf("INTERNALDATE %d, want %d", m.Time, when.Unix())
	}
}

// watched returns a channel that is closed when there may be something to Poll.
func watched(v *View) <-chan struct{} {
	wake := make(chan struct{})
	v.Watch(sync.OnceFunc(func() { close(wake) }))
	return wake
}
