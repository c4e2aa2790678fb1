package test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// put appends a message to a mailbox of joe.
func put(t *testing.T, c *imapclient.Client, box, text string, flags ...imap.Flag) {
	t.Helper()
	a := c.Append(box, int64(len(text)), &imap.AppendOptions{Flags: flags})
	io.WriteString(a, text)
	a.Close()
	if _, err := a.Wait(); err != nil {
		t.Fatal(err)
	}
}

func letterOf(n int, subject, more string) string {
	return fmt.Sprintf("From: Writer %d <w%d@example.org>\r\nTo: joe@vmail.example\r\nSubject: %s\r\nMessage-ID: <%d@example.org>\r\n%s"+
		"Date: Thu, 19 Nov 2026 10:0%d:00 +0000\r\n\r\nbody %d\r\n", 9-n, 9-n, subject, n, more, n, n)
}

// TestGoIMAPClient uses what go-imap's client knows of extensions.
func TestGoIMAPClient(t *testing.T) {
	h := sampleHost(t, "")
	h.mustRun("mailbox", "set", "joe@vmail.example", "--quota", "10M")
	h.start()
	c := h.login("joe")
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err, h.log.tail(3))
		}
	}
	put(t, c, "INBOX", letterOf(1, "plan", ""), imap.FlagSeen)
	put(t, c, "INBOX", letterOf(2, "Re: plan", "In-Reply-To: <1@example.org>\r\nReferences: <1@example.org>\r\n"))
	put(t, c, "INBOX", letterOf(3, "another", ""))
	box, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	fatal(err)
	all := &imap.SearchCriteria{}
	nums, err := c.UIDSort(&imapclient.SortOptions{SearchCriteria: all, SortCriteria: []imapclient.SortCriterion{{Key: imapclient.SortKeyFrom}}}).Wait()
	fatal(err)
	if !slices.Equal(nums, []uint32{3, 2, 1}) {
		t.Errorf("sorted: %v", nums)
	}
	threads, err := c.UIDThread(&imapclient.ThreadOptions{Algorithm: imap.ThreadReferences, SearchCriteria: all}).Wait()
	fatal(err)
	if len(threads) != 2 || !slices.Equal(threads[0].Chain, []uint32{1, 2}) {
		t.Errorf("threads: %v", threads)
	}
	stored, err := c.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}},
		&imap.StoreOptions{UnchangedSince: box.HighestModSeq}).Collect()
	fatal(err)
	if len(stored) != 1 || stored[0].ModSeq <= box.HighestModSeq {
		t.Errorf("conditional STORE: %+v", stored)
	}
	changed, err := c.Fetch(imap.UIDSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{Flags: true, ChangedSince: box.HighestModSeq}).Collect()
	fatal(err)
	if len(changed) != 1 || changed[0].UID != 2 || !slices.Contains(changed[0].Flags, imap.FlagFlagged) {
		t.Errorf("changed: %+v", changed)
	}
	quota, err := c.GetQuotaRoot("INBOX").Wait()
	fatal(err)
	if len(quota) != 1 || quota[0].Resources[imap.QuotaResourceStorage].Limit != 10<<10 {
		t.Errorf("quota: %+v", quota)
	}
	text := []byte("a note\r\nof two lines")
	fatal(c.SetMetadata("INBOX", map[string]*[]byte{"/private/comment": &text}).Wait())
	meta, err := c.GetMetadata("INBOX", []string{"/private/comment", "/private/none"}, nil).Wait()
	fatal(err)
	if v := meta.Entries["/private/comment"]; v == nil || string(*v) != string(text) {
		t.Errorf("metadata: %+v", meta)
	}
	status, err := c.Status("INBOX", &imap.StatusOptions{NumMessages: true, UIDNext: true, NumUnseen: true, Size: true, HighestModSeq: true, NumDeleted: true}).Wait()
	fatal(err)
	if *status.NumMessages != 3 || status.UIDNext != 4 || *status.NumUnseen != 2 || *status.Size == 0 || *status.NumDeleted != 0 {
		t.Errorf("status: %+v", status)
	}
	id, err := c.ID(&imap.IDData{Name: "go-imap"}).Wait()
	fatal(err)
	if id.Name != "mailserver" {
		t.Errorf("ID: %+v", id)
	}
	names, err := c.Namespace().Wait()
	fatal(err)
	if len(names.Personal) != 1 || names.Personal[0].Delim != '.' {
		t.Errorf("namespace: %+v", names)
	}
	fatal(c.Logout().Wait())
	h.check()
}

// TestNeomuttReads opens a mailbox over IMAP in a terminal, files one message
// elsewhere, deletes one and flags one.
func TestNeomuttReads(t *testing.T) {
	need(t, "neomutt")
	need(t, "script")
	h := sampleHost(t, "")
	h.mustRun("config", "set", "disable_plaintext_auth=no")
	h.start()
	c := h.login("joe")
	for i, subject := range []string{"keep", "file", "delete"} {
		put(t, c, "INBOX", letterOf(i+1, subject, ""))
	}
	if err := c.Create("Filed", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rc := filepath.Join(dir, "rc")
	conf := fmt.Sprintf("set imap_user=\"joe@vmail.example\"\nset imap_pass=\"joes-secret\"\nset folder=\"imap://127.0.0.1:%d/\"\nset spool_file=\"+INBOX\"\n"+
		"set ssl_starttls=no\nset ssl_force_tls=no\nset confirm_append=no\nset delete=yes\nset mark_old=no\nset move=no\nset imap_qresync=yes\nset imap_condstore=yes\n"+
		"set wait_key=no\nset header_cache=%s\n", h.base+143, dir)
	if err := os.WriteFile(rc, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := `push '<limit>~s file<enter><save-message>+Filed<enter><limit>all<enter><delete-pattern>~s delete<enter>` +
		`<search>~s keep<enter><flag-message><sync-mailbox><quit>'`
	for range 2 { // the second run comes back with a cache, by QRESYNC
		out := inTerminal(t, dir, fmt.Sprintf("neomutt -n -F %s -e %q", rc, keys))
		boxes := map[string][]string{}
		for _, name := range []string{"INBOX", "Filed"} {
			boxes[name] = subjects(t, c, name)
		}
		if got := fmt.Sprint(boxes); got != `map[Filed:[file] INBOX:[keep [\Flagged]]]` {
			t.Fatalf("%s\n%s\n%s", got, out, h.log.tail(5))
		}
		keys = `push '<quit>'`
	}
	h.check()
}

// inTerminal runs a command with a terminal.
func inTerminal(t *testing.T, home, command string) string {
	t.Helper()
	cmd := exec.Command("timeout", "30", "script", "-qec", command, "/dev/null")
	cmd.Env = append(os.Environ(), "HOME="+home, "TERM=xterm", "LC_ALL=C.UTF-8")
	in, err := cmd.StdinPipe() // stays open: a terminal does not end
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// subjects are those of a mailbox, with its flags.
func subjects(t *testing.T, c *imapclient.Client, box string) (list []string) {
	t.Helper()
	if _, err := c.Select(box, nil).Wait(); err != nil {
		t.Fatal(err)
	}
	all, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{Envelope: true, Flags: true}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		text := m.Envelope.Subject
		flags := slices.DeleteFunc(m.Flags, func(f imap.Flag) bool { return f == `\Recent` || f == imap.FlagSeen })
		if len(flags) > 0 {
			text += fmt.Sprint(" ", flags)
		}
		list = append(list, text)
	}
	return list
}

// TestDsync lets Dovecot's dsync back up an account from us, and again after
// changes: UIDs, flags and folders are those that we have.
func TestDsync(t *testing.T) {
	need(t, "doveadm")
	h := sampleHost(t, "")
	h.mustRun("config", "set", "disable_plaintext_auth=no")
	h.start()
	c := h.login("joe")
	for i := range 5 {
		put(t, c, "INBOX", letterOf(i+1, "number "+strconv.Itoa(i), ""), []imap.Flag{imap.FlagSeen, imap.FlagFlagged, "work"}[:i%4]...)
	}
	if err := c.Create("Archive.2026", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe("Archive.2026").Wait(); err != nil {
		t.Fatal(err)
	}
	put(t, c, "Archive.2026", letterOf(7, "old", ""), imap.FlagAnswered)
	dir, err := os.MkdirTemp("", "ds-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	owner := os.Geteuid()
	if owner == 0 { // doveadm will not write mail of root
		owner = mailOwner
		os.Chown(dir, owner, owner)
	}
	conf := fmt.Sprintf("base_dir = %[1]s/run\nstate_dir = %[1]s/state\nlog_path = /dev/stderr\nssl = no\nmail_location = maildir:%[1]s/mail\n"+
		"first_valid_uid = 1\nmail_uid = %[3]d\nmail_gid = %[3]d\nmail_home = %[1]s\nimapc_host = 127.0.0.1\nimapc_port = %[2]d\nimapc_user = joe@vmail.example\n"+
		"imapc_password = joes-secret\nimapc_features = rfc822.size fetch-headers\nmail_prefetch_count = 20\n", dir, h.base+143, owner)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("USER", "joe")
	t.Setenv("HOME", dir)
	doveadm := func(args ...string) string {
		return mustOutside(t, "", "doveadm", append([]string{"-c", filepath.Join(dir, "conf")}, args...)...)
	}
	compare := func() {
		t.Helper()
		for _, box := range []string{"INBOX", "Archive.2026"} {
			theirs := doveadm("-f", "tab", "fetch", "uid flags hdr.subject", "mailbox", box, "all")
			if ours := listed(t, c, box); listedBy(theirs) != ours {
				t.Errorf("%s by dsync:\n%s\nhere:\n%s", box, theirs, ours)
			}
		}
	}
	backup := func() { doveadm("backup", "-R", "imapc:") }
	backup()
	compare()
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Expunge().Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: []imap.Flag{imap.FlagAnswered, "later"}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Move(imap.UIDSetNum(3), "Archive.2026").Wait(); err != nil {
		t.Fatal(err)
	}
	put(t, c, "INBOX", letterOf(8, "new", ""))
	backup()
	compare()
	if out := doveadm("mailbox", "list", "-s"); !strings.Contains(out, "Archive.2026") {
		t.Errorf("subscriptions: %s", out)
	}
	h.check()
}

func listed(t *testing.T, c *imapclient.Client, box string) string {
	t.Helper()
	if _, err := c.Select(box, nil).Wait(); err != nil {
		t.Fatal(err)
	}
	all, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{UID: true, Envelope: true, Flags: true}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, m := range all {
		words := []string{}
		for _, f := range m.Flags {
			if f != `\Recent` {
				words = append(words, string(f))
			}
		}
		slices.Sort(words)
		fmt.Fprintln(&b, m.UID, words, m.Envelope.Subject)
	}
	return b.String()
}

func listedBy(tab string) string {
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(tab), "\n")[1:] {
		f := strings.Split(line, "\t")
		words := slices.DeleteFunc(strings.Fields(f[1]), func(w string) bool { return w == `\Recent` })
		slices.Sort(words)
		fmt.Fprintln(&b, f[0], words, f[2])
	}
	return b.String()
}
