package dmarc

import (
	"strings"
	"testing"

	"mailserver/internal/dns"
)

// zone is TXT records by name without _dmarc; "A" before a name gives it an
// address, "FAIL" a name server that does not answer, "|" divides records.
type zone map[string]string

func (z zone) lookup(name string, t dns.Type) (*dns.Answer, error) {
	domain, isRecord := strings.CutPrefix(name, "_dmarc.")
	text := z[domain]
	switch {
	case text == "FAIL":
		return nil, &dns.Error{Name: name, Type: t, Status: dns.Temporary}
	case !isRecord && z["A "+domain] != "":
		return &dns.Answer{Records: []dns.Record{{}}}, nil
	case !isRecord || text == "":
		return nil, &dns.Error{Name: name, Type: t, Status: dns.NoName}
	}
	a := &dns.Answer{}
	for r := range strings.SplitSeq(text, "|") {
		a.Records = append(a.Records, dns.Record{Text: r})
	}
	return a, nil
}

func TestEvaluate(t *testing.T) {
	reject := zone{"example.com": "v=DMARC1; p=reject"}
	tests := []struct {
		name   string
		zone   zone
		from   string
		id     Identity
		result string
		policy Policy
		at     string
	}{
		{"no record", zone{}, "example.com", Identity{SPF: "example.com"}, None, NoPolicy, ""},
		{"SPF, same domain", reject, "example.com", Identity{SPF: "example.com"}, Pass, Reject, "example.com"},
		{"SPF, subdomain, relaxed", reject, "example.com", Identity{SPF: "bounce.example.com"}, Pass, Reject, "example.com"},
		{"SPF, parent, relaxed", reject, "news.example.com", Identity{SPF: "example.com"}, Pass, Reject, "example.com"},
		{"siblings, relaxed", reject, "a.example.com", Identity{DKIM: []string{"b.example.com"}}, Pass, Reject, "example.com"},
		{"SPF, strict", zone{"example.com": "v=DMARC1;p=reject;aspf=s"}, "example.com", Identity{SPF: "bounce.example.com"}, Fail, Reject, "example.com"},
		{"DKIM, strict", zone{"example.com": "v=DMARC1;p=reject;adkim=s"}, "example.com", Identity{DKIM: []string{"x.example.com", "example.com"}}, Pass, Reject, "example.com"},
		{"another domain", reject, "example.com", Identity{SPF: "evil.test", DKIM: []string{"evil.test"}}, Fail, Reject, "example.com"},
		{"suffix that is no subdomain", reject, "example.com", Identity{SPF: "notexample.com"}, Fail, Reject, "example.com"},
		{"case and dots", reject, "Example.COM.", Identity{DKIM: []string{"EXAMPLE.com."}}, Pass, Reject, "example.com"},
		{"nothing authenticated", reject, "example.com", Identity{}, Fail, Reject, "example.com"},
		{"a check is missing", reject, "example.com", Identity{Unknown: true}, TempError, NoPolicy, "example.com"},
		{"sp", zone{"example.com": "v=DMARC1; p=reject; sp=quarantine"}, "a.example.com", Identity{}, Fail, Quarantine, "example.com"},
		{"sp for a domain with its own record", zone{"example.com": "v=DMARC1; p=reject; sp=reject", "a.example.com": "v=DMARC1; p=none"}, "a.example.com", Identity{}, Fail, NoPolicy, "a.example.com"},
		{"np for a domain that is not there", zone{"example.com": "v=DMARC1; p=none; sp=quarantine; np=reject"}, "gone.example.com", Identity{}, Fail, Reject, "example.com"},
		{"np, but it is there", zone{"example.com": "v=DMARC1; p=none; sp=quarantine; np=reject", "A a.example.com": "1"}, "a.example.com", Identity{}, Fail, Quarantine, "example.com"},
		{"testing", zone{"example.com": "v=DMARC1; p=reject; t=y"}, "example.com", Identity{}, Fail, Quarantine, "example.com"},
		{"testing quarantine", zone{"example.com": "v=DMARC1; p=quarantine; t=y"}, "example.com", Identity{}, Fail, NoPolicy, "example.com"},
		{"capital letters", zone{"example.com": "v=DMARC1; p=Reject"}, "example.com", Identity{}, Fail, Reject, "example.com"},
		{"stray tag", zone{"example.com": "v=DMARC1; p=reject; what; pct=0"}, "example.com", Identity{}, Fail, Reject, "example.com"},
		{"two records are none", zone{"example.com": "v=DMARC1; p=reject|v=DMARC1; p=none"}, "example.com", Identity{}, None, NoPolicy, ""},
		{"another TXT beside", zone{"example.com": "v=spf1 -all|v=DMARC1; p=reject"}, "example.com", Identity{}, Fail, Reject, "example.com"},
		{"bad p with rua", zone{"example.com": "v=DMARC1; p=maybe; rua=mailto:a@b.test"}, "example.com", Identity{}, Fail, NoPolicy, "example.com"},
		{"bad p", zone{"example.com": "v=DMARC1; p=maybe"}, "example.com", Identity{}, None, NoPolicy, ""},
		{"DNS fails", zone{"example.com": "FAIL"}, "example.com", Identity{SPF: "example.com"}, TempError, NoPolicy, ""},
		{"DNS fails above", zone{"com": "FAIL"}, "example.com", Identity{SPF: "example.com"}, TempError, NoPolicy, ""},
		// RFC 9989 §4.10.2, with public suffixes that say so.
		{"psd=y above", zone{"uk": "v=DMARC1; p=reject; psd=y", "example.uk": "v=DMARC1; p=none"}, "a.example.uk", Identity{DKIM: []string{"b.example.uk"}}, Pass, NoPolicy, "example.uk"},
		{"two organizations below a suffix", zone{"bank": "v=DMARC1; p=reject; psd=y"}, "a.bank", Identity{DKIM: []string{"b.bank"}}, Fail, Reject, "bank"},
		{"one organization below a suffix", zone{"bank": "v=DMARC1; p=reject; psd=y"}, "x.a.bank", Identity{DKIM: []string{"y.a.bank"}}, Pass, Reject, "bank"},
		{"psd=n ends the walk", zone{"corp.example.com": "v=DMARC1; p=quarantine; psd=n", "example.com": "v=DMARC1; p=reject"}, "a.corp.example.com", Identity{SPF: "example.com"}, Fail, Quarantine, "corp.example.com"},
		{"deep name", zone{"g.example.com": "v=DMARC1; p=reject"}, "a.b.c.d.e.f.g.example.com", Identity{}, Fail, Reject, "g.example.com"},
		{"deeper than the walk", zone{"1.2.3.4.5.6.7.8.example.com": "v=DMARC1; p=none", "3.4.5.6.7.8.example.com": "v=DMARC1; p=reject", "example.com": "v=DMARC1; p=quarantine"},
			"0.1.2.3.4.5.6.7.8.example.com", Identity{}, Fail, Quarantine, "example.com"},
		{"no domain", zone{}, "localhost", Identity{}, PermError, NoPolicy, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Evaluate(tt.zone.lookup, tt.from, tt.id)
			if got.Result != tt.result || got.Policy != tt.policy || got.Domain != tt.at {
				t.Errorf("%+v; want %s, %s at %q", got, tt.result, tt.policy, tt.at)
			}
		})
	}
}

// TestQuestions: a long name does not make many questions.
func TestQuestions(t *testing.T) {
	n := 0
	ask := func(name string, typ dns.Type) (*dns.Answer, error) {
		n++
		return zone{}.lookup(name, typ)
	}
	Evaluate(ask, strings.Repeat("a.", 100)+"example.com", Identity{})
	if n != maxLabels {
		t.Errorf("%d questions, want %d", n, maxLabels)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"v=DMARC1; p=none; rua=mailto:a@b", "v=DMARC1;p=reject;sp=none;np=quarantine;psd=y;t=y;adkim=s;aspf=r", "v=DMARC1", "p=none", ";;=;", "v=DMARC1;p=;t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := Parse(s)
		if !ok {
			return
		}
		for _, sub := range []bool{false, true} {
			if p := r.For(sub, sub); policyOf(string(p)) != p || p == "" {
				t.Errorf("policy %q of %q", p, s)
			}
		}
	})
}

func FuzzWalk(f *testing.F) {
	f.Add("a.b.example.com", "example.com", byte('y'))
	f.Add("..", "a..b", byte('n'))
	f.Fuzz(func(t *testing.T, from, at string, psd byte) {
		z := zone{strings.ToLower(at): "v=DMARC1; p=reject; psd=" + string(rune(psd))}
		got := Evaluate(z.lookup, from, Identity{SPF: at, DKIM: []string{from}})
		if got.Result == "" || got.Policy == "" {
			t.Errorf("%+v", got)
		}
	})
}
