package imap_test

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailserver/imap"
	"mailserver/storage"
)

// says reads one line, which must match.
func (c *client) says(pattern string) {
	c.T.Helper()
	if got := c.Line(); !regexp.MustCompile(pattern).MatchString(got) {
		c.T.Fatalf("%q, want %s", got, pattern)
	}
}

const allEvents = "(MessageNew MessageExpunge FlagChange MailboxName MailboxMetadataChange)"

// TestNotifyShared: of mailboxes of others a user learns what rights allow, of
// those without l not even that they come, change or go.
func TestNotifyShared(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	h.sharing.Store(true)
	const joe, ann, top = "joe@vmail.example", "ann@vmail.example", "shared/joe@vmail.example"
	for _, box := range []string{"Seen", "Named", "Secret"} {
		put(h, joe, box, "")
	}
	h.grant("Seen", "lr")
	h.grant("Named", "l")
	a, b := h.loginAs(joe), h.loginAs(ann)
	b.Send("n NOTIFY SET STATUS (subtree " + top + " " + allEvents + ")")
	b.says(`^\* LIST \(\\NoAccess\) "/" ` + top + `/Named$`)
	b.says(`^\* STATUS ` + top + `/Seen \(MESSAGES 1 UIDNEXT 2 UIDVALIDITY \d+ UNSEEN 1 HIGHESTMODSEQ \d+\)$`)
	b.says("^n OK")
	b.Send("n NOTIFY SET (mailboxes (" + top + "/Named " + top + "/Secret) (MailboxMetadataChange)) (subtree " + top + " " + allEvents + ")")
	b.says(`^\* LIST \(\\NoAccess\) "/" ` + top + `/Named$`)
	b.says("^n OK")
	append := func(box string) { a.do("APPEND " + box + " {10+}\r\nA: b\r\n\r\nc\r") }
	// Each step tells exactly one line: what is not seen would come before it.
	for _, tt := range []struct {
		name string
		do   []string
		want string
	}{
		{"messages", []string{"APPEND Secret", "APPEND Named", "APPEND Seen"}, `^\* STATUS ` + top + `/Seen \(MESSAGES 2 `},
		{"annotation", []string{`SETMETADATA Secret (/shared/comment "x")`, `SETMETADATA Named (/shared/comment "x")`, `SETMETADATA Seen (/private/comment "x")`, `SETMETADATA Seen (/shared/comment "x")`},
			`^\* METADATA ` + top + `/Seen /shared/comment$`},
		{"hidden ones come and go", []string{"CREATE Secret2", "RENAME Secret2 Secret3", "DELETE Secret3", "SETACL Secret joe@vmail.example lrwstipekxa", "SETACL Named ann@vmail.example lr"},
			`^\* LIST \(\\HasNoChildren\) "/" ` + top + `/Named$`},
		{"right to read lost", []string{"SETACL Named ann@vmail.example l"}, `^\* LIST \(\\HasNoChildren \\NoAccess\) "/" ` + top + `/Named$`},
		{"right to see lost", []string{"DELETEACL Named ann@vmail.example"}, `^\* LIST \(\\NonExistent\) "/" ` + top + `/Named$`},
		{"given", []string{"SETACL Secret ann@vmail.example lr"}, `^\* LIST \(\\HasNoChildren\) "/" ` + top + `/Secret$`},
		{"renamed", []string{"RENAME Secret Known"}, `^\* LIST \(\\HasNoChildren\) "/" ` + top + `/Known \("OLDNAME" \(` + top + `/Secret\)\)$`},
		{"its messages", []string{"APPEND Known"}, `^\* STATUS ` + top + `/Known \(MESSAGES 3 `},
		{"deleted", []string{"DELETE Known"}, `^\* LIST \(\\NonExistent\) "/" ` + top + `/Known$`},
	} {
		for _, say := range tt.do {
			if box, ok := strings.CutPrefix(say, "APPEND "); ok {
				append(box)
			} else if got := a.do(say); !strings.HasPrefix(got[len(got)-1], "x OK") {
				t.Fatalf("%s: %s: %q", tt.name, say, got)
			}
		}
		if got := b.Line(); !regexp.MustCompile(tt.want).MatchString(got) {
			t.Fatalf("%s: %q, want %s", tt.name, got, tt.want)
		}
	}
	// By subscription, which may change later; and by the top of the namespace.
	b.do("NOTIFY SET (subscribed (MessageNew MessageExpunge))")
	b.do("SUBSCRIBE " + top + "/Seen")
	append("Seen")
	b.says(`^\* STATUS ` + top + `/Seen \(MESSAGES 3 `)
	b.do("NOTIFY SET (subtree shared (MessageNew MessageExpunge))")
	append("Seen")
	b.says(`^\* STATUS ` + top + `/Seen \(MESSAGES 4 `)
}

// TestNotifyDelivery: a message that is delivered is told, with the mailbox
// under its own name in each form of naming.
func TestNotifyDelivery(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	put(h, "joe@vmail.example", "K&APY-ln", "")
	deliver := func(box string) {
		d, err := h.account("joe@vmail.example").NewDraft(t.Context(), box, 0)
		must(t, err)
		io.WriteString(d, "Subject: x\r\n\r\n")
		must(t, d.Deliver(t.Context()))
	}
	c := h.login()
	c.do("NOTIFY SET (mailboxes (inbox K&APY-ln Later) (MessageNew MessageExpunge))")
	deliver("INBOX")
	c.says(`^\* STATUS INBOX \(MESSAGES 1 UIDNEXT 2 UIDVALIDITY \d+ UNSEEN 1\)$`)
	deliver("Köln")
	c.says(`^\* STATUS K&APY-ln \(MESSAGES 2 `)
	put(h, "joe@vmail.example", "Later", "")
	c.says(`^\* STATUS Later \(MESSAGES 1 `)
	c.do("ENABLE UTF8=ACCEPT CONDSTORE")
	deliver("Köln")
	c.says(`^\* STATUS "?Köln"? \(MESSAGES 3 UIDNEXT 4 UIDVALIDITY \d+ UNSEEN 3 HIGHESTMODSEQ \d+\)$`)
	c.do("NOTIFY NONE")
	deliver("Köln")
	if got := c.do("NOOP"); len(got) != 1 {
		t.Error(got)
	}
}

// TestNotifyWithOthers: what other extensions change holds for what is told
// between commands.
func TestNotifyWithOthers(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	plain := h.login()
	fill(plain, 3)
	plain.do("SELECT INBOX")
	c := h.login()
	c.do("ENABLE QRESYNC UIDONLY")
	c.do("SELECT INBOX")
	c.do("NOTIFY SET (selected (MessageNew (UID FLAGS MODSEQ) MessageExpunge FlagChange))")
	plain.do(`STORE 2 +FLAGS.SILENT (\Deleted)`)
	c.says(`^\* 2 UIDFETCH \(MODSEQ \(\d+\) FLAGS \(\\Deleted`)
	plain.do("EXPUNGE")
	c.says(`^\* VANISHED 2$`)
	fill(plain, 1)
	c.Until(`^\* 4 UIDFETCH \(.*MODSEQ \(\d+\)`)
	// RFC 8437: nothing of it is left.
	c.do("UNAUTHENTICATE")
	c.do("LOGIN ann@vmail.example anns-secret")
	put(h, "joe@vmail.example", "Box", "")
	if got := c.do("NOOP"); len(got) != 1 {
		t.Error(got)
	}
	d := compressed(t, h)
	d.send("a NOTIFY SET (personal (MailboxName))")
	d.c.Until("^a OK")
	plain.do("CREATE Packed")
	d.c.Until(`^\* LIST \(\\HasNoChildren\) "\." Packed$`)
}

// TestNotifyOverflow: a session that is busy for too long is told that it has
// missed something, and nothing more.
func TestNotifyOverflow(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	c := h.login()
	var names []string
	for i := range 101 {
		names = append(names, fmt.Sprint("n", i))
	}
	if got := c.do("NOTIFY SET (mailboxes (" + strings.Join(names, " ") + ") (MailboxName))"); !strings.HasPrefix(got[0], "x NO [NOTIFICATIONOVERFLOW] ") {
		t.Error(got)
	}
	c.do("NOTIFY SET (personal (MailboxMetadataChange ServerMetadataChange))")
	c.Send("a APPEND INBOX {10}")
	c.says(`^\+ OK`)
	joe := h.account("joe@vmail.example")
	for i := range 1001 {
		must(t, joe.SetMetadata(t.Context(), "", []storage.Annotation{{Name: "/shared/x", Value: []byte{byte(i)}}}))
	}
	c.Send("A: b\r\n\r\nc\r")
	c.Until("^a OK")
	c.says(`^\* OK \[NOTIFICATIONOVERFLOW\] `)
	must(t, joe.SetMetadata(t.Context(), "", []storage.Annotation{{Name: "/shared/x", Value: []byte("y")}}))
	if got := c.do("NOOP"); len(got) != 1 {
		t.Error(got)
	}
}

// FuzzNotify sends arguments of NOTIFY. There is one answer to each command, and
// the session goes on.
func FuzzNotify(f *testing.F) {
	for _, s := range []string{
		"NONE", "SET STATUS (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (\"a\" b)]<0.9>) MessageExpunge FlagChange)) (inboxes NONE)",
		"SET (subtree (a \"b c\" {1+}\r\nd) (MailboxName SubscriptionChange))", "SET (mailboxes (", "SET (selected-delayed (MessageExpunge MessageNew))",
		"SET (personal (MessageNew MessageExpunge AnnotationChange)) (subscribed (Foo))", "SET (mailboxes shared/x (MailboxMetadataChange ServerMetadataChange))",
		"SET (selected (MessageNew (PREVIEW (LAZY)) MessageExpunge))", "SET (selected (MessageNew ((LAZY)) MessageExpunge))", "SET ((((((((((", "set status",
	} {
		f.Add(s)
	}
	h := open(f, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "0"})
	h.sharing.Store(true)
	f.Fuzz(func(t *testing.T, in string) {
		c := h.by(t).login()
		defer c.Conn.Close()
		go func() {
			io.WriteString(c.Conn, "s SELECT INBOX\r\na NOTIFY "+in+"\r\nb CREATE x\r\nc DELETE x\r\n")
			c.Conn.(*net.TCPConn).CloseWrite()
		}()
		c.Conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		out, err := io.ReadAll(c.R)
		if err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("%v after %q", err, out)
		}
		if strings.ContainsAny(in, "\r\n{") {
			return // lines of its own
		}
		if n := len(regexp.MustCompile(`(?m)^a (OK|NO|BAD) `).FindAll(out, -1)); n != 1 {
			t.Fatalf("%d answers: %q", n, out)
		}
		if !strings.Contains(string(out), "c OK") {
			t.Fatalf("the session does not go on: %q", out)
		}
	})
}
