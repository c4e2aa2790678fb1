package imap_test

import (
	"fmt"
	"strings"
	"testing"

	"mailserver/imap"
	"mailserver/internal/acl"
	"mailserver/internal/dialogtest"
)

// grant gives ann rights on a mailbox of joe's, and no others.
func (h *house) grant(box, rights string) {
	h.t.Helper()
	r, bad := acl.Parse(rights)
	if bad != 0 {
		h.t.Fatalf("right %q", bad)
	}
	id := acl.ID{Kind: acl.User, Name: "ann@vmail.example"}
	err := h.account("joe@vmail.example").ChangeACL(h.t.Context(), box, func(l acl.List) acl.List {
		return l.Set(acl.Entry{ID: id, Yes: r, HasYes: r != 0})
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// loginAs returns a client that has logged in.
func (h *house) loginAs(user string) *client {
	h.t.Helper()
	c := h.dial()
	c.Until(`^\* OK `)
	c.Send("login LOGIN " + user + " " + dialogtest.Password(user))
	c.Until(`^login OK `)
	return c
}

const (
	absent = "doesn't exist"
	denied = "NO [NOPERM]"
)

// TestRights is rights × commands: each command is said with all rights that it
// needs, and with all rights but each of those; RFC 4314 §4. Without l what is
// refused does not exist.
func TestRights(t *testing.T) {
	const all = "lrswipkxtea"
	const box = "shared/joe@vmail.example/Box"
	for _, tt := range []struct {
		name   string
		need   string
		before []string // commands as ann
		say    string
		done   string // begins the tagged answer; "": OK
		shown  string // is among the answers when it is permitted, and not otherwise
	}{
		{name: "SELECT", need: "r", say: "SELECT " + box},
		{name: "EXAMINE", need: "r", say: "EXAMINE " + box},
		{name: "STATUS", need: "r", say: "STATUS " + box + " (MESSAGES)", shown: "* STATUS"},
		{name: "LIST", need: "l", say: `LIST "" shared/*`, shown: box},
		{name: "LIST STATUS", need: "lr", say: `LIST "" ` + box + " RETURN (STATUS (MESSAGES))", shown: "* STATUS"},
		{name: "SUBSCRIBE", need: "l", say: "SUBSCRIBE " + box},
		{name: "CREATE", need: "k", say: "CREATE " + box + "/Below"},
		{name: "DELETE", need: "x", say: "DELETE " + box},
		{name: "RENAME", need: "x", say: "RENAME " + box + " " + "shared/joe@vmail.example/Other/New"},
		{name: "RENAME to", need: "k", say: "RENAME shared/joe@vmail.example/Other " + box + "/New"},
		{name: "APPEND", need: "i", say: "APPEND " + box + " {10+}\r\nA: b\r\n\r\nc\r"},
		{name: "COPY to", need: "i", before: []string{"SELECT INBOX"}, say: "COPY 1 " + box},
		{name: "MOVE to", need: "i", before: []string{"SELECT INBOX"}, say: "MOVE 1 " + box},
		{name: "COPY from", need: "r", before: []string{"SELECT " + box}, say: "COPY 1 INBOX"},
		{name: "MOVE from", need: "te", before: []string{"SELECT " + box}, say: "MOVE 1 INBOX"},
		{name: "EXPUNGE", need: "e", before: []string{"SELECT " + box}, say: "EXPUNGE", shown: "EXPUNGE"},
		{name: "UID EXPUNGE", need: "e", before: []string{"SELECT " + box}, say: "UID EXPUNGE 1:*", shown: "EXPUNGE"},
		{name: "CLOSE", need: "", before: []string{"SELECT " + box}, say: "CLOSE"},
		{name: "STORE Seen", need: "s", before: []string{"SELECT " + box}, say: `STORE 1 +FLAGS (\Seen)`, shown: `\Seen`},
		{name: "STORE Deleted", need: "t", before: []string{"SELECT " + box}, say: `STORE 1 -FLAGS (\Deleted)`, shown: "FETCH (FLAGS (\\Flagged"},
		{name: "STORE keyword", need: "w", before: []string{"SELECT " + box}, say: `STORE 1 +FLAGS (work)`, shown: "work"},
		{name: "REPLACE", need: "tei", before: []string{"SELECT " + box}, say: "REPLACE 1 " + box + " {10+}\r\nA: b\r\n\r\nc\r"},
		{name: "GETACL", need: "a", say: "GETACL " + box, shown: "* ACL"},
		{name: "LISTRIGHTS", need: "a", say: "LISTRIGHTS " + box + " joe@vmail.example", shown: "* LISTRIGHTS"},
		{name: "SETACL", need: "a", say: "SETACL " + box + " sue l"},
		{name: "DELETEACL", need: "a", say: "DELETEACL " + box + " sue"},
		{name: "GETMETADATA", need: "r", say: "GETMETADATA " + box + " /shared/comment", shown: "* METADATA"},
		{name: "SETMETADATA private", need: "r", say: "SETMETADATA " + box + ` (/private/comment "x")`},
		{name: "SETMETADATA shared", need: "rw", say: "SETMETADATA " + box + ` (/shared/comment "x")`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := open(t, imap.ListenerOptions{}, nil)
			h.sharing.Store(true)
			round := 0
			play := func(rights string) []string {
				// Names of their own keep the rounds apart.
				round++
				other, name := fmt.Sprintf("Other%d", round), fmt.Sprintf("Box%d", round)
				put(h, "joe@vmail.example", name, `\Deleted \Flagged`)
				put(h, "joe@vmail.example", other, "")
				put(h, "ann@vmail.example", "INBOX", "")
				h.grant(other, all)
				h.grant(name, rights)
				c := h.loginAs("ann@vmail.example")
				for _, b := range tt.before {
					c.do(strings.ReplaceAll(b, "/Box", "/"+name))
				}
				return c.do(strings.NewReplacer("/Box", "/"+name, "/Other", "/"+other).Replace(tt.say))
			}
			check := func(rights string, permitted bool) {
				t.Helper()
				lines := play(rights)
				last, shown := lines[len(lines)-1], false
				for _, l := range lines[:len(lines)-1] {
					shown = shown || strings.Contains(l, strings.Replace(tt.shown, "/Box", fmt.Sprintf("/Box%d", round), 1))
				}
				listing := strings.HasPrefix(tt.say, "LIST ")
				ok := strings.HasPrefix(last, "x OK")
				switch {
				case tt.shown != "" && shown != permitted:
					t.Errorf("with %s: told %v in %q", rights, shown, lines)
				case ok != (permitted || listing):
					t.Errorf("with %s: %s", rights, last)
				case !ok && !strings.Contains(rights, "l") && strings.Contains(tt.say, "/Box") && tt.before == nil && tt.need != "k" &&
					!strings.Contains(last, absent):
					t.Errorf("with %s: %s: it tells that the mailbox is there", rights, last)
				case !ok && strings.Contains(rights, "l") && !strings.Contains(last, denied):
					t.Errorf("with %s: %s", rights, last)
				}
			}
			base := "lr"
			if tt.before == nil {
				base = "l"
			}
			check(all, true)
			check(tt.need+without(base, tt.need), true)
			for _, one := range tt.need {
				rest := without(all, string(one))
				if one == 'r' && tt.before != nil {
					continue // it could not be selected
				}
				check(rest, false)
				if one != 'l' && tt.before == nil {
					check(without(rest, "l"), false)
				}
			}
		})
	}
}

func without(set, taken string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(taken, r) {
			return -1
		}
		return r
	}, set)
}

// put makes a mailbox, if need be, and appends a message.
func put(h *house, user, box, flags string) {
	h.t.Helper()
	c := h.loginAs(user)
	defer c.Conn.Close()
	c.do("CREATE " + box)
	c.do("APPEND " + box + " (" + flags + ") {10+}\r\nA: b\r\n\r\nc\r")
}

// TestHiddenEqualsAbsent: a mailbox without l answers every command as one that
// is not there, byte for byte.
func TestHiddenEqualsAbsent(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	h.sharing.Store(true)
	put(h, "joe@vmail.example", "Hidden", "")
	put(h, "joe@vmail.example", "Seen", "")
	h.grant("Seen", "l")
	put(h, "ann@vmail.example", "INBOX", "")
	c := h.loginAs("ann@vmail.example")
	for _, say := range []string{
		"SELECT %s", "EXAMINE %s", "STATUS %s (MESSAGES)", "CREATE %s", "DELETE %s", "RENAME %s INBOX/x", "RENAME INBOX %s",
		"RENAME shared/joe@vmail.example/Seen %s", "SUBSCRIBE %s", "UNSUBSCRIBE %s", `LIST "" %s`, `LIST "" %s RETURN (MYRIGHTS)`, `LIST "" %s/*`,
		"APPEND %s {10+}\r\nA: b\r\n\r\nc\r", "GETACL %s", "MYRIGHTS %s", "LISTRIGHTS %s joe", "SETACL %s joe l", "DELETEACL %s joe",
		"GETMETADATA %s /shared/comment", "SETMETADATA %s (/shared/comment x)", "GETQUOTAROOT %s",
		"COPY 1 %s", "MOVE 1 %s",
	} {
		if strings.HasPrefix(say, "COPY") {
			c.do("SELECT INBOX")
		}
		hidden := strings.Join(c.do(strings.ReplaceAll(say, "%s", "shared/joe@vmail.example/Hidden")), "\n")
		for _, name := range []string{"shared/joe@vmail.example/Absent", "shared/nobody@vmail.example/Hidden", "Public/Hidden"} {
			missing := strings.Join(c.do(strings.ReplaceAll(say, "%s", name)), "\n")
			if got := strings.ReplaceAll(hidden, "shared/joe@vmail.example/Hidden", name); got != missing {
				t.Errorf("%s\nhidden %s\nabsent %s", say, got, missing)
			}
		}
	}
}

// TestRenameKeepsRights: a mailbox that is renamed, and those below it, go on to
// be shared as they were, under their new names.
func TestRenameKeepsRights(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	h.sharing.Store(true)
	put(h, "joe@vmail.example", "Team", "")
	put(h, "joe@vmail.example", "Team.sub", "")
	put(h, "joe@vmail.example", "Team.own", "")
	h.grant("Team", "lr")
	h.grant("Team.sub", "lrw")
	a, b := h.loginAs("joe@vmail.example"), h.loginAs("ann@vmail.example")
	if got := a.do("RENAME Team Group"); !strings.HasPrefix(got[0], "x OK") {
		t.Fatal(got)
	}
	for _, tt := range []struct{ box, want string }{
		{"Group", "* MYRIGHTS shared/joe@vmail.example/Group lr"},
		{"Group/sub", "* MYRIGHTS shared/joe@vmail.example/Group/sub lrw"},
		{"Team", "x NO [NONEXISTENT] Mailbox doesn't exist: shared/joe@vmail.example/Team"},
		{"Group/own", "x NO [NONEXISTENT] Mailbox doesn't exist: shared/joe@vmail.example/Group/own"},
	} {
		if got := b.do("MYRIGHTS shared/joe@vmail.example/" + tt.box); got[0] != tt.want {
			t.Errorf("%s: %q", tt.box, got)
		}
	}
	if got := a.do("GETACL Group.sub"); !strings.Contains(got[0], "ann@vmail.example lrw") {
		t.Error(got)
	}
}
