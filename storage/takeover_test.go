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

// tree makes a world on files that another server has left.
func newTree(t *testing.T, files map[string]string) *world {
	t.Helper()
	w := newWorld(t)
	for name, text := range files {
		full := w.path(name)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		box := filepath.Dir(full)
		if base := filepath.Base(box); base == "cur" || base == "new" || base == "courierimapkeywords" {
			box = filepath.Dir(box)
		}
		for _, sub := range []string{"cur", "new", "tmp"} {
			os.MkdirAll(filepath.Join(box, sub), 0o700)
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) read(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(w.path(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// uidls shows the identifiers of POP3 of a mailbox.
func (w *world) uidls(v *View) string {
	w.t.Helper()
	ids, err := v.Identifiers()
	if err != nil {
		w.t.Fatal(err)
	}
	var list []string
	for i := range v.Len() {
		list = append(list, fmt.Sprintf("%d=%s", v.UID(i+1), ids.Of(uint32(v.UID(i+1)))))
	}
	return strings.Join(list, " ")
}

// dovecotTree is what Dovecot leaves: UID 3 was expunged, one file has come
// since, and the names have no sizes.
func dovecotTree() map[string]string {
	return map[string]string{
		"dovecot-uidlist":       "3 V1155653122 N4 Gf5497f1c7374016b9c21000083ecc375\n2 W11 PUID7-99 :1.a\n3 :2.b\n9 W11 :3.c\n12 Gabc :4.d\n",
		"dovecot-keywords":      "0 NonJunk\n1 $Forwarded\n",
		"subscriptions":         "V\t2\n\nSent\nLists\tgo\n",
		"cur/3.c:2,Sb":          "a: b\n\nc\n",
		"cur/1.a:2,FRa":         "a: b\n\nc\n",
		"new/4.d":               "a: d\n\n",
		"new/5.e":               "a: e\n\n",
		".Sent/cur/1.s:2,S":     "s: s\n\n",
		".Sent/dovecot-uidlist": "1 77 8\n5 1.s:2,\n",
	}
}

func TestTakeOver(t *testing.T) {
	w := newTree(t, dovecotTree())
	w.sel("Sent").Close()
	v := w.sel("INBOX")
	want(t, "INBOX", show(v), `2(\Answered \Flagged NonJunk) 9(\Seen $Forwarded) 12()R 13()R`)
	st, _ := w.acc.Status(t.Context(), "INBOX")
	if st.UIDValidity != 1155653122 || st.UIDNext != 14 || st.HighestModSeq < 1e9 {
		t.Errorf("%+v", st)
	}
	want(t, "identifiers", w.uidls(v), "2=UID7-99 9= 12= 13=")
	st, _ = w.acc.Status(t.Context(), "Sent")
	if st.UIDValidity != 77 || st.UIDNext != 8 || st.Messages != 1 {
		t.Errorf("Sent: %+v", st)
	}
	list, _ := w.acc.List(t.Context())
	if len(list) != 3 || !list[1].Subscribed || list[1].Name != "Lists.go" || !list[2].Subscribed {
		t.Errorf("%+v", list)
	}
	if got := w.read("dovecot-uidlist"); !strings.HasSuffix(got, "12 Gabc :4.d\n13 :5.e\n") {
		t.Errorf("%s", got)
	}
}

// TestTakeOverByDelivery: the first thing that happens is that mail comes.
func TestTakeOverByDelivery(t *testing.T) {
	w := newTree(t, dovecotTree())
	w.sel("Sent").Close()
	w.deliver("INBOX", mail)
	st, _ := w.acc.Status(t.Context(), "INBOX")
	if st.UIDValidity != 1155653122 || st.UIDNext != 15 || st.Messages != 5 {
		t.Errorf("%+v", st)
	}
	want(t, "INBOX", show(w.sel("INBOX")), `2(\Answered \Flagged NonJunk) 9(\Seen $Forwarded) 12()R 13()R 14()R`)
}

// TestListIsKept: lines are appended, also what a crash has taken; what another
// server knew stays when the list is written anew.
func TestListIsKept(t *testing.T) {
	w := newTree(t, dovecotTree())
	w.sel("Sent").Close()
	w.append("INBOX", mail)
	w.append("INBOX", mail)
	w.sel("INBOX").Close()
	want := w.read("dovecot-uidlist")
	if strings.Count(want, "\n") != 8 || !strings.Contains(want, "\n15 :") {
		t.Errorf("%s", want)
	}
	for _, damage := range []string{want[:len(want)-5], want[:strings.LastIndex(want, "14 :")], want[:strings.Index(want, "2 W11")]} {
		w.reopen()
		os.WriteFile(w.path("dovecot-uidlist"), []byte(damage), 0o600)
		w.append("INBOX", mail)
		v := w.sel("INBOX")
		got := w.read("dovecot-uidlist")
		for i := range v.Len() {
			if !strings.Contains(got, fmt.Sprintf("\n%d ", v.UID(i+1))) {
				t.Errorf("UID %d is missing:\n%s", v.UID(i+1), got)
			}
		}
		v.Close()
	}
}

// TestListIsShortened: what is gone does not stay for ever.
func TestListIsShortened(t *testing.T) {
	w := newTree(t, dovecotTree())
	w.sel("Sent").Close()
	v := w.sel("INBOX")
	long := strings.Repeat("x", 150)
	for i := range 600 {
		w.put("new", fmt.Sprintf("16%08d.%s", i, long), "a: b\n\n")
	}
	w.poll(v)
	if n := len(w.read("dovecot-uidlist")); n < 90000 {
		t.Fatalf("%d bytes", n)
	}
	var gone []imap.UID
	for i := uint32(5); i <= v.Len(); i++ {
		gone = append(gone, v.UID(i))
	}
	if err := v.Remove(context.Background(), gone); err != nil {
		t.Fatal(err)
	}
	w.append("INBOX", mail)
	got := w.read("dovecot-uidlist")
	if !strings.HasPrefix(got, "3 V1155653122 N615 Gf5497f1c7374016b9c21000083ecc375\n2 W11 PUID7-99 :1.a\n9 W11 :3.c\n12 Gabc :4.d\n13 :5.e\n614 :") {
		t.Errorf("%.500s", got)
	}
	w.poll(v)
	want(t, "identifiers", w.uidls(v), "2=UID7-99 9= 12= 13= 614=")
}

// TestOtherServerMeanwhile: Dovecot has worked on the tree while we did not.
func TestOtherServerMeanwhile(t *testing.T) {
	for _, first := range []string{"delivery", "select"} {
		w := newTree(t, dovecotTree())
		w.sel("Sent").Close()
		v := w.sel("INBOX")
		v.Close()
		w.reopen()
		list := w.read("dovecot-uidlist")
		os.WriteFile(w.path("dovecot-uidlist"), []byte(strings.Replace(list, "2 W11 PUID7-99 :1.a\n", "", 1)+"17 :6.f\n19 :7.g\n"), 0o600)
		os.Remove(w.one("cur", "1.a*"))
		w.put("cur", "7.g:2,S", "a: g\n\n")
		w.put("cur", "6.f:2,", "a: f\n\n")
		w.put("cur", "8.h:2,", "a: h\n\n")
		if first == "delivery" {
			w.deliver("INBOX", mail)
			want(t, first, show(w.sel("INBOX")), `9(\Seen $Forwarded) 12() 13() 17() 19(\Seen) 20() 21()R`)
		} else {
			want(t, first, show(w.sel("INBOX")), `9(\Seen $Forwarded) 12() 13() 17() 19(\Seen) 20()`)
		}
	}
}

// TestTreeInPlaceOfAnother: the list has another UIDVALIDITY than the index.
func TestTreeInPlaceOfAnother(t *testing.T) {
	w := newWorld(t)
	w.append("INBOX", mail)
	w.append("INBOX", mail)
	w.reopen()
	os.WriteFile(w.path("dovecot-uidlist"), []byte("3 V5 N40\n30 :"+strings.TrimSuffix(filepath.Base(w.first("cur", "*")), ":2,")+"\n"), 0o600)
	v := w.sel("INBOX")
	want(t, "INBOX", show(v), "30() 40()")
	if v.UIDValidity() != 5 {
		t.Error(v.UIDValidity())
	}
}

func (w *world) first(pattern ...string) string {
	list, _ := filepath.Glob(w.path(pattern...))
	return list[0]
}

// TestTakeOverGoesOn: a crash between two steps.
func TestTakeOverGoesOn(t *testing.T) {
	w := newTree(t, dovecotTree())
	w.sel("Sent").Close()
	ctx := t.Context()
	tr, err := w.tree(w.spec)
	if err != nil {
		t.Fatal(err)
	}
	tr.mu.Lock()
	row, err := tr.row(ctx, "INBOX") // adopted, and nothing after it
	tr.mu.Unlock()
	tr.release()
	if err != nil || row.Cur != takingOver {
		t.Fatalf("%+v %v", row, err)
	}
	w.reopen()
	w.deliver("INBOX", mail)
	want(t, "INBOX", show(w.sel("INBOX")), `2(\Answered \Flagged NonJunk) 9(\Seen $Forwarded) 12()R 13()R 14()R`)
}

func TestTakeOverFromCourier(t *testing.T) {
	w := newTree(t, map[string]string{
		"courierimapuiddb":          "1 1155653122 10\n3 1.a\n7 2.b\n",
		"courierpop3dsizelist":      "/3 9 1155650000\n1.a 13 4:1155650000:0\n2.b 13 5:0:0\n",
		"courierimapkeywords/:list": "$Forwarded\nNonJunk\n\n1.a:0 1\n",
		"courierimapsubscribed":     "INBOX\nINBOX.Sent\nINBOX.Lists.go\n",
		"cur/1.a:2,S":               "a: b\n\nc\n",
		"cur/2.b:2,":                "a: b\n\nc\n",
		"cur/3.c:2,":                "a: b\n\nc\n",
		".Sent/cur/1.s:2,S":         "s: s\n\n",
	})
	v := w.sel("INBOX")
	want(t, "INBOX", show(v), `3(\Seen $Forwarded NonJunk) 7() 10()`)
	want(t, "identifiers", w.uidls(v), "3=UID4-1155650000 7=UID5 10=")
	list, _ := w.acc.List(t.Context())
	for _, m := range list {
		if !m.Subscribed {
			t.Errorf("%+v", m)
		}
	}
	w.sel("Sent").Close()
	if v.UIDValidity() != 1155653122 || len(list) != 3 {
		t.Error(v.UIDValidity(), list)
	}
}
