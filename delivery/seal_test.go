package delivery

import (
	"context"
	"strings"
	"testing"

	"mailserver/internal/arc"
	"mailserver/policy"
)

func TestForwardedMailIsSealed(t *testing.T) {
	txt := make(map[string]string)
	f := newFixture(t, keyRows(t, "box.test", txt))
	lookup := func(name string) ([]string, error) { return []string{txt[name]}, nil }
	f.s.d.TXT = func(_ context.Context, name string) ([]string, error) { return lookup(name) }
	f.run()
	letter := "From: s@else.test\r\nTo: out@box.test\r\nSubject: hello\r\n\r\nbody\r\n"
	for i, c := range []struct {
		name   string
		to     string
		change func(*Envelope)
		text   string
		want   int // sets
	}{
		{"a stranger's", "out@box.test", func(*Envelope) {}, letter, 1},
		{"again", "out@box.test", func(*Envelope) {}, "", 2},
		{"our own", "out@box.test", func(e *Envelope) { e.User = "a@box.test" }, letter, 0},
		{"passed on", "x@out.test", func(*Envelope) {}, letter, 0},
	} {
		env := envelope("s@else.test", c.to)
		c.change(env)
		if c.text == "" {
			c.text = f.sink.Messages()[i-1].Data
		}
		f.send(env, c.text, policy.Effects{Prepend: []string{"Authentication-Results: me.test; spf=pass smtp.mailfrom=else.test"}})
		f.until(c.name, func() bool { return len(f.sink.Messages()) == i+1 })
		data := f.sink.Messages()[i].Data
		chain, err := arc.Verify(strings.NewReader(data), lookup)
		if err != nil || len(chain.Sets) != c.want || c.want > 0 && chain.Result != arc.Pass {
			t.Fatalf("%s: %+v, %v in\n%s", c.name, chain, err, data)
		}
		if c.want > 0 {
			s := chain.Sets[c.want-1]
			if s.Domain != "box.test" || !strings.HasPrefix(s.Results, "me.test; spf=pass smtp.mailfrom=else.test") {
				t.Errorf("%s: %+v", c.name, s)
			}
		}
	}
}
