package test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRelayWaitsForItsNextHop: mail for a relay domain is kept while the next
// hop is down, through a kill -9, and goes on when it answers; the sender hears
// of what cannot be delivered.
func TestRelayWaitsForItsNextHop(t *testing.T) {
	t.Parallel()
	a, b := sampleHost(t, ""), sampleHost(t, "")
	a.mustRun("domain", "set", "relay.example", "--transport", fmt.Sprintf("smtp:[127.0.0.1]:%d", b.base+25))
	b.mustRun("domain", "set", "relay.example", "--class", "mailbox")
	b.mustRun("mailbox", "add", "user@relay.example", "--password-hash", "{PLAIN}x")
	a.start()
	s, err := dialSender(a.addr(25))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.send("user@relay.example", message("relay1", "relayed", "x")); err != nil {
		t.Fatal(err)
	}
	if err := s.send("user@relay.example", message("relay2", "relayed", "x")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "both wait in the queue", func() bool {
		return strings.Count(a.mustRun("queue", "list", "--json"), "Connection refused") == 2
	})
	out := a.mustRun("queue", "list")
	if !strings.HasPrefix(out, "----Queue ID-----") || !strings.Contains(out, "user@relay.example") || !strings.Contains(out, "in 2 Requests.") {
		t.Errorf("queue list:\n%s", out)
	}
	a.kill()
	b.start()
	a.start()
	a.mustRun("queue", "retry", "ALL")
	folder := strings.Replace(b.folder("user"), "vmail.example", "relay.example", 1)
	defer func() {
		if t.Failed() {
			t.Logf("%s\n%s\nnext hop:\n%s", a.mustRun("queue", "list", "--json"), a.log.tail(30), b.log.tail(30))
		}
	}()
	waitFor(t, "both have arrived", func() bool { return len(messages(t, folder)) == 2 })
	waitFor(t, "the queue is empty", func() bool { return strings.Contains(a.mustRun("queue", "list"), "Mail queue is empty") })
	if found := idsIn(t, []string{folder}); found["relay1"] != 1 || found["relay2"] != 1 {
		t.Errorf("there are %v", found)
	}
	text, err := os.ReadFile(messages(t, folder)[0])
	if err != nil || strings.Count(string(text), "\nReceived: ") != 2 {
		t.Errorf("a relayed message has not two Received headers (%v):\n%s", err, text)
	}
}

// TestBounceComesBack: the next hop refuses the recipient for good; the sender,
// who is ours, gets a notification.
func TestBounceComesBack(t *testing.T) {
	t.Parallel()
	a, b := sampleHost(t, ""), sampleHost(t, "")
	a.mustRun("domain", "set", "relay.example", "--transport", fmt.Sprintf("smtp:[127.0.0.1]:%d", b.base+25))
	b.mustRun("domain", "set", "relay.example", "--class", "mailbox")
	a.start()
	b.start()
	s, err := dialSender(a.addr(25))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"MAIL FROM:<ann@vmail.example>", "RCPT TO:<user@relay.example>"} {
		if err := s.cmd(250, "%s", line); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.cmd(354, "DATA"); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd(250, "Subject: to nobody\r\n\r\nx\r\n."); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the notification has come", func() bool { return len(messages(t, a.folder("ann"))) == 1 })
	text, err := os.ReadFile(messages(t, a.folder("ann"))[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Return-Path: <>", "multipart/report", "Final-Recipient: rfc822; user@relay.example", "User unknown in virtual mailbox table", "Subject: to nobody"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the notification does not say %q:\n%s", want, text)
		}
	}
}

// waitFor waits for what happens in another process.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}
