package test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/internal/address"
	"mailserver/internal/dns/dnstest"
	"mailserver/internal/testenv"
)

// dialogue is an SMTP session with a test server.
type dialogue struct {
	t *testing.T
	c *testenv.Client
}

func dialog(t *testing.T, e *testenv.Env, p testenv.Protocol, from string) *dialogue {
	t.Helper()
	k := &dialogue{t, e.Dial(p)}
	k.reply()
	k.say("EHLO client.example")
	if from != "-" {
		if got := k.say("MAIL FROM:<%s>", from); !strings.HasPrefix(got, "250") {
			t.Fatalf("MAIL FROM:<%s>: %s", from, got)
		}
	}
	return k
}

// reply reads one reply and returns its last line.
func (k *dialogue) reply() string {
	for {
		line, err := k.c.Line()
		if err != nil {
			return err.Error()
		}
		if len(line) < 4 || line[3] != '-' {
			return line
		}
	}
}

func (k *dialogue) say(format string, args ...any) string {
	k.t.Helper()
	if err := k.c.Send(fmt.Sprintf(format, args...)); err != nil {
		k.t.Fatal(err)
	}
	return k.reply()
}

func (k *dialogue) want(prefix, format string, args ...any) {
	k.t.Helper()
	if got := k.say(format, args...); !strings.HasPrefix(got, prefix) {
		k.t.Errorf("%s:\n got %s\nwant %s...", fmt.Sprintf(format, args...), got, prefix)
	}
}

// everybodyMayWrite is for servers whose tests are not about classes.
const everybodyMayWrite = "UPDATE Domain SET domRcNum = 99; UPDATE Address SET addRcNum = NULL WHERE addLocalpart NOT IN ('strict');"

func setting(name, value string) string {
	return fmt.Sprintf("INSERT OR REPLACE INTO Setting (stName, stValue) VALUES ('%s', '%s');", name, value)
}

func class(name, list string) string {
	return fmt.Sprintf("INSERT OR REPLACE INTO Restriction (rsName, rsList) VALUES ('%s', '%s');", name, list)
}

const refusedRelay = "554 5.7.1 "

// TestNoOpenRelay sends the probes that open relays are looked for with. None
// may be taken, whatever an allow list or a permitting class says.
func TestNoOpenRelay(t *testing.T) {
	e := testenv.Start(t, testenv.Options{SQL: everybodyMayWrite + setting("smtpd_hard_error_limit", "1000") + setting("smtpd_soft_error_limit", "1000"), Zone: "1.0.0.127.wl.example. A 127.0.10.3\nmx.wl.example. A 127.0.10.3\n"})
	_, port, _ := net.SplitHostPort(e.Addr(testenv.SMTP))
	probes := strings.Split(strings.ReplaceAll(`relaytest@far.example
relaytest%far.example@vmail.example
relaytest%far.example@mx.example
relaytest%far.example@local.example
relaytest%far.example@[127.0.0.1]
relaytest%far.example
"relaytest%far.example"
"relaytest@far.example"
"relaytest@far.example"@vmail.example
"relaytest@far.example"@[127.0.0.1]
"relaytest%far.example"@vmail.example
relaytest@far.example@vmail.example
relaytest@far.example@mx.example
far.example!relaytest
far.example!relaytest@vmail.example
far.example!relaytest@mx.example
far.example!relaytest@[127.0.0.1]
"far.example!relaytest"@mx.example
@mx.example:relaytest@far.example
@vmail.example:relaytest@far.example
@[127.0.0.1]:relaytest@far.example
@far.example:relaytest%far.example@vmail.example
@vmail.example,@mx.example:relaytest@far.example
relaytest%far.example@relay.example
relaytest%far.example@catchall.example
relaytest%far.example@alias.example
far.example!relaytest@catchall.example
"relaytest@far.example"@catchall.example
relaytest@[192.0.2.77]
relaytest@[IPv6:2001:db8::77]
relaytest@192.0.2.77
relaytest@far.example.
relaytest@FAR.example
relaytest@sub.vmail.example
relaytest@vmail.example.far.example
relaytest@vmail.example@far.example
relaytest@mx.example:PORT
relaytest%%far.example@vmail.example
joe@vmail.example@far.example
joe%vmail.example@far.example
relaytest\@far.example@mx.example
postmaster@far.example
postmaster%far.example@mx.example`, "PORT", port), "\n")
	lists := map[string]string{
		"as installed":                 "",
		"allow list in the relay list": setting("smtpd_relay_restrictions", "permit_dnswl_client wl.example, permit_rhswl_client wl.example, reject_unauth_destination"),
		"allow list as the whole":      setting("smtpd_relay_restrictions", "") + setting("smtpd_recipient_restrictions", "permit_dnswl_client wl.example, reject_unauth_destination"),
		"class permits":                setting("default_rclass", "99"),
		"class permits before the guard, relay list holds": setting("smtpd_recipient_restrictions", "check_recipient_class, permit"),
		"table permits routed addresses":                   setting("smtpd_recipient_restrictions", "check_recipient_access inline:{vmail.example=OK, mx.example=OK, catchall.example=OK}, reject_unauth_destination"),
	}
	for name, sql := range lists {
		t.Run(name, func(t *testing.T) {
			e.SQL("DELETE FROM Setting WHERE stName LIKE 'smtpd_re%_restrictions' OR stName = 'default_rclass';" + sql)
			for _, from := range []string{"spam@evil.example", "", "joe@vmail.example"} {
				k := dialog(t, e, testenv.SMTP, from)
				for _, to := range probes {
					// Local parts of catchall.example are all one mailbox: what
					// looks like a way on must be refused, too.
					if got := k.say("RCPT TO:<%s>", to); got[0] != '5' {
						t.Errorf("from <%s> to <%s>: %s", from, to, got)
					}
				}
				k.want("250", "RCPT TO:<joe@vmail.example>")
			}
		})
	}
}

// TestClassesThreeDeep: a class in a class in a class; a loop and an unknown
// name are 451, and a row mends them while the session goes on.
func TestClassesThreeDeep(t *testing.T) {
	e := testenv.Start(t, testenv.Options{SQL: everybodyMayWrite +
		"INSERT INTO RClass VALUES (60, 'deep'), (61, 'loop'), (62, 'lost'); UPDATE Address SET addRcNum = 60 WHERE addLocalpart = 'ann'; UPDATE Address SET addRcNum = 61 WHERE addLocalpart = 'open'; UPDATE Address SET addRcNum = 62 WHERE addLocalpart = 'strict';" +
		class("RC60-deep", "z-one") + class("z-one", "z-two") + class("z-two", "z-three, permit") + class("z-three", "check_sender_access inline:{bad@x.example=REJECT}") +
		class("RC61-loop", "z-a") + class("z-a", "z-b") + class("z-b", "z-a") + class("RC62-lost", "z-nowhere, permit")})
	k := dialog(t, e, testenv.SMTP, "good@x.example")
	k.want("250 2.1.5", "RCPT TO:<ann@vmail.example>")
	k.want("451 4.3.5 Server configuration error", "RCPT TO:<open@vmail.example>")
	k.want("451 4.3.5 Server configuration error", "RCPT TO:<strict@vmail.example>")
	e.SQL(class("z-nowhere", "z-helo") + class("z-b", "permit"))
	k.want("250 2.1.5", "RCPT TO:<open@vmail.example>")
	k.want("250 2.1.5", "RCPT TO:<strict@vmail.example>")
	k = dialog(t, e, testenv.SMTP, "bad@x.example")
	k.want("554 5.7.1 <bad@x.example>: Sender address rejected: Access denied", "RCPT TO:<ann@vmail.example>")
	if !strings.Contains(e.Log(), "unknown smtpd restriction: \"z-nowhere\"") || !strings.Contains(e.Log(), "nested deeper than") {
		t.Error("the log does not name what is wrong")
	}
}

// inbox counts the messages of a mailbox.
func inbox(t *testing.T, e *testenv.Env, user string) int {
	t.Helper()
	n := 0
	for _, sub := range []string{"new", "cur"} {
		list, err := os.ReadDir(filepath.Join(e.Folder(user, "INBOX"), sub))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		n += len(list)
	}
	return n
}

func (k *dialogue) letter() {
	k.t.Helper()
	k.want("354", "DATA")
	k.want("250 2.0.0", "From: <a@x.example>\r\nSubject: x\r\n\r\ntext\r\n.")
}

// TestTraps are the places where servers that mean to do as Postfix go wrong.
func TestTraps(t *testing.T) {
	t.Parallel()
	stage := func(t *testing.T, sql string) *testenv.Env {
		return testenv.Start(t, testenv.Options{SQL: everybodyMayWrite + sql, Zone: "1.0.0.127.wl.example. A 127.0.10.3\n",
			Dial: func(context.Context, string, string) (net.Conn, error) { return refuser(), nil }})
	}
	resolve := func(t *testing.T, e *testenv.Env, to string) string {
		t.Helper()
		a, err := address.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		list, err := e.Route.Expand(context.Background(), a)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, d := range list {
			s := d.Kind.String()
			if d.Box != nil {
				s += " " + d.Box.User
			}
			if d.Nexthop != "" {
				s += fmt.Sprintf(" %s:%s mx=%v", d.Transport, d.Nexthop, d.MX)
			}
			out = append(out, s)
		}
		return strings.Join(out, ", ")
	}
	same := func(t *testing.T, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	t.Run("01 two recipients of one message have different classes", func(t *testing.T) {
		e := stage(t, "")
		k := dialog(t, e, testenv.SMTP, "a@x.example")
		k.want("554 5.7.1 <strict@vmail.example>", "RCPT TO:<strict@vmail.example>")
		k.want("250", "RCPT TO:<open@vmail.example>")
		k.letter()
		same(t, fmt.Sprint(inbox(t, e, "strict@vmail.example"), inbox(t, e, "open@vmail.example")), "0 1")
	})
	t.Run("02 warn_if_reject before a class softens all of it", func(t *testing.T) {
		e := stage(t, setting("smtpd_recipient_restrictions", "reject_unauth_destination, warn_if_reject z-w")+class("z-w", "check_sender_access inline:{a@x.example=REJECT}, z-w2")+class("z-w2", "reject_non_fqdn_sender, reject"))
		k := dialog(t, e, testenv.SMTP, "a@x.example")
		k.want("250", "RCPT TO:<joe@vmail.example>")
		if n := strings.Count(e.Log(), "reject_warning: RCPT"); n != 2 {
			t.Errorf("%d warnings in the log, want 2", n)
		}
	})
	t.Run("03 permit_dnswl_client grants no relay", func(t *testing.T) {
		e := stage(t, setting("smtpd_relay_restrictions", "permit_dnswl_client wl.example, reject_unauth_destination")+setting("smtpd_recipient_restrictions", "permit_dnswl_client wl.example, reject"))
		k := dialog(t, e, testenv.SMTP, "a@x.example")
		k.want(refusedRelay, "RCPT TO:<b@far.example>")
		k.want("250", "RCPT TO:<joe@vmail.example>")
	})
	t.Run("04 defer_if_permit and a later permit are 4xx", func(t *testing.T) {
		e := stage(t, setting("smtpd_recipient_restrictions", "reject_unauth_destination, defer_if_permit, permit"))
		dialog(t, e, testenv.SMTP, "a@x.example").want("450 4.7.0", "RCPT TO:<joe@vmail.example>")
	})
	t.Run("05 the null sender is looked up as <>", func(t *testing.T) {
		e := stage(t, setting("smtpd_sender_restrictions", "check_sender_access nulls, reject_sender_login_mismatch")+"INSERT INTO Access (acTable, acKey, acAction) VALUES ('nulls', '<>', '450 4.7.1 no bounces');")
		dialog(t, e, testenv.SMTP, "").want("450 4.7.1 <>: Sender address rejected: no bounces", "RCPT TO:<joe@vmail.example>")
		e.SQL("DELETE FROM Access WHERE acTable = 'nulls'; INSERT INTO Access (acTable, acKey, acAction) VALUES ('nulls', 'x@y.example', 'DUNNO');")
		dialog(t, e, testenv.SMTP, "").want("250", "RCPT TO:<joe@vmail.example>")
	})
	t.Run("06 a virtual alias works for an address of any class", func(t *testing.T) {
		e := stage(t, `INSERT INTO Domain (domName) VALUES ('far.example');
			INSERT INTO Address (addLocalpart, addDomNum) SELECT 'x', domNum FROM Domain WHERE domName = 'far.example';
			INSERT INTO VAlias (vaNum, vaTargetNum) SELECT a.addNum, b.addNum FROM Address a, Address b WHERE a.addLocalpart = 'x' AND b.addLocalpart = 'joe';`)
		same(t, resolve(t, e, "x@far.example"), "mailbox joe@vmail.example")
		same(t, resolve(t, e, "y@far.example"), "next smtp:far.example mx=true")
	})
	t.Run("07 a bare name is a key for local domains only", func(t *testing.T) {
		e := stage(t, "INSERT INTO Relocated (rlAddress, rlTarget) VALUES ('sam', 'new@x.example'), ('joe', 'new@x.example');")
		k := dialog(t, e, testenv.SMTP, "a@x.example")
		k.want("250", "RCPT TO:<joe@vmail.example>")
		k.want("550 5.1.6 <sam@mx.example>: Recipient address rejected: User has moved to new@x.example", "RCPT TO:<sam@mx.example>")
	})
	t.Run("08 with - as delimiter owner-x and x-request are whole", func(t *testing.T) {
		e := stage(t, setting("recipient_delimiter", "-")+`INSERT INTO Address (addLocalpart, addDomNum) SELECT 'crew', domNum FROM Domain WHERE domName = 'vmail.example';
			INSERT INTO VMailbox (vmNum) SELECT addNum FROM Address WHERE addLocalpart = 'crew';`)
		k := dialog(t, e, testenv.SMTP, "a@x.example")
		k.want("250", "RCPT TO:<crew-any@vmail.example>")
		k.want("550 5.1.1", "RCPT TO:<crew-request@vmail.example>")
		k.want("550 5.1.1", "RCPT TO:<owner-crew@vmail.example>")
	})
	t.Run("09 undeliverable mail from <> is dropped, not bounced", func(t *testing.T) {
		e := stage(t, "")
		k := dialog(t, e, testenv.SMTP, "")
		k.want("250", "RCPT TO:<user@relay.example>")
		k.letter()
		waitFor(t, "the end of the message", func() bool { return strings.Contains(e.Log(), "undeliverable bounce discarded") })
	})
	t.Run("10 a domain in two lists has one class", func(t *testing.T) {
		e := stage(t, setting("mydestination", "$myhostname, vmail.example"))
		dialog(t, e, testenv.SMTP, "a@x.example").want("550 5.1.1 <sam@vmail.example>: Recipient address rejected: User unknown in virtual mailbox table", "RCPT TO:<sam@vmail.example>")
	})
	t.Run("11 a mailbox is stronger than a catch-all", func(t *testing.T) {
		e := stage(t, `INSERT INTO Address (addLocalpart, addDomNum) SELECT '', domNum FROM Domain WHERE domName = 'vmail.example';
			INSERT INTO VAlias (vaNum, vaTargetNum) SELECT a.addNum, b.addNum FROM Address a, Address b, Domain WHERE a.addLocalpart = '' AND a.addDomNum = domNum AND domName = 'vmail.example' AND b.addLocalpart = 'ann';`)
		same(t, resolve(t, e, "joe@vmail.example"), "mailbox joe@vmail.example")
		same(t, resolve(t, e, "nobody@vmail.example"), "mailbox ann@vmail.example")
		e.SQL(setting("catchall_postfix_compat", "yes"))
		same(t, resolve(t, e, "joe@vmail.example"), "mailbox ann@vmail.example")
	})
	t.Run("12 a transport without a next hop, and a next hop without one", func(t *testing.T) {
		e := stage(t, `INSERT INTO Transport (tpNum) VALUES (70); INSERT INTO Transport (tpNum, tpTransport) VALUES (71, 'smtp'); INSERT INTO Transport (tpNum, tpNexthop, tpMx) VALUES (72, 'hub.example', 0);
			INSERT INTO Address (addLocalpart, addDomNum, addTpNum) SELECT column1, domNum, column2 FROM (VALUES ('same', 70), ('reset', 71), ('hub', 72)), Domain WHERE domName = 'relay.example';`)
		same(t, resolve(t, e, "same@relay.example"), "next relay:relay.example mx=true") // what its class has
		same(t, resolve(t, e, "reset@relay.example"), "next smtp:relay.example mx=true")
		same(t, resolve(t, e, "hub@relay.example"), "next relay:hub.example mx=false")
	})
	t.Run("13 a class that permits ends its own list only", func(t *testing.T) {
		e := stage(t, setting("smtpd_recipient_restrictions", "check_recipient_class, reject"))
		k := dialog(t, e, testenv.SMTP, "a@x.example")
		k.want("250", "RCPT TO:<open@vmail.example>")
		k.want(refusedRelay, "RCPT TO:<open@far.example>")
		e.SQL(setting("smtpd_data_restrictions", "reject"))
		k.want("554 5.7.1 <DATA>: Data command rejected: Access denied", "DATA")
	})
	t.Run("14 AUTH is not offered before TLS", func(t *testing.T) {
		e := stage(t, "")
		c := e.Dial(testenv.Submission)
		c.Line()
		c.Send("EHLO client.example")
		for line, err := c.Line(); ; line, err = c.Line() {
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(line, "AUTH") {
				t.Error(line)
			}
			if line[3] == ' ' {
				break
			}
		}
	})
	t.Run("15 a bare line feed ends no message", func(t *testing.T) {
		e := stage(t, "")
		k := dialog(t, e, testenv.SMTP, "a@x.example")
		k.want("250", "RCPT TO:<joe@vmail.example>")
		k.want("354", "DATA")
		k.c.SendRaw("Subject: x\r\n\r\none\n.\nMAIL FROM:<evil@x.example>\nRCPT TO:<ann@vmail.example>\nDATA\ntwo\n.\r\n\r\n.\r\n")
		if got := k.reply(); got[0] != '2' && got[0] != '5' {
			t.Error(got)
		}
		k.want("250", "NOOP")
		if n := inbox(t, e, "ann@vmail.example"); n != 0 {
			t.Error("a second message was made of the first")
		}
	})
	t.Run("16 a table that cannot be read is 451, never 550", func(t *testing.T) {
		e := stage(t, setting("smtpd_sender_restrictions", "check_sender_access hash:senders")+"INSERT INTO Access (acTable, acKey, acAction) VALUES ('senders', 'b@x.example', 'REJECT');")
		dialog(t, e, testenv.SMTP, "b@x.example").want("554", "RCPT TO:<joe@vmail.example>")
		e.SQL("ALTER TABLE Access RENAME TO Gone;")
		dialog(t, e, testenv.SMTP, "b@x.example").want("451 4.3.0", "RCPT TO:<joe@vmail.example>")
		dialog(t, e, testenv.SMTP, "c@x.example").want("451 4.3.0", "RCPT TO:<joe@vmail.example>")
		e.SQL("ALTER TABLE Gone RENAME TO Access;")
		dialog(t, e, testenv.SMTP, "c@x.example").want("250", "RCPT TO:<joe@vmail.example>")
	})
}

// refuser is a next hop that takes no recipient.
func refuser() net.Conn {
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		there.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(there, "220 hop.example ESMTP\r\n")
		for s := bufio.NewScanner(there); s.Scan(); {
			switch line := strings.ToUpper(s.Text()); {
			case strings.HasPrefix(line, "RCPT TO:<GOOD"):
				fmt.Fprint(there, "250 2.1.5 good\r\n")
			case strings.HasPrefix(line, "RCPT"):
				fmt.Fprint(there, "550 5.1.1 no such user\r\n")
			case strings.HasPrefix(line, "QUIT"):
				fmt.Fprint(there, "221 bye\r\n")
				return
			default:
				fmt.Fprint(there, "250 ok\r\n")
			}
		}
	}()
	return here
}

// TestMailWhileTheDNSFails: with a resolver that answers nobody, no client
// waits longer than policy_dns_time_limit, lists refuse nobody, and what was
// taken is there.
func TestMailWhileTheDNSFails(t *testing.T) {
	t.Parallel()
	lists := "reject_rbl_client a.example, reject_rbl_client b.example, reject_rbl_client c.example, reject_rhsbl_helo d.example, reject_rhsbl_sender e.example"
	e := testenv.Start(t, testenv.Options{SQL: everybodyMayWrite + setting("policy_dns_time_limit", "1s") + setting("smtpd_client_restrictions", lists)})
	for _, n := range []string{"1.0.0.127.a.example", "1.0.0.127.b.example", "1.0.0.127.c.example", "client.example.d.example", "x.example.e.example", "x.example", "client.example", "1.0.0.127.in-addr.arpa"} {
		e.DNS.Fail(n, dnstest.Fault{Silent: true})
	}
	begun := time.Now()
	for range 3 {
		k := dialog(t, e, testenv.SMTP, "a@x.example")
		k.want("250", "RCPT TO:<joe@vmail.example>")
		k.letter()
	}
	if took := time.Since(begun); took > 90*time.Second {
		t.Errorf("three messages took %v", took)
	}
	if n := inbox(t, e, "joe@vmail.example"); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
	e.SQL(setting("smtpd_sender_restrictions", "reject_unknown_sender_domain"))
	dialog(t, e, testenv.SMTP, "a@x.example").want("450 4.1.8 <a@x.example>: Sender address rejected: Domain not found", "RCPT TO:<joe@vmail.example>")
	e.SQL(setting("smtpd_sender_restrictions", "") + setting("smtpd_client_restrictions", "reject_unknown_client_hostname"))
	dialog(t, e, testenv.SMTP, "a@x.example").want("450 4.7.25 Client host rejected: cannot find your hostname, [127.0.0.1]", "RCPT TO:<joe@vmail.example>")
}

// TestAddressVerificationByProbes: probes go where mail would, and leave none.
func TestAddressVerificationByProbes(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	e := testenv.Start(t, testenv.Options{SQL: everybodyMayWrite + setting("smtpd_sender_restrictions", "reject_unverified_sender") + setting("unverified_sender_reject_code", "550"),
		Zone: "far.example. MX 10 mx.far.example.\nmx.far.example. A 192.0.2.99\nnull.example. MX 0 .\n",
		Dial: func(context.Context, string, string) (net.Conn, error) {
			c := refuser()
			return spied{c, func(line string) { mu.Lock(); asked = append(asked, line); mu.Unlock() }}, nil
		}})
	try := func(from, want string) {
		t.Helper()
		dialog(t, e, testenv.SMTP, from).want(want, "RCPT TO:<joe@vmail.example>")
	}
	try("good@far.example", "250 2.1.5")
	try("bad@far.example", "550 5.1.7 <bad@far.example>: Sender address rejected: undeliverable address: host mx.far.example[192.0.2.99] said: 550 5.1.1 no such user (in reply to RCPT TO command)")
	try("a@null.example", "550 5.1.7 <a@null.example>: Sender address rejected: undeliverable address: Domain null.example does not accept mail (nullMX)")
	try("a@nowhere.example", "550 5.1.7 <a@nowhere.example>: Sender address rejected: undeliverable address: Host or domain name not found.")
	try("joe@vmail.example", "250 2.1.5")
	try("ghost@vmail.example", "550 5.1.7 <ghost@vmail.example>: Sender address rejected: undeliverable address: unknown user")
	try("everybody@alias.example", "250 2.1.5")
	try("", "250 2.1.5")
	mu.Lock()
	all := strings.Join(asked, "")
	mu.Unlock()
	if !strings.Contains(all, "MAIL FROM:<double-bounce@mx.example>") || strings.Contains(all, "DATA") || strings.Count(all, "RCPT TO:<good@far.example>") != 1 {
		t.Errorf("the next hop was asked:\n%s", all)
	}
	if n := inbox(t, e, "joe@vmail.example"); n != 0 {
		t.Errorf("a probe has left %d messages", n)
	}
	if list, err := e.State.QueuePage(context.Background(), "", 10); err != nil || len(list) != 0 {
		t.Errorf("a probe has left %d messages in the queue (%v)", len(list), err)
	}
	if !strings.Contains(e.Log(), "to=<bad@far.example>, relay=mx.far.example[192.0.2.99]:25") || !strings.Contains(e.Log(), "status=undeliverable (host mx.far.example") {
		t.Error("the log does not tell of the probe")
	}
}

// spied tells what is written to a connection.
type spied struct {
	net.Conn
	tell func(string)
}

func (s spied) Write(p []byte) (int, error) {
	s.tell(string(p))
	return s.Conn.Write(p)
}

// TestGreylistOfTheSuspicious: only who stands on a list is asked to come back.
func TestGreylistOfTheSuspicious(t *testing.T) {
	t.Parallel()
	e := testenv.Start(t, testenv.Options{SQL: everybodyMayWrite + setting("greylist_delay", "2s") +
		setting("smtpd_recipient_restrictions", "reject_unauth_destination, z-suspicious") + class("z-suspicious", "warn_if_reject reject_rbl_client bl.example, check_sender_access inline:{spam.example=check_greylist}")})
	dialog(t, e, testenv.SMTP, "a@x.example").want("250", "RCPT TO:<joe@vmail.example>")
	dialog(t, e, testenv.SMTP, "a@spam.example").want("450 4.2.0 <joe@vmail.example>: Recipient address rejected: Greylisted, try again later", "RCPT TO:<joe@vmail.example>")
	time.Sleep(2100 * time.Millisecond)
	k := dialog(t, e, testenv.SMTP, "a@spam.example")
	k.want("250", "RCPT TO:<joe@vmail.example>")
	k.letter()
	e.Restart()
	dialog(t, e, testenv.SMTP, "a@spam.example").want("250", "RCPT TO:<joe@vmail.example>")
}
