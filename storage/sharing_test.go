package storage_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/acl"
	"mailserver/schema"
	"mailserver/storage"
)

// sharingStore is a Store with two accounts in a directory.
func sharingStore(t *testing.T) (s *storage.Store, dir string, spec func(user string) storage.Spec) {
	dir = t.TempDir()
	state, err := schema.OpenState(t.Context(), filepath.Join(dir, "state.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if s, err = storage.Open(storage.Deps{State: state}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); state.Close() })
	return s, dir, func(user string) storage.Spec {
		return storage.Spec{User: user, Dir: filepath.Join(dir, user, "Mail"), UID: -1, GID: -1}
	}
}

func give(t *testing.T, a *storage.Account, box, text string, flags ...imap.Flag) {
	t.Helper()
	d, err := a.NewDraft(t.Context(), box, 0)
	if err == nil {
		d.Write([]byte(text))
		_, _, err = a.Append(t.Context(), box, []*storage.Draft{d}, []storage.AppendMeta{{Flags: flags, Time: time.Unix(1e9, 0)}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTakeInRights: rights of Dovecot and Courier come along; what cannot be
// understood is listed, and gives nobody rights.
func TestTakeInRights(t *testing.T) {
	s, dir, spec := sharingStore(t)
	old := filepath.Join(dir, "old")
	for box, file := range map[string]string{"": "", ".Dove": "dovecot-acl=user=ann lrs\n-user=ann s\n", ".Cour": "courierimapacl=owner aceilrstwx\nadministrators aceilrstwx\nuser=ann lr\n", ".Bad": "dovecot-acl=user=ann lr\nwhat is this\n"} {
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(old, box, sub), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if name, text, ok := strings.Cut(file, "="); ok {
			os.WriteFile(filepath.Join(old, box, name), []byte(text), 0o600)
		}
	}
	taken, err := s.TakeIn(t.Context(), spec("joe"), old)
	if err != nil {
		t.Fatal(err)
	}
	if len(taken.Left) != 1 || !strings.Contains(taken.Left[0], ".Bad/dovecot-acl") || !strings.Contains(taken.Left[0], "line 2") {
		t.Errorf("not taken: %q", taken.Left)
	}
	joe := s.Account(spec("joe"))
	for box, want := range map[string]string{"Dove": "lr", "Cour": "lr", "Bad": "", "INBOX": ""} {
		if r, err := joe.Rights(t.Context(), box, acl.Who{User: "ann"}); err != nil || r.String() != want {
			t.Errorf("%s: ann has %q, %v", box, r, err)
		}
		if r, err := joe.Rights(t.Context(), box, acl.Who{User: "joe", Owner: true}); err != nil || r&^acl.Post&acl.Admin == 0 {
			t.Errorf("%s: the owner has %q, %v", box, r, err)
		}
	}
	if who, err := s.Sharers(t.Context(), acl.Who{User: "ann"}, 10); err != nil || len(who) != 1 || who[0] != "joe" {
		t.Errorf("who shares with ann: %q, %v", who, err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "joe", "Mail", ".Dove", "dovecot-acl")); string(text) != "user=ann lrs\n-user=ann s\n" {
		t.Errorf("the file is %q", text)
	}
}

// TestCopyToAnotherAccount: bytes, flags, dates and EMAILID come along; a copy
// that fails on the way leaves nothing.
func TestCopyToAnotherAccount(t *testing.T) {
	s, _, spec := sharingStore(t)
	joe, ann := s.Account(spec("joe")), s.Account(spec("ann"))
	for range 120 {
		give(t, joe, "INBOX", "Subject: x\r\n\r\nbody\r\n", imap.FlagSeen, imap.FlagFlagged, "work")
	}
	v, err := joe.Select(t.Context(), "INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	all := imap.UIDSet{{Start: 1}}
	done, err := v.CopyTo(t.Context(), all, ann, "INBOX", storage.Seen)
	if err != nil || done.Source.String() != "1:120" || done.Dest.String() != "1:120" {
		t.Fatalf("copied %v, %v", done, err)
	}
	w, err := ann.Select(t.Context(), "INBOX", true)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	m, _ := w.Msg(7)
	from, _ := v.Facts(t.Context(), 7)
	to, err := w.Facts(t.Context(), 7)
	if flags := string(w.AppendFlags(nil, m.Flags)); flags != `\Flagged work` || m.Time != 1e9 || from.EmailID != to.EmailID {
		t.Errorf("copy has %s, date %d, %s and %s, %v", flags, m.Time, from.EmailID, to.EmailID, err)
	}
	small := spec("ann")
	have, err := ann.Quota(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	small.Quota = have.Bytes + 60*20
	if _, err := v.CopyTo(t.Context(), all, s.Account(small), "INBOX", 0); err == nil {
		t.Error("more than the quota was copied")
	}
	if st, err := ann.Status(t.Context(), "INBOX"); err != nil || st.Messages != 120 {
		t.Errorf("after the copy that failed: %d messages, %v", st.Messages, err)
	}
	if _, err := v.MoveTo(t.Context(), all, ann, "INBOX", 0); err != nil {
		t.Fatal(err)
	}
	a, _ := joe.Status(t.Context(), "INBOX")
	b, err := ann.Status(t.Context(), "INBOX")
	if a.Messages != 0 || b.Messages != 240 || err != nil {
		t.Errorf("after the move: %d and %d, %v", a.Messages, b.Messages, err)
	}
}

// TestMaildirSize: the file is kept where it is, and not made where it is not.
func TestMaildirSize(t *testing.T) {
	s, dir, spec := sharingStore(t)
	joe, ann := s.Account(spec("joe")), s.Account(spec("ann"))
	give(t, joe, "INBOX", "Subject: x\r\n\r\nbody\r\n")
	give(t, ann, "INBOX", "Subject: x\r\n\r\nbody\r\n")
	file := filepath.Join(dir, "sue", "Mail", "maildirsize")
	sue := s.Account(spec("sue"))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("1000000S,50C\n99 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		give(t, sue, "INBOX", "Subject: x\r\n\r\nbody\r\n")
	}
	v, err := sue.Select(t.Context(), "INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Remove(t.Context(), []imap.UID{2}); err != nil {
		t.Fatal(err)
	}
	v.Close()
	s.Close()
	if text, err := os.ReadFile(file); err != nil || string(text) != "1000000S,50C\n40 2\n" {
		t.Errorf("maildirsize is %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "joe", "Mail", "maildirsize")); err == nil {
		t.Error("a file was made that was not there")
	}
}
