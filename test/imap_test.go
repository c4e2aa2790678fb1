package test

import (
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"
)

var passwords = map[string]string{"joe": "joes-secret", "ann": "anns-secret"}

// login connects as a user of vmail.example.
func (h *host) login(user string) *imapclient.Client {
	h.t.Helper()
	c, err := imapclient.DialInsecure(h.addr(143), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	if err := c.Login(user+"@vmail.example", passwords[user]).Wait(); err != nil {
		h.t.Fatalf("log in as %s: %v\n%s", user, err, h.log.tail(10))
	}
	return c
}

// openMailboxes selects INBOX of those users that can log in, so that the
// index is brought up to what is on disk, and compares the number of messages.
func (h *host) openMailboxes(users ...string) {
	h.t.Helper()
	for _, u := range users {
		if passwords[u] == "" {
			continue
		}
		c := h.login(u)
		box, err := c.Select("INBOX", nil).Wait()
		if err != nil {
			h.t.Fatalf("select INBOX of %s: %v", u, err)
		}
		if files := messages(h.t, h.folder(u)); int(box.NumMessages) != len(files) {
			h.t.Errorf("%s: IMAP shows %d messages, the tree has %d", u, box.NumMessages, len(files))
		}
		c.Logout().Wait()
	}
}

func TestSessionsSeeEachOther(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	seen := make(chan uint32, 10)
	c, err := imapclient.DialInsecure(h.addr(143), &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				seen <- *d.NumMessages
			}
		}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login("joe@vmail.example", passwords["joe"]).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	s := h.sender()
	if err := s.send("sales@alias.example", message("idle", "x", "x")); err != nil {
		t.Fatal(err)
	}
	if n := <-seen; n != 1 {
		t.Errorf("IDLE says %d messages", n)
	}
	if err := idle.Close(); err != nil {
		t.Error(err)
	}
}
