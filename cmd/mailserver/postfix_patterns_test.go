package main

import "testing"

// TestPatternOf: an expression becomes a pattern of LIKE only if that says the
// same.
func TestPatternOf(t *testing.T) {
	for _, c := range []struct {
		key  string
		want addressPattern
		ok   bool
	}{
		{`/@pat\.example$/`, addressPattern{local: "%", domain: "pat.example"}, true},
		{`/^sales-.*@Pat\.Example$/`, addressPattern{local: "sales-%", domain: "pat.example"}, true},
		{`/bot@pat\.example$/`, addressPattern{local: "%bot", domain: "pat.example"}, true},
		{`/^(.+)@pat\.example$/`, addressPattern{local: "_%", domain: "pat.example", grouped: true}, true},
		{`/^a\.b\+.@pat\.example$/`, addressPattern{local: "a.b+_", domain: "pat.example"}, true},
		{`/@(.*\.)?pat\.example$/`, addressPattern{local: "%", domain: "pat.example", below: true}, true},
		{key: `/@pat\.example/`}, {key: `/^joe_x@pat\.example$/`}, {key: `/^50%@pat\.example$/`}, {key: `/^(a|b)@pat\.example$/`},
		{key: `/^a+@pat\.example$/`}, {key: `/^[ab]@pat\.example$/`}, {key: `/^a@(pat|pot)\.example$/`}, {key: `/^a@pat\.example\$/`},
		{key: `/^a@pat\.example$/i`}, {key: `!/^a@pat\.example$/`}, {key: `/^pat\.example$/`}, {key: `/`}, {key: ``}, {key: `/^\d@pat\.example$/`},
	} {
		got, ok := patternOf(c.key)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v %v, want %+v %v", c.key, got, ok, c.want, c.ok)
		}
	}
}
