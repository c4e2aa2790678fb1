package policy_test

import (
	"context"
	"strings"
	"testing"

	"mailserver/policy"
)

var ctx = context.Background()

// One session, three recipients with three classes: one refused, one accepted,
// one deferred, with the texts of the classes.
func TestThreeClassesInOneSession(t *testing.T) {
	v := newEnv(t)
	v.exec(`INSERT INTO RClass VALUES (35, 'closed'), (36, 'later')`)
	v.class("RC35-closed", "reject", "This mailbox is closed, call us")
	v.class("RC36-later", "z-wait")
	v.class("z-wait", "defer", "450 4.2.1 Away until Monday")
	s := v.open(stranger, "mx.example.net", "a@example.net")
	check(t, "closed", reply(s.Rcpt(ctx, here("c@here.example", 35))),
		"554 5.7.1 <c@here.example>: Recipient address rejected: This mailbox is closed, call us")
	check(t, "open", reply(s.Rcpt(ctx, here("o@here.example", 40))), "ok")
	later := s.Rcpt(ctx, here("l@here.example", 36))
	check(t, "later", reply(later), "450 4.2.1 <l@here.example>: Recipient address rejected: Away until Monday")
	check(t, "rule", later.Rule, "RC36-later/z-wait/defer")
	check(t, "data", reply(s.Data(ctx)), "ok")
	check(t, "end", reply(s.EndOfData(ctx, policy.Content{Size: 100})), "ok")
}

// A class by number, as the appendix blocks an address; the plain text.
func TestBlockedNumbers(t *testing.T) {
	v := newEnv(t)
	s := v.open(stranger, "mx.example.net", "")
	for num, want := range map[int]string{
		0:  "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied",
		50: "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied",
		40: "ok", 30: "ok", 20: "ok", 10: "ok", 1: "ok", 99: "ok",
	} {
		check(t, "class", reply(s.Rcpt(ctx, here("u@here.example", num))), want)
	}
}

// B6: a number without a row, and a row without a class, defer and lose
// nothing; a row mends it at the next command.
func TestMissingClassDefers(t *testing.T) {
	v := newEnv(t)
	s := v.open(stranger, "mx.example.net", "a@example.net")
	to := here("u@here.example", 35)
	check(t, "no number", reply(s.Rcpt(ctx, to)), "451 4.3.5 Server configuration error")
	v.exec(`INSERT INTO RClass VALUES (35, 'yourclass')`)
	check(t, "no class", reply(s.Rcpt(ctx, to)), "451 4.3.5 Server configuration error")
	v.class("RC35-yourclass", "z-yourClass1, yourClass2")
	check(t, "no component", reply(s.Rcpt(ctx, to)), "451 4.3.5 Server configuration error")
	v.class("z-yourClass1", "reject_unlisted_recipient")
	v.class("YOURCLASS2", "permit")
	check(t, "mended", reply(s.Rcpt(ctx, to)), "ok")
	for _, want := range []string{
		"restriction class 35 of <u@here.example> has no row in RClass",
		"restriction class RC35-yourclass of <u@here.example> has no row in Restriction",
		`unknown smtpd restriction: \"z-yourClass1\"`,
	} {
		if !strings.Contains(v.log.String(), want) {
			t.Errorf("log lacks %s:\n%s", want, v.log.String())
		}
	}
	if v.script(`INSERT INTO RClass VALUES (100, 'wrap')`) == nil {
		t.Error("class 100 was taken")
	}
}

// A class that refuses says so for a recipient found by a catch-all, for a
// system user and for an unlisted one alike: the class comes with the
// recipient, wherever the address was found (B1, B5).
func TestClassComesWithTheRecipient(t *testing.T) {
	v := newEnv(t)
	s := v.open(stranger, "mx.example.net", "a@example.net")
	want := "554 5.7.1 <anything@catchall.example>: Recipient address rejected: Access denied"
	check(t, "catch-all", reply(s.Rcpt(ctx, here("anything@catchall.example", 50))), want)
	sys := here("abuse@myhost.example", 50)
	sys.Class = 1
	check(t, "system user", reply(s.Rcpt(ctx, sys)), "554 5.7.1 <abuse@myhost.example>: Recipient address rejected: Access denied")
}

func TestNestedClasses(t *testing.T) {
	v := newEnv(t)
	v.exec(`INSERT INTO RClass VALUES (70, 'three'), (71, 'loop'), (72, 'self')`)
	v.class("RC70-three", "z-one")
	v.class("z-one", "Z-Two", "text of one")
	v.class("z-two", "z-three")
	v.class("z-three", "reject")
	v.class("RC71-loop", "z-a")
	v.class("z-a", "z-b")
	v.class("z-b", "z-a")
	v.class("RC72-self", "check_recipient_access static:{RC72-self}")
	s := v.open(stranger, "mx.example.net", "a@example.net")
	three := s.Rcpt(ctx, here("u@here.example", 70))
	check(t, "three deep", reply(three), "554 5.7.1 <u@here.example>: Recipient address rejected: text of one")
	check(t, "rule", three.Rule, "RC70-three/z-one/z-two/z-three/reject")
	check(t, "loop", reply(s.Rcpt(ctx, here("u@here.example", 71))), "451 4.3.5 Server configuration error")
	check(t, "loop by action", reply(s.Rcpt(ctx, here("u@here.example", 72))), "451 4.3.5 Server configuration error")
	check(t, "after", reply(s.Rcpt(ctx, here("u@here.example", 40))), "ok")
}

// The text of a class stands for plain refusals; what a row says, and what is
// not a refusal of the class, keeps its words.
func TestTextOfClass(t *testing.T) {
	v := newEnv(t)
	v.exec(`INSERT INTO RClass VALUES (60, 'x'), (61, 'y'), (62, 'z')`)
	v.class("RC60-x", "reject_unlisted_recipient, check_sender_access senders, nonsense", "Sorry")
	v.access("senders", "row@example.net", "REJECT text of the row")
	v.access("senders", "plain@example.net", "REJECT")
	v.class("RC61-y", "reject", "5.1.1 no such user")
	v.class("RC62-z", "reject", "421 4.7.0 odd code")
	to := here("u@here.example", 60)
	check(t, "row", reply(v.rcpt(stranger, "h", "row@example.net", to)), "554 5.7.1 <row@example.net>: Sender address rejected: text of the row")
	check(t, "row without text", reply(v.rcpt(stranger, "h", "plain@example.net", to)), "554 5.7.1 <plain@example.net>: Sender address rejected: Sorry")
	check(t, "configuration", reply(v.rcpt(stranger, "h", "x@example.net", to)), "451 4.3.5 Server configuration error")
	to.Listed, to.Table = false, "virtual mailbox table"
	check(t, "unlisted", reply(v.rcpt(stranger, "h", "x@example.net", to)), "550 5.1.1 <u@here.example>: Recipient address rejected: Sorry")
	check(t, "enhanced", reply(v.rcpt(stranger, "h", "x@example.net", here("u@here.example", 61))), "554 5.1.1 <u@here.example>: Recipient address rejected: no such user")
	check(t, "code", reply(v.rcpt(stranger, "h", "x@example.net", here("u@here.example", 62))), "421 4.7.0 <u@here.example>: Recipient address rejected: odd code")
}

// Rows that another program changes act at the next command.
func TestChangedRowsActAtOnce(t *testing.T) {
	v := newEnv(t)
	s := v.open(stranger, "mx.example.net", "a@example.net")
	to := here("u@here.example", 40)
	check(t, "before", reply(s.Rcpt(ctx, to)), "ok")
	v.exec(`UPDATE Restriction SET rsList = 'reject' WHERE rsName = 'RC40-weak'`)
	check(t, "class changed", reply(s.Rcpt(ctx, to)), "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied")
	v.exec(`UPDATE Restriction SET rsList = 'permit' WHERE rsName = 'RC40-weak'`)
	v.set("smtpd_client_restrictions", "check_client_access nets")
	v.accessRow("cidr", "nets", "192.0.2.0/24", "REJECT net", 0)
	check(t, "row added", reply(s.Rcpt(ctx, to)), "554 5.7.1 <mx.example.net[192.0.2.10]>: Client host rejected: net")
	v.exec(`UPDATE Access SET acKey = '198.51.100.0/24'`)
	check(t, "row changed", reply(s.Rcpt(ctx, to)), "ok")
	v.exec(`UPDATE Access SET acKey = '/^mx\.example\.NET$/', acType = 'regexp'`)
	check(t, "type changed", reply(s.Rcpt(ctx, to)), "554 5.7.1 <mx.example.net[192.0.2.10]>: Client host rejected: net")
	v.exec(`UPDATE Access SET active = 0`)
	check(t, "row inactive", reply(s.Rcpt(ctx, to)), "ok")
	v.set("mynetworks", "192.0.2.0/28")
	v.set("smtpd_client_restrictions", "")
	check(t, "network added", reply(s.Rcpt(ctx, there("x@elsewhere.example"))), "ok")
	v.set("mynetworks", "")
	check(t, "network removed", reply(s.Rcpt(ctx, there("x@elsewhere.example"))), "554 5.7.1 <x@elsewhere.example>: Relay access denied")
}

// mail.sqlite held by another program answers 451, and goes on afterwards.
func TestLockedDatabaseDefers(t *testing.T) {
	v := newEnv(t)
	s := v.open(stranger, "mx.example.net", "a@example.net")
	v.exec(`ALTER TABLE RClass RENAME TO Hidden`)
	check(t, "unreadable", reply(s.Rcpt(ctx, here("u@here.example", 40))), "451 4.3.0 <u@here.example>: Temporary lookup failure")
	v.exec(`ALTER TABLE Hidden RENAME TO RClass`)
	check(t, "readable", reply(s.Rcpt(ctx, here("u@here.example", 40))), "ok")
	v.set("reject_code", "many")
	check(t, "bad setting", reply(s.Rcpt(ctx, here("u@here.example", 40))), "451 4.3.0 <mx.example.net[192.0.2.10]>: Temporary lookup failure")
}
