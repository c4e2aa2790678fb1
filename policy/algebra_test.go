package policy_test

import (
	"strings"
	"testing"

	"mailserver/policy"
)

// Every row is a set of lists, and what RCPT answers. The lists are
// smtpd_client, helo, sender, relay, recipient.
func TestAlgebra(t *testing.T) {
	const (
		client    = "<mx.example.net[192.0.2.10]>: Client host rejected: "
		helo      = "<mx.example.net>: Helo command rejected: "
		sender    = "<a@example.net>: Sender address rejected: "
		recipient = "<u@here.example>: Recipient address rejected: "
	)
	tests := []struct {
		name                            string
		client, helo, from, relay, rcpt string
		want                            string
		warn                            string
	}{
		{name: "empty lists", want: "ok"},
		{name: "permit ends its list", client: "permit, reject", want: "ok"},
		{name: "permit does not end the next", client: "permit", helo: "reject", want: "554 5.7.1 " + helo + "Access denied"},
		{name: "relay permit leaves recipient", relay: "permit", rcpt: "reject", want: "554 5.7.1 " + recipient + "Access denied"},
		{name: "client first", client: "reject", rcpt: "defer", want: "554 5.7.1 " + client + "Access denied"},
		{name: "helo before sender", helo: "defer", from: "reject", want: "450 4.3.2 " + helo + "Try again later"},
		{name: "sender before relay", from: "reject", relay: "defer", want: "554 5.7.1 " + sender + "Access denied"},
		{name: "names without case", rcpt: "PERMIT_MyNetworks REJECT", want: "554 5.7.1 " + recipient + "Access denied"},
		{name: "class stops its own list only", client: "z-permit, reject", rcpt: "reject", want: "554 5.7.1 " + recipient + "Access denied"},

		{name: "defer_if_permit and nothing", rcpt: "defer_if_permit", want: "450 4.7.0 " + recipient + "defer_if_permit requested"},
		{name: "defer_if_permit then permit", rcpt: "defer_if_permit, permit", want: "450 4.7.0 " + recipient + "defer_if_permit requested"},
		{name: "defer_if_permit then reject", rcpt: "defer_if_permit, reject", want: "554 5.7.1 " + recipient + "Access denied"},
		{name: "first reason is kept", client: "defer_if_permit", helo: "defer_if_permit", want: "450 4.7.0 " + client + "defer_if_permit requested"},
		{name: "carried to a later reject", client: "defer_if_permit", rcpt: "reject", want: "554 5.7.1 " + recipient + "Access denied"},
		{name: "carried from helo", helo: "defer_if_permit", rcpt: "permit", want: "450 4.7.0 " + helo + "defer_if_permit requested"},
		{name: "carried from sender", from: "defer_if_permit", rcpt: "permit", want: "450 4.7.0 " + sender + "defer_if_permit requested"},
		{name: "defer_if_permit from a class", rcpt: "z-dip, permit", want: "450 4.7.0 " + recipient + "defer_if_permit requested"},

		{name: "defer_if_reject then reject", rcpt: "defer_if_reject, reject", want: "450 4.7.0 " + recipient + "defer_if_reject requested"},
		{name: "defer_if_reject then defer", rcpt: "defer_if_reject, defer", want: "450 4.3.2 " + recipient + "Try again later"},
		{name: "defer_if_reject then permit", rcpt: "defer_if_reject, permit", want: "ok"},
		{name: "defer_if_reject is of its list", client: "defer_if_reject", rcpt: "reject", want: "554 5.7.1 " + recipient + "Access denied"},
		{name: "defer_if_reject from relay to recipient", relay: "defer_if_reject", rcpt: "reject", want: "450 4.7.0 " + recipient + "defer_if_reject requested"},
		{name: "both flags end the list", rcpt: "defer_if_reject, defer_if_permit, reject", want: "450 4.7.0 " + recipient + "defer_if_permit requested"},

		{name: "warn_if_reject", rcpt: "warn_if_reject reject, permit", want: "ok", warn: "reject_warning: 554 5.7.1 " + recipient + "Access denied"},
		{name: "warn_if_reject holds for one", rcpt: "warn_if_reject reject, reject", want: "554 5.7.1 " + recipient + "Access denied",
			warn: "reject_warning: 554 5.7.1 " + recipient + "Access denied"},
		{name: "warn_if_reject of a class", rcpt: "warn_if_reject z-two, permit", want: "ok",
			warn: "reject_warning: 554 5.7.1 " + recipient + "Access denied\nreject_warning: 450 4.3.2 " + recipient + "Try again later"},
		{name: "warn_if_reject of nested classes", rcpt: "warn_if_reject z-nest, reject", want: "554 5.7.1 " + recipient + "Access denied",
			warn: "reject_warning: 554 5.7.1 " + recipient + "Access denied\nreject_warning: 450 4.3.2 " + recipient + "Try again later\nreject_warning: 554 5.7.1 " + recipient + "Access denied"},
		{name: "warn_if_reject behind which nothing stands", client: "warn_if_reject", rcpt: "reject", want: "554 5.7.1 " + recipient + "Access denied"},
		{name: "warn_if_reject at the end of a class", rcpt: "z-warnend, reject", want: "554 5.7.1 " + recipient + "Access denied"},
		{name: "warn_if_reject does not soften mistakes", rcpt: "warn_if_reject nonsense, permit", want: "451 4.3.5 Server configuration error"},
		{name: "warn_if_reject of defer_if_permit", rcpt: "warn_if_reject defer_if_permit, permit", want: "ok",
			warn: "reject_warning: 450 4.7.0 " + recipient + "defer_if_permit requested"},
		{name: "warn_if_reject of defer_if_reject", rcpt: "warn_if_reject defer_if_reject, reject", want: "450 4.7.0 " + recipient + "defer_if_reject requested"},
		{name: "warn_if_reject leaves defer_if_reject unused", rcpt: "defer_if_reject, warn_if_reject reject, reject", want: "450 4.7.0 " + recipient + "defer_if_reject requested",
			warn: "reject_warning: 554 5.7.1 " + recipient + "Access denied"},

		{name: "unknown name", rcpt: "nonsense", want: "451 4.3.5 Server configuration error"},
		{name: "unknown name is not reached", rcpt: "permit, nonsense", want: "ok"},
		{name: "unknown name in client list", client: "nonsense", want: "451 4.3.5 Server configuration error"},
		{name: "not built", rcpt: "check_relay_domains", want: "451 4.3.5 Server configuration error"},
		{name: "braces", rcpt: "check_recipient_access static:{REJECT", want: "451 4.3.5 Server configuration error"},
		{name: "argument missing", rcpt: "check_recipient_access", want: "451 4.3.5 Server configuration error"},
		{name: "table of unknown type", rcpt: "check_recipient_access ldap:x", want: "451 4.3.5 Server configuration error"},
		{name: "recipient class twice", rcpt: "check_recipient_class, check_recipient_access sqlite:/etc/postfix/query/access-rcptDomain.query, reject", want: "554 5.7.1 " + recipient + "Access denied"},
		{name: "static", rcpt: "check_recipient_access static:{REJECT go, away}", want: "554 5.7.1 " + recipient + "go, away"},
		{name: "inline", rcpt: "check_recipient_access inline:{x@y=OK, {u@here.example = 550 5.1.1 gone for good}}", want: "550 5.1.1 " + recipient + "gone for good"},
		{name: "bare static in client list", client: "static:{REJECT no}", want: "554 5.7.1 " + client + "no"},
		{name: "bare static in helo list", helo: "static:{REJECT no}", want: "554 5.7.1 " + helo + "no"},
		{name: "bare static in sender list", from: "static:{REJECT no}", want: "554 5.7.1 " + sender + "no"},
		{name: "bare table by name", from: "list1", want: "554 5.7.1 " + sender + "by name"},
		{name: "class before table", from: "list2, permit", want: "ok"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newEnv(t)
			v.class("z-permit", "permit")
			v.class("z-dip", "defer_if_permit")
			v.class("z-two", "reject, defer")
			v.class("z-nest", "z-two, z-inner")
			v.class("z-inner", "reject")
			v.class("z-warnend", "warn_if_reject")
			v.access("list1", "a@example.net", "REJECT by name")
			v.access("list2", "a@example.net", "REJECT by name")
			v.class("list2", "permit")
			if tt.relay == "" {
				tt.relay = "defer_unauth_destination"
			}
			for name, text := range map[string]string{"client": tt.client, "helo": tt.helo, "sender": tt.from, "relay": tt.relay, "recipient": tt.rcpt} {
				v.set("smtpd_"+name+"_restrictions", text)
			}
			got := v.rcpt(stranger, "mx.example.net", "a@example.net", here("u@here.example", 40))
			check(t, "reply", reply(got), tt.want)
			check(t, "warnings", warnings(got), tt.warn)
		})
	}
}

func TestRecipientBeforeRelay(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_relay_restrictions", "defer")
	v.set("smtpd_recipient_restrictions", "reject")
	check(t, "relay first", v.try(), "450 4.3.2 <u@here.example>: Recipient address rejected: Try again later")
	v.set("smtpd_relay_before_recipient_restrictions", "no")
	check(t, "recipient first", v.try(), "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied")
}

// smtpd_delay_reject=no judges at each command, and carries defer_if_permit
// between them.
func TestWithoutDelayReject(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_delay_reject", "no")
	v.set("smtpd_client_restrictions", "check_client_access clients")
	v.set("smtpd_helo_restrictions", "reject_invalid_helo_hostname")
	v.set("smtpd_sender_restrictions", "check_sender_access senders, reject_unauth_destination")
	v.access("clients", "192.0.2.66", "REJECT not you")
	v.access("clients", "192.0.2.67", "DEFER_IF_PERMIT check back")
	v.access("clients", "192.0.2.68", "HOLD")
	v.access("senders", "bad@example.net", "REJECT")
	at := func(ip string) (c2 string) {
		c := stranger
		c.Addr = netipAddr(ip)
		return reply(v.e.NewSession(c).Connect(ctx))
	}
	check(t, "connect", at("192.0.2.66"), "554 5.7.1 <mx.example.net[192.0.2.66]>: Client host rejected: not you")
	c := stranger
	c.Addr = netipAddr("192.0.2.67")
	s := v.e.NewSession(c)
	check(t, "connect", reply(s.Connect(ctx)), "ok")
	check(t, "helo", reply(s.Helo(ctx, "a..b", false)), "501 5.5.2 <a..b>: Helo command rejected: Invalid name")
	check(t, "helo", reply(s.Helo(ctx, "a.b", false)), "ok")
	check(t, "mail", reply(s.Mail(ctx, from("bad@example.net"), 0)), "554 5.7.1 <bad@example.net>: Sender address rejected: Access denied")
	check(t, "mail", reply(s.Mail(ctx, from("good@example.net"), 0)), "ok")
	check(t, "rcpt", reply(s.Rcpt(ctx, here("u@here.example", 40))), "450 4.7.1 <mx.example.net[192.0.2.67]>: Client host rejected: check back")
	check(t, "relay", reply(s.Rcpt(ctx, there("u@there.example"))), "554 5.7.1 <u@there.example>: Relay access denied")
	check(t, "again", reply(s.Rcpt(ctx, here("u@here.example", 40))), "450 4.7.1 <mx.example.net[192.0.2.67]>: Client host rejected: check back")
	check(t, "data", reply(s.Data(ctx)), "ok")

	c.Addr = netipAddr("192.0.2.68")
	got := v.e.NewSession(c).Connect(ctx)
	if !got.OK() || got.Effects.Hold || len(got.Warnings) > 0 {
		t.Errorf("HOLD before MAIL: %+v", got)
	}
}

func TestSoftBounceAndCodes(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_recipient_restrictions", "reject")
	v.set("reject_code", "521")
	check(t, "reject_code", v.try(), "521 5.7.1 <u@here.example>: Recipient address rejected: Access denied")
	v.set("soft_bounce", "yes")
	check(t, "soft_bounce", v.try(), "421 4.7.1 <u@here.example>: Recipient address rejected: Access denied")
	v.set("soft_bounce", "no")
	v.set("smtpd_recipient_restrictions", "check_recipient_access static:{DEFER}")
	check(t, "defer", v.try(), "450 4.7.1 <u@here.example>: Recipient address rejected: Access denied")
	v.set("access_map_defer_code", "451")
	check(t, "access_map_defer_code", v.try(), "451 4.7.1 <u@here.example>: Recipient address rejected: Access denied")
	v.set("smtpd_recipient_restrictions", "check_recipient_access static:{REJECT}")
	v.set("access_map_reject_code", "550")
	check(t, "access_map_reject_code", v.try(), "550 5.7.1 <u@here.example>: Recipient address rejected: Access denied")
}

// The lists of a message know a recipient only when there is one.
func TestMessageLists(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_data_restrictions", "check_recipient_access only, reject_multi_recipient_bounce")
	v.access("only", "one@here.example", "REJECT just you")
	one, two := here("one@here.example", 40), here("two@here.example", 40)
	s := v.open(stranger, "h", "")
	s.Rcpt(ctx, one)
	check(t, "one", reply(s.Data(ctx)), "554 5.7.1 <one@here.example>: Recipient address rejected: just you")
	s.Rcpt(ctx, two)
	check(t, "two", reply(s.Data(ctx)), "550 5.5.3 <DATA>: Data command rejected: Multi-recipient bounce")
	s.Mail(ctx, from(""), 0)
	s.Rcpt(ctx, two)
	check(t, "other", reply(s.Data(ctx)), "ok")
	v.set("smtpd_end_of_data_restrictions", "reject")
	check(t, "end", reply(s.EndOfData(ctx, policy.Content{Size: 1})), "554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: Access denied")
	v.set("smtpd_data_restrictions", "static:{REJECT}")
	check(t, "bare table", reply(s.Data(ctx)), "451 4.3.5 Server configuration error")
	v.set("smtpd_recipient_restrictions", "reject_multi_recipient_bounce")
	check(t, "at RCPT", reply(s.Rcpt(ctx, one)), "550 5.5.3 <one@here.example>: Recipient address rejected: Multi-recipient bounce")
}

func TestBarePostmasterIsTaken(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_client_restrictions", "reject")
	s := v.open(stranger, "h", "a@example.net")
	to := here("PostMaster@here.example", 50)
	to.Original = addr("PostMaster")
	check(t, "bare", reply(s.Rcpt(ctx, to)), "ok")
	check(t, "qualified", reply(s.Rcpt(ctx, here("postmaster@here.example", 50))), "554 5.7.1 <mx.example.net[192.0.2.10]>: Client host rejected: Access denied")
}

func TestVrfyAndEtrn(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_etrn_restrictions", "check_etrn_access domains, reject")
	v.access("domains", "here.example", "OK")
	s := v.e.NewSession(stranger)
	s.Helo(ctx, "h", true)
	check(t, "vrfy", reply(s.Vrfy(ctx, here("u@here.example", 50))), "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied")
	check(t, "vrfy", reply(s.Vrfy(ctx, here("u@here.example", 40))), "ok")
	check(t, "etrn", reply(s.Etrn(ctx, "here.example")), "ok")
	check(t, "etrn", reply(s.Etrn(ctx, "there.example")), "554 5.7.1 <there.example>: Etrn command rejected: Access denied")
	v.set("smtpd_client_restrictions", "reject")
	check(t, "etrn", reply(s.Etrn(ctx, "here.example")), "554 5.7.1 <mx.example.net[192.0.2.10]>: Client host rejected: Access denied")
}

// Lists that would take mail for the whole world take none.
func TestListsNeedAGuard(t *testing.T) {
	const bad = "451 4.3.5 Server configuration error"
	for _, tt := range []struct{ relay, rcpt, want string }{
		{"", "", bad},
		{"permit_mynetworks", "check_recipient_class", bad}, // a class is the recipient's, not the server's
		{"permit, reject", "", bad},
		{"warn_if_reject reject_unauth_destination", "", bad},
		{"warn_if_reject permit, reject_unauth_destination", "", "ok"},
		{"", "permit_mynetworks, z-guard", "ok"},
		{"permit", "permit_mynetworks, defer_if_permit", "450 4.7.0 <u@here.example>: Recipient address rejected: defer_if_permit requested"},
		{"z-loop", "", bad},
	} {
		v := newEnv(t)
		v.class("z-guard", "z-inner")
		v.class("z-inner", "reject_unauth_destination")
		v.class("z-loop", "z-loop")
		v.set("smtpd_relay_restrictions", tt.relay)
		v.set("smtpd_recipient_restrictions", tt.rcpt)
		check(t, tt.relay+" | "+tt.rcpt, v.try(), tt.want)
		if got := strings.Join(problems(t, v), "\n"); strings.Contains(got, "specify at least one") != (tt.want == bad) {
			t.Errorf("%q, %q: check says %s", tt.relay, tt.rcpt, got)
		}
	}
}
