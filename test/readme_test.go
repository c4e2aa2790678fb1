package test

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"

	"mailserver/internal/testenv"
)

// TestFirstMailAsTheReadmeSays follows README.md from init to the first mail,
// without the sample rows.
func TestFirstMailAsTheReadmeSays(t *testing.T) {
	h := &host{t: t, dir: filepath.Join(testenv.Dir(t), "data"), base: freeBase(t), log: new(syncBuffer)}
	t.Cleanup(h.stop)
	h.mustRun("init", "--hostname", "mx.example.org", "--port-base", strconv.Itoa(h.base), "--own-mail")
	h.start()
	// Everything else happens while it runs.
	h.mustRun("domain", "add", "example.org")
	if out, err := h.run("a password\n", "mailbox", "add", "you@example.org", "--password-stdin"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := h.run("another\n", "mailbox", "set", "postmaster@mx.example.org", "--password-stdin"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := h.sender()
	for _, to := range []string{"you@example.org", "postmaster", "abuse@example.org"} {
		if err := s.send(to, message("to-"+to, "first", "x")); err != nil {
			t.Errorf("to %s: %v\n%s", to, err, h.log.tail(5))
		}
	}
	for _, box := range []struct {
		user, password string
		messages       uint32
	}{{"you@example.org", "a password", 1}, {"postmaster@mx.example.org", "another", 2}} {
		c, err := imapclient.DialInsecure(h.addr(143), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Login(box.user, box.password).Wait(); err != nil {
			t.Fatalf("%s: %v", box.user, err)
		}
		got, err := c.Select("INBOX", nil).Wait()
		if err != nil || got.NumMessages != box.messages {
			t.Errorf("%s has %+v, %v", box.user, got, err)
		}
	}
	h.check()
}
