package imap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailserver/imap"
)

const peerSharing = `log_path = %[1]s/log
ssl = no
base_dir = %[1]s/run
mail_location = maildir:%[1]s/%%u/md
mail_plugins = acl
protocol imap {
  mail_plugins = acl imap_acl
  imap_metadata = yes
}
namespace inbox {
  inbox = yes
  separator = /
}
namespace {
  type = shared
  separator = /
  prefix = shared/%%%%u/
  location = maildir:%[1]s/%%%%u/md:INDEXPVT=%[1]s/%%u/private/%%%%u
  subscriptions = no
  list = yes
}
plugin {
  acl = vfile:cache_secs=0
  acl_shared_dict = file:%[1]s/sharing
}
mail_attribute_dict = file:%[1]s/attributes
`

// rightsScript is said for each set of rights that ann has on joe's mailbox $B:
// by joe where a line begins with "joe". "~ word" stands before what
// docs/decisions says why we answer otherwise.
const rightsScript = `joe CREATE $B
joe APPEND $B {9+}|A: b||c
joe APPEND $B (\Deleted) {9+}|A: b||c
joe SETACL $B ann@vmail.example "$R"
joe GETACL $B
joe LISTRIGHTS $B ann@vmail.example
joe MYRIGHTS $B
ann MYRIGHTS $S/$B
~ shared-list: ann LIST "" $S/$B
ann STATUS $S/$B (MESSAGES)
ann APPEND $S/$B (\Seen \Flagged \Deleted) {9+}|A: b||c
ann EXAMINE $S/$B
ann UNSELECT
ann SELECT $S/$B
~ seen-right: ann FETCH 1 (FLAGS BODY[HEADER])
~ store-right: ann STORE 1 +FLAGS (\Flagged)
~ store-right: ann STORE 1 +FLAGS (\Seen)
~ store-right: ann STORE 1 +FLAGS (\Deleted)
~ store-right: ann STORE 1 -FLAGS (\Deleted)
~ store-right: ann STORE 1 FLAGS (\Answered work)
ann COPY 1 INBOX
~ hidden: ann COPY 1 $S/$B
~ expunge-right: ann EXPUNGE
~ expunge-right: ann CLOSE
~ owner-listed: ann GETACL $S/$B
~ listrights: ann LISTRIGHTS $S/$B joe@vmail.example
ann SETACL $S/$B bob lr
ann SETACL $S/$B bob -r
ann DELETEACL $S/$B bob
ann CREATE $S/$B/Sub
ann DELETE $S/$B/Sub
ann RENAME $S/$B $S/$B-new
joe GETACL $B
joe SETACL $B sue lr
joe SETACL $B -ann@vmail.example w
joe GETACL $B
joe DELETEACL $B sue
joe DELETEACL $B -ann@vmail.example
joe GETACL $B
~ delete-right: ann DELETE $S/$B`

// rightsOnly leaves out HIGHESTMODSEQ, which Dovecot does not tell of a mailbox
// whose \Seen is each reader's own.
func rightsOnly(lines []string) []string {
	return slices.DeleteFunc(normalise(lines), func(l string) bool { return strings.HasPrefix(l, "* OK [HIGHESTMODSEQ ") })
}

// peerRights are the sets of rights.
var peerRights = []string{"", "l", "r", "lr", "lrs", "lrw", "lrt", "lri", "lrp", "lre", "lrte", "lrk", "lrx", "lra", "la", "li", "lrsw", "lrswi",
	"lrswipkxtea", "lrswipcda", "lswipkxtea", "rswipkxtea"}

// TestPeerRights: two users of Dovecot and two of ours; one shares a mailbox with
// the other, with each set of rights, and all answers are the same.
func TestPeerRights(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "peer")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, user := range []string{"joe@vmail.example", "ann@vmail.example"} {
		for _, sub := range []string{"md/cur", "md/new", "md/tmp"} {
			must(t, os.MkdirAll(filepath.Join(dir, user, sub), 0o777))
		}
	}
	theirs := &peer{t: t, name: "dovecot", sessions: map[string]*peerSession{}, openAs: dovecotSessions(t, dir, fmt.Sprintf(peerSharing, dir))}
	h := open(t, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "0"})
	h.sharing.Store(true)
	ours := &peer{t: t, name: "ours", sessions: map[string]*peerSession{}, openAs: ourSessions(t, h)}
	why, err := os.ReadFile("../docs/decisions/020-imap-beside-dovecot.md")
	must(t, err)
	count, other := 0, map[string]bool{} // with a reason: whether they differ
	for i, rights := range peerRights {
		fill := strings.NewReplacer("$B", fmt.Sprintf("Box%d", i), "$R", rights, "$S", "shared/joe@vmail.example", "|", "\r\n")
		for line := range strings.Lines(rightsScript) {
			count++
			differs, said := cutReason(t, strings.TrimSuffix(line, "\n"), string(why))
			who, command, _ := strings.Cut(said, " ")
			command, who = fill.Replace(command), who+"@vmail.example"
			want, got := rightsOnly(theirs.say(who, command, false)), rightsOnly(ours.say(who, command, false))
			same := slices.Equal(want, withoutCode(got, want))
			if differs {
				other[line] = other[line] || !same
			} else if !same {
				t.Errorf("with %q: %s: %s\n--- dovecot\n%s--- ours\n%s", rights, who, command, strings.Join(want, ""), strings.Join(got, ""))
			}
		}
	}
	for line, differs := range other {
		if !differs {
			t.Errorf("%q: there is no difference", line)
		}
	}
	t.Logf("%d commands", count)
}
