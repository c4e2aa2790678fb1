package policy_test

import (
	"strings"
	"testing"

	"mailserver/policy"
)

// TestReasonHeader: the message says why it was taken, and names nobody.
func TestReasonHeader(t *testing.T) {
	v := newEnv(t)
	v.exec(`INSERT INTO RClass VALUES (70, 'mild'), (71, 'warns')`)
	v.class("RC70-mild", "reject_non_fqdn_sender, z-allow")
	v.class("z-allow", "check_sender_access inline:{friend@example.net=OK}")
	v.class("RC71-warns", "warn_if_reject reject_rbl_client rbl.example, reject_invalid_helo_hostname")
	send := func(c policy.Client, user, sender string, classes ...int) string {
		t.Helper()
		s := v.e.NewSession(c)
		s.Helo(ctx, "mx.example.net", true)
		if user != "" {
			s.Login(user, "PLAIN")
		}
		s.Mail(ctx, from(sender), 0)
		for _, class := range classes {
			check(t, "RCPT", reply(s.Rcpt(ctx, here("secret@here.example", class))), "ok")
		}
		return strings.TrimPrefix(s.EndOfData(ctx, policy.Content{ID: "X"}).Effects.Reason, "X-Mailserver-Reason: ")
	}
	check(t, "class without a word against it", send(stranger, "", "a@example.net", 70), "taken by RC70-mild")
	check(t, "permit in a class", send(stranger, "", "friend@example.net", 70), "taken by RC70-mild/z-allow/check_sender_access")
	check(t, "warned", send(stranger, "", "a@example.net", 71), "taken by RC71-warns; warned by RC71-warns/reject_rbl_client")
	check(t, "two classes", send(stranger, "", "a@example.net", 70, 71, 70), "taken by RC70-mild; taken by RC71-warns; warned by RC71-warns/reject_rbl_client")
	check(t, "own network", send(policy.Client{Addr: netipAddr("127.0.0.1"), Name: "localhost", ReverseName: "localhost"}, "", "a@example.net", 70), "taken by permit_mynetworks")
	check(t, "logged in", send(stranger, "ann", "a@example.net", 70), "")
	v.set("smtpd_recipient_restrictions", "reject_unauth_destination")
	check(t, "no class", send(stranger, "", "a@example.net", 70), "nothing against it")
	v.set("reason_header", "no")
	check(t, "off", send(stranger, "", "a@example.net", 70), "")
}
