package imap_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailserver/imap"
	"mailserver/internal/dialogtest"
	"mailserver/internal/login"
	"mailserver/internal/testenv"
)

// scriptRows are the settings of dialogs that need other than the defaults.
var scriptRows = map[string]map[string]string{
	"messagelimit.txt": {"imap_message_limit": "2"},
}

// TestScripts plays every dialog of testdata.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			s, err := testenv.ReadScript(f)
			if err != nil {
				t.Fatal(err)
			}
			open(t, imap.ListenerOptions{TLS: login.TLSMay, Hostname: "mx.example"}, scriptRows[filepath.Base(f)]).run(s)
		})
	}
}

// TestPlaintextBeforeTLSDoesNotSurvive: what stands behind STARTTLS in the same
// packet is thrown away.
func TestPlaintextBeforeTLSDoesNotSurvive(t *testing.T) {
	h := open(t, imap.ListenerOptions{TLS: login.TLSEncrypt}, nil)
	c := h.dial()
	if got := c.Line(); !strings.Contains(got, "STARTTLS LOGINDISABLED") || strings.Contains(got, "AUTH=") {
		t.Errorf("greeting %q", got)
	}
	c.Send("a LOGIN joe@vmail.example joes-secret")
	c.Until(`^a NO \[PRIVACYREQUIRED\] `)
	c.Send("b AUTHENTICATE PLAIN AGEAYg==")
	c.Until(`^b NO \[PRIVACYREQUIRED\] `)
	c.Raw("c STARTTLS\r\nd NOOP\r\n")
	c.Until("^c OK Begin TLS negotiation now.")
	c.Do(testenv.Step{Verb: "TLS"})
	if got := c.do("NOOP"); len(got) != 1 || got[0] != "x OK NOOP completed." {
		t.Errorf("the plaintext was answered: %q", got)
	}

	c = h.dial()
	c.Line()
	c.Send("c STARTTLS")
	c.Until("^c OK ")
	c.Do(testenv.Step{Verb: "TLS"})
	if got := c.do("CAPABILITY")[0]; strings.Contains(got, "STARTTLS") || strings.Contains(got, "LOGINDISABLED") || !strings.Contains(got, "AUTH=PLAIN") {
		t.Errorf("over TLS: %s", got)
	}
	c.Send("e STARTTLS")
	c.Until("^e BAD ")
	c.Send("f LOGIN joe@vmail.example joes-secret")
	c.Until(`^f OK \[CAPABILITY IMAP4rev1 IMAP4rev2 .*APPENDLIMIT=\d+\] Logged in$`)
}

func TestWrapperMode(t *testing.T) {
	h := open(t, imap.ListenerOptions{TLS: login.TLSWrapper, Hostname: "mx.example"}, nil)
	c := h.dial()
	if err := c.Do(testenv.Step{Verb: "TLS"}); err != nil {
		t.Fatal(err)
	}
	if got := c.Line(); !strings.HasSuffix(got, "AUTH=PLAIN] mx.example ready.") {
		t.Error(got)
	}
}

func TestUserIPLimit(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "2"})
	a, _ := h.login(), h.login()
	c := h.dial()
	c.Line()
	if got := c.do("LOGIN joe@vmail.example joes-secret"); !strings.Contains(got[0], "x NO [LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=2)") {
		t.Error(got)
	}
	a.do("LOGOUT")
	a.Closed()
	for range 100 { // the server counts a moment after it closes
		if got := c.do("LOGIN joe@vmail.example joes-secret"); strings.Contains(got[0], "x OK") {
			return
		}
	}
	t.Error("a session that has ended still counts")
}

func TestAuthUnavailable(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	h2 := &house{t: t, dir: h.dir, store: h.store, log: h.log, auth: dialogtest.Who{Down: true}}
	h2.serve(imap.ListenerOptions{})
	c := h2.dial()
	c.Line()
	if got := c.do("LOGIN joe@vmail.example joes-secret"); got[0] != "x NO [UNAVAILABLE] Temporary authentication failure." {
		t.Error(got)
	}
}

func TestLogLines(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	c := h.dial()
	c.Line()
	c.do("LOGIN joe@vmail.example wrong")
	c.do("LOGOUT")
	c.Closed()
	c = h.login()
	c.do(`ID ("name" "test <>")`)
	c.do("LOGOUT")
	c.Closed()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	log := regexp.MustCompile(`in \d+ secs`).ReplaceAllString(h.log.String(), "in N secs")
	for _, want := range []string{
		"(auth failed, 1 attempts in N secs): user=<joe@vmail.example>, rip=127.0.0.1, lip=127.0.0.1, secured, session=<",
		"imap-login: Login: user=<joe@vmail.example>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, secured, session=<",
		"ID sent: name=test ??: user=<joe@vmail.example>",
		": Disconnected: Logged out in=",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, "joes-secret") || strings.Contains(log, "wrong") {
		t.Error("a password is in the log")
	}
}

// TestManyBadCommands: three before login end the connection, as with Dovecot.
func TestManyBadCommands(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	c := h.dial()
	c.Line()
	c.Send("GET / HTTP/1.1")
	c.Until("^GET BAD")
	c.Raw("Host: x\r\nAccept: y\r\n\r\n")
	c.Until(`^\* BYE Too many invalid IMAP commands\.`)
	c.Closed()
}

func TestShutdownSaysBye(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	var all []*client
	for range 5 {
		all = append(all, h.login())
	}
	all[0].Send("a IDLE")
	all[0].Until(`^\+ idling`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		if got := c.Line(); got != "* BYE Server shutting down." {
			t.Error(i, got)
		}
		c.Closed()
	}
}

// TestLiteralsBeforeLogin: a literal is data, whatever it holds.
func TestLiteralsBeforeLogin(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	for _, cmd := range []string{"LOGIN {%d+}\r\n", "FOO {%d+}\r\n", "LOGIN joe {%d+}\r\n", "SELECT {%d+}\r\n"} {
		inject := strings.Repeat("INJ CAPABILITY\r\n", 2000)
		c := h.dial()
		c.Line()
		c.Raw("a " + fmt.Sprintf(cmd, len(inject)) + inject + "\r\nb NOOP\r\n")
		for _, line := range c.Until("^b ") {
			if strings.Contains(line, "INJ") {
				t.Errorf("%q: the literal ran: %s", cmd, line)
			}
		}
		// Larger than what is skipped before login: the connection ends.
		c = h.dial()
		c.Line()
		c.Raw("a " + fmt.Sprintf(cmd, 10<<20))
		c.Until(`^\* BYE \[TOOBIG\] `)
		c.Closed()
	}
}

// TestLoginTimeout: three minutes, by a clock that is nearly there.
func TestLoginTimeout(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	h2 := &house{t: t, dir: h.dir, store: h.store, log: h.log, auth: dialogtest.Who{}, late: 3*time.Minute - 100*time.Millisecond}
	h2.serve(imap.ListenerOptions{})
	c := h2.dial()
	c.Line()
	if got := c.Line(); got != "* BYE Disconnected for inactivity." {
		t.Error(got)
	}
	c.Closed()
}

// TestIdleStillHere: a sign of life, so that a NAT does not forget the client.
func TestIdleStillHere(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, map[string]string{"imap_idle_notify_interval": "20ms"})
	c := h.login()
	c.Send("a IDLE")
	for _, want := range []string{"+ idling", "* OK Still here", "* OK Still here"} {
		if got := c.Line(); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	c.Send("nonsense")
	c.Until("^a BAD Error in IMAP command IDLE: Expected DONE.")
	c.Send("b NOOP")
	c.Until("^b OK")
}
