package pop3_test

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailserver/internal/dialogtest"
	"mailserver/internal/login"
	"mailserver/internal/testenv"
	"mailserver/pop3"
)

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
			open(t, pop3.ListenerOptions{TLS: login.TLSMay, Hostname: "mx.example"}, nil).run(s)
		})
	}
}

// TestEncryptMode: no log-in of any kind before STLS.
func TestEncryptMode(t *testing.T) {
	h := open(t, pop3.ListenerOptions{TLS: login.TLSEncrypt}, nil)
	c := h.dial()
	c.Line()
	if got := strings.Join(c.list("CAPA"), " "); strings.Contains(got, "USER") || strings.Contains(got, "SASL") || !strings.Contains(got, "STLS") {
		t.Error(got)
	}
	for _, cmd := range []string{"USER joe@vmail.example", "AUTH PLAIN AGEAYg=="} {
		if got := c.do(cmd); got != "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections." {
			t.Errorf("%s: %s", cmd, got)
		}
	}
	c.do("STLS")
	c.Do(testenv.Step{Verb: "TLS"})
	c.do("USER joe@vmail.example")
	if got := c.do("PASS joes-secret"); got != "+OK Logged in." {
		t.Error(got)
	}
}

func TestWrapperMode(t *testing.T) {
	h := open(t, pop3.ListenerOptions{TLS: login.TLSWrapper, Hostname: "mx.example"}, nil)
	c := h.dial()
	if err := c.Do(testenv.Step{Verb: "TLS"}); err != nil {
		t.Fatal(err)
	}
	if got := c.Line(); got != "+OK mx.example ready." {
		t.Error(got)
	}
	if got := strings.Join(c.list("CAPA"), " "); strings.Contains(got, "STLS") {
		t.Error(got)
	}
}

func TestUserIPLimit(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "2"})
	a, _ := h.login(), h.login()
	c := h.dial()
	c.Line()
	c.do("USER joe@vmail.example")
	if got := c.do("PASS joes-secret"); got != "-ERR [IN-USE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=2)" {
		t.Error(got)
	}
	a.do("QUIT")
	a.Closed()
	for range 100 { // the server counts a moment after it closes
		c.do("USER joe@vmail.example")
		if got := c.do("PASS joes-secret"); got == "+OK Logged in." {
			return
		}
	}
	t.Error("a session that has ended still counts")
}

// TestLockSession: with the setting, one session of a user at a time.
func TestLockSession(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, map[string]string{"pop3_lock_session": "yes"})
	a := h.login()
	c := h.dial()
	c.Line()
	c.Send("USER joe@vmail.example\r\nPASS joes-secret\r\nSTAT")
	c.Until(`^\+OK$`)
	if got := a.do("NOOP"); got != "+OK" {
		t.Fatal(got)
	}
	a.do("QUIT")
	if got := c.Line(); got != "+OK Logged in." {
		t.Error(got)
	}
}

func TestAuthUnavailable(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, nil)
	h2 := &house{t: t, dir: h.dir, store: h.store, log: h.log, auth: dialogtest.Who{Down: true}}
	h2.serve(pop3.ListenerOptions{})
	c := h2.dial()
	c.Line()
	c.do("USER joe@vmail.example")
	if got := c.do("PASS joes-secret"); got != "-ERR [SYS/TEMP] Temporary authentication failure." {
		t.Error(got)
	}
}

func TestLogLines(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, nil)
	h.put(testenv.Section{Path: "joe@vmail.example/INBOX", Text: "Subject: one\n\nhello\n.dot\nline3\n"})
	h.put(testenv.Section{Path: "joe@vmail.example/INBOX", Text: "Subject: two\nX-UIDL: abc\n\nno newline at end"})
	c := h.dial()
	c.Line()
	c.do("USER joe@vmail.example <>")
	c.do("PASS wrong")
	c.do("QUIT")
	c.Closed()
	c = h.login()
	for _, cmd := range []string{"TOP 1 1", "TOP 1 0", "TOP 2 5", "RETR 1", "RETR 2"} {
		c.list(cmd)
	}
	c.do("DELE 2")
	c.do("QUIT")
	c.Closed()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	log := regexp.MustCompile(`in \d+ secs`).ReplaceAllString(h.log.String(), "in N secs")
	for _, want := range []string{
		"pop3-login: Disconnected: Aborted login by logging out (auth failed, 1 attempts in N secs): user=<joe@vmail.example ??>, rip=127.0.0.1, lip=127.0.0.1, secured, session=<",
		"pop3-login: Login: user=<joe@vmail.example>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, secured, session=<",
		// The figures are those of Dovecot for the same dialog.
		": Disconnected: Logged out top=3/102, retr=2/115, del=1/2, size=82",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	if strings.Contains(log, "joes-secret") || strings.Contains(log, "wrong") {
		t.Error("a password is in the log")
	}
}

// TestManyBadCommands: three before the log-in, 21 after it, as with Dovecot.
func TestManyBadCommands(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, nil)
	c := h.dial()
	c.Line()
	c.Raw("GET / HTTP/1.1\r\nHost: x\r\nAccept: y\r\n\r\n")
	c.Until(`^-ERR Too many invalid bad commands\.$`)
	c.Closed()
	c = h.login()
	c.Raw(strings.Repeat("X\r\n", 21))
	c.Until(`^-ERR Too many bad commands\.$`)
	c.Closed()
	c = h.login()
	c.Raw(strings.Repeat("x", 9000) + "\r\nNOOP\r\n")
	if got := c.Line(); got != "-ERR Input line too long." {
		t.Error(got)
	}
	c.Closed()
}

func TestShutdownSaysSo(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, nil)
	h.put(testenv.Section{Path: "joe@vmail.example/INBOX", Text: "a: b\n\nc\n"})
	var all []*client
	for range 5 {
		all = append(all, h.login())
	}
	all[0].do("DELE 1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.srv.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		if got := c.Line(); got != "-ERR [SYS/TEMP] Server shutting down." {
			t.Error(i, got)
		}
		c.Closed()
	}
	if st, err := h.account("joe@vmail.example").Status(t.Context(), "INBOX"); err != nil || st.Messages != 1 {
		t.Errorf("%+v, %v: DELE without QUIT", st, err)
	}
}

// TestLoginTimeout: three minutes, by a clock that is nearly there.
func TestLoginTimeout(t *testing.T) {
	h := open(t, pop3.ListenerOptions{}, nil)
	h2 := &house{t: t, dir: h.dir, store: h.store, log: h.log, auth: dialogtest.Who{}, late: 3*time.Minute - 100*time.Millisecond}
	h2.serve(pop3.ListenerOptions{})
	c := h2.dial()
	c.Line()
	if got := c.Line(); got != "-ERR Disconnected for inactivity." {
		t.Error(got)
	}
	c.Closed()
}
