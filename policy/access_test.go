package policy_test

import (
	"strings"
	"testing"

	"mailserver/policy"
)

// Each row of tests has a table of one key, and subjects that it matches.
func TestAccessKeys(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_client_restrictions", "check_client_access clients")
	v.set("smtpd_sender_restrictions", "check_sender_access senders")
	client := func(key, ip, name string) bool {
		v.exec(`DELETE FROM Access`)
		v.access("clients", key, "REJECT hit")
		return strings.HasSuffix(reply(v.rcpt(policy.Client{Addr: netipAddr(ip), Name: name, ReverseName: name}, "h", "a@b.c", here("u@here.example", 99))), "rejected: hit")
	}
	sender := func(key, s string) bool {
		v.exec(`DELETE FROM Access`)
		v.access("senders", key, "REJECT hit")
		return strings.HasSuffix(reply(v.rcpt(stranger, "h", s, here("u@here.example", 99))), "rejected: hit")
	}
	tests := []struct {
		key, ip, name string
		want          bool
	}{
		{"mx.example.net", "192.0.2.10", "mx.example.net", true},
		{"EXAMPLE.net", "192.0.2.10", "mx.example.net", true},
		{"net", "192.0.2.10", "mx.example.net", true},
		{".example.net", "192.0.2.10", "mx.example.net", false},
		{"ample.net", "192.0.2.10", "mx.example.net", false},
		{"192.0.2.10", "192.0.2.10", "unknown", true},
		{"192.0.2", "192.0.2.10", "unknown", true},
		{"192.0", "192.0.2.10", "unknown", true},
		{"192", "192.0.2.10", "unknown", true},
		{"192.0.2.1", "192.0.2.10", "unknown", false},
		{"192.0.2.", "192.0.2.10", "unknown", false},
		{"2001:db8:0:1", "2001:db8:0:1::5", "unknown", true},
		{"2001:db8:0000:1", "2001:db8:0:1::5", "unknown", false},
		{"2001:db8:0:1:", "2001:db8:0:1::5", "unknown", true},
		{"2001:db8", "2001:db8:0:1::5", "unknown", true},
		{"unknown", "192.0.2.10", "unknown", true},
		{"192.0.2.0/24", "192.0.2.10", "unknown", false},
	}
	for _, tt := range tests {
		if got := client(tt.key, tt.ip, tt.name); got != tt.want {
			t.Errorf("client key %s for %s[%s]: %v", tt.key, tt.name, tt.ip, got)
		}
	}
	senders := []struct {
		key, sender string
		want        bool
	}{
		{"user@example.net", "User@Example.NET", true},
		{"user+x@example.net", "user+x@example.net", true},
		{"user@example.net", "user+x@example.net", true},
		{"user+y@example.net", "user+x@example.net", false},
		{"example.net", "user@sub.example.net", true},
		{"net", "user@sub.example.net", true},
		{".example.net", "user@sub.example.net", false},
		{"@example.net", "user@example.net", false},
		{"user+x@", "user+x@example.net", true},
		{"user@", "user+x@example.net", true},
		{"user@", "user@elsewhere.example", true},
		{"user", "user@elsewhere.example", false},
		{"<>", "", true},
		{"<>", "a@b.c", false},
	}
	for _, tt := range senders {
		if got := sender(tt.key, tt.sender); got != tt.want {
			t.Errorf("sender key %s for <%s>: %v", tt.key, tt.sender, got)
		}
	}
	v.set("parent_domain_matches_subdomains", "")
	if !sender(".example.net", "user@sub.example.net") || sender("example.net", "user@sub.example.net") || !sender("example.net", "user@example.net") {
		t.Error("without parent_domain_matches_subdomains the dot counts")
	}
	v.set("recipient_delimiter", "")
	if sender("user@example.net", "user+x@example.net") {
		t.Error("without recipient_delimiter there is no extension")
	}
	v.set("smtpd_null_access_lookup_key", "nobody")
	if !sender("nobody", "") {
		t.Error("smtpd_null_access_lookup_key")
	}
}

// The most specific key decides, though it may say nothing.
func TestAccessOrder(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_sender_restrictions", "check_sender_access senders, reject")
	keys := []string{"user+x@example.net", "user@example.net", "example.net", "net", "user+x@", "user@"}
	for i, key := range keys {
		v.exec(`DELETE FROM Access`)
		for _, later := range keys[i:] {
			v.access("senders", later, "REJECT "+later)
		}
		check(t, key, reply(v.rcpt(stranger, "h", "user+x@example.net", here("u@here.example", 99))),
			"554 5.7.1 <user+x@example.net>: Sender address rejected: "+key)
	}
	v.access("senders", "user+x@example.net", "DUNNO")
	check(t, "DUNNO ends the look-up", reply(v.rcpt(stranger, "h", "user+x@example.net", here("u@here.example", 99))),
		"554 5.7.1 <user+x@example.net>: Sender address rejected: Access denied")
}

func TestAccessActions(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_recipient_restrictions", "check_recipient_access acts, reject")
	v.class("z-later", "defer")
	const head = "<u@here.example>: Recipient address rejected: "
	tests := []struct{ action, want, warn string }{
		{"OK", "ok", ""},
		{"ok with text", "ok", ""},
		{"RELAY", "ok", ""},
		{"1234567890", "ok", ""},
		{"DUNNO", "554 5.7.1 " + head + "Access denied", ""},
		{"dunno text", "554 5.7.1 " + head + "Access denied", ""},
		{"REJECT", "554 5.7.1 " + head + "Access denied", ""},
		{"reject we are closed", "554 5.7.1 " + head + "we are closed", ""},
		{"REJECT 5.7.25 we are closed", "554 5.7.25 " + head + "we are closed", ""},
		{"REJECT 4.1.8 text", "554 5.1.2 " + head + "text", ""},
		{"REJECT 5.1.99 text", "554 5.1.0 " + head + "text", ""},
		{"DEFER", "450 4.7.1 " + head + "Access denied", ""},
		{"DEFER later please", "450 4.7.1 " + head + "later please", ""},
		{"521 go", "521 5.7.1 " + head + "go", ""},
		{"450 4.2.0 later", "450 4.2.0 " + head + "later", ""},
		{"550 4.2.0 code wins", "550 5.2.0 " + head + "code wins", ""},
		{"550", "ok", ""},
		{"599 x", "599 5.7.1 " + head + "x", ""},
		{"DEFER_IF_PERMIT", "554 5.7.1 " + head + "Access denied", ""},
		{"defer_if_permit text", "554 5.7.1 " + head + "Access denied", ""},
		{"DEFER_IF_REJECT 4.7.9 text", "450 4.7.9 " + head + "text", ""},
		{"DEFER_IF_REJECT", "450 4.7.1 " + head + "Service unavailable", ""},
		{"WARN look here", "554 5.7.1 " + head + "Access denied", "warn: look here"},
		{"INFO look here", "554 5.7.1 " + head + "Access denied", "info: look here"},
		{"z-later", "450 4.3.2 " + head + "Try again later", ""},
		{"permit_mynetworks, z-later", "450 4.3.2 " + head + "Try again later", ""},
		{"reject_unauth_destination", "554 5.7.1 " + head + "Access denied", ""},
		{"permit", "ok", ""},
		{"nonsense", "451 4.3.5 Server configuration error", ""},
		{"check_sender_access hash:x", "451 4.3.5 Server configuration error", ""},
		{"FILTER nothing", "554 5.7.1 " + head + "Access denied", ""},
		{"REDIRECT nobody", "554 5.7.1 " + head + "Access denied", ""},
		{"PREPEND no header", "554 5.7.1 " + head + "Access denied", ""},
		{"REJECT 50% \xffoff\r\n\x00now", "554 5.7.1 " + head + "50%  off   now", ""},
	}
	for _, tt := range tests {
		v.access("acts", "u@here.example", tt.action)
		got := v.rcpt(stranger, "h", "a@example.net", here("u@here.example", 99))
		check(t, tt.action, reply(got), tt.want)
		check(t, tt.action+" warnings", warnings(got), tt.warn)
	}
	v.access("acts", "u@here.example", "DEFER_IF_PERMIT come back")
	v.set("smtpd_recipient_restrictions", "check_recipient_access acts")
	check(t, "defer_if_permit", v.try(), "450 4.7.1 "+head+"come back")
	long := v.try2(strings.Repeat("é", 600))
	if len(long) > 510 || !strings.HasSuffix(long, "é") {
		t.Errorf("long reply has %d bytes", len(long))
	}
}

// try2 asks with a row that refuses with text.
func (v *env) try2(text string) string {
	v.access("acts", "u@here.example", "REJECT "+text)
	return v.try()
}

func TestEffects(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_recipient_restrictions", "check_recipient_access acts, check_sender_access senders, reject")
	v.set("smtpd_sender_restrictions", "check_sender_access effects")
	v.access("senders", "a@example.net", "OK")
	tests := []struct {
		action string
		want   policy.Effects
		warn   string
	}{
		{"HOLD", policy.Effects{Hold: true}, "hold: <u@here.example>: Recipient address triggers HOLD action"},
		{"HOLD for the boss", policy.Effects{Hold: true}, "hold: <u@here.example>: Recipient address for the boss"},
		{"DISCARD", policy.Effects{Discard: true}, "discard: <u@here.example>: Recipient address triggers DISCARD action"},
		{"FILTER smtp:[127.0.0.1]:10025", policy.Effects{Filter: "smtp:[127.0.0.1]:10025"}, "filter: <u@here.example>: Recipient address triggers FILTER smtp:[127.0.0.1]:10025"},
		{"REDIRECT x@here.example", policy.Effects{Redirect: "x@here.example"}, "redirect: <u@here.example>: Recipient address triggers REDIRECT x@here.example"},
		{"BCC x@here.example", policy.Effects{Bcc: []string{"x@here.example"}}, "bcc: <u@here.example>: Recipient address triggers BCC x@here.example"},
		{"PREPEND X-Class: a b", policy.Effects{Prepend: []string{"X-Class: a b"}}, ""},
	}
	for _, tt := range tests {
		v.access("acts", "u@here.example", tt.action)
		got := v.rcpt(stranger, "h", "a@example.net", here("u@here.example", 99))
		check(t, tt.action, reply(got), "ok")
		check(t, tt.action, warnings(got), tt.warn)
		if a, b := got.Effects, tt.want; a.Hold != b.Hold || a.Discard != b.Discard || a.Filter != b.Filter || a.Redirect != b.Redirect ||
			strings.Join(a.Bcc, ",") != strings.Join(b.Bcc, ",") || strings.Join(a.Prepend, ",") != strings.Join(b.Prepend, ",") {
			t.Errorf("%s: %+v", tt.action, a)
		}
		refused := v.rcpt(stranger, "h", "b@example.net", here("u@here.example", 99))
		if tt.want.Discard {
			continue
		}
		if refused.OK() || refused.Effects.Hold || refused.Effects.Filter != "" || len(refused.Effects.Prepend) > 0 {
			t.Errorf("%s: a refused recipient has effects: %+v", tt.action, refused)
		}
	}
	// DISCARD: nothing more is asked, for the rest of the transaction.
	v.access("effects", "a@example.net", "DISCARD")
	s := v.open(stranger, "h", "a@example.net")
	check(t, "discard", reply(s.Rcpt(ctx, here("x@here.example", 50))), "ok")
	unlisted := here("y@here.example", 50)
	unlisted.Listed = false
	check(t, "discard", reply(s.Rcpt(ctx, unlisted)), "ok")
	s.Mail(ctx, from("c@example.net"), 0)
	check(t, "next", reply(s.Rcpt(ctx, here("x@here.example", 50))), "554 5.7.1 <x@here.example>: Recipient address rejected: Access denied")

	var all policy.Effects
	for range 2 {
		all.Merge(policy.Effects{Bcc: []string{"x@y"}, Prepend: []string{"A: b"}, Hold: true, Filter: "a:b", Redirect: "r@s"})
	}
	if len(all.Bcc) != 1 || len(all.Prepend) != 1 || !all.Hold || all.Filter != "a:b" || all.Redirect != "r@s" {
		t.Errorf("merged: %+v", all)
	}
}

func TestPatternTables(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_client_restrictions", "check_client_access cidr:nets")
	v.accessRow("cidr", "nets", "192.0.2.128/25", "DUNNO", 1)
	v.accessRow("cidr", "nets", "192.0.2.0/24", "REJECT net", 2)
	v.accessRow("cidr", "nets", "2001:db8::/32", "REJECT six", 3)
	v.accessRow("cidr", "nets", "198.51.100.1/24", "REJECT host bits", 0)
	v.accessRow("cidr", "nets", "!192.0.0.0/5", "REJECT far", 9)
	v.accessRow("regexp", "nets", "/./", "REJECT a pattern is no network", 0)
	at := func(ip string) string {
		return reply(v.rcpt(policy.Client{Addr: netipAddr(ip), Name: "unknown"}, "h", "a@example.net", here("u@here.example", 99)))
	}
	check(t, "in", at("192.0.2.5"), "554 5.7.1 <unknown[192.0.2.5]>: Client host rejected: net")
	check(t, "first wins", at("192.0.2.200"), "ok")
	check(t, "six", at("2001:db8::1"), "554 5.7.1 <unknown[2001:db8::1]>: Client host rejected: six")
	check(t, "bad row left out", at("198.51.100.7"), "ok")
	check(t, "another kind of address", at("2001:db9::1"), "ok")
	check(t, "negated", at("203.0.113.1"), "554 5.7.1 <unknown[203.0.113.1]>: Client host rejected: far")
	if !strings.Contains(v.log.String(), "; the row is left out") {
		t.Error("nothing logged of the bad row")
	}

	v.set("smtpd_client_restrictions", "")
	v.set("smtpd_sender_restrictions", "check_sender_access regexp:pats")
	v.accessRow("regexp", "pats", `/^(\w+)\.spam@/`, "REJECT no $1, $$${1}$(1)", 1)
	v.accessRow("regexp", "pats", `/CASE@/i`, "REJECT case", 2)
	v.accessRow("regexp", "pats", `!/@/`, "REJECT no at", 3)
	v.accessRow("regexp", "pats", `/(unclosed/`, "REJECT never", 0)
	v.accessRow("regexp", "pats", `/^<>$/`, "REJECT null", 4)
	v.accessRow("regexp", "pats", `^bare@`, "REJECT bare", 5)
	sender := func(s string) string { return reply(v.rcpt(stranger, "h", s, here("u@here.example", 99))) }
	check(t, "groups", sender("Big.Spam@x.example"), "554 5.7.1 <Big.Spam@x.example>: Sender address rejected: no big, $bigbig")
	check(t, "case", sender("CASE@x.example"), "ok") // addresses are looked up in lower case
	check(t, "not", sender(""), "554 5.7.1 <>: Sender address rejected: no at")
	check(t, "bare", sender("BARE@x.example"), "554 5.7.1 <BARE@x.example>: Sender address rejected: bare")
	check(t, "whole only", sender("x@spam.example"), "ok")
}

func TestBackscatter(t *testing.T) {
	v := newEnv(t)
	v.exec(`INSERT INTO BScat (bsSender, bsPriority, bsTarget) VALUES ('<>', 2, 'reject'), ('<>', 1, 'z-warn'), ('postmaster@', 1, 'z-later')`)
	v.class("z-warn", "warn_if_reject reject")
	v.class("z-later", "defer")
	v.set("smtpd_recipient_restrictions", "check_sender_access sqlite:/etc/postfix/query/access-bscat.query")
	got := v.rcpt(stranger, "h", "", here("u@here.example", 99))
	check(t, "null", reply(got), "554 5.7.1 <>: Sender address rejected: Access denied")
	check(t, "null", warnings(got), "reject_warning: 554 5.7.1 <>: Sender address rejected: Access denied")
	check(t, "postmaster", reply(v.rcpt(stranger, "h", "postmaster@x.example", here("u@here.example", 99))), "450 4.3.2 <postmaster@x.example>: Sender address rejected: Try again later")
	check(t, "other", v.try(), "ok")
}

// A block list that has lost its last row is empty; a name that is nothing is
// a mistake.
func TestMissingTables(t *testing.T) {
	v := newEnv(t)
	for list, want := range map[string]string{
		"check_sender_access hash:gone":            "ok",
		"check_sender_access /etc/postfix/gone.db": "ok",
		"gone":      "451 4.3.5 Server configuration error",
		"hash:gone": "451 4.3.5 Server configuration error",
		"check_sender_access sqlite:/etc/postfix/gone.query":  "451 4.3.5 Server configuration error",
		"check_sender_access proxy:hash:/etc/postfix/senders": "554 5.7.1 <a@example.net>: Sender address rejected: found",
		"check_sender_access { hash:senders }":                "554 5.7.1 <a@example.net>: Sender address rejected: found",
		"check_sender_access { hash:senders, timeout = 5 }":   "451 4.3.5 Server configuration error",
	} {
		v.access("senders", "a@example.net", "REJECT found")
		v.set("smtpd_sender_restrictions", list)
		check(t, list, v.try(), want)
	}
}

// TestIfEndif: regexp_table(5), cidr_table(5). Keys are different, so a word may
// stand behind endif.
func TestIfEndif(t *testing.T) {
	v := newEnv(t)
	for i, r := range [][3]string{
		{"regexp", "if /@example\\.net$/", "-"},
		{"regexp", "if !/^postmaster@/", "-"},
		{"regexp", "/^a@/", "REJECT a"},
		{"regexp", "endif inner", "-"},
		{"regexp", "/^b@/", "REJECT b"},
		{"regexp", "endif outer", "-"},
		{"regexp", "if /(/", "-"},
		{"regexp", "/^d@/", "REJECT never"},
		{"regexp", "endif bad", "-"},
		{"regexp", "/^[ac]@/", "REJECT c"},
	} {
		v.accessRow(r[0], "senders", r[1], r[2], i)
	}
	for i, r := range [][2]string{{"if 192.0.2.0/24", "-"}, {"192.0.2.10", "REJECT ten"}, {"endif", "-"}, {"192.0.2.0/24", "DUNNO"}} {
		v.accessRow("cidr", "nets", r[0], r[1], i)
	}
	v.set("smtpd_sender_restrictions", "check_sender_access regexp:senders")
	try := func(c policy.Client, sender string) string {
		got := reply(v.rcpt(c, "h", sender, here("u@here.example", 99)))
		return got[strings.LastIndex(got, " ")+1:]
	}
	for sender, want := range map[string]string{"a@example.net": "a", "b@example.net": "b", "c@example.net": "c", "a@other.net": "c",
		"b@other.net": "ok", "postmaster@example.net": "ok", "d@example.net": "ok"} {
		check(t, sender, try(stranger, sender), want)
	}
	v.set("smtpd_client_restrictions", "check_client_access cidr:nets")
	check(t, "cidr", try(stranger, "b@other.net"), "ten")
	other := stranger
	other.Addr = netipAddr("192.0.2.11")
	check(t, "cidr", try(other, "b@other.net"), "ok")
}
