package policy_test

import (
	"io"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
	"mailserver/policy"
	"mailserver/schema"
)

// dnsFaultRules are all restrictions that ask the DNS, the name that they ask
// for, and what the client hears when nothing can be known of it.
var dnsFaultRules = []struct{ setting, list, name, sender, want string }{
	{"client", "reject_rbl_client rbl.example", "10.2.0.192.rbl.example", "a@example.net", "ok"},
	{"client", "reject_rbl_client rbl.example=127.0.0.2", "10.2.0.192.rbl.example", "a@example.net", "ok"},
	{"client", "reject_rhsbl_client rhs.example", "mx.example.net.rhs.example", "a@example.net", "ok"},
	{"client", "reject_rhsbl_reverse_client rhs.example", "mx.example.net.rhs.example", "a@example.net", "ok"},
	{"helo", "reject_rhsbl_helo rhs.example", "mx.example.net.rhs.example", "a@example.net", "ok"},
	{"sender", "reject_rhsbl_sender rhs.example", "example.net.rhs.example", "a@example.net", "ok"},
	{"recipient", "reject_unauth_destination, reject_rhsbl_recipient rhs.example", "here.example.rhs.example", "a@example.net", "ok"},
	{"client", "permit_dnswl_client wl.example, reject", "10.2.0.192.wl.example", "a@example.net", "450 4.7.1 <192.0.2.10>: Client host rejected: Service unavailable"},
	{"client", "permit_rhswl_client wl.example, reject", "mx.example.net.wl.example", "a@example.net", "450 4.7.1 <mx.example.net>: Client host rejected: Service unavailable"},
	{"helo", "reject_unknown_helo_hostname", "mx.example.net", "a@example.net", "450 4.7.1 <mx.example.net>: Helo command rejected: Host not found"},
	{"sender", "reject_unknown_sender_domain", "example.net", "a@example.net", "450 4.1.8 <a@example.net>: Sender address rejected: Domain not found"},
	{"relay", "reject_unknown_recipient_domain, reject_unauth_destination", "far.example", "a@example.net", "450 4.1.2 <u@far.example>: Recipient address rejected: Domain not found"},
	{"client", "check_client_a_access t", "mx.example.net", "a@example.net", "ok"},
	{"client", "check_client_mx_access t", "mx.example.net", "a@example.net", "ok"},
	{"client", "check_client_ns_access t", "mx.example.net", "a@example.net", "ok"},
	{"client", "check_reverse_client_hostname_a_access t", "mx.example.net", "a@example.net", "ok"},
	{"client", "check_reverse_client_hostname_mx_access t", "mx.example.net", "a@example.net", "ok"},
	{"client", "check_reverse_client_hostname_ns_access t", "mx.example.net", "a@example.net", "ok"},
	{"helo", "check_helo_a_access t", "mx.example.net", "a@example.net", "ok"},
	{"helo", "check_helo_mx_access t", "mx.example.net", "a@example.net", "ok"},
	{"helo", "check_helo_ns_access t", "mx.example.net", "a@example.net", "ok"},
	{"sender", "check_sender_a_access t", "example.net", "a@example.net", "ok"},
	{"sender", "check_sender_mx_access t", "example.net", "a@example.net", "ok"},
	{"sender", "check_sender_ns_access t", "example.net", "a@example.net", "ok"},
	{"recipient", "reject_unauth_destination, check_recipient_a_access t", "here.example", "a@example.net", "ok"},
	{"recipient", "reject_unauth_destination, check_recipient_mx_access t", "here.example", "a@example.net", "ok"},
	{"recipient", "reject_unauth_destination, check_recipient_ns_access t", "here.example", "a@example.net", "ok"},
	{"relay", "permit_mx_backup, reject_unauth_destination", "far.example", "a@example.net", "450 4.4.4 <u@far.example>: Recipient address rejected: Unable to look up mail exchanger information: Host not found, try again"},
	{"sender", "reject_spf_fail", "example.net", "a@example.net", "451 4.7.24 <a@example.net>: Sender address rejected: SPF check: no answer about example.net"},
	{"sender", "reject_spf_softfail", "example.net", "a@example.net", "451 4.7.24 <a@example.net>: Sender address rejected: SPF check: no answer about example.net"},
	{"end_of_data", "reject_dmarc", "_dmarc.example.net", "a@example.net", "451 4.4.3 <END-OF-MESSAGE>: End-of-data rejected: DMARC check: no answer about example.net"},
	{"end_of_data", "quarantine_dmarc", "_dmarc.example.net", "a@example.net", "ok"},
}

// TestDNSFaults: a DNS server that fails in every way that servers have. The
// client hears "try again" where an answer was needed, nothing where it was
// not.
func TestDNSFaults(t *testing.T) {
	faults := map[string]dnstest.Fault{
		"SERVFAIL":         {Rcode: mdns.RcodeServerFailure},
		"REFUSED":          {Rcode: mdns.RcodeRefused},
		"silent":           {Silent: true},
		"too slow":         {Delay: time.Second},
		"another question": {Lie: true},
		"another ID":       {WrongID: true},
	}
	v := newEnv(t)
	s := v.withDNS()
	v.access("t", "x.example", "REJECT")
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			for _, r := range dnsFaultRules {
				v.deps.DNS = dns.New(dns.Config{Servers: []string{s.Addr}, Timeout: time.Minute, Attempts: 1, Dial: s.Dial})
				v.e = policy.New(v.deps)
				s.Fail(r.name, f)
				v.t = t
				v.exec("DELETE FROM Setting WHERE stName LIKE 'smtpd_%'")
				v.set("smtpd_"+r.setting+"_restrictions", r.list)
				to := here("u@here.example", 99)
				if strings.Contains(r.name, "far.example") {
					to = there("u@far.example")
					if strings.Contains(r.list, "recipient_domain") {
						to.Class = schema.Relay
					}
				}
				check(t, r.list, v.whole(r.sender, to), r.want)
				s.Fail(r.name, dnstest.Fault{})
			}
		})
	}
}

// whole sends a message and returns the first refusal.
func (v *env) whole(sender string, to policy.Recipient) string {
	s := v.e.NewSession(stranger)
	for _, step := range []func() policy.Verdict{
		func() policy.Verdict { return s.Connect(ctx) },
		func() policy.Verdict { return s.Helo(ctx, "mx.example.net", true) },
		func() policy.Verdict { return s.Mail(ctx, from(sender), 0) },
		func() policy.Verdict { return s.Rcpt(ctx, to) },
		func() policy.Verdict { return s.Data(ctx) },
		func() policy.Verdict {
			return s.EndOfData(ctx, policy.Content{ID: "X", Open: func() io.Reader { return strings.NewReader("From: <" + sender + ">\r\n\r\nx\r\n") }})
		},
	} {
		if got := step(); !got.OK() {
			return reply(got)
		}
	}
	return "ok"
}

// TestDNSThatLies: what cannot be is not believed; what is cut off is asked
// for again over TCP.
func TestDNSThatLies(t *testing.T) {
	v := newEnv(t)
	s := v.withDNS()
	try := func(setting, list string) string {
		v.deps.DNS = dns.New(dns.Config{Servers: []string{s.Addr}, Timeout: time.Minute, Attempts: 1, Dial: s.Dial})
		v.e = policy.New(v.deps)
		v.exec("DELETE FROM Setting WHERE stName LIKE 'smtpd_%'")
		v.set(setting, list)
		return v.whole("a@example.net", here("u@here.example", 99))
	}
	s.Fail("10.2.0.192.rbl.example", dnstest.Fault{Denied: true})
	check(t, "records and NXDOMAIN", try("smtpd_client_restrictions", "reject_rbl_client rbl.example"), "ok")
	s.Fail("example.net", dnstest.Fault{Denied: true})
	check(t, "records and NXDOMAIN", try("smtpd_sender_restrictions", "reject_unknown_sender_domain"), "450 4.1.8 <a@example.net>: Sender address rejected: Domain not found")
	s.Fail("example.net", dnstest.Fault{Raw: []byte{0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0, 200, 'x'}})
	check(t, "garbage", try("smtpd_sender_restrictions", "reject_unknown_sender_domain"), "450 4.1.8 <a@example.net>: Sender address rejected: Malformed DNS server reply")
	s.Fail("example.net", dnstest.Fault{})
	s.Fail("10.2.0.192.rbl.example", dnstest.Fault{})
	s.Truncate(true)
	check(t, "truncated", try("smtpd_sender_restrictions", "reject_unknown_sender_domain"), "ok")
	check(t, "truncated", try("smtpd_client_restrictions", "reject_rbl_client rbl.example"), "554 5.7.1 Service unavailable; Client host [192.0.2.10] blocked using rbl.example; see https://rbl.example/?192.0.2.10 / second")
}
