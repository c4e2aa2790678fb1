package test

import (
	"context"
	"strings"
	"testing"
	"time"

	"mailserver/internal/testenv"
	"mailserver/schema"
)

// TestTrace: a message, and a refusal, are found by ID and by address, with
// everything that belongs to them.
func TestTrace(t *testing.T) {
	e := testenv.Start(t, testenv.Options{SQL: everybodyMayWrite})
	k := dialog(t, e, testenv.SMTP, "a@x.example")
	k.want("550", "RCPT TO:<nobody@vmail.example>")
	k.want("250", "RCPT TO:<joe@vmail.example>")
	k.letter()
	k.want("221", "QUIT")
	find := func(text string) string {
		var b strings.Builder
		err := e.State.Trace(context.Background(), schema.TraceQuery{Text: text, Since: time.Unix(0, 0), Most: 100},
			func(l schema.TraceLine) error { b.WriteString(l.Text + "\n"); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	waitFor(t, "the lines", func() bool { return strings.Contains(find("joe@vmail.example"), "status=sent") })
	got := find("joe@vmail.example")
	_, rest, _ := strings.Cut(got, "from=<a@x.example>, size=")
	if rest == "" {
		t.Errorf("the message is not shown whole:\n%s", got)
	}
	if got := find("nobody@VMAIL.example"); !strings.Contains(got, "User unknown in virtual mailbox table; from=<a@x.example>") || !strings.Contains(got, " rule=") {
		t.Errorf("the refusal:\n%s", got)
	}
	if got := find("stranger@elsewhere.example"); got != "" {
		t.Errorf("found %q", got)
	}
	e.SQL(setting("trace_lines", "5"))
	for range 10 {
		dialog(t, e, testenv.SMTP, "a@x.example").want("221", "QUIT")
	}
	waitFor(t, "old lines to go", func() bool { return strings.Count(find(""), "\n") == 5 })
}
