package policy_test

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
	"mailserver/schema"
)

// peerZone is the DNS of both sides.
const peerZone = zone + `
mx.here.example.   IN A 192.0.2.53
local.example.     IN MX 10 mx.here.example.
cname.example.     IN CNAME addr.example.
dangling.example.  IN CNAME nowhere.example.
mxdangling.example. IN MX 10 nowhere.example.
manymx.example.    IN MX 10 nowhere.example.
manymx.example.    IN MX 20 addr.example.
sub.example.net.   IN A 192.0.2.21
nsonly.example.    IN NS ns.bad.example.
txtonly.example.   IN TXT "x"
20.2.0.192.rbl.example. IN A 127.0.0.3
addr.example.rhs.example. IN A 127.0.1.4
addr.example.rhs.example. IN TXT "a domain"
`

// dnsCases are restrictions that ask the DNS, and who is logged in.
func dnsCases() []peerCase {
	to := []string{"u@here.example"}
	var senders, helos, rcpts, clients []probe
	for _, d := range strings.Fields("example.net addr.example six.example mxonly.example null.example nowhere.example servfail.example cname.example dangling.example mxdangling.example manymx.example sub.example.net nsonly.example txtonly.example example com here.example local.example [192.0.2.10] [192.0.2.99] a..b -x.example") {
		if d != "a..b" && d != "-x.example" { // refused as syntax before
			senders = append(senders, probe{from: "a@" + d, to: to})
			rcpts = append(rcpts, probe{to: []string{"a@" + d}})
		}
		helos = append(helos, probe{helo: d, to: to})
	}
	senders = append(senders, probe{from: "<>", to: to}, probe{from: "a", to: to})
	for _, c := range []string{"192.0.2.10 mx.example.net", "192.0.2.20 addr.example", "192.0.2.30 [UNAVAILABLE]", "IPV6:2001:db8::10 mx.example.net", "192.0.2.99 servfail.example"} {
		a, name, _ := strings.Cut(c, " ")
		clients = append(clients, probe{addr: a, host: name, reverse: name, to: []string{"u@here.example", "x@elsewhere.example"}})
	}
	one := func(list, text string, probes []probe, set ...string) peerCase {
		c := peerCase{name: list + " " + text, set: map[string]string{list: text}, probes: probes}
		for i := 0; i+1 < len(set); i += 2 {
			c.name += " " + set[i] + "=" + set[i+1]
			c.set[set[i]] = set[i+1]
		}
		return c
	}
	all := []peerCase{
		one("sender", "reject_unknown_sender_domain", senders), one("sender", "reject_unknown_sender_domain, reject", senders),
		one("sender", "warn_if_reject reject_unknown_sender_domain, permit", senders),
		one("sender", "reject_unknown_sender_domain", senders, "unknown_address_reject_code", "550"),
		one("sender", "reject_unknown_sender_domain, reject", senders, "unknown_address_tempfail_action", "defer"),
		one("relay", "reject_unknown_recipient_domain, reject_unauth_destination", rcpts), one("relay", "reject_unknown_recipient_domain", rcpts, "recipient", "reject_unauth_destination", "unknown_address_reject_code", "554"),
		one("helo", "reject_unknown_helo_hostname", helos), one("helo", "reject_unknown_helo_hostname, reject", helos),
		one("helo", "reject_unknown_helo_hostname, reject", helos, "unknown_helo_hostname_tempfail_action", "defer", "unknown_hostname_reject_code", "550"),
	}
	for _, l := range strings.Fields("rbl.example rbl.example=127.0.0.2 rbl.example=127.0.0.[0..2] rbl.example=127.0.0.[3;4] many.example=127.0.[0..255].3 none.example sflist.example") {
		all = append(all, one("client", "reject_rbl_client "+l, clients), one("client", "permit_dnswl_client "+l+", reject", clients))
	}
	all = append(all, one("client", "reject_rbl_client rbl.example", clients, "maps_rbl_reject_code", "450"),
		one("client", "reject_rbl_client rbl.example", clients, "default_rbl_reply", "$rbl_code 5.7.9 no: $rbl_class [$rbl_what] $rbl_domain${rbl_reason?; $rbl_reason} $client_name $helo_name $recipient $sender"),
		one("client", "permit_dnswl_client wl.example=127.0.[0..255].[1..3], reject", clients),
		one("recipient", "permit_dnswl_client wl.example, reject_unauth_destination", clients),
		one("relay", "permit_dnswl_client wl.example, reject_unauth_destination", clients, "recipient", ""),
		one("client", "permit_rhswl_client wl.example, reject", clients), one("client", "defer_if_permit, permit_dnswl_client wl.example", clients))
	for _, r := range []string{"client", "reverse_client"} {
		all = append(all, one("client", "reject_rhsbl_"+r+" rhs.example", clients))
	}
	all = append(all, one("sender", "reject_rhsbl_sender rhs.example", senders), one("helo", "reject_rhsbl_helo rhs.example", helos),
		one("recipient", "reject_rhsbl_recipient rhs.example", append(rcpts, probe{to: to})))
	for _, s := range []string{"a", "mx", "ns"} {
		table := "_access inline:{mx.example.net=REJECT, {192.0.2.20 = REJECT address}, {ns.bad.example = REJECT ns}, {203.0.113 = 450 net}, mx.elsewhere.example=DUNNO, here.example=REJECT}, permit"
		all = append(all, one("sender", "check_sender_"+s+table, senders), one("helo", "check_helo_"+s+table, helos),
			one("client", "check_client_"+s+table, clients), one("client", "check_reverse_client_hostname_"+s+table, clients),
			one("relay", "check_recipient_"+s+table+", reject_unauth_destination", rcpts, "recipient", "reject_unauth_destination"))
	}
	all = append(all, one("sender", "check_sender_mx_access static:OK", senders[:4]),
		one("relay", "permit_mx_backup, reject_unauth_destination", []probe{{to: strings.Fields("u@mxonly.example u@nowhere.example u@servfail.example u@example.net u@addr.example u@here.example")}}, "recipient", ""))
	return append(all, loginCases(one)...)
}

// loginCases are about who owns a sender, and what next hops say of addresses.
func loginCases(one func(list, text string, probes []probe, set ...string) peerCase) []peerCase {
	to := []string{"u@here.example"}
	var owned []probe
	for _, login := range []string{"", "boss", "BOSS", "cook"} {
		for _, s := range strings.Fields("owned@example.net Owned@Example.Net owned+tag@example.net other@example.net any@whole.example root@local.example <>") {
			owned = append(owned, probe{login: login, from: s, to: to})
		}
	}
	var all []peerCase
	for _, r := range []string{"", "authenticated_", "unauthenticated_", "known_"} {
		all = append(all, one("sender", "reject_"+r+"sender_login_mismatch", owned, "smtpd_sasl_auth_enable", "yes"))
	}
	addrs := []probe{{from: "err@relay.example", to: to}, {from: "later@relay.example", to: to}, {from: "<>", to: to}}
	rcpts := []probe{{to: strings.Fields("err@relay.example later@relay.example")}}
	for _, set := range [][]string{nil, {"unverified_sender_reject_code", "550", "unverified_recipient_reject_code", "550"},
		{"unverified_sender_reject_reason", "look it up", "unverified_recipient_reject_reason", "call back"},
		{"unverified_sender_defer_code", "451", "unverified_recipient_defer_code", "451"},
		{"unverified_sender_tempfail_action", "defer", "unverified_recipient_tempfail_action", "defer"}} {
		all = append(all, one("sender", "reject_unverified_sender", addrs, set...), one("sender", "reject_unverified_sender, reject", addrs, set...),
			one("sender", "warn_if_reject reject_unverified_sender", addrs, set...),
			one("recipient", "reject_unauth_destination, reject_unverified_recipient", rcpts, append(set, "smtpd_reject_unlisted_recipient", "no")...))
	}
	return all
}

// TestSameDNSRepliesAsPostfix: with one zone as the only DNS of both.
func TestSameDNSRepliesAsPostfix(t *testing.T) {
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		leaveOut(t, "no name space of its own for Postfix: %v %s", err, out)
	}
	addr := ""
	for i := 2; i < 20 && addr == ""; i++ {
		try := fmt.Sprintf("127.0.53.%d:53", i)
		if l, err := net.Listen("tcp", try); err == nil {
			l.Close()
			addr = try
		}
	}
	if addr == "" {
		leaveOut(t, "port 53 cannot be had")
	}
	server := dnstest.StartAt(t, addr, peerZone)
	fails := dnstest.Fault{Rcode: mdns.RcodeServerFailure}
	for _, name := range []string{"servfail.example", "10.2.0.192.sflist.example", "20.2.0.192.sflist.example", "30.2.0.192.sflist.example"} {
		server.Fail(name, fails)
	}
	host, _, _ := net.SplitHostPort(server.Addr)
	cases := chosen(dnsCases())
	p := startPostfix(t, cases, host)
	v := peerEngine(t)
	v.withState()
	v.exec(`INSERT INTO SenderOwner (soAddress, soLogin) VALUES ('owned@example.net', 'boss, maid'), ('@whole.example', 'cook'), ('root', 'cook')`)
	v.deps.DNS = dns.New(dns.Config{Servers: []string{server.Addr}, Timeout: time.Second, Attempts: 1})
	pr := v.withProber()
	pr.set("err@relay.example", schema.VerifyBounce, "not taken")
	pr.set("later@relay.example", schema.VerifyDefer, "later")
	v.compare(t, p, cases)
}
