package policy_test

import (
	"slices"
	"strings"
	"testing"
)

func problems(t *testing.T, v *env) []string {
	t.Helper()
	list, err := v.e.Check(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range list {
		s := p.String()
		if p.Fatal {
			s = "451 " + s
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// What a new server has is in order.
func TestDefaultsAreInOrder(t *testing.T) {
	v := newEnv(t)
	if got := problems(t, v); len(got) > 0 {
		t.Errorf("problems:\n%s", strings.Join(got, "\n"))
	}
	if err := v.mail.AddDefaultClasses(ctx); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestCheckNamesEveryProblem(t *testing.T) {
	v := newEnv(t)
	v.exec(`DELETE FROM RClass; DELETE FROM Restriction; DELETE FROM BScat`)
	v.exec(`INSERT INTO RClass VALUES (35, 'x'), (36, 'nowhere')`)
	v.class("RC35-x", "z-a, nonsense, check_relay_domains, check_sender_access hash:gone, z-b")
	v.class("z-a", "Z-B, permit, reject")
	v.class("z-b", "z-a")
	v.class("z-empty", " , ")
	v.class("reject", "permit")
	v.class("z-warn", "warn_if_reject reject, permit")
	v.set("smtpd_client_restrictions", "reject_unauth_destination, check_client_access {")
	v.set("smtpd_sender_restrictions", "reject_unlisted_recipient, senders")
	v.set("smtpd_data_restrictions", "senders, hash:senders")
	v.set("smtpd_delay_reject", "no")
	v.set("mynetworks", "10.0.0.1/8")
	v.access("senders", "a", "permit, junk")
	v.access("senders", "b", "REJECT hash:fine as text")
	v.access("senders", "c", "hash:other")
	v.accessRow("regexp", "senders", "/(/", "OK", 0)
	v.accessRow("regexp", "senders", "/(.*)/", "z-$1", 0)
	v.exec(`INSERT INTO BScat (bsSender, bsTarget) VALUES ('<>', 'z-gone')`)
	v.set("smtpd_helo_restrictions", "check_helo_access static:{z-lost}")
	want := []string{
		"451 access table senders, key a: junk: is neither a restriction, nor a class, nor an access table",
		"451 access table senders, key c: hash:other: a look-up table within an access table; name a restriction class instead",
		"451 backscatter sender <>: z-gone: is neither a restriction, nor a class, nor an access table",
		"451 class RC35-x: check_relay_domains: is not built into this server",
		"451 class RC35-x: nonsense: is neither a restriction, nor a class, nor an access table",
		"451 class number 36: RC36-nowhere: has no row in Restriction",
		"451 class z-a: z-a: leads back to itself",
		"451 class z-b: z-b: leads back to itself",
		"451 setting mynetworks: permit_mynetworks: non-null host address bits in \"10.0.0.1/8\", perhaps you should use \"10.0.0.0/8\" instead",
		"451 setting smtpd_client_restrictions: reject_unauth_destination, check_client_access {: braces do not match",
		"451 setting smtpd_data_restrictions: hash:senders: say which check_*_access it is for",
		"451 setting smtpd_data_restrictions: senders: say which check_*_access it is for",
		"451 setting smtpd_helo_restrictions: z-lost: is neither a restriction, nor a class, nor an access table",
		"access table senders, key a: permit: what follows it is ignored: junk",
		"access table senders, key /(/: regexp: this server does not know the pattern: error parsing regexp: missing closing ): `(?is)(`; the row is left out",
		"class RC35-x: gone: access table has no rows",
		"class reject: reject: is the name of a restriction, which is meant instead",
		"class z-a: permit: what follows it is ignored: reject",
		"class z-empty: z-empty: is empty: it says nothing",
		"setting smtpd_sender_restrictions: reject_unlisted_recipient: never acts here with smtpd_delay_reject=no",
	}
	slices.Sort(want)
	if got := problems(t, v); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestTrace(t *testing.T) {
	v := newEnv(t)
	v.class("RC40-weak", "z-one, reject")
	v.class("z-one", "check_sender_access senders")
	v.access("senders", "example.net", "DUNNO")
	s := v.open(stranger, "h", "a@example.net")
	s.Explain = true
	s.Rcpt(ctx, here("u@here.example", 40))
	var got []string
	for _, st := range s.Trace {
		line := strings.Repeat("  ", st.Depth-1) + st.List + " " + st.Rule + " = " + st.Outcome
		for _, l := range st.Lookups {
			line += " [" + l.Where + " " + l.Key + " -> " + l.Answer + "]"
		}
		got = append(got, line)
	}
	want := []string{
		"smtpd_relay_restrictions permit_mynetworks = dunno",
		"smtpd_relay_restrictions permit_sasl_authenticated = dunno",
		"smtpd_relay_restrictions reject_unauth_destination = dunno",
		"smtpd_recipient_restrictions permit_mynetworks = dunno",
		"smtpd_recipient_restrictions permit_sasl_authenticated = dunno",
		"smtpd_recipient_restrictions reject_unauth_destination = dunno",
		"smtpd_recipient_restrictions check_recipient_class = refuse 554 by RC40-weak/reject [RClass 40 -> RC40-weak]",
		"  smtpd_recipient_restrictions z-one = dunno",
		"    smtpd_recipient_restrictions check_sender_access senders = dunno [senders a@example.net -> ] [senders example.net -> DUNNO]",
		"  smtpd_recipient_restrictions reject = refuse 554 by RC40-weak/reject",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	quiet := v.open(stranger, "h", "a@example.net")
	quiet.Rcpt(ctx, here("u@here.example", 40))
	if quiet.Trace != nil {
		t.Error("a trace nobody asked for")
	}
}
