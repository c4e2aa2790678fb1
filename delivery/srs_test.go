package delivery

import (
	"context"
	"strings"
	"testing"

	"mailserver/delivery/route"
	"mailserver/policy"
)

func TestForwardedMailHasASenderOfOurs(t *testing.T) {
	f := newFixture(t, "INSERT INTO Setting VALUES ('srs_domain', 'srs.test'), ('srs_secrets', 'new, old'), ('srs_exclude_domains', 'friend.test, .far.test');")
	f.run()
	for i, c := range []struct {
		name, from, to string
		forwarded      bool
	}{
		{"a stranger through an alias", "s@else.test", "out@box.test", true},
		{"a sender of ours", "a@box.test", "out@box.test", false},
		{"mail that is only passed on", "s@else.test", "x@out.test", false},
		{"an excluded domain", "s@FRIEND.test", "out@box.test", false},
		{"below an excluded domain", "s@a.far.test", "out@box.test", false},
		{"a bounce", "", "out@box.test", false},
	} {
		f.send(envelope(c.from, c.to), "Subject: "+c.name+"\r\n\r\nhello\r\n", policy.Effects{})
		f.until(c.name, func() bool { return len(f.sink.Messages()) == i+1 })
		got, _, _ := strings.Cut(strings.TrimPrefix(f.sink.Messages()[i].From, "<"), ">")
		if !c.forwarded {
			if got != c.from {
				t.Errorf("%s: from %q, want %q", c.name, got, c.from)
			}
			continue
		}
		if !strings.HasPrefix(got, "SRS0=") || !strings.HasSuffix(got, "=else.test=s@srs.test") {
			t.Errorf("%s: from %q", c.name, got)
		}
		bounces(t, f, got)
	}
}

// bounces follows an address of the scheme back.
func bounces(t *testing.T, f *fixture, srs string) {
	t.Helper()
	ctx := context.Background()
	r := f.d.Route.(*route.Router)
	for _, c := range []struct{ to, refusal, leads string }{
		{srs, "", "s@else.test"},
		{strings.ToLower(srs), "", "s@else.test"},
		{strings.Replace(srs, "=s@", "=t@", 1), "5.7.1 Hash invalid in SRS address", ""},
		{"SRS0=abc@srs.test", "5.1.3 Invalid SRS address", ""},
	} {
		rcpt, err := r.Recipient(ctx, parse(c.to))
		if err != nil || rcpt.Rejects != c.refusal || !rcpt.Listed {
			t.Errorf("RCPT %s: %+v, %v", c.to, rcpt, err)
		}
		dests, err := r.Expand(ctx, parse(c.to))
		if err != nil || len(dests) != 1 {
			t.Fatalf("expand %s: %v, %v", c.to, dests, err)
		}
		if d := dests[0]; c.refusal == "" && d.Address.Plain() != c.leads || c.refusal != "" && d.Kind != route.Failure {
			t.Errorf("%s leads to %+v", c.to, d)
		}
	}
}
