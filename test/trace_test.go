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

// TestTraceShowsSteps: what decided about a recipient stands below the line of
// its refusal, and of the message that was taken, in the words of "policy test".
func TestTraceShowsSteps(t *testing.T) {
	t.Parallel()
	h := sampleHost(t, "")
	h.mustRun("config", "set", "mynetworks=", "smtpd_relay_restrictions=permit_mynetworks, check_sender_access inline:{a@x.example=DUNNO}, reject_unauth_destination",
		"smtpd_recipient_restrictions=", "trace_steps=refused")
	h.start()
	s := h.sender()
	if err := s.send("joe@vmail.example", message("m0", "s", "x")); err != nil {
		t.Fatal(err)
	}
	h.mustRun("config", "set", "trace_steps=all")
	if err := s.send("joe@vmail.example", message("m1", "s", "x")); err != nil {
		t.Fatal(err)
	}
	if err := s.send("you@far.example", message("m2", "s", "x")); err == nil {
		t.Fatal("it relays")
	}
	find := func(text string) string { return h.mustRun("trace", text) }
	waitFor(t, "the lines", func() bool {
		return strings.Contains(find("you@far.example"), "reject_unauth_destination: refuse 554 by reject_unauth_destination")
	})
	for _, want := range []string{"client=", "RCPT TO:<joe@vmail.example>: accepted\n    smtpd_relay_restrictions\n      permit_mynetworks: dunno\n",
		"reject_unauth_destination: dunno\n", "status=sent"} {
		if got := find("joe@vmail.example"); !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := find("joe@vmail.example"); strings.Count(got, ": accepted") != 1 {
		t.Errorf("steps of a message that was taken without trace_steps=all:\n%s", got)
	}
	asked, _ := h.run("", "policy", "test", "--client", "127.0.0.1", "--name", "localhost", "--to", "you@far.example")
	if !strings.Contains(asked, "    reject_unauth_destination: refuse 554 by reject_unauth_destination\n") {
		t.Errorf("policy test has other words: %s", asked)
	}
	for _, line := range h.log.from(0) {
		if strings.Contains(line, "permit_mynetworks: dunno") {
			t.Errorf("the log has steps: %s", line)
		}
	}
}
