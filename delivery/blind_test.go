package delivery

import (
	"slices"
	"strings"
	"testing"

	"mailserver/policy"
)

func TestBlindCopies(t *testing.T) {
	f := newFixture(t, `INSERT INTO Setting VALUES ('always_bcc', 'all@out.test');
		INSERT INTO Bcc (bcMap, bcAddress, bcTarget) VALUES ('sender', 'a@box.test', 'sent@out.test'), ('recipient', '@out.test', 'got@out.test'),
		  ('recipient', 'b@box.test', 'all@out.test');`)
	f.run()
	for i, c := range []struct {
		from, to string
		want     []string
	}{
		{"a@box.test", "x@out.test", []string{"all@out.test", "got@out.test", "sent@out.test", "x@out.test"}},
		{"s@else.test", "b@box.test", []string{"all@out.test"}},
	} {
		f.send(envelope(c.from, c.to), "Subject: x\r\n\r\nhello\r\n", policy.Effects{})
		f.until("sent", func() bool { return len(f.sink.Messages()) == i+1 })
		var got []string
		for _, to := range f.sink.Messages()[i].To {
			to, rest, _ := strings.Cut(strings.TrimPrefix(to, "<"), ">")
			if got = append(got, to); to != c.to && !strings.Contains(rest, "NOTIFY=NEVER") {
				t.Errorf("%s is told of failures: %s", to, rest)
			}
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%s to %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
