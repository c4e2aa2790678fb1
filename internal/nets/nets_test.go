package nets

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "10.0.0.0/8": "10.0.0.0/8", "[::1]/128": "::1/128", "[2001:db8::]/32": "2001:db8::/32",
		"[2001:db8::/32]": "2001:db8::/32", "::ffff:192.0.2.1": "192.0.2.1/32", "[::ffff:127.0.0.0]/104": "127.0.0.0/8",
	} {
		if p, err := Parse(text); err != nil || p.String() != want {
			t.Errorf("%s: %s, %v", text, p, err)
		}
	}
	for text, want := range map[string]string{
		"10.0.0.1/8": `non-null host address bits in "10.0.0.1/8", perhaps you should use "10.0.0.0/8" instead`,
		"10.0/8":     "is not a network", "foo": "is not a network", "10.0.0.0/33": "is not a network", "fe80::1%eth0": "is not a network",
	} {
		if p, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v", text, p, err)
		}
	}
}

func TestList(t *testing.T) {
	l, err := ParseList([]string{"!10.1.0.0/16", "10.0.0.0/8", "host.example", ".below.example", "cidr:/etc/nets", "[::1]"})
	if err != nil || len(l) != 6 {
		t.Fatal(l, err)
	}
	for addr, want := range map[string]bool{"10.2.0.1": true, "10.1.0.1": false, "::ffff:10.2.0.1": true, "::1": true, "192.0.2.1": false} {
		if l.Contains(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: %v", addr, !want)
		}
	}
	for _, bad := range []string{"foo", "10.0.0", "192.0.2.999", "a..b", "10.0.0.1/8", "[x]", "a b", "!", "dead::beef::1", "fe80:x"} {
		if l, err := ParseList([]string{bad}); err == nil {
			t.Errorf("%s: %v", bad, l)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, s := range []string{"!10.0.0.0/8", "[::1]/128", "host.example", "cidr:/x", "::ffff:1.2.3.4/104", "!!x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseEntry(text)
		if err == nil && e.Net.IsValid() == (e.Word != "") {
			t.Errorf("%q: %+v", text, e)
		}
		if err == nil && e.Net.IsValid() && e.Net.Masked() != e.Net {
			t.Errorf("%q: %s", text, e.Net)
		}
	})
}
