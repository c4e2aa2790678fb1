package policy

import (
	"net/netip"
	"strings"
	"testing"

	"mailserver/internal/address"
	"mailserver/internal/nets"
	"mailserver/schema"
)

func TestTokens(t *testing.T) {
	tests := []struct {
		text, want string
		bad        bool
	}{
		{"", "", false},
		{" ,\t\r\n,", "", false},
		{"a,b c\n\td", "a|b|c|d", false},
		{"check_x_access static:{REJECT a, b}, permit", "check_x_access|static:{REJECT a, b}|permit", false},
		{"{a {b c} d}e f", "{a {b c} d}e|f", false},
		{"a }", "", true},
		{"{a", "", true},
	}
	for _, tt := range tests {
		got, err := tokens(tt.text)
		if s := strings.Join(got, "|"); s != tt.want || (err != nil) != tt.bad {
			t.Errorf("%q: %q, %v", tt.text, s, err)
		}
	}
}

// Every name of the language stands in the table once, and none of them can be
// taken for something else.
func TestRuleTable(t *testing.T) {
	seen := make(map[string]bool)
	for _, part := range [][]rule{genericRules, clientRules(), heloRules(), senderRules(), recipientRules(), dnsRules(), listRules(), serverRules(), unbuiltRules} {
		for _, r := range part {
			if seen[r.name] || r.name != strings.ToLower(r.name) || aliases[r.name] != "" {
				t.Errorf("%s is there twice, or not in lower case", r.name)
			}
			seen[r.name] = true
		}
	}
	for old, name := range aliases {
		if !seen[name] {
			t.Errorf("%s stands for %s, which is nothing", old, name)
		}
	}
}

func FuzzList(f *testing.F) {
	for _, s := range []string{"permit_mynetworks, reject", "check_client_access {hash:x, y=z}", "static:{REJECT {x}}",
		"check_sender_access inline:{a=b,{c = d e}}, sleep 5", "warn_if_reject", "reject_rbl_client zen.example=127.0.[0..2;4].1", "{", "a:b:c", "proxy:proxy:hash:x"} {
		f.Add(s)
	}
	e := New(Deps{})
	f.Fuzz(func(t *testing.T, text string) {
		for _, it := range e.compile(text).items {
			if it.text == "" {
				t.Errorf("%q has an empty item", text)
			}
			if it.rule != nil && it.rule.arg != noArg && it.arg == "" && it.bad == "" {
				t.Errorf("%q: %s without its argument", text, it.text)
			}
			if it.bad == "" && (it.bare || it.rule != nil && it.rule.arg == tableArg) && it.table.name == "" {
				t.Errorf("%q: %s without a table", text, it.text)
			}
		}
	})
}

func FuzzAction(f *testing.F) {
	for _, s := range []string{"OK", "REJECT 5.7.1 text", "450 4.2.1 later", "1234", "555", "filter a:b", "permit, reject", "4", "599", " \t", "5.1.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a := parseAction(text)
		if a.verb == "REPLY" && (a.code < 400 || a.code > 599 || a.text == "") {
			t.Errorf("%q: %+v", text, a)
		}
		if _, ok := verbs[a.verb]; !ok && a.verb != "" && a.verb != "REPLY" {
			t.Errorf("%q: verb %q", text, a.verb)
		}
		code, enhanced, words := splitReply(text)
		if code != 0 && (code < 400 || code > 599) || enhanced != "" && !isEnhanced(enhanced) || len(words) > len(text) {
			t.Errorf("%q: %d %q %q", text, code, enhanced, words)
		}
	})
}

func FuzzNet(f *testing.F) {
	for _, s := range []string{"192.0.2.0/24", "[2001:db8::]/32", "[::1]", "::ffff:10.0.0.0/104", "0/0", "1.2.3.4/33", "1.2.3.4]", "fe80::1%eth0"} {
		f.Add(s, "192.0.2.1")
	}
	f.Fuzz(func(t *testing.T, text, ip string) {
		p, err := nets.Parse(text)
		if err != nil {
			return
		}
		if !p.IsValid() || p.Masked() != p || p.Addr().Zone() != "" {
			t.Errorf("%q: %v", text, p)
		}
		if a, err := netip.ParseAddr(ip); err == nil {
			p.Contains(a.Unmap())
		}
		if n := parseNets(text); n.bad != "" && !strings.ContainsAny(text, ", {}\t\r\n") {
			t.Errorf("%q is a network, but no list of them: %s", text, n.bad)
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"/^mx/", "/a(b)c/i", "!/x/", "bare", "/unclosed", "|^a$|", "/(a+)+$/ims"} {
		f.Add(s, "REJECT $1 ${2} $(3) $$ $", "mx.example")
	}
	f.Fuzz(func(t *testing.T, pattern, action, key string) {
		table := compileRows([]schema.AccessRow{{Type: "regexp", Key: pattern, Action: action}})
		if len(table.rows)+len(table.bad) != 1 {
			t.Fatalf("%q: %+v", pattern, table)
		}
		got := table.find(anyTable, key)
		if !strings.Contains(action, "$") && got != "" && got != action {
			t.Errorf("%q: %q", action, got)
		}
		if len(got) > len(action)*(len(key)+1) {
			t.Errorf("%q with %q grew to %d bytes", action, key, len(got))
		}
	})
}

func FuzzHostname(f *testing.F) {
	for _, s := range []string{"mx.example", "a..b", "-a", "1.2.3.4", "_x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if address.ValidHostname(s) && (strings.ContainsAny(s, " \r\n<>@[]") || len(s) > 255 || strings.Contains(s, "..")) {
			t.Errorf("%q", s)
		}
		if a, ok := address.Literal(s); ok && !a.IsValid() {
			t.Errorf("%q", s)
		}
	})
}

func FuzzDNSList(f *testing.F) {
	for _, s := range []string{"zen.example", "l.example=127.0.0.2", "l.example=127.[0..255].[1;3..5].0", "l=[", "l=1.2.3.4.5", "l=256.0.0.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseDNSList(text)
		if err != nil {
			return
		}
		if !address.ValidHostname(l.zone) || strings.ContainsAny(l.zone, "=[]") {
			t.Errorf("%q: zone %q", text, l.zone)
		}
		l.matches(netip.AddrFrom4([4]byte{127, 0, 0, 2}))
	})
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"$a", "${a}", "${a?yes $b}${c:no}", "$$", "$", "${", "${a?${a?${a?x}}}", "$(a)"} {
		f.Add(s, "value")
	}
	f.Fuzz(func(t *testing.T, template, value string) {
		got := expand(template, map[string]string{"a": value, "b": "x"})
		if !strings.Contains(template, "$") && got != template {
			t.Errorf("%q became %q", template, got)
		}
		if len(got) > len(template)*(len(value)+2) {
			t.Errorf("%q grew to %d bytes", template, len(got))
		}
	})
}
