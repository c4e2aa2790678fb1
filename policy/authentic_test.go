package policy_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mailserver/internal/dkim"
	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
	"mailserver/policy"
)

const authZone = `
good.test.        TXT "v=spf1 ip4:192.0.2.10 -all"
bad.test.         TXT "v=spf1 -all"
soft.test.        TXT "v=spf1 ~all"
mx.example.net.   TXT "v=spf1 -all"
p.test.           TXT "v=spf1 -all"
_dmarc.p.test.    TXT "v=DMARC1; p=reject; sp=quarantine"
_dmarc.good.test. TXT "v=DMARC1; p=reject"
_dmarc.soft.test. TXT "v=DMARC1; p=quarantine"
`

// withAuth gives the engine a DNS server with records about senders, and key,
// which signs for p.test.
func (v *env) withAuth() (*dnstest.Server, dkim.Key) {
	v.t.Helper()
	text, err := dkim.NewKey("ed25519")
	if err != nil {
		v.t.Fatal(err)
	}
	signer, err := dkim.ParseKey(text)
	if err != nil {
		v.t.Fatal(err)
	}
	record, err := dkim.Record(signer)
	if err != nil {
		v.t.Fatal(err)
	}
	s := dnstest.Start(v.t, authZone+fmt.Sprintf("k._domainkey.p.test. TXT %q\n", record))
	v.deps.DNS = dns.New(dns.Config{Servers: []string{s.Addr}, Timeout: time.Minute, Attempts: 1, Dial: s.Dial})
	v.e = policy.New(v.deps)
	return s, dkim.Key{Domain: "p.test", Selector: "k", Signer: signer}
}

func TestSPFRestrictions(t *testing.T) {
	v := newEnv(t)
	server, _ := v.withAuth()
	server.Fail("silent.test.", dnstest.Fault{Rcode: 2})
	refused := func(sender, result string) string {
		domain := sender[strings.IndexByte(sender, '@')+1:]
		return "550 5.7.23 <" + sender + ">: Sender address rejected: SPF " + result + ": domain of " + domain + " does not allow 192.0.2.10 to send"
	}
	tests := []struct{ list, sender, want string }{
		{"reject_spf_fail", "a@good.test", "ok"},
		{"reject_spf_fail", "a@bad.test", refused("a@bad.test", "fail")},
		{"reject_spf_fail", "a@soft.test", "ok"},
		{"reject_spf_fail", "a@nothing.test", "ok"},
		{"reject_spf_softfail", "a@soft.test", refused("a@soft.test", "softfail")},
		{"reject_spf_softfail", "a@bad.test", refused("a@bad.test", "fail")},
		{"warn_if_reject reject_spf_fail", "a@bad.test", "ok"},
		{"reject_spf_fail", "a@silent.test", "451 4.7.24 <a@silent.test>: Sender address rejected: SPF check: no answer about silent.test"},
		{"reject_spf_fail", "", "550 5.7.23 <mx.example.net>: Helo command rejected: SPF fail: domain of mx.example.net does not allow 192.0.2.10 to send"},
	}
	for _, tt := range tests {
		t.Run(tt.list+" "+tt.sender, func(t *testing.T) {
			v.class("RC70-spf", tt.list)
			v.exec(`INSERT OR REPLACE INTO RClass VALUES (70, 'spf')`)
			check(t, tt.sender, reply(v.rcpt(stranger, "mx.example.net", tt.sender, here("u@here.example", 70))), tt.want)
		})
	}
	s := v.e.NewSession(stranger)
	s.Login("ann", "PLAIN")
	s.Helo(ctx, "mx.example.net", true)
	s.Mail(ctx, from("a@bad.test"), 0)
	check(t, "logged in", reply(s.Rcpt(ctx, here("u@here.example", 70))), "ok")
}

func TestDMARCRestrictions(t *testing.T) {
	v := newEnv(t)
	v.set("reason_header", "no")
	_, key := v.withAuth()
	for i, class := range []struct{ name, list string }{
		{"strict", "reject_dmarc"}, {"apart", "quarantine_dmarc"}, {"lax", "permit"}, {"own", "reject_dmarc"}, {"warned", "warn_if_reject reject_dmarc"},
	} {
		v.exec(`INSERT INTO RClass VALUES (?, ?)`, 71+i, class.name)
		var text any
		if class.name == "own" {
			text = "5.7.1 forged, call us"
		}
		v.class(fmt.Sprintf("RC%d-%s", 71+i, class.name), class.list, text)
	}
	letter := func(from string) string { return "From: <" + from + ">\r\nSubject: x\r\n\r\ntext\r\n" }
	signed := func(text string) string {
		h, err := dkim.Inspect(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := dkim.Sign(strings.NewReader(text), h, []dkim.Key{key})
		if err != nil {
			t.Fatal(err)
		}
		return "Received: from x\r\n" + sig + text
	}
	const asks = "550 5.7.26 <END-OF-MESSAGE>: End-of-data rejected: DMARC check: p.test is not authenticated and asks for p=reject"
	tests := []struct {
		name    string
		sender  string
		text    string
		classes []int
		want    string
		apart   string
		results string
	}{
		{"forged, all refuse", "a@evil.test", letter("a@p.test"), []int{71, 71}, asks, "[]", ""},
		{"forged, words of the class", "a@evil.test", letter("a@p.test"), []int{74}, "550 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: forged, call us", "[]", ""},
		{"forged, one refuses", "a@evil.test", letter("a@p.test"), []int{73, 71}, "ok", "[1]", "dmarc=fail (p=reject) header.from=p.test"},
		{"forged, one refuses, one apart", "a@evil.test", letter("a@p.test"), []int{72, 71, 73}, "ok", "[0 1]", "dmarc=fail"},
		{"forged, nobody asks", "a@evil.test", letter("a@p.test"), []int{73}, "ok", "[]", ""},
		{"forged, only warned", "a@evil.test", letter("a@p.test"), []int{75}, "ok", "[]", "dmarc=fail"},
		{"signed", "a@evil.test", signed(letter("a@p.test")), []int{71}, "ok", "[]", "spf=none smtp.mailfrom=evil.test;\r\n\tdkim=pass header.d=p.test;\r\n\tdmarc=pass (p=reject) header.from=p.test"},
		{"signed and changed", "a@evil.test", signed(letter("a@p.test")) + "more\r\n", []int{71}, asks, "[]", ""},
		{"SPF aligned", "a@good.test", letter("b@good.test"), []int{71}, "ok", "[]", "spf=pass smtp.mailfrom=good.test;\r\n\tdkim=none;\r\n\tdmarc=pass"},
		{"SPF of another", "a@good.test", letter("b@p.test"), []int{71}, asks, "[]", ""},
		{"p=quarantine is not refused", "a@evil.test", letter("b@soft.test"), []int{71}, "ok", "[]", "dmarc=fail (p=quarantine)"},
		{"p=quarantine apart", "a@evil.test", letter("b@soft.test"), []int{72}, "ok", "[0]", "dmarc=fail (p=quarantine)"},
		{"sp=quarantine", "a@evil.test", letter("b@x.p.test"), []int{71, 72}, "ok", "[1]", "dmarc=fail (p=quarantine)"},
		{"no policy", "a@evil.test", letter("b@nothing.test"), []int{71}, "ok", "[]", "dmarc=none"},
		{"two authors", "a@evil.test", "From: <a@p.test>\r\n" + letter("b@good.test"), []int{71},
			"550 5.7.26 <END-OF-MESSAGE>: End-of-data rejected: DMARC check: not exactly one author domain in From", "[]", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := v.open(stranger, "mx.example.net", tt.sender)
			for i, class := range tt.classes {
				check(t, "RCPT", reply(s.Rcpt(ctx, here(fmt.Sprintf("u%d@here.example", i), class))), "ok")
			}
			got := s.EndOfData(ctx, policy.Content{ID: "4F", Size: int64(len(tt.text)), Open: func() io.Reader { return strings.NewReader(tt.text) }})
			check(t, "end of data", reply(got), tt.want)
			if apart := fmt.Sprint(got.Effects.Quarantine); apart != tt.apart {
				t.Errorf("put apart for %s, want %s", apart, tt.apart)
			}
			fields := strings.Join(got.Effects.Prepend, "\n")
			if !strings.Contains(fields, tt.results) || (fields == "") != (tt.results == "") {
				t.Errorf("fields %q, want %q", fields, tt.results)
			}
			if tt.results != "" && !strings.Contains(fields, "Received-SPF: ") {
				t.Errorf("no Received-SPF in %q", fields)
			}
			if got.Action == policy.Refuse && !strings.HasPrefix(got.Rule, "RC7") {
				t.Errorf("rule %q", got.Rule)
			}
		})
	}
}
