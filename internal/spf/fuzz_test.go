package spf

import (
	"net/netip"
	"slices"
	"testing"

	"mailserver/internal/dns"
)

// FuzzCheck: whatever a stranger's record says, the outcome is one of the
// seven results, within the limits, and an explanation is printable.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{
		"v=spf1 -all", "v=spf1 a mx/24//64 ptr include:%{d1r}.test ip4:192.0.2.0/24 ip6:::1 ?exists:%{ir}.%{v}.x.test redirect=a.test",
		"v=spf1 -all exp=%{S}%{c}%_%%.test", "v=spf1 include:a.test include:a.test", "v=spf1 %", "v=spf1 a:%{d", "v=spf1 exists:%{l-+}.%{h99r/}.com",
	} {
		f.Add(s, "user+x@a.test")
	}
	f.Fuzz(func(t *testing.T, text, from string) {
		asked := 0
		lookup := func(name string, ty dns.Type) (*dns.Answer, error) {
			if asked++; asked > 500 {
				t.Fatal("more than 500 look-ups")
			}
			switch ty {
			case dns.TXT:
				return &dns.Answer{Records: []dns.Record{{Text: text}}}, nil
			case dns.A, dns.AAAA:
				return &dns.Answer{Records: []dns.Record{{Addr: netip.MustParseAddr("192.0.2.1")}}}, nil
			}
			return &dns.Answer{Records: []dns.Record{{Text: name}}}, nil
		}
		r := Check(lookup, Client{Addr: netip.MustParseAddr("198.51.100.7"), Helo: "h.test"}, from)
		if !slices.Contains([]string{None, Neutral, Pass, Fail, SoftFail, TempError, PermError}, r.Result) {
			t.Fatalf("result %q", r.Result)
		}
		for _, c := range []byte(r.Explanation) {
			if c < ' ' || c > '~' {
				t.Fatalf("explanation %q", r.Explanation)
			}
		}
	})
}
