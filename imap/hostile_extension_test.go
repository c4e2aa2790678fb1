package imap_test

import (
	"fmt"
	"strings"
	"testing"

	"mailserver/imap"
	"mailserver/internal/testenv"
)

// TestHostileExtensions: as TestHostileMail and TestHostileCommands, for what
// extensions add.
func TestHostileExtensions(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, map[string]string{"imap_id_hide_capabilities": strings.Repeat("*a", 80) + "*b=IDLE"})
	for _, text := range []string{
		deepMail(10_000),
		"Subject: parts\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\n>x\n", 100_000) + "--b--\n",
		"Subject: html\nContent-Type: text/html\n\n" + strings.Repeat("<", 2<<20) + strings.Repeat("&a", 1<<20) + strings.Repeat("<blockquote>", 200_000),
		"Subject: quotes\n\n" + strings.Repeat("> q\n", 1<<20),
		"Subject: line\n\n" + strings.Repeat(" ", 5<<20),
		"Subject: charset\nContent-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat("GyRC\n", 500_000),
	} {
		h.put(testenv.Section{Path: "joe@vmail.example/INBOX", Text: text})
	}
	c := h.login()
	c.within(t, `ID ("name" "`+strings.Repeat("a", 8000)+`")`, "OK")
	c.do("SELECT INBOX")
	c.within(t, "FETCH 1:* (PREVIEW)", "OK")
	c.within(t, "FETCH 1:* (SNIPPET (LAZY=FUZZY))", "OK")
	c.within(t, "FETCH 1 (PREVIEW "+strings.Repeat("(", 10_000)+")", "BAD")
	c.within(t, "FETCH 1 (PREVIEW ("+strings.Repeat("LAZY ", 5_000)+"LAZY))", "OK")
	for _, tt := range []struct {
		pieces, of int
		want       string
	}{{190, 1, "OK"}, {250, 1, "NO [LIMIT]"}, {18, 6, "OK"}, {190, 6, "NO [LIMIT]"}} {
		var urls strings.Builder
		for i := range tt.pieces {
			fmt.Fprintf(&urls, " URL /INBOX/;UID=%d/;PARTIAL=0.1", i%tt.of+1)
		}
		c.within(t, "APPEND INBOX CATENATE ("+urls.String()[1:]+")", tt.want)
	}
	for _, url := range []string{"/" + strings.Repeat("../", 1000) + "etc/passwd/;UID=1", "/%00/;UID=1", "/INBOX/;UID=1/;SECTION=" + strings.Repeat("1.", 1000) + "1",
		"/INBOX/;UID=1/;PARTIAL=18446744073709551615.1", "/INBOX/;UID=1" + strings.Repeat("/;UID=1", 1000), "imap://" + strings.Repeat("@", 5000) + "/x/;UID=1", "/" + strings.Repeat("%2e", 3000) + "/;UID=1"} {
		c.within(t, "APPEND INBOX CATENATE (URL \""+url+"\")", "NO [BADURL")
	}
	c.within(t, "APPEND INBOX CATENATE (TEXT {99999999999999999999}", "BAD")
	c.within(t, "APPEND INBOX CATENATE (TEXT {9223372036854775807}", "NO [TOOBIG]")
	c.do("ENABLE UIDONLY")
	c.within(t, "UID FETCH 1:4294967295 (FLAGS)", "OK")
	c.within(t, "UID STORE 4294967295:1 +FLAGS.SILENT (x)", "OK")
	c.within(t, "UID SEARCH "+strings.Repeat("NOT ", 40)+"1", "BAD")
	c.within(t, "NOOP", "OK")
}
