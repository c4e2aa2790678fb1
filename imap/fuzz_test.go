package imap_test

import (
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailserver/imap"
)

var answer = regexp.MustCompile(`(?m)^(\* |\+ |[^ \r\n]+ (OK|NO|BAD) )`)

// FuzzSession sends any bytes after a login. The server may answer what it
// likes, but must live on, end, and never run what is inside a literal.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"a SELECT INBOX\r\nb FETCH 1:* (FLAGS BODY[])\r\nc UID SEARCH OR SEEN NOT (TEXT {3+}\r\nabc)\r\n",
		"a APPEND INBOX (\\Seen) {6+}\r\na: b\r\n {6+}\r\na: c\r\n\r\nb LIST (SUBSCRIBED) \"\" (% *) RETURN (STATUS (MESSAGES))\r\n",
		"a SELECT INBOX (CONDSTORE)\r\nb STORE 1 (UNCHANGEDSINCE 1) +FLAGS.SILENT (x)\r\nc UID MOVE $ foo\r\nd IDLE\r\nDONE\r\n",
		"a ENABLE QRESYNC UTF8=ACCEPT\r\nb SELECT INBOX (QRESYNC (1 1 1:* (1,2 3:4)))\r\nc UID FETCH 1:* FULL (CHANGEDSINCE 1 VANISHED)\r\n",
		"a FETCH 1 (BODY.PEEK[1.2.HEADER.FIELDS (\"a b\" c)]<1.2> BINARY.SIZE[1])\r\nb RENAME a {2+}\r\nbc\r\nc AUTHENTICATE PLAIN =\r\n",
		"a FOO {20+}\r\nINJ NOOP\r\nINJ NOOP\r\n x\r\n\r\n* *\r\n",
		"a SEARCH RETURN (SAVE MIN) CHARSET x SENTON 1-Jan-2020 MODSEQ \"/flags/a\" all 5\r\nb COPY 4294967295,*:1 \"x\\\"y\"\r\n",
		"a SELECT INBOX\r\nb UID FETCH 1:* (PREVIEW (LAZY) SNIPPET (FUZZY))\r\nc ENABLE UIDONLY\r\nd FETCH 1 (FLAGS)\r\ne UID STORE 1:* +FLAGS x\r\nf UID SEARCH 1:3\r\n",
		"a APPEND INBOX CATENATE (TEXT {6+}\r\na: b\r\n URL \"/INBOX/;UID=1/;SECTION=1.MIME/;PARTIAL=0.9\" URL {3+}\r\n/x/ TEXT {1}\r\nx)\r\nb NOOP\r\n",
		"a SELECT INBOX\r\nb UID SEARCH UIDAFTER 4294967295 (UIDBEFORE 2) NOT UIDBEFORE 1 THREADID T0 OR THREADID x EMAILID y\r\nc FETCH 1:* (THREADID)\r\nd SEARCH UIDAFTER 0\r\n",
		"a SELECT INBOX\r\nb NOTIFY SET STATUS (selected (MessageNew (UID) MessageExpunge FlagChange)) (personal (MailboxName))\r\nc CREATE x\r\nd STORE 1 +FLAGS \\Deleted\r\ne NOTIFY NONE\r\nf EXPUNGE\r\ng IDLE\r\nDONE\r\n",
	} {
		f.Add([]byte(s))
	}
	h := open(f, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "0", "quota_max_mail_size": "10000"})
	f.Fuzz(func(t *testing.T, in []byte) {
		c := h.by(t).login()
		go func() {
			c.Conn.Write(in)
			c.Conn.(*net.TCPConn).CloseWrite()
		}()
		c.Conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		out, err := io.ReadAll(c.R)
		c.Conn.Close()
		if err != nil && !strings.Contains(err.Error(), "reset") {
			t.Fatalf("%v after %q", err, out)
		}
		if log := h.log.String(); strings.Contains(log, "session failed") {
			t.Fatal(log)
		}
		if len(out) > 0 && !answer.Match(out) {
			t.Fatalf("not an answer: %q", out)
		}
	})
}
