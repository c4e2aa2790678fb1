package imap_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailserver/imap"
	"mailserver/internal/login"
	"mailserver/internal/testenv"
)

var maildirFlags = map[rune]goimap.Flag{'S': goimap.FlagSeen, 'R': goimap.FlagAnswered, 'F': goimap.FlagFlagged, 'T': goimap.FlagDeleted, 'D': goimap.FlagDraft}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
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
			open(t, imap.ListenerOptions{TLS: login.TLSMay, Hostname: "mx.example"}, nil).run(s)
		})
	}
}

// TestPlaintextBeforeTLSDoesNotSurvive: what stands behind STARTTLS in the same
// packet is thrown away.
func TestPlaintextBeforeTLSDoesNotSurvive(t *testing.T) {
	h := open(t, imap.ListenerOptions{TLS: login.TLSEncrypt}, nil)
	c := h.dial()
	if got := c.line(); !strings.Contains(got, "STARTTLS LOGINDISABLED") || strings.Contains(got, "AUTH=") {
		t.Errorf("greeting %q", got)
	}
	c.send("a LOGIN joe@vmail.example joes-secret")
	c.until(`^a NO \[PRIVACYREQUIRED\] `)
	c.send("b AUTHENTICATE PLAIN AGEAYg==")
	c.until(`^b NO \[PRIVACYREQUIRED\] `)
	c.raw("c STARTTLS\r\nd NOOP\r\n")
	c.until("^c OK Begin TLS negotiation now.")
	c.step(testenv.Step{Verb: "TLS"})
	if got := c.do("NOOP"); len(got) != 1 || got[0] != "x OK NOOP completed." {
		t.Errorf("the plaintext was answered: %q", got)
	}

	c = h.dial()
	c.line()
	c.send("c STARTTLS")
	c.until("^c OK ")
	c.step(testenv.Step{Verb: "TLS"})
	if got := c.do("CAPABILITY")[0]; strings.Contains(got, "STARTTLS") || strings.Contains(got, "LOGINDISABLED") || !strings.Contains(got, "AUTH=PLAIN") {
		t.Errorf("over TLS: %s", got)
	}
	c.send("e STARTTLS")
	c.until("^e BAD ")
	c.send("f LOGIN joe@vmail.example joes-secret")
	c.until(`^f OK \[CAPABILITY IMAP4rev1 IMAP4rev2 .*APPENDLIMIT=\d+\] Logged in$`)
}

func TestWrapperMode(t *testing.T) {
	h := open(t, imap.ListenerOptions{TLS: login.TLSWrapper, Hostname: "mx.example"}, nil)
	c := h.dial()
	if err := c.step(testenv.Step{Verb: "TLS"}); err != nil {
		t.Fatal(err)
	}
	if got := c.line(); !strings.HasSuffix(got, "AUTH=PLAIN] mx.example ready.") {
		t.Error(got)
	}
}

func TestUserIPLimit(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "2"})
	a, _ := h.login(), h.login()
	c := h.dial()
	c.line()
	if got := c.do("LOGIN joe@vmail.example joes-secret"); !strings.Contains(got[0], "x NO [LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=2)") {
		t.Error(got)
	}
	a.do("LOGOUT")
	a.closed()
	for range 100 { // the server counts a moment after it closes
		if got := c.do("LOGIN joe@vmail.example joes-secret"); strings.Contains(got[0], "x OK") {
			return
		}
	}
	t.Error("a session that has ended still counts")
}

func TestAuthUnavailable(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	h2 := &house{t: t, dir: h.dir, store: h.store, log: h.log, auth: who{down: true}}
	h2.serve(imap.ListenerOptions{})
	c := h2.dial()
	c.line()
	if got := c.do("LOGIN joe@vmail.example joes-secret"); got[0] != "x NO [UNAVAILABLE] Temporary authentication failure." {
		t.Error(got)
	}
}

func TestLogLines(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	c := h.dial()
	c.line()
	c.do("LOGIN joe@vmail.example wrong")
	c.do("LOGOUT")
	c.closed()
	c = h.login()
	c.do(`ID ("name" "test <>")`)
	c.do("LOGOUT")
	c.closed()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	log := h.log.String()
	for _, want := range []string{
		"(auth failed, 1 attempts in 0 secs): user=<joe@vmail.example>, rip=127.0.0.1, lip=127.0.0.1, secured, session=<",
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
	c.line()
	c.send("GET / HTTP/1.1")
	c.until("^GET BAD")
	c.raw("Host: x\r\nAccept: y\r\n\r\n")
	c.until(`^\* BYE Too many invalid IMAP commands\.`)
	c.closed()
}

func TestShutdownSaysBye(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	var all []*client
	for range 5 {
		all = append(all, h.login())
	}
	all[0].send("a IDLE")
	all[0].until(`^\+ idling`)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		if got := c.line(); got != "* BYE Server shutting down." {
			t.Error(i, got)
		}
		c.closed()
	}
}

// TestLiteralsBeforeLogin: a literal is data, whatever it holds.
func TestLiteralsBeforeLogin(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	for _, cmd := range []string{"LOGIN {%d+}\r\n", "FOO {%d+}\r\n", "LOGIN joe {%d+}\r\n", "SELECT {%d+}\r\n"} {
		inject := strings.Repeat("INJ CAPABILITY\r\n", 2000)
		c := h.dial()
		c.line()
		c.raw("a " + fmt.Sprintf(cmd, len(inject)) + inject + "\r\nb NOOP\r\n")
		for _, line := range c.until("^b ") {
			if strings.Contains(line, "INJ") {
				t.Errorf("%q: the literal ran: %s", cmd, line)
			}
		}
		// Larger than what is skipped before login: the connection ends.
		c = h.dial()
		c.line()
		c.raw("a " + fmt.Sprintf(cmd, 10<<20))
		c.until(`^\* BYE \[TOOBIG\] `)
		c.closed()
	}
}

// TestLoginTimeout: three minutes, by a clock that is nearly there.
func TestLoginTimeout(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	h2 := &house{t: t, dir: h.dir, store: h.store, log: h.log, auth: who{}, late: 3*time.Minute - 100*time.Millisecond}
	h2.serve(imap.ListenerOptions{})
	c := h2.dial()
	c.line()
	if got := c.line(); got != "* BYE Disconnected for inactivity." {
		t.Error(got)
	}
	c.closed()
}

// TestIdleStillHere: a sign of life, so that a NAT does not forget the client.
func TestIdleStillHere(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, map[string]string{"imap_idle_notify_interval": "20ms"})
	c := h.login()
	c.send("a IDLE")
	for _, want := range []string{"+ idling", "* OK Still here", "* OK Still here"} {
		if got := c.line(); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
	c.send("nonsense")
	c.until("^a BAD Error in IMAP command IDLE: Expected DONE.")
	c.send("b NOOP")
	c.until("^b OK")
}
