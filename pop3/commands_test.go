package pop3

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
		when := map[state]string{authorization: "authorization", transaction: "transaction", authorization | transaction: "any"}[c.states]
		fmt.Fprintf(&b, "%-5s %s", c.name, when)
		if c.enabled != nil {
			b.WriteString(" if-enabled")
		}
		b.WriteString("\n")
	}
	const file = "testdata/commands.golden"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s differs (go test ./pop3 -update writes it anew):\n%s", file, b.String())
	}
}

func TestUIDLFormat(t *testing.T) {
	k := known{uid: 4711, validity: 0x6b017473, file: "1795257459.M480302P8604.vm,S=43,W=46", guid: "abcdef0123"}
	for _, tt := range []struct{ format, want string }{
		{"%08Xu%08Xv", "000012676b017473"}, // what Dovecot 2.3 says of it
		{"%u.%v", "4711.1795257459"},
		{"%v-%Xu", "1795257459-1267"},
		{"UID%u-%v", "UID4711-1795257459"},
		{"%f", "1795257459.M480302P8604.vm,S=43,W=46"},
		{"%10f%u", "17952574594711"},
		{"%g", "abcdef0123"},
		{"%Ug%%", "ABCDEF0123%"},
		{"%08XUu", "00001267"},
	} {
		f, err := parseFormat(tt.format)
		if err != nil {
			t.Errorf("%s: %v", tt.format, err)
			continue
		}
		if got := string(f.append(nil, k)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.format, got, tt.want)
		}
	}
	for _, bad := range []string{"", "%v", "x", "%", "%08", "%08X", "%m", "%q", "%{uid}", "%999999999999u", "%u%"} {
		if _, err := parseFormat(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzUIDLFormat(f *testing.F) {
	for _, s := range []string{"%08Xu%08Xv", "%f", "a%%%g", "%0", "%70XLUu"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		format, err := parseFormat(s)
		if err != nil {
			return
		}
		a := format.append(nil, known{1, 2, "file", "guid"})
		b := format.append(nil, known{2, 2, "other", "one more"})
		if len(a) > 80*(len(s)+1) || len(b) == 0 {
			t.Errorf("%q: %q %q", s, a, b)
		}
	})
}
