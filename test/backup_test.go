package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/testenv"
	"mailserver/schema"
)

// envelopes maps the UIDs of a user's INBOX to Message-IDs.
func (h *host) envelopes(user string) (validity uint32, ids map[imap.UID]string) {
	h.t.Helper()
	c := h.login(user)
	defer c.Logout()
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		h.t.Fatal(err)
	}
	ids = make(map[imap.UID]string)
	if box.NumMessages == 0 {
		return box.UIDValidity, ids
	}
	var all imap.UIDSet
	all.AddRange(1, 0)
	list, err := c.Fetch(all, &imap.FetchOptions{UID: true, Envelope: true}).Collect()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, m := range list {
		ids[m.UID] = m.Envelope.MessageID
	}
	return box.UIDValidity, ids
}

// TestBackupUnderLoad makes a backup while mail comes in, restores it
// elsewhere, and looks at it as clients do.
func TestBackupUnderLoad(t *testing.T) {
	need(t, "mbsync")
	h := sampleHost(t, "")
	h.mustRun("config", "set", "disable_plaintext_auth=no")
	h.start()
	s, err := dialSender(h.addr(25))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := s.send([]string{"joe@vmail.example", "ann@vmail.example"}[i%2], message(fmt.Sprint("before", i), "s", "x")); err != nil {
			t.Fatal(err)
		}
	}
	s.c.Close()
	tree := t.TempDir()
	rc := h.mbsyncConf(tree)
	sync := func() { mustOutside(t, "", "mbsync", "-V", "-c", rc, "c") }
	sync()
	synced := listing(t, filepath.Join(tree, "near", "INBOX"))

	stop, loaded := make(chan struct{}), make(chan []string)
	var count atomic.Int64
	go func() { loaded <- load(h.addr(25), 4, stop, "during", []string{"ann@vmail.example"}, &count) }()
	waitFor(t, "the first message of the load", func() bool { return count.Load() > 0 })
	to := filepath.Join(testenv.Dir(t), "backups")
	out := h.mustRun("backup", to)
	close(stop)
	during := len(<-loaded)
	validity, live := h.envelopes("ann")
	h.stop()
	if during == 0 || len(live) != 50+during || !strings.Contains(out, "mailboxes:  2") {
		t.Fatalf("%d messages during the backup, %d in all\n%s", during, len(live), out)
	}
	t.Logf("%d messages came while the backup was made:\n%s", during, out)
	if out := h.mustRun("verify", to); !strings.Contains(out, ": whole: ") {
		t.Error(out)
	}

	r := &host{t: t, dir: filepath.Join(testenv.Dir(t), "restored"), base: h.base, log: new(syncBuffer)}
	t.Cleanup(r.stop)
	t.Log(r.mustRun("restore", to))
	r.start()
	newValidity, ids := r.envelopes("ann")
	if newValidity != validity || len(ids) < 50 || len(ids) > len(live) {
		t.Errorf("UIDVALIDITY %d, was %d; %d messages, were %d", newValidity, validity, len(ids), len(live))
	}
	// What nobody had looked at before the backup has no UID in it.
	for uid, id := range ids {
		if live[uid] != id && (live[uid] != "" || uid < schema.RestoredGap) {
			t.Errorf("UID %d is %s, was %s", uid, id, live[uid])
		}
	}
	sync()
	if after := listing(t, filepath.Join(tree, "near", "INBOX")); after != synced {
		t.Errorf("a client moves mail after the restore:\n%s\n%s", synced, after)
	}
	r.check()

	// New mail gets no UID that a client may know.
	s, err = dialSender(r.addr(25))
	if err != nil {
		t.Fatal(err)
	}
	defer s.c.Close()
	if err := s.send("ann@vmail.example", message("after", "s", "x")); err != nil {
		t.Fatal(err)
	}
	_, ids = r.envelopes("ann")
	for uid, id := range ids {
		if id == "after@elsewhere.example" && live[uid] != "" {
			t.Errorf("UID %d is given again", uid)
		}
	}
}

// TestRestoreOfOneMailbox brings back what a user has lost, once.
func TestRestoreOfOneMailbox(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	s := h.sendJoe("m", 10)
	h.envelopes("joe")
	to := filepath.Join(testenv.Dir(t), "backups")
	h.mustRun("backup", to)
	for _, file := range messages(t, h.folder("joe"))[:4] {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.send("joe@vmail.example", message("later", "s", "x")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4 messages came back", "0 messages came back"} {
		if out := h.mustRun("restore", to, "--mailbox", "joe@vmail.example"); !strings.HasPrefix(out, want) {
			t.Errorf("%q, want %q", out, want)
		}
	}
	if _, ids := h.envelopes("joe"); len(ids) != 11 {
		t.Errorf("%d messages", len(ids))
	}
	h.check()

	// A backup that has been changed says so, and is not restored.
	list, err := filepath.Glob(filepath.Join(to, "*", "data", "mail.sqlite"))
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	f, err := os.OpenFile(list[0], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, "x")
	f.Close()
	if out, err := h.run("", "verify", to); err == nil || !strings.Contains(out, "mail.sqlite has changed since the backup") {
		t.Errorf("verify: %v %s", err, out)
	}
	r := &host{t: t, dir: filepath.Join(testenv.Dir(t), "restored")}
	if out, err := r.run("", "restore", to); err == nil || !strings.Contains(out, "has changed since it was made") {
		t.Errorf("restore: %v %s", err, out)
	}
	if out, err := r.run("", "serve"); err == nil || !strings.Contains(out, "a restore into") {
		t.Errorf("serve on half a restore: %v %s", err, out)
	}
}
