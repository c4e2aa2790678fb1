package imap_test

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"mailserver/imap"
)

// hears collects what a session is told without asking.
func hears(r *bufio.Reader, t *testing.T) <-chan string {
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for {
			l := response(t, r)
			if strings.HasSuffix(l, ">") {
				return
			}
			lines <- l
		}
	}()
	return lines
}

// longest is within what a server tells, on a busy machine.
const longest = 2 * time.Minute

// selectedSteps are the first commands, which change the selected mailbox. It
// does not see what follows within a second of what it has told there.
const selectedSteps = 3

// waitFor reads until as many lines have come as are expected.
func waitFor(lines <-chan string, n int, most time.Duration) (got []string) {
	late := time.After(most)
	for len(got) < n {
		select {
		case l := <-lines:
			got = append(got, l)
		case <-late:
			return got
		}
	}
	return got
}

var (
	validity    = regexp.MustCompile(` ?UIDVALIDITY (\d+|V)`)
	hasChildren = regexp.MustCompile(` ?\\Has(No)?Children`)
	uidOfFlags  = regexp.MustCompile(`(FETCH \(FLAGS .*) UID \d+\)`)
)

// TestPeerNotify: the same is done by one session of Dovecot and of ours, and
// what the other session is told without a command of its own is the same, but
// for what docs/decisions says: UIDVALIDITY is always in STATUS, UID with flags,
// and children are told in LIST.
func TestPeerNotify(t *testing.T) {
	t.Parallel()
	mail, err := txtar.ParseFile("testdata/peer/mail.txtar")
	must(t, err)
	theirs := dovecotPeer(t, peerRoot(t, mail.Files))
	h := open(t, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "0"})
	must(t, os.MkdirAll(filepath.Join(h.dir, "mail"), 0o777))
	must(t, os.Rename(filepath.Join(peerRoot(t, mail.Files), "md"), filepath.Join(h.dir, "mail", "joe@vmail.example")))
	both := []*peer{theirs, ourPeer(t, h)}
	told := make([]<-chan string, 2)
	for i, p := range both {
		for _, box := range []string{"INBOX", "Sent", "Lists.go", "Lists.c.deep", "K&APY-ln", "\"with space\"", "Trash"} { // make them known
			p.say("do", "SELECT "+box, false)
		}
		p.say("do", "SELECT INBOX", false)
		in, out := p.open()
		io.WriteString(in, "a SELECT INBOX\r\nb ENABLE CONDSTORE\r\nc NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge FlagChange)) "+
			"(personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))\r\n")
		told[i] = hears(out, t)
		for l := range told[i] {
			if strings.HasPrefix(l, "c ") {
				break
			}
		}
	}
	waitFor(told[0], 100, 2*time.Second) // it looks around, and watches the selected mailbox a second after the command
	for n, step := range []struct {
		command string
		tells   int // comparable lines
	}{
		{`STORE 1 +FLAGS (\Flagged \Deleted)`, 1}, {"EXPUNGE", 3}, {"COPY 1 INBOX", 2}, {"COPY 1 Sent", 1}, {"SELECT Sent", 0}, {`STORE 1 +FLAGS (work)`, 1},
		{`STORE 1:* +FLAGS (\Seen)`, 1}, {"CREATE Fresh", 1}, {"SUBSCRIBE Fresh", 1}, {"RENAME Fresh Older", 1}, {"DELETE Older", 1},
	} {
		both[1].say("do", step.command, false)
		ours := tells(told[1], step.tells)
		ours = append(ours, waitFor(told[1], 100, 100*time.Millisecond)...)
		theirs.say("do", step.command, false)
		theirs := tells(told[0], step.tells)
		if n < selectedSteps {
			theirs = append(theirs, waitFor(told[0], 100, 1500*time.Millisecond)...)
		}
		if want, got := comparable(theirs), comparable(ours); !slices.Equal(want, got) {
			t.Errorf("%s\n--- dovecot\n%s--- ours\n%s", step.command, strings.Join(want, ""), strings.Join(got, ""))
		}
	}
}

// tells reads until n lines have come that can be compared.
func tells(lines <-chan string, n int) (got []string) {
	late := time.Now().Add(longest)
	for len(comparable(got)) < n && time.Now().Before(late) {
		got = append(got, waitFor(lines, 1, time.Until(late))...)
	}
	return got
}

// comparable leaves out what may differ.
func comparable(lines []string) (out []string) {
	for _, l := range normalise(lines) {
		l = hasChildren.ReplaceAllString(validity.ReplaceAllString(l, ""), "")
		l = uidOfFlags.ReplaceAllString(l, "$1)")
		l = strings.NewReplacer("( ", "(", ` \Recent`, "", `\Recent`, "").Replace(l)
		if !strings.HasSuffix(l, " RECENT\r\n") {
			out = append(out, l)
		}
	}
	return out
}
