package imap

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestCommandTable shows a changed rule in review.
func TestCommandTable(t *testing.T) {
	var b strings.Builder
	for _, c := range commandTable() {
		fmt.Fprintf(&b, "%-14s %-28s", c.name, stateNames(c.states))
		for _, f := range []struct {
			on   bool
			name string
		}{{c.args, "args"}, {c.keepSeq, "keeps-numbers"}, {c.streams, "streams"}, {c.after != nil, "goes-on"}} {
			if f.on {
				b.WriteString(" " + f.name)
			}
		}
		fmt.Fprintf(&b, " | %s\n", completed(&c))
	}
	golden(t, "testdata/commands.golden", b.String())
}

func stateNames(s state) string {
	var names []string
	for bit, name := range map[state]string{notAuthenticated: "1-not-authenticated", authenticated: "2-authenticated", selected: "3-selected"} {
		if s&bit != 0 {
			names = append(names, name)
		}
	}
	switch len(names) {
	case 3:
		return "any"
	case 2:
		return "logged-in"
	}
	return names[0][2:]
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./imap -update writes it anew):\n%s", file, got)
	}
}

func TestMatchName(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a.b", true}, {"%", "a.b", false}, {"%", "a", true}, {"%.%", "a.b", true}, {"a*", "a.b.c", true},
		{"a%", "a.b", false}, {"a%c", "abc", true}, {"*b", "a.b", true}, {"*b", "a.bc", false}, {"", "", true},
		{"inbox", "INBOX", true}, {"inbox", "inbox.x", false}, {"Inb%", "INBOX", true}, {"a.*", "a", false},
		{"%*%", "x.y", true}, {"é%", "éa", true}, {strings.Repeat("*%", 500) + "x", strings.Repeat("a", 1000), false},
	}
	for _, tt := range tests {
		if got := matchName(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%.20q on %.20q: %v", tt.pattern, tt.name, got)
		}
	}
}
