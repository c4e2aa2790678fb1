package delivery

import (
	"strings"
	"testing"

	"mailserver/policy"
)

// TestReasonAfterTheQueue: why mail was taken stands in a mailbox whether it
// came there at once or waited, at the same place, and nowhere else.
func TestReasonAfterTheQueue(t *testing.T) {
	f := newFixture(t)
	f.run()
	eff := policy.Effects{Prepend: []string{"X-One: 1"}, Reason: "X-Mailserver-Reason: permit_mynetworks"}
	f.send(envelope("s@x.test", "a@box.test"), text, eff)
	eff.Hold = true
	id, _ := f.send(envelope("s@x.test", "b@box.test", "x@out.test"), text, eff)
	if _, err := f.s.Queue().Release(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	f.until("delivered", func() bool {
		return len(f.box("a@box.test")) == 1 && len(f.box("b@box.test")) == 1 && len(f.sink.Messages()) == 1 && len(f.queued()) == 0
	})
	for _, user := range []string{"a@box.test", "b@box.test"} {
		if got := f.box(user)[0]; strings.Count(got, "\nX-One: 1\nX-Mailserver-Reason: permit_mynetworks\n") != 1 {
			t.Errorf("%s: %q", user, got)
		}
	}
	if got := f.sink.Messages()[0].Data; strings.Contains(got, "Reason") {
		t.Errorf("told to another host: %q", got)
	}
}
