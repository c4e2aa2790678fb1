package policy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailserver/policy"
	"mailserver/schema"
)

func TestClientRestrictions(t *testing.T) {
	v := newEnv(t)
	v.set("mynetworks", "127.0.0.0/8 [::1]/128 !198.51.100.7, 198.51.100.0/24, .friends.example, cidr:mynets")
	v.accessRow("cidr", "mynets", "203.0.113.0/25", "any", 0)
	client := func(ip, name, reverse string) policy.Client {
		return policy.Client{Addr: netipAddr(ip), Name: name, ReverseName: reverse}
	}
	temp := client("192.0.2.1", "unknown", "unknown")
	temp.TempFail = true
	tests := []struct {
		list   string
		client policy.Client
		want   string
	}{
		{"permit_mynetworks, reject", client("127.0.0.1", "localhost", "localhost"), "ok"},
		{"permit_mynetworks, reject", client("::ffff:127.0.0.1", "localhost", "localhost"), "ok"},
		{"permit_mynetworks, reject", client("::1", "localhost", "localhost"), "ok"},
		{"permit_mynetworks, reject", client("198.51.100.8", "unknown", "unknown"), "ok"},
		{"permit_mynetworks, reject", client("198.51.100.7", "unknown", "unknown"), "554 5.7.1 <unknown[198.51.100.7]>: Client host rejected: Access denied"},
		{"permit_mynetworks, reject", client("192.0.2.1", "a.friends.example", "x"), "ok"},
		{"permit_mynetworks, reject", client("203.0.113.1", "unknown", "x"), "ok"},
		{"permit_mynetworks, reject", client("203.0.113.200", "unknown", "x"), "554 5.7.1 <unknown[203.0.113.200]>: Client host rejected: Access denied"},
		{"permit_inet_interfaces, reject", client("192.0.2.53", "h", "h"), "ok"},
		{"permit_inet_interfaces, reject", client("2001:db8::1", "h", "h"), "554 5.7.1 <h[2001:db8::1]>: Client host rejected: Access denied"},
		{"reject_unknown_client_hostname", client("192.0.2.1", "unknown", "ptr.example"), "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]"},
		{"reject_unknown_client", client("192.0.2.1", "h.example", "ptr.example"), "ok"},
		{"reject_unknown_reverse_client_hostname", client("192.0.2.1", "unknown", "ptr.example"), "ok"},
		{"reject_unknown_reverse_client_hostname", client("192.0.2.1", "unknown", "unknown"), "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]"},
		{"reject_unknown_client_hostname", temp, "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]"},
		{"check_reverse_client_hostname_access static:{REJECT no}", client("192.0.2.1", "unknown", "dyn.example"), "554 5.7.1 <dyn.example>: Unverified Client host rejected: no"},
		{"check_reverse_client_hostname_access static:OK", client("192.0.2.1", "unknown", "dyn.example"), "451 4.3.5 Server configuration error"},
		{"reject_unauth_destination, reject_unlisted_recipient, reject_non_fqdn_recipient", client("192.0.2.1", "h", "h"), "ok"},
		{"reject_plaintext_session", client("192.0.2.1", "h", "h"), "450 4.7.1 Session encryption is required"},
		{"permit_sasl_authenticated, reject", client("192.0.2.1", "h", "h"), "554 5.7.1 <h[192.0.2.1]>: Client host rejected: Access denied"},
		{"permit_tls_clientcerts, permit_tls_all_clientcerts, reject", client("192.0.2.1", "h", "h"), "554 5.7.1 <h[192.0.2.1]>: Client host rejected: Access denied"},
		{"check_sasl_access static:REJECT, check_ccert_access static:REJECT, check_etrn_access static:REJECT", client("192.0.2.1", "h", "h"), "ok"},
	}
	for _, tt := range tests {
		v.set("smtpd_client_restrictions", tt.list)
		check(t, tt.list, reply(v.rcpt(tt.client, "h", "a@example.net", here("u@here.example", 40))), tt.want)
	}
	v.set("unknown_client_reject_code", "550")
	v.set("smtpd_client_restrictions", "reject_unknown_client_hostname")
	check(t, "code", reply(v.rcpt(client("192.0.2.1", "unknown", "x"), "h", "a@example.net", here("u@here.example", 40))),
		"550 5.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]")
	check(t, "temporary", reply(v.rcpt(temp, "h", "a@example.net", here("u@here.example", 40))),
		"450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]")
	v.set("smtpd_client_restrictions", "permit_mynetworks")
	v.set("mynetworks", "10.0.0.1/8")
	check(t, "bad network", v.try(), "451 4.3.5 Server configuration error")
}

func TestHeloRestrictions(t *testing.T) {
	v := newEnv(t)
	const invalid, fqdn = "reject_invalid_helo_hostname", "reject_non_fqdn_helo_hostname"
	long := strings.Repeat("a", 64)
	tests := []struct{ list, helo, want string }{
		{invalid, "mx.example.net", "ok"},
		{invalid, "mx.example.net.", "ok"},
		{invalid, "mx_1", "ok"},
		{invalid, "192.0.2.1", "ok"},
		{invalid, "[192.0.2.1]", "ok"},
		{invalid, "[IPv6:2001:db8::1]", "ok"},
		{invalid, "[2001:db8::1]", "501 5.5.2 <[2001:db8::1]>: Helo command rejected: invalid ip address"},
		{invalid, "[192.0.2]", "501 5.5.2 <[192.0.2]>: Helo command rejected: invalid ip address"},
		{invalid, "mx..example", "501 5.5.2 <mx..example>: Helo command rejected: Invalid name"},
		{invalid, "mx.example..", "501 5.5.2 <mx.example..>: Helo command rejected: Invalid name"},
		{invalid, "-mx.example", "501 5.5.2 <-mx.example>: Helo command rejected: Invalid name"},
		{invalid, "mx-.example", "501 5.5.2 <mx-.example>: Helo command rejected: Invalid name"},
		{invalid, "a b", "501 5.5.2 <a?b>: Helo command rejected: Invalid name"},
		{invalid, "12345", "501 5.5.2 <12345>: Helo command rejected: Invalid name"},
		{invalid, long, "501 5.5.2 <" + long + ">: Helo command rejected: Invalid name"},
		{"reject_invalid_hostname", "a@b", "501 5.5.2 <a?b>: Helo command rejected: Invalid name"},
		{fqdn, "mx.example", "ok"},
		{fqdn, "mx", "504 5.5.2 <mx>: Helo command rejected: need fully-qualified hostname"},
		{fqdn, "mx.", "504 5.5.2 <mx.>: Helo command rejected: need fully-qualified hostname"},
		{fqdn, "192.0.2.1", "504 5.5.2 <192.0.2.1>: Helo command rejected: need fully-qualified hostname"},
		{fqdn, "[192.0.2.1]", "ok"},
		{fqdn, "[300.0.2.1]", "501 5.5.2 <[300.0.2.1]>: Helo command rejected: invalid ip address"},
		{"check_helo_access names", "host.bad.example", "554 5.7.1 <host.bad.example>: Helo command rejected: below"},
		{"check_helo_access names", "good.bad.example", "ok"},
		{"check_helo_access names", "bad.example", "554 5.7.1 <bad.example>: Helo command rejected: below"},
		{"check_helo_access names", "notbad.example", "ok"},
		{"check_helo_access names", "[192.0.2.1]", "554 5.7.1 <[192.0.2.1]>: Helo command rejected: literal"},
		{"check_helo_access names", "", "ok"},
		{"check_helo_access names", "example.", "ok"},
	}
	v.access("names", "bad.example", "REJECT below")
	v.access("names", "good.bad.example", "DUNNO")
	v.access("names", "[192.0.2.1]", "REJECT literal")
	for _, tt := range tests {
		v.set("smtpd_helo_restrictions", tt.list)
		check(t, tt.list+" "+tt.helo, reply(v.rcpt(stranger, tt.helo, "a@example.net", here("u@here.example", 99))), tt.want)
	}
	// No HELO at all: nothing to judge.
	s := v.e.NewSession(stranger)
	v.set("smtpd_helo_restrictions", "reject")
	s.Mail(ctx, from("a@example.net"), 0)
	check(t, "without HELO", reply(s.Rcpt(ctx, here("u@here.example", 40))), "ok")
}

func TestSenderRestrictions(t *testing.T) {
	v := newEnv(t)
	const fqdn = "reject_non_fqdn_sender"
	tests := []struct{ list, sender, want string }{
		{fqdn, "a@example.net", "ok"},
		{fqdn, "", "ok"},
		{fqdn, "a@[192.0.2.1]", "ok"},
		{fqdn, "a@bücher.example", "ok"},
		{fqdn, "a@example.net.", "ok"},
		{fqdn, "a", "504 5.5.2 <a>: Sender address rejected: need fully-qualified address"},
		{fqdn, "a@host", "504 5.5.2 <a@host>: Sender address rejected: need fully-qualified address"},
		{fqdn, "a@host..example", "504 5.5.2 <a@host..example>: Sender address rejected: need fully-qualified address"},
		{"reject_sender_login_mismatch", "a@example.net", "ok"},
		{"reject_sender_login_mismatch", "owned@example.net", "553 5.7.1 <owned@example.net>: Sender address rejected: not logged in"},
		{"reject_unauthenticated_sender_login_mismatch", "x@owned.example", "553 5.7.1 <x@owned.example>: Sender address rejected: not logged in"},
		{"reject_authenticated_sender_login_mismatch", "owned@example.net", "ok"},
		{"reject_known_sender_login_mismatch", "owned@example.net", "553 5.7.1 <owned@example.net>: Sender address rejected: not logged in"},
		{"reject_known_sender_login_mismatch", "", "ok"},
	}
	v.exec(`INSERT INTO SenderOwner (soAddress, soLogin) VALUES ('owned@example.net', 'Boss'), ('owned@example.net', 'maid'), ('@owned.example', 'all')`)
	for _, tt := range tests {
		v.set("smtpd_sender_restrictions", tt.list)
		check(t, tt.list+" "+tt.sender, reply(v.rcpt(stranger, "h", tt.sender, here("u@here.example", 40))), tt.want)
	}
	logged := []struct{ list, user, sender, want string }{
		{"reject_sender_login_mismatch", "boss", "owned@example.net", "ok"},
		{"reject_sender_login_mismatch", "maid", "owned+tag@example.net", "ok"},
		{"reject_sender_login_mismatch", "cook", "owned@example.net", "553 5.7.1 <owned@example.net>: Sender address rejected: not owned by user cook"},
		{"reject_sender_login_mismatch", "cook", "other@example.net", "553 5.7.1 <other@example.net>: Sender address rejected: not owned by user cook"},
		{"reject_known_sender_login_mismatch", "cook", "other@example.net", "ok"},
		{"reject_known_sender_login_mismatch", "cook", "owned@example.net", "553 5.7.1 <owned@example.net>: Sender address rejected: not owned by user cook"},
		{"reject_authenticated_sender_login_mismatch", "all", "anything@owned.example", "ok"},
		{"reject_unauthenticated_sender_login_mismatch", "cook", "owned@example.net", "ok"},
		{"check_sasl_access users", "cook", "a@example.net", "554 5.7.1 <cook>: SASL login name rejected: no kitchen mail"},
	}
	v.access("users", "cook", "REJECT no kitchen mail")
	for _, tt := range logged {
		v.set("smtpd_sender_restrictions", tt.list)
		s := v.open(stranger, "h", tt.sender)
		s.Login(tt.user, "PLAIN")
		check(t, tt.list+" "+tt.user+" "+tt.sender, reply(s.Rcpt(ctx, here("u@here.example", 40))), tt.want)
	}
}

func TestUnlisted(t *testing.T) {
	v := newEnv(t)
	s := v.open(stranger, "h", "a@example.net")
	unknown := func(class schema.Class, table string) policy.Recipient {
		to := here("x@here.example", 99)
		to.Class, to.Listed, to.Table = class, false, table
		return to
	}
	const head = "550 5.1.1 <x@here.example>: Recipient address rejected: "
	check(t, "local", reply(s.Rcpt(ctx, unknown(1, "local recipient table"))), head+"User unknown in local recipient table")
	check(t, "relay", reply(s.Rcpt(ctx, unknown(2, "relay recipient table"))), head+"User unknown in relay recipient table")
	check(t, "alias", reply(s.Rcpt(ctx, unknown(3, "virtual alias table"))), head+"User unknown in virtual alias table")
	check(t, "mailbox", reply(s.Rcpt(ctx, unknown(842, "virtual mailbox table"))), head+"User unknown in virtual mailbox table")
	v.set("show_user_unknown_table_name", "no")
	v.set("unknown_virtual_mailbox_reject_code", "450")
	check(t, "hidden", reply(s.Rcpt(ctx, unknown(842, "virtual mailbox table"))), "450 4.1.1 <x@here.example>: Recipient address rejected: User unknown")
	moved := here("m@here.example", 99)
	moved.MovedTo = "new@there.example"
	check(t, "moved", reply(s.Rcpt(ctx, moved)), "550 5.1.6 <m@here.example>: Recipient address rejected: User has moved to new@there.example")
	for text, want := range map[string]string{
		"5.7.1 mail is not taken": "550 5.7.1 <m@here.example>: Recipient address rejected: mail is not taken",
		"mail is not taken":       "550 5.1.1 <m@here.example>: Recipient address rejected: mail is not taken",
		"450 4.2.1 later":         "450 4.2.1 <m@here.example>: Recipient address rejected: later",
		"4.3.2 later":             "450 4.3.2 <m@here.example>: Recipient address rejected: later",
		"450 later":               "450 4.1.1 <m@here.example>: Recipient address rejected: later",
		"550 5.1.8 sender's code": "550 5.1.2 <m@here.example>: Recipient address rejected: sender's code",
	} {
		to := here("m@here.example", 99)
		to.Rejects = text
		check(t, text, reply(s.Rcpt(ctx, to)), want)
	}
	v.set("smtpd_reject_unlisted_recipient", "no")
	check(t, "off", reply(s.Rcpt(ctx, moved)), "ok")
	v.set("smtpd_recipient_restrictions", "warn_if_reject reject_unlisted_recipient, permit")
	check(t, "warned only", reply(s.Rcpt(ctx, moved)), "ok")
	v.set("smtpd_reject_unlisted_recipient", "yes")
	check(t, "asked again", reply(s.Rcpt(ctx, moved)), "550 5.1.6 <m@here.example>: Recipient address rejected: User has moved to new@there.example")

	v.set("smtpd_reject_unlisted_sender", "yes")
	ghost := from("ghost@here.example")
	ghost.Class, ghost.Listed, ghost.Table = 842, false, "virtual mailbox table"
	s.Mail(ctx, ghost, 0)
	check(t, "sender", reply(s.Rcpt(ctx, here("u@here.example", 40))), "450 4.1.0 <ghost@here.example>: Sender address rejected: User unknown")
	v.set("smtpd_reject_unlisted_sender", "no")
	v.set("smtpd_sender_restrictions", "reject_unlisted_sender")
	v.set("show_user_unknown_table_name", "yes")
	check(t, "sender", reply(s.Rcpt(ctx, here("u@here.example", 40))), "450 4.1.0 <ghost@here.example>: Sender address rejected: User unknown in virtual mailbox table")
	s.Mail(ctx, from(""), 0)
	check(t, "null sender", reply(s.Rcpt(ctx, here("u@here.example", 40))), "ok")
}

// No class, list or table makes a relay, whatever way an address is written.
func TestNoRelay(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_recipient_restrictions", "permit")
	s := v.open(stranger, "h", "a@example.net")
	routed := func(local string) policy.Recipient {
		to := here("x@here.example", 99)
		to.Original.Local, to.Address.Local = local, local
		return to
	}
	check(t, "elsewhere", reply(s.Rcpt(ctx, there("u@there.example"))), "554 5.7.1 <u@there.example>: Relay access denied")
	check(t, "percent", reply(s.Rcpt(ctx, routed("u%there.example"))), "554 5.7.1 <u%there.example@here.example>: Relay access denied")
	check(t, "bang", reply(s.Rcpt(ctx, routed("there.example!u"))), "554 5.7.1 <there.example!u@here.example>: Relay access denied")
	check(t, "quoted at", reply(s.Rcpt(ctx, routed("u@there.example"))), "554 5.7.1 <u@there.example@here.example>: Relay access denied")
	lit := there("u@[203.0.113.9]")
	check(t, "literal", reply(s.Rcpt(ctx, lit)), "554 5.7.1 <u@[203.0.113.9]>: Relay access denied")
	class := there("u@there.example")
	class.RClass = 99
	v.set("smtpd_relay_restrictions", "")
	v.set("smtpd_recipient_restrictions", "permit_mynetworks, reject_unauth_destination, check_recipient_class")
	check(t, "class permit", reply(s.Rcpt(ctx, class)), "554 5.7.1 <u@there.example>: Relay access denied")
	v.set("allow_percent_hack", "no")
	check(t, "no percent hack", reply(s.Rcpt(ctx, routed("u%there.example"))), "ok")
	v.set("allow_untrusted_routing", "yes")
	check(t, "untrusted", reply(s.Rcpt(ctx, routed("there.example!u"))), "ok")
	v.set("allow_untrusted_routing", "no")
	v.set("smtpd_relay_restrictions", "check_recipient_access static:OK, reject_unauth_destination")
	check(t, "OK of a routed one is not believed", reply(s.Rcpt(ctx, routed("there.example!u"))), "554 5.7.1 <there.example!u@here.example>: Relay access denied")
	check(t, "OK of another", reply(s.Rcpt(ctx, there("u@there.example"))), "554 5.7.1 <u@there.example>: Relay access denied")
	v.set("smtpd_recipient_restrictions", "permit_auth_destination, reject")
	check(t, "permit_auth_destination", reply(s.Rcpt(ctx, here("u@here.example", 99))), "ok")
	check(t, "permit_auth_destination", reply(s.Rcpt(ctx, there("u@there.example"))), "554 5.7.1 <u@there.example>: Recipient address rejected: Access denied")
	v.set("smtpd_recipient_restrictions", "reject_non_fqdn_recipient")
	check(t, "fqdn", reply(s.Rcpt(ctx, here("u@here", 99))), "504 5.5.2 <u@here>: Recipient address rejected: need fully-qualified address")
}

func TestRoles(t *testing.T) {
	v := newEnv(t)
	sub := stranger
	sub.Role = policy.Submission
	s := v.open(sub, "[10.0.0.1]", "a@here.example")
	check(t, "nobody", reply(s.Rcpt(ctx, there("u@there.example"))), "554 5.7.1 <mx.example.net[192.0.2.10]>: Client host rejected: Access denied")
	s.Login("a@here.example", "PLAIN")
	check(t, "logged in", reply(s.Rcpt(ctx, there("u@there.example"))), "ok")
	check(t, "blocked class does not ask one's own", reply(s.Rcpt(ctx, here("u@here.example", 50))), "ok")
	v.set("mua_recipient_restrictions", "check_recipient_class")
	check(t, "unless told", reply(s.Rcpt(ctx, here("u@here.example", 50))), "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied")

	mx := v.open(stranger, "h", "a@here.example")
	mx.Login("a@here.example", "PLAIN")
	check(t, "logged in at the MX", reply(mx.Rcpt(ctx, there("u@there.example"))), "ok")

	lmtp := stranger
	lmtp.Role = policy.LMTP
	v.set("smtpd_client_restrictions", "reject")
	l := v.open(lmtp, "h", "a@example.net")
	check(t, "lmtp", reply(l.Rcpt(ctx, here("u@here.example", 50))), "ok")
	check(t, "lmtp elsewhere", reply(l.Rcpt(ctx, there("u@there.example"))), "554 5.7.1 <u@there.example>: Relay access denied")
	gone := here("u@here.example", 50)
	gone.Listed, gone.Table = false, "virtual mailbox table"
	check(t, "lmtp unknown", reply(l.Rcpt(ctx, gone)), "550 5.1.1 <u@here.example>: Recipient address rejected: User unknown in virtual mailbox table")
}

func TestPipelining(t *testing.T) {
	v := newEnv(t)
	v.set("smtpd_client_restrictions", "reject_unauth_pipelining")
	s := v.open(stranger, "h", "a@example.net")
	check(t, "before", reply(s.Rcpt(ctx, here("u@here.example", 40))), "ok")
	s.Pipelined()
	check(t, "after", reply(s.Rcpt(ctx, here("u@here.example", 40))), "503 5.5.0 <mx.example.net[192.0.2.10]>: Client host rejected: Improper use of SMTP command pipelining")
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newEnvAlone(t)
		for list, want := range map[string]time.Duration{"sleep 5": 5 * time.Second, "sleep 0": 0, "sleep 99999": 300 * time.Second} {
			v.set("smtpd_recipient_restrictions", list)
			start := time.Now()
			check(t, list, v.try(), "ok")
			if got := time.Since(start); got != want {
				t.Errorf("%s took %v", list, got)
			}
		}
		v.set("smtpd_recipient_restrictions", "sleep often")
		check(t, "not a number", v.try(), "451 4.3.5 Server configuration error")
		v.set("smtpd_recipient_restrictions", "sleep 100")
		s := v.open(stranger, "h", "a@example.net")
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		start := time.Now()
		s.Rcpt(short, here("u@here.example", 99))
		if got := time.Since(start); got != time.Second {
			t.Errorf("a client that is gone was waited for, %v", got)
		}
	})
}

// certificate makes a self-signed client certificate.
func certificate(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "laptop"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func print256(data []byte) string {
	sum := sha256.Sum256(data)
	var list []string
	for _, b := range sum {
		list = append(list, fmt.Sprintf("%02X", b))
	}
	return strings.Join(list, ":")
}

func TestCertificates(t *testing.T) {
	v := newEnv(t)
	cert := certificate(t)
	v.set("smtpd_client_restrictions", "permit_tls_clientcerts, reject_plaintext_session, reject")
	session := func(st *tls.ConnectionState) *policy.Session {
		s := v.e.NewSession(stranger)
		s.Helo(ctx, "h", true)
		s.TLS(st)
		s.Helo(ctx, "h", true)
		s.Mail(ctx, from("a@example.net"), 0)
		return s
	}
	shown := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
	trusted := &tls.ConnectionState{PeerCertificates: shown.PeerCertificates, VerifiedChains: [][]*x509.Certificate{{cert}}}
	to := here("u@here.example", 40)
	denied := "554 5.7.1 <mx.example.net[192.0.2.10]>: Client host rejected: Access denied"
	check(t, "encrypted", reply(session(&tls.ConnectionState{}).Rcpt(ctx, to)), denied)
	check(t, "not listed", reply(session(trusted).Rcpt(ctx, to)), denied)
	v.set("relay_clientcerts", "hash:certs")
	v.access("certs", print256(cert.Raw), "laptop")
	check(t, "listed", reply(session(shown).Rcpt(ctx, to)), "ok")
	v.exec(`UPDATE Access SET acKey = ?`, print256(cert.RawSubjectPublicKeyInfo))
	check(t, "key listed", reply(session(shown).Rcpt(ctx, to)), "ok")
	v.exec(`DELETE FROM Access`)
	check(t, "no longer", reply(session(shown).Rcpt(ctx, to)), denied)
	v.set("smtpd_client_restrictions", "permit_tls_all_clientcerts, reject")
	check(t, "trusted", reply(session(trusted).Rcpt(ctx, to)), "ok")
	check(t, "self-signed", reply(session(shown).Rcpt(ctx, to)), denied)
	v.set("smtpd_client_restrictions", "check_ccert_access certs")
	v.access("certs", print256(cert.RawSubjectPublicKeyInfo), "REJECT lost")
	check(t, "refused", reply(session(shown).Rcpt(ctx, to)), "554 5.7.1 <laptop>: Client certificate rejected: lost")
	v.set("smtpd_tls_fingerprint_digest", "md5")
	check(t, "digest", reply(session(shown).Rcpt(ctx, to)), "451 4.3.5 Server configuration error")
}
