package contentcheck

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	table, bad := Compile([]Row{
		{"/^Subject: (make) money (fast)/", "REJECT no $1 of ${2}, $$5"},
		{"if /^Received:/", ""},
		{"!/good\\.example/", "WARN odd"},
		{"if /nested/", ""},
		{"/./", "HOLD"},
		{"endif", ""},
		{"/zz/", "DISCARD"},
		{"endif", ""},
		{"/[/", "REJECT"},
		{"if /(/", ""},
		{"/./", "REJECT never"},
		{"endif", ""},
		{"/case/i", "INFO"},
		{"/^X:/", "FROB"},
		{"/^X:/", "PREPEND"},
		{"/^X:/", "FILTER smtp"},
		{"/^X:.*b$/m", "STRIP lines"},
		{"endif", ""},
		{"/^a.b/", "OK"},
	})
	if len(bad) != 6 || !strings.Contains(strings.Join(bad, "\n"), "endif without if") {
		t.Errorf("left out: %q", bad)
	}
	for _, c := range []struct{ text, want string }{
		{"subject: MAKE money FAST now", "REJECT no MAKE of FAST, $5"},
		{"Received: from bad", "WARN odd"},
		{"Received: good.example", ""},
		{"Received: good.example nested", "HOLD"},
		{"Received: good.example zz", "DISCARD"},
		{"zz", ""},
		{"a case", ""},
		{"a CASE", ""},
		{"X: a\n b\n c", "STRIP lines"},
		{"a\nb", "OK"},
	} {
		got, found := table.Find(c.text)
		if c.text == "a case" { // with i, case counts
			if got != "INFO" {
				t.Errorf("%q: %q", c.text, got)
			}
			continue
		}
		if got != c.want || found != (c.want != "") {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
	if a, err := ParseAction("ok"); a.Verb != "DUNNO" || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("if /a/", "/b(.)/ REJECT $1", "xbx")
	f.Add("!/x/i", "endif", "")
	f.Fuzz(func(t *testing.T, one, two, text string) {
		action := "REJECT $1 ${2} $$"
		table, _ := Compile([]Row{{one, action}, {two, action}, {"endif", ""}, {one + two, action}})
		table.Find(text)
	})
}
