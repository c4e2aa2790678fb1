package schema

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sampleMail opens a mail.sqlite with the sample rows.
func sampleMail(t *testing.T) (*Mail, string) {
	t.Helper()
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "mail.sqlite")
	if err := CreateMail(ctx, path); err != nil {
		t.Fatal(err)
	}
	if err := Script(ctx, path, Classes+Sample); err != nil {
		t.Fatal(err)
	}
	m, err := OpenMail(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, path
}

func change(t *testing.T, m *Mail, fn func(*Tx) error) error {
	t.Helper()
	return m.Write(context.Background(), fn)
}

func TestSampleIsSound(t *testing.T) {
	m, _ := sampleMail(t)
	for name, check := range map[string]func(context.Context) ([]Finding, error){"integrity": m.Integrity, "incomplete": m.Incomplete} {
		if list, err := check(context.Background()); err != nil || len(list) > 0 {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	var domains []string
	err := m.Domains(context.Background(), func(r DomainRow) error { domains = append(domains, r.Domain); return nil })
	if want := []string{"alias.example", "catchall.example", "local.example", "relay.example", "vmail.example"}; err != nil || !slices.Equal(domains, want) {
		t.Errorf("domains %v, %v", domains, err)
	}
}

func TestWhatAdministrationIsTold(t *testing.T) {
	m, _ := sampleMail(t)
	tests := []struct {
		name string
		do   func(*Tx) error
		want error
	}{
		{"domain twice", func(t *Tx) error { _, err := t.AddDomain("VMAIL.example", External, DomainChange{}); return err }, ErrExists},
		{"class 800 means nothing", func(t *Tx) error { return t.SetDomain("vmail.example", DomainChange{Class: To(800)}) }, ErrValue},
		{"rclass that is not there", func(t *Tx) error { return t.SetDomain("vmail.example", DomainChange{RClass: To(77)}) }, ErrReferenced},
		{"no such domain", func(t *Tx) error { return t.SetDomain("no.example", DomainChange{Active: To(false)}) }, ErrNotFound},
		{"address twice", func(t *Tx) error { _, err := t.AddAddress("JOE", "vmail.example", AddressChange{}); return err }, ErrExists},
		{"address of no domain", func(t *Tx) error { _, err := t.AddAddress("joe", "no.example", AddressChange{}); return err }, ErrNotFound},
		{"mailbox twice", func(t *Tx) error { return t.AddVMailbox("joe", "vmail.example", MailboxChange{}) }, ErrExists},
		{"remove a domain in use", func(t *Tx) error { return t.RemoveDomain("vmail.example", false) }, ErrReferenced},
		{"remove it with its addresses while aliases lead there", func(t *Tx) error { return t.RemoveDomain("vmail.example", true) }, ErrReferenced},
		{"remove an address in use", func(t *Tx) error { return t.RemoveAddress("joe", "vmail.example") }, ErrReferenced},
		{"remove a class in use", func(t *Tx) error { return t.RemoveClass("RC20-moderate") }, ErrReferenced},
		{"remove a component in use", func(t *Tx) error { return t.RemoveClass("z-helo") }, ErrReferenced},
		{"remove what is not there", func(t *Tx) error { return t.RemoveClass("z-nothing") }, ErrNotFound},
		{"quota below zero", func(t *Tx) error { return t.SetVMailbox("joe", "vmail.example", MailboxChange{Quota: To(-1)}) }, ErrValue},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := change(t, m, tt.do); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	err := change(t, m, func(t *Tx) error { return t.RemoveAddress("joe", "vmail.example") })
	if !strings.Contains(err.Error(), "VAlias from sales@alias.example") {
		t.Errorf("the refusal does not name the alias: %v", err)
	}
}

func TestChanges(t *testing.T) {
	m, ctx := first(sampleMail(t)), context.Background()
	err := change(t, m, func(t *Tx) error {
		tp, err := t.Transport(TransportSpec{Nexthop: "MX.relay.example"})
		if err != nil {
			return err
		}
		if err := t.SetDomain("alias.example", DomainChange{Transport: To(tp), RClass: To(nil)}); err != nil {
			return err
		}
		if err := t.RemoveDomain("catchall.example", true); err != nil {
			return err
		}
		if err := t.SetVMailbox("joe", "vmail.example", MailboxChange{Quota: To(int64(1000)), Home: To("/x")}); err != nil {
			return err
		}
		return t.RemoveVMailbox("ann", "vmail.example")
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := m.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d, err := v.Domain(ctx, "alias.example")
	if err != nil || d.RClass != -1 || d.Transport == nil || d.Transport.String() != ":[mx.relay.example]" {
		t.Errorf("domain %+v, %v", d, err)
	}
	if d, err := v.Domain(ctx, "catchall.example"); err != nil || d != nil {
		t.Errorf("removed domain %+v, %v", d, err)
	}
	vmail, _ := v.Domain(ctx, "vmail.example")
	joe, err := v.Address(ctx, vmail.Num, "joe")
	if err != nil || joe.Mailbox.Quota != 1000 || joe.Mailbox.Home != "/x" || joe.Mailbox.Passwd != "{PLAIN}joes-secret" {
		t.Errorf("mailbox %+v, %v", joe.Mailbox, err)
	}
	// The alias everybody leads to ann, so the address stays without mailbox.
	if ann, err := v.Address(ctx, vmail.Num, "ann"); err != nil || ann == nil || ann.Mailbox != nil {
		t.Errorf("ann %+v, %v", ann, err)
	}
}

func first(m *Mail, _ string) *Mail { return m }

func TestIntegrityNamesWhatMends(t *testing.T) {
	m, path := sampleMail(t)
	ctx := context.Background()
	if err := Script(ctx, path, `
		DELETE FROM Address WHERE addLocalpart IN ('user','joe');
		DELETE FROM RClass WHERE rcNum=20;
		DELETE FROM Domain WHERE domName='alias.example';
		INSERT INTO Listener (lsProtocol,lsAddress,lsCertNum) VALUES ('mx',':25',9);`); err != nil {
		t.Fatal(err)
	}
	found, err := m.Integrity(ctx)
	if err != nil || len(found) < 8 {
		t.Fatalf("found %v, %v", found, err)
	}
	for range 3 { // a mended row may leave another that it carried
		var mend strings.Builder
		for _, f := range found {
			mend.WriteString(f.Mend)
		}
		if err := Script(ctx, path, mend.String()); err != nil {
			t.Fatalf("%v in %s", err, mend.String())
		}
		if found, err = m.Integrity(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if len(found) > 0 {
		t.Errorf("left after mending: %v", found)
	}
}
