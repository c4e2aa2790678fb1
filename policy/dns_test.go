package policy_test

import (
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
	"mailserver/policy"
	"mailserver/schema"
)

const zone = `
mx.example.net.    IN A  192.0.2.10
example.net.       IN MX 10 mx.example.net.
example.net.       IN NS ns.bad.example.
addr.example.      IN A  192.0.2.20
six.example.       IN AAAA 2001:db8::20
mxonly.example.    IN MX 10 mx.elsewhere.example.
null.example.      IN MX 0 .
broken.example.    IN MX 10 a\032b.
xn--bcher-kva.example. IN MX 10 mx.example.net.
ns.bad.example.    IN A  203.0.113.53
10.2.0.192.rbl.example.  IN A 127.0.0.2
10.2.0.192.rbl.example.  IN TXT "see https://rbl.example/?192.0.2.10"
10.2.0.192.rbl.example.  IN TXT "second"
10.2.0.192.many.example. IN A 127.0.5.3
10.2.0.192.gone.example. IN A 203.0.113.80
10.2.0.192.busy.example. IN A 127.255.255.254
*.all.example.     IN A 127.0.0.2
10.2.0.192.all.example.  IN A 127.0.0.2
1.0.0.127.all.example.   IN A 127.0.0.2
0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.rbl.example. IN A 127.0.0.4
example.net.rhs.example.    IN A 127.0.1.2
mx.example.net.rhs.example. IN A 127.0.1.2
here.example.rhs.example.   IN A 127.0.1.2
10.2.0.192.wl.example. IN A 127.0.10.1
mx.example.net.wl.example. IN A 127.0.0.1
backup.example.    IN MX 10 primary.backup.example.
backup.example.    IN MX 20 me.example.
primary.backup.example. IN A 203.0.113.1
me.example.        IN A 192.0.2.53
primary.example.   IN MX 10 me.example.
`

// withDNS gives the engine a DNS server of its own.
func (v *env) withDNS() *dnstest.Server {
	s := dnstest.Start(v.t, zone)
	v.deps.DNS = dns.New(dns.Config{Servers: []string{s.Addr}, Timeout: time.Minute, Attempts: 1, Dial: s.Dial})
	v.e = policy.New(v.deps)
	return s
}

func TestDNSLists(t *testing.T) {
	v := newEnv(t)
	v.withDNS()
	blocked := func(class, what, list string) string {
		return "554 5.7.1 Service unavailable; " + class + " [" + what + "] blocked using " + list
	}
	six := policy.Client{Addr: netipAddr("2001:db8::10"), Name: "unknown", ReverseName: "mx.example.net"}
	tests := []struct {
		list   string
		client policy.Client
		want   string
	}{
		{"reject_rbl_client rbl.example", stranger, blocked("Client host", "192.0.2.10", "rbl.example") + "; see https://rbl.example/?192.0.2.10 / second"},
		{"reject_rbl_client RBL.Example.", stranger, blocked("Client host", "192.0.2.10", "rbl.example") + "; see https://rbl.example/?192.0.2.10 / second"},
		{"reject_rbl rbl.example=127.0.0.2", stranger, blocked("Client host", "192.0.2.10", "rbl.example") + "; see https://rbl.example/?192.0.2.10 / second"},
		{"reject_rbl_client rbl.example=127.0.0.[3..9;11]", stranger, "ok"},
		{"reject_rbl_client rbl.example=127.0.0.[0;2]", stranger, blocked("Client host", "192.0.2.10", "rbl.example") + "; see https://rbl.example/?192.0.2.10 / second"},
		{"reject_rbl_client none.example", stranger, "ok"},
		{"reject_rbl_client rbl.example", six, blocked("Client host", "2001:db8::10", "rbl.example")},
		{"reject_dnsbl_client many.example=127.0.[0..255].3", stranger, blocked("Client host", "192.0.2.10", "many.example")},
		{"reject_rbl_client gone.example", stranger, "ok"},
		{"reject_rbl_client gone.example=203.0.113.80", stranger, blocked("Client host", "192.0.2.10", "gone.example")},
		{"reject_rbl_client busy.example", stranger, "ok"},
		{"reject_rbl_client all.example", stranger, "ok"},
		{"reject_rhsbl_client rhs.example", stranger, blocked("Client host", "mx.example.net", "rhs.example")},
		{"reject_rhsbl_client rhs.example", six, "ok"},
		{"reject_rhsbl_reverse_client rhs.example", six, blocked("Unverified Client host", "mx.example.net", "rhs.example")},
		{"reject_rhsbl_helo rhs.example", stranger, blocked("Helo command", "mx.example.net", "rhs.example")},
		{"reject_rhsbl_sender rhs.example", stranger, blocked("Sender address", "a@example.net", "rhs.example")},
		{"reject_rhsbl_recipient rhs.example", stranger, blocked("Recipient address", "u@here.example", "rhs.example")},
		{"permit_dnswl_client wl.example, reject", stranger, "ok"},
		{"permit_dnswl_client wl.example=127.0.[0..255].[2..3], reject", stranger, "554 5.7.1 <mx.example.net[192.0.2.10]>: Client host rejected: Access denied"},
		{"permit_rhswl_client wl.example, reject", stranger, "ok"},
		{"permit_rhswl_client wl.example, reject", six, "554 5.7.1 <unknown[2001:db8::10]>: Client host rejected: Access denied"},
		{"reject_rbl_client", stranger, "451 4.3.5 Server configuration error"},
		{"reject_rbl_client rbl.example=127.0.0", stranger, "451 4.3.5 Server configuration error"},
		{"reject_rbl_client rbl.example=127.0.0.[2", stranger, "451 4.3.5 Server configuration error"},
	}
	for _, tt := range tests {
		v.set("smtpd_client_restrictions", tt.list)
		check(t, tt.list, reply(v.rcpt(tt.client, "mx.example.net", "a@example.net", here("u@here.example", 99))), tt.want)
	}
	for _, want := range []string{
		"DNS list gone.example answers 203.0.113.80, which is no listing",
		"DNS list busy.example answers 127.255.255.254, which is no listing",
		"DNS list all.example lists everything",
	} {
		if !strings.Contains(v.log.String(), want) {
			t.Errorf("not logged: %s", want)
		}
	}
	for _, sender := range []string{"", "a@[192.0.2.1]", "a@192.0.2.1", "a@b_!c"} {
		v.set("smtpd_client_restrictions", "reject_rhsbl_sender rhs.example")
		check(t, sender, reply(v.rcpt(stranger, "h", sender, here("u@here.example", 99))), "ok")
	}
}

func TestDNSListReplies(t *testing.T) {
	v := newEnv(t)
	v.withDNS()
	v.set("smtpd_client_restrictions", "reject_rbl_client rbl.example=127.0.0.2")
	for template, want := range map[string]string{
		"$rbl_code 5.7.1 $$ $client|$client_address|$client_name|$reverse_client_name|$helo_name|$sender|$sender_name|$sender_domain|$recipient|$nothing": "554 5.7.1 $ mx.example.net[192.0.2.10]|192.0.2.10|mx.example.net|mx.example.net|mx.example.net|a@example.net|a|example.net|u@here.example|",
		"521 4.7.9 ${rbl_reason:none}${nothing:no ${rbl_domain}}${rbl_what?(what $rbl_what)}":                                                             "521 5.7.9 no rbl.example(what 192.0.2.10)",
		"450 $rbl_class": "450 4.7.1 Client host",
		"550 5.1.1 x":    "550 5.0.0 x",
		"550":            "450 4.7.1 Service unavailable",
		"250 ok":         "450 4.7.1 Service unavailable",
		"${rbl_code":     "450 4.7.1 Service unavailable",
	} {
		v.set("default_rbl_reply", template)
		check(t, template, v.reply("mx.example.net"), want)
	}
	v.set("rbl_reply_maps", "hash:replies")
	v.access("replies", "rbl.example", "550 5.7.1 by name")
	check(t, "map", v.reply("h"), "550 5.7.1 by name")
	v.access("replies", "rbl.example=127.0.0.2", "550 5.7.1 by filter")
	check(t, "map", v.reply("h"), "550 5.7.1 by filter")
	v.set("rbl_reply_maps", "ldap:x")
	check(t, "map", v.reply("h"), "451 4.3.5 Server configuration error")
	v.set("rbl_reply_maps", "")
	v.set("default_rbl_reply", "$rbl_code listed")
	v.set("maps_rbl_reject_code", "450")
	check(t, "code", v.reply("h"), "450 4.7.1 listed")
	v.set("smtpd_client_restrictions", "z-list")
	v.class("z-list", "reject_rbl_client rbl.example", "You are on a list")
	check(t, "class", v.reply("h"), "450 4.7.1 <192.0.2.10>: Client host rejected: You are on a list")
}

func (v *env) reply(helo string) string {
	v.t.Helper()
	return reply(v.rcpt(stranger, helo, "a@example.net", here("u@here.example", 99)))
}

// An allow list never makes a relay, whichever list it stands in.
func TestAllowListMakesNoRelay(t *testing.T) {
	v := newEnv(t)
	v.withDNS()
	for _, list := range []string{"permit_dnswl_client wl.example", "permit_rhswl_client wl.example"} {
		for _, name := range []string{"smtpd_relay_restrictions", "smtpd_recipient_restrictions"} {
			v.exec(`DELETE FROM Setting`)
			v.set("smtpd_relay_restrictions", "")
			v.set("smtpd_recipient_restrictions", "")
			v.set(name, list+", reject_unauth_destination")
			to := there("u@there.example")
			check(t, name+" "+list, reply(v.rcpt(stranger, "h", "a@example.net", to)), "554 5.7.1 <u@there.example>: Relay access denied")
			routed := here("x@here.example", 99)
			routed.Original.Local, routed.Address.Local = "u%there.example", "u%there.example"
			check(t, name+" "+list, reply(v.rcpt(stranger, "h", "a@example.net", routed)), "554 5.7.1 <u%there.example@here.example>: Relay access denied")
		}
	}
}

func TestUnknownDomains(t *testing.T) {
	v := newEnv(t)
	s := v.withDNS()
	s.Fail("servfail.example", dnstest.Fault{Rcode: mdns.RcodeServerFailure})
	const temp = "450 4.1.8 <a@servfail.example>: Sender address rejected: Domain not found"
	tests := []struct{ list, sender, want string }{
		{"reject_unknown_sender_domain", "a@example.net", "ok"},
		{"reject_unknown_sender_domain", "a@addr.example", "ok"},
		{"reject_unknown_sender_domain", "a@six.example.", "ok"},
		{"reject_unknown_sender_domain", "a@mxonly.example", "ok"},
		{"reject_unknown_sender_domain", "a@bücher.example", "ok"},
		{"reject_unknown_sender_domain", "", "ok"},
		{"reject_unknown_sender_domain", "a@[192.0.2.1]", "ok"},
		{"reject_unknown_address", "a@nowhere.example", "450 4.1.8 <a@nowhere.example>: Sender address rejected: Domain not found"},
		{"reject_unknown_sender_domain", "a@b!c.example", "450 4.1.8 <a@b!c.example>: Sender address rejected: Domain not found"},
		{"reject_unknown_sender_domain", "a@null.example", "550 5.7.27 <a@null.example>: Sender address rejected: Domain null.example does not accept mail (nullMX)"},
		{"reject_unknown_sender_domain", "a@broken.example", "450 4.1.8 <a@broken.example>: Sender address rejected: Malformed DNS server reply"},
		{"reject_unknown_sender_domain", "a@servfail.example", temp},
		{"reject_unknown_sender_domain, permit", "a@servfail.example", temp},
		{"reject_unknown_sender_domain, reject", "a@servfail.example", "554 5.7.1 <a@servfail.example>: Sender address rejected: Access denied"},
		{"warn_if_reject reject_unknown_sender_domain", "a@servfail.example", "ok"},
	}
	for _, tt := range tests {
		v.set("smtpd_sender_restrictions", tt.list)
		check(t, tt.list+" "+tt.sender, reply(v.rcpt(stranger, "h", tt.sender, here("u@here.example", 99))), tt.want)
	}
	v.set("smtpd_sender_restrictions", "reject_unknown_sender_domain, reject")
	v.set("unknown_address_tempfail_action", "defer")
	check(t, "defer", reply(v.rcpt(stranger, "h", "a@servfail.example", here("u@here.example", 99))), temp)
	v.set("unknown_address_tempfail_action", "shrug")
	check(t, "bad action", reply(v.rcpt(stranger, "h", "a@servfail.example", here("u@here.example", 99))), "451 4.3.5 Server configuration error")
	v.set("unknown_address_reject_code", "550")
	check(t, "code", reply(v.rcpt(stranger, "h", "a@nowhere.example", here("u@here.example", 99))), "550 5.1.8 <a@nowhere.example>: Sender address rejected: Domain not found")
	ours := from("a@nowhere.example")
	ours.Class = schema.Local
	v.set("smtpd_sender_restrictions", "reject_unknown_sender_domain")
	session := v.e.NewSession(stranger)
	session.Mail(ctx, ours, 0)
	check(t, "ours", reply(session.Rcpt(ctx, here("u@here.example", 99))), "ok")

	v.exec(`DELETE FROM Setting`)
	v.set("smtpd_relay_restrictions", "reject_unknown_recipient_domain")
	check(t, "recipient", reply(v.rcpt(stranger, "h", "a@b.c", there("u@nowhere.example"))), "450 4.1.2 <u@nowhere.example>: Recipient address rejected: Domain not found")
	check(t, "recipient", reply(v.rcpt(stranger, "h", "a@b.c", there("u@null.example"))), "556 5.1.10 <u@null.example>: Recipient address rejected: Domain null.example does not accept mail (nullMX)")
	check(t, "recipient", reply(v.rcpt(stranger, "h", "a@b.c", here("u@nowhere.example", 99))), "ok")

	v.exec(`DELETE FROM Setting`)
	v.set("smtpd_helo_restrictions", "reject_unknown_helo_hostname")
	for helo, want := range map[string]string{
		"mx.example.net": "ok", "example.net": "ok", "null.example": "ok", "six.example": "ok", "[192.0.2.1]": "ok",
		"[192.0.2]":        "501 5.5.2 <[192.0.2]>: Helo command rejected: invalid ip address",
		"nowhere.example":  "450 4.7.1 <nowhere.example>: Helo command rejected: Host not found",
		"broken.example":   "450 4.7.1 <broken.example>: Helo command rejected: Malformed DNS server reply",
		"servfail.example": "450 4.7.1 <servfail.example>: Helo command rejected: Host not found",
		"a b":              "450 4.7.1 <a?b>: Helo command rejected: Host not found",
	} {
		check(t, helo, v.reply(helo), want)
	}
	v.set("unknown_hostname_reject_code", "550")
	check(t, "code", v.reply("nowhere.example"), "550 5.7.1 <nowhere.example>: Helo command rejected: Host not found")
}

func TestServerAccess(t *testing.T) {
	v := newEnv(t)
	s := v.withDNS()
	s.Fail("servfail.example", dnstest.Fault{Rcode: mdns.RcodeServerFailure})
	const no = "554 5.7.1 "
	sender := no + "<a@example.net>: Sender address rejected: no"
	tests := []struct{ list, key, want string }{
		{"check_sender_mx_access t", "mx.example.net", sender},
		{"check_sender_mx_access t", "example.net", sender},
		{"check_sender_mx_access t", "192.0.2.10", sender},
		{"check_sender_mx_access t", "192.0.2", sender},
		{"check_sender_ns_access t", "bad.example", sender},
		{"check_sender_ns_access t", "203.0.113.53", sender},
		{"check_sender_a_access t", "mx.example.net", "ok"},
		{"check_sender_a_access t", "192.0.2.10", "ok"},
		{"check_client_a_access t", "192.0.2.10", no + "<mx.example.net[192.0.2.10]>: Client host rejected: no"},
		{"check_client_mx_access t", "mx.example.net", no + "<mx.example.net[192.0.2.10]>: Client host rejected: no"},
		{"check_client_ns_access t", "ns.bad.example", no + "<mx.example.net[192.0.2.10]>: Client host rejected: no"},
		{"check_reverse_client_hostname_a_access t", "192.0.2.10", no + "<mx.example.net>: Unverified Client host rejected: no"},
		{"check_helo_a_access t", "192.0.2.20", no + "<addr.example>: Helo command rejected: no"},
		{"check_helo_mx_access t", "addr.example", no + "<addr.example>: Helo command rejected: no"},
		{"check_recipient_mx_access t", "here.example", no + "<u@here.example>: Recipient address rejected: no"},
		{"check_recipient_ns_access t", "here.example", "ok"},
		{"check_sender_mx_access cidr:nets", "x", sender},
		{"check_sender_mx_access static:OK", "x", "451 4.3.5 Server configuration error"},
		{"check_sender_mx_access static:DUNNO", "x", "ok"},
	}
	for _, tt := range tests {
		v.exec(`DELETE FROM Access`)
		v.access("t", tt.key, "REJECT no")
		v.accessRow("cidr", "nets", "192.0.2.0/28", "REJECT no", 0)
		v.set("smtpd_client_restrictions", tt.list)
		check(t, tt.list+" "+tt.key, v.reply("addr.example"), tt.want)
	}
	v.set("smtpd_client_restrictions", "check_sender_mx_access t, check_sender_ns_access t, check_sender_a_access t")
	v.access("t", "192.0.2.99", "REJECT literal")
	for _, from := range []string{"", "a@servfail.example", "a@nowhere.example", "a@null.example"} {
		check(t, from, reply(v.rcpt(stranger, "h", from, here("u@here.example", 99))), "ok")
	}
	check(t, "literal", reply(v.rcpt(stranger, "h", "a@[192.0.2.99]", here("u@here.example", 99))), "554 5.7.1 <a@[192.0.2.99]>: Sender address rejected: literal")
}

func TestBackupMX(t *testing.T) {
	v := newEnv(t)
	s := v.withDNS()
	s.Fail("servfail.example", dnstest.Fault{Rcode: mdns.RcodeServerFailure})
	v.set("smtpd_relay_restrictions", "permit_mx_backup, reject_unauth_destination")
	v.set("smtpd_recipient_restrictions", "")
	at := func(s string) string { return reply(v.rcpt(stranger, "h", "a@b.c", there(s))) }
	check(t, "backup", at("u@backup.example"), "ok")
	check(t, "ours", reply(v.rcpt(stranger, "h", "a@b.c", here("u@here.example", 99))), "ok")
	check(t, "first", at("u@primary.example"), "554 5.7.1 <u@primary.example>: Relay access denied")
	check(t, "not ours", at("u@mxonly.example"), "554 5.7.1 <u@mxonly.example>: Relay access denied")
	check(t, "nothing", at("u@nowhere.example"), "554 5.7.1 <u@nowhere.example>: Relay access denied")
	check(t, "temporary", at("u@servfail.example"), "450 4.4.4 <u@servfail.example>: Recipient address rejected: Unable to look up mail exchanger information: Host not found, try again")
	v.set("permit_mx_backup_networks", "198.51.100.0/24")
	check(t, "other networks", at("u@backup.example"), "554 5.7.1 <u@backup.example>: Relay access denied")
	v.set("permit_mx_backup_networks", "198.51.100.0/24 203.0.113.0/24")
	check(t, "networks", at("u@backup.example"), "ok")
	v.set("permit_mx_backup_networks", "nonsense/")
	check(t, "bad networks", at("u@backup.example"), "451 4.3.5 Server configuration error")
}

// The setting dns_servers is obeyed at once.
func TestDNSServersSetting(t *testing.T) {
	v := newEnv(t)
	other := dnstest.Start(t, "10.2.0.192.own.example. IN A 127.0.0.2")
	v.set("smtpd_client_restrictions", "reject_rbl_client own.example")
	check(t, "before", v.reply("h"), "ok")
	v.set("dns_servers", other.Addr)
	check(t, "after", v.reply("h"), "554 5.7.1 Service unavailable; Client host [192.0.2.10] blocked using own.example")
}

// A new server's classes, with the DNS lists they use.
func TestDefaultClassesAskLists(t *testing.T) {
	v := newEnv(t)
	s := v.withDNS()
	const spam = "10.2.0.192.zen.spamhaus.org. IN A 127.0.0.2\n"
	s.Set(t, zone+spam+"example.net.dbl.spamhaus.org. IN A 127.0.1.2\n10.2.0.192.list.dnswl.org. IN A 127.0.5.0\n")
	for num, want := range map[int]string{
		1:  "554 5.7.1 Service unavailable; Client host [192.0.2.10] blocked using zen.spamhaus.org",
		40: "554 5.7.1 Service unavailable; Client host [192.0.2.10] blocked using zen.spamhaus.org",
		50: "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied",
		99: "ok",
	} {
		check(t, "spam", reply(v.rcpt(stranger, "mx.example.net", "a@example.net", here("u@here.example", num))), want)
	}
	s.Set(t, zone+"example.net.dbl.spamhaus.org. IN A 127.0.1.2\n10.2.0.192.list.dnswl.org. IN A 127.0.5.0\n10.2.0.192.bl.mailspike.net. IN A 127.0.0.2\n10.2.0.192.ips.backscatterer.org. IN A 127.0.0.2\n")
	v.withDNS() // forget the answers
	v.deps.DNS = dns.New(dns.Config{Servers: []string{s.Addr}, Attempts: 1})
	v.e = policy.New(v.deps)
	for num, want := range map[int]string{
		10: "554 5.7.1 Service unavailable; Sender address [a@example.net] blocked using dbl.spamhaus.org",
		20: "554 5.7.1 Service unavailable; Sender address [a@example.net] blocked using dbl.spamhaus.org",
		30: "554 5.7.1 Service unavailable; Sender address [a@example.net] blocked using dbl.spamhaus.org",
		40: "ok",
	} {
		check(t, "domain", reply(v.rcpt(stranger, "mx.example.net", "a@example.net", here("u@here.example", num))), want)
	}
	bounce := v.rcpt(stranger, "mx.example.net", "", here("u@here.example", 20))
	check(t, "listed, not allowed by a score of 0", reply(bounce), "554 5.7.1 Service unavailable; Client host [192.0.2.10] blocked using bl.mailspike.net")
	check(t, "allowed", reply(v.rcpt(stranger, "mx.example.net", "", here("u@here.example", 30))), "ok")
}

// A DNS that is silent, slow or lying holds a command no longer than the
// setting says, and refuses nobody.
func TestDNSTimeLimit(t *testing.T) {
	v := newEnv(t)
	s := v.withDNS()
	v.set("policy_dns_time_limit", "1s")
	var lists []string
	for _, l := range strings.Fields("a b c d e f g h i j k l m n o p q r s t") {
		s.Fail("10.2.0.192."+l+".example", dnstest.Fault{Silent: true})
		lists = append(lists, "reject_rbl_client "+l+".example")
	}
	v.set("smtpd_client_restrictions", strings.Join(lists, ", "))
	v.deps.DNS = dns.New(dns.Config{Servers: []string{s.Addr}, Timeout: 10 * time.Minute, Attempts: 1})
	v.e = policy.New(v.deps)
	begin := time.Now()
	check(t, "silent", v.reply("h"), "ok")
	if took := time.Since(begin); took > 5*time.Minute {
		t.Errorf("took %v", took)
	}
	s.Fail("10.2.0.192.wl.example", dnstest.Fault{Silent: true})
	v.set("smtpd_client_restrictions", "permit_dnswl_client wl.example, reject")
	check(t, "allow list", v.reply("h"), "450 4.7.1 <192.0.2.10>: Client host rejected: Service unavailable")
}
