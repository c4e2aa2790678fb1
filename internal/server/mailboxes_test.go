package server

import (
	"context"
	"os"
	"testing"

	"mailserver/schema"
)

// TestRootBesideAUser: a command of root does what the server's user would.
func TestRootBesideAUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	ctx := context.Background()
	dir := t.TempDir() + "/d"
	if err := Create(ctx, Plan{Dir: dir, Hostname: "mx.example", Listeners: StandardListeners(20000), Settings: OwnMail()}); err != nil {
		t.Fatal(err)
	}
	p, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Mail.Write(ctx, func(tx *schema.Tx) error {
		if _, err := tx.AddDomain("v.example", 842, schema.DomainChange{}); err != nil {
			return err
		}
		return tx.AddVMailbox("u", "v.example", schema.MailboxChange{})
	}); err != nil {
		t.Fatal(err)
	}
	for owner, want := range map[int]int{0: 842, 12345: 12345} {
		if err := os.Chown(StateFile(dir), owner, owner); err != nil {
			t.Fatal(err)
		}
		spec, err := p.Spec(ctx, "u@v.example")
		if err != nil || spec.UID != want {
			t.Errorf("data of %d: %+v %v, want UID %d", owner, spec, err, want)
		}
	}
}
