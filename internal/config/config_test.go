package config

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"mailserver/schema"
)

func source(t *testing.T) (*Source, func(string)) {
	t.Helper()
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "mail.sqlite")
	if err := schema.CreateMail(ctx, path); err != nil {
		t.Fatal(err)
	}
	m, err := schema.OpenMail(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	s, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	return s, func(sql string) {
		t.Helper()
		if err := schema.Script(ctx, path, sql); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChangedRowActsAtOnce(t *testing.T) {
	s, sql := source(t)
	get, ctx := Of[Process](s), context.Background()
	first, err := get(ctx)
	if err != nil || first.Hostname != "localhost" {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, _ := get(ctx); again != first {
		t.Error("filled anew without a change")
	}
	sql("INSERT INTO Setting VALUES ('MyHostname', 'mx.example')")
	if next, err := get(ctx); err != nil || next.Hostname != "mx.example" {
		t.Errorf("%+v, %v", next, err)
	}
	sql("INSERT INTO Setting VALUES ('memory_limit', 'much')")
	if _, err := get(ctx); !errors.Is(err, ErrInvalid) {
		t.Errorf("a bad value: %v", err)
	}
	sql("UPDATE Setting SET stValue='1G' WHERE stName='memory_limit'")
	if last, err := get(ctx); err != nil || last.MemoryLimit != 1<<30 {
		t.Errorf("%+v, %v", last, err)
	}
}

func TestFaultsNameTheRow(t *testing.T) {
	s, sql := source(t)
	ctx := context.Background()
	if list, err := s.Faults(ctx); err != nil || len(list) != 0 {
		t.Errorf("without rows: %v, %v", list, err)
	}
	sql("INSERT INTO Setting VALUES ('smtpd_nonsense', '1'), ('message_size_limit', 'big')")
	list, err := s.Faults(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "smtpd_nonsense" || list[1].Name != "message_size_limit" {
		t.Errorf("faults %v, %v", list, err)
	}
}

// TestUnusableValues: what cannot be obeyed is a fault of its row, by name.
func TestUnusableValues(t *testing.T) {
	tab, err := Table()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"smtpd_recipient_limit": "0", "mynetworks": "10.0.0.1/8", "log_format": "xml", "ssl_min_protocol": "SSLv3",
		"smtp_tls_security_level": "maybe", "default_pass_scheme": "NONE", "local_recipient_maps": "hash:/x",
		"inet_protocols": "ipx", "auth_mechanisms": "plain gssapi", "auth_rehash_scheme": "NONE", "hopcount_limit": "0",
		"smtp_quit_timeout": "0", "smtp_bind_address": "eth0", "notify_classes": "policy", "reject_code": "600",
		"permit_mx_backup_networks": "1.2.3.4/8", "smtp_address_preference": "both", "virtual_default_gid": "0",
	} {
		list := Faults(tab, map[string]string{name: value})
		if len(list) == 0 || list[0].Name != name {
			t.Errorf("%s=%s: %v", name, value, list)
		}
	}
}

// TestDefaultsCanBeFilled: every default is a value that its type can have.
func TestDefaultsCanBeFilled(t *testing.T) {
	tab, err := Table()
	if err != nil {
		t.Fatal(err)
	}
	if list := Faults(tab, nil); len(list) > 0 {
		t.Errorf("defaults: %v", list)
	}
	if n := len(tab.Fields()); n < 50 {
		t.Errorf("only %d settings: a part is missing", n)
	}
}
