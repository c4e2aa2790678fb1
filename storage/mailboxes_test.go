package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// listed writes a LIST as text: - does not exist, + children, * subscribed.
func listed(t testing.TB, a *Account) string {
	t.Helper()
	infos, err := a.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range infos {
		s := m.Name
		if !m.Exists {
			s = "-" + s
		}
		if m.Children {
			s += "+"
		}
		if m.Subscribed {
			s += "*"
		}
		for _, attr := range m.Attrs {
			s += string(attr)
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestListCreateSubscribe(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	want(t, "of nothing", listed(t, w.acc), "INBOX")
	for _, name := range []string{"Sent", "a.b.c", "Entwürfe", "inbox.sub", "Trash."} {
		if _, err := w.acc.Create(ctx, name, nil); err != nil {
			t.Fatal(name, err)
		}
	}
	if _, err := w.acc.Create(ctx, "Bin", []imap.MailboxAttr{imap.MailboxAttrTrash}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Sent", "a.b.c", "Gone", "Entwürfe"} {
		if err := w.acc.Subscribe(ctx, name, true); err != nil {
			t.Fatal(name, err)
		}
	}
	if err := w.acc.Subscribe(ctx, "Sent", false); err != nil {
		t.Fatal(err)
	}
	all := `INBOX+ Bin\Trash Entwürfe* -Gone* INBOX.sub Sent\Sent Trash a+ a.b+ a.b.c*`
	want(t, "list", listed(t, w.acc), all)
	w.reopen()
	want(t, "list after a restart", listed(t, w.acc), all)
	for name, reason := range map[string]error{
		"Sent": ErrExists, "INBOX": ErrExists, "inbox": ErrExists, "": ErrBadName, "a..b": ErrBadName, ".a": ErrBadName,
		"a/b": ErrBadName, "../x": ErrBadName, "a\x00": ErrBadName, "\xff": ErrBadName, strings.Repeat("x", 300): ErrBadName,
		strings.Repeat("ü", 100): ErrBadName, strings.Repeat("a.", 60) + "a": ErrBadName,
	} {
		if _, err := w.acc.Create(ctx, name, nil); !errors.Is(err, reason) {
			t.Errorf("create %q: got %v, want %v", name, err, reason)
		}
	}
	// As Dovecot writes it: seen in a tree that it made.
	text, _ := os.ReadFile(w.path("subscriptions"))
	want(t, "subscriptions", string(text), "V\t2\n\nEntw&APw-rfe\nGone\na\tb\tc\n")
	if _, err := os.Stat(w.path(".Entw&APw-rfe", "maildirfolder")); err != nil {
		t.Error(err)
	}
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.acc.Create(ctx, "a.b", nil)
	w.append("a", mail)
	first, _ := w.acc.Status(ctx, "a")
	v := w.sel("a")
	wake := watched(v)
	if err := w.acc.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	<-wake
	if _, err := v.Poll(ctx, true); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("poll of a deleted mailbox: %v", err)
	}
	if _, err := v.Open(ctx, 1); err == nil {
		t.Error("a message of a deleted mailbox can be opened")
	}
	want(t, "list", listed(t, w.acc), "INBOX -a+ a.b")
	if err := w.acc.Delete(ctx, "a"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("delete again: %v", err)
	}
	if err := w.acc.Delete(ctx, "inbox"); !errors.Is(err, ErrInbox) {
		t.Errorf("delete INBOX: %v", err)
	}
	w.acc.Create(ctx, "a", nil)
	again, _ := w.acc.Status(ctx, "a")
	if again.UIDValidity <= first.UIDValidity || again.Messages != 0 || again.MailboxID == first.MailboxID {
		t.Errorf("made again: %+v after %+v", again, first)
	}
	if q, _ := w.acc.Quota(ctx); q.Bytes != 0 || q.Messages != 0 {
		t.Errorf("quota after delete: %+v", q)
	}
	if n, _ := os.ReadDir(w.path("tmp")); len(n) != 0 {
		t.Error("the deleted tree is still there")
	}
}

func TestRename(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.acc.Create(ctx, "a.b", nil)
	w.append("a.b", mail, "kw")
	w.append("INBOX", mail)
	v := w.sel("a.b")
	before, _ := w.acc.Status(ctx, "a.b")
	if err := w.acc.Rename(ctx, "a", "x.y"); err != nil {
		t.Fatal(err)
	}
	want(t, "list", listed(t, w.acc), "INBOX x+ x.y+ x.y.b")
	after, err := w.acc.Status(ctx, "x.y.b")
	if err != nil || after != before {
		t.Errorf("renamed: %+v, was %+v: %v", after, before, err)
	}
	w.append("x.y.b", mail)
	if ch := w.poll(v); ch.Exists != 2 || v.Name() != "x.y.b" {
		t.Errorf("an open view after the rename: %+v %s", ch, v.Name())
	}
	for _, c := range []struct {
		from, to string
		want     error
	}{
		{"none", "z", ErrNoMailbox}, {"x", "x.q", ErrBelowItself}, {"x.y", "inbox", ErrExists}, {"x.y.b", "x", ErrExists},
	} {
		if err := w.acc.Rename(ctx, c.from, c.to); !errors.Is(err, c.want) {
			t.Errorf("rename %s to %s: got %v, want %v", c.from, c.to, err, c.want)
		}
	}
	if err := w.acc.Rename(ctx, "INBOX", "old"); err != nil {
		t.Fatal(err)
	}
	a, _ := w.acc.Status(ctx, "INBOX")
	b, _ := w.acc.Status(ctx, "old")
	if a.Messages != 0 || b.Messages != 1 {
		t.Errorf("INBOX has %d messages, old %d", a.Messages, b.Messages)
	}
}

func TestRenameByAnotherProgramKeepsUIDs(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.acc.Create(ctx, "a", nil)
	w.append("a", mail)
	before, _ := w.acc.Status(ctx, "a")
	w.reopen()
	if err := os.Rename(w.path(".a"), w.path(".b")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.acc.Status(ctx, "a"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("status of the old name: %v", err)
	}
	after, err := w.acc.Status(ctx, "b")
	if err != nil || after != before {
		t.Errorf("got %+v %v, want %+v", after, err, before)
	}
}

func TestUIDValidityGrows(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	last := uint32(0)
	for i := range 5 {
		name := fmt.Sprint("m", i%2)
		if _, err := w.acc.Create(ctx, name, nil); err != nil {
			t.Fatal(err)
		}
		st, _ := w.acc.Status(ctx, name)
		if st.UIDValidity <= last {
			t.Errorf("UIDVALIDITY %d after %d", st.UIDValidity, last)
		}
		last = st.UIDValidity
		w.acc.Delete(ctx, name)
	}
}

func TestMailboxNames(t *testing.T) {
	for _, c := range []struct{ dir, name string }{
		{"", "INBOX"}, {".Sent", "Sent"}, {".a.b", "a.b"}, {".Entw&APw-rfe", "Entwürfe"}, {".x&-y", "x&y"},
		{".INBOX.sub", "INBOX.sub"}, {".Entwürfe", "Entwürfe"}, {".a&b", "a&b"},
		{".INBOX", ""}, {".inbox", ""}, {"Sent", ""}, {".", ""}, {"..", ""}, {"..a", ""}, {".a.", ""}, {".inbox.x", ""}, {".\xff", ""},
	} {
		name, ok := nameOf(c.dir)
		if ok != (c.name != "") || ok && name != c.name {
			t.Errorf("%q: got %q %v, want %q", c.dir, name, ok, c.name)
		}
	}
}

func TestSubscriptionsOfBothVersions(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"second", "V\t2\n\nSent\na\tb\nJ&AOQ-n\nInbox\n", "INBOX,Jän,Sent,a.b"},
		{"first", "Sent\na.b\nJ&AOQ-n\nINBOX\n", "INBOX,Jän,Sent,a.b"},
		{"courier", ".Sent\r\n.a.b\r\n", "Sent,a.b"},
		{"twice and bad", "x\nx\n\n../y\na..b\n", "x"},
		{"empty", "", ""},
	} {
		want(t, c.name, strings.Join(parseSubscriptions(c.text), ","), c.want)
	}
}

func FuzzSubscriptions(f *testing.F) {
	f.Add("V\t2\n\nSent\na\tb\nJ&AOQ-n\n")
	f.Add("Sent\n.a.b\n&\n")
	f.Add("V\t2\n\nshared/joe@x\ttest/Sent\n/a\na//b\n../a/b\n")
	f.Fuzz(func(t *testing.T, text string) {
		names := parseSubscriptions(text)
		for _, name := range names {
			if got, err := subscribable(name); err != nil || got != name {
				t.Errorf("bad name %q: %q, %v", name, got, err)
			}
		}
		if again := parseSubscriptions(formatSubscriptions(names)); !slices.Equal(again, names) {
			t.Errorf("%q became %q", names, again)
		}
	})
}

func FuzzMailboxName(f *testing.F) {
	for _, s := range []string{".Sent", ".a.b", ".Entw&APw-rfe", ".x&-y", ".&", ".INBOX.x", "..", ".Entwürfe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, dir string) {
		name, ok := nameOf(dir)
		if !ok {
			return
		}
		if canon, err := canonical(name); err != nil || canon != name {
			t.Errorf("%q is called %q, which is no name", dir, name)
		}
		if back, err := dirOf(name); err == nil && back != dir && "."+name != dir {
			t.Errorf("%q is called %q, whose directory is %q", dir, name, back)
		}
	})
}
