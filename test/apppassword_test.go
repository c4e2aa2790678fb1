package test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
)

// tries says with which protocols a log-in succeeds, over TLS from the start.
func (h *host) tries(user, password string) string {
	h.t.Helper()
	var in []string
	for _, p := range []struct {
		port int
		name string
	}{{993, "imap"}, {995, "pop3"}, {465, "smtp"}} {
		conn := saslDial(h.t, h, p.port, &tls.Config{InsecureSkipVerify: true})
		if isLoggedIn(saslOver(h.t, conn, p.port, sasl.NewPlainClient("", user, password))) {
			in = append(in, p.name)
		}
		conn.Close()
	}
	return strings.Join(in, " ")
}

const everyProtocol = "imap pop3 smtp"

// TestAppPasswordsAndMasters: an app password is good for its protocols, until
// it expires or is deleted; a master user for the mailboxes of their domain, where
// the separator is set; each at the next log-in.
func TestAppPasswordsAndMasters(t *testing.T) {
	t.Parallel()
	h := sampleHost(t, "")
	const joe, other = "joe@vmail.example", "you@other.example"
	h.mustRun("config", "set", "auth_failure_delay=0", "auth_master_user_separator=*")
	h.mustRun("domain", "add", "other.example", "--class", "mailbox")
	if out, err := h.run("yours", "mailbox", "add", other, "--password-stdin"); err != nil {
		t.Fatal(out)
	}
	h.sql(`INSERT INTO Administrator (adName, adPasswd) VALUES ('root', '{PLAIN}of root');
		INSERT INTO Administrator (adName, adPasswd, adDomNum) SELECT 'helper', '{PLAIN}of helper', domNum FROM Domain WHERE domName = 'vmail.example'`)
	app := func(name string, args ...string) string {
		return strings.TrimSpace(h.mustRun(append([]string{"app-password", "add", joe, name}, args...)...))
	}
	phone, printer, all, old := app("phone", "--protocols", "imap,pop3"), app("printer", "--protocols", "smtp"), app("all"), app("old", "--expires", "2160h")
	h.start()
	check := func(about, user, password, want string) {
		t.Helper()
		if got := h.tries(user, password); got != want {
			t.Errorf("%s: in by %q, want %q\n%s", about, got, want, h.log.tail(3))
		}
	}
	check("own password", joe, "joes-secret", everyProtocol)
	check("imap and pop3", joe, phone, "imap pop3")
	check("smtp", joe, printer, "smtp")
	check("all", joe, all, everyProtocol)
	check("of another user", other, all, "")
	check("not yet expired", joe, old, everyProtocol)
	h.sql(fmt.Sprintf("UPDATE AppPassword SET apExpires = %d WHERE apName = 'old'", time.Now().Add(-time.Second).Unix()))
	check("expired", joe, old, "")
	h.sql("UPDATE AppPassword SET active = 0 WHERE apName = 'phone'")
	check("not active", joe, phone, "")
	h.mustRun("app-password", "rm", joe, "all")
	check("deleted", joe, all, "")
	check("the rest", joe, printer, "smtp")

	check("master", joe+"*root", "of root", everyProtocol)
	check("master of all domains", other+"*root", "of root", everyProtocol)
	check("master of the domain", joe+"*helper", "of helper", everyProtocol)
	check("master of another domain", other+"*helper", "of helper", "")
	check("password of the user for the master", joe+"*root", "joes-secret", "")
	check("mailbox that is not", "nobody@vmail.example*root", "of root", "")
	h.mustRun("config", "unset", "auth_master_user_separator")
	check("without separator", joe+"*root", "of root", "")

	// A hash without a scheme is of default_pass_scheme.
	h.sql(`UPDATE VMailbox SET vmPasswd = 'bare words' WHERE vmNum = (SELECT addNum FROM Address JOIN Domain ON domNum = addDomNum
		WHERE addLocalpart = 'you' AND domName = 'other.example')`)
	check("CRYPT by default", other, "bare words", "")
	h.mustRun("config", "set", "default_pass_scheme=PLAIN")
	check("PLAIN by setting", other, "bare words", everyProtocol)
}

// TestBanAndLift: who guesses is shut out in all protocols, with the right
// password too; a lifted ban is over at once; networks on the list of exceptions
// are never banned.
func TestBanAndLift(t *testing.T) {
	t.Parallel()
	h := sampleHost(t, "")
	const joe = "joe@vmail.example"
	h.mustRun("config", "set", "auth_failure_delay=0", "auth_throttle_max_delay=0", "auth_ban_failures=3", "auth_throttle_exempt=")
	h.start()
	guess := func() {
		for i := range 3 {
			h.tries(joe, fmt.Sprint("wrong", i))
		}
	}
	guess()
	if got := h.tries(joe, "joes-secret"); got != "" {
		t.Errorf("banned, and in by %s", got)
	}
	if out := h.mustRun("ban", "list"); !strings.Contains(out, "127.0.0.1") {
		t.Errorf("no ban in the list: %s", out)
	}
	if out := h.mustRun("ban", "lift", "127.0.0.1"); !strings.HasPrefix(out, "lifted 1") {
		t.Error(out)
	}
	if got := h.tries(joe, "joes-secret"); got != everyProtocol {
		t.Errorf("lifted, and in by %q only\n%s", got, h.log.tail(5))
	}
	h.mustRun("config", "set", "auth_throttle_exempt=127.0.0.0/8")
	guess()
	if got := h.tries(joe, "joes-secret"); got != everyProtocol {
		t.Errorf("exempt, and in by %q only\n%s", got, h.log.tail(5))
	}
}
