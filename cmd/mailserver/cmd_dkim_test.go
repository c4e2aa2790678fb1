package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailserver/internal/dkim"
	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
)

func TestDkimCommands(t *testing.T) {
	dir := sampleDir(t)
	zone := dnstest.Start(t, "")
	resolver := dns.New(dns.Config{Servers: []string{zone.Addr}, Entries: -1})
	do := func(line string) (int, string) {
		t.Helper()
		var out, errs bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &errs, dns: resolver}
		code := a.main(context.Background(), append(strings.Fields(line), "--data", dir))
		return code, out.String() + errs.String()
	}
	expect := func(line string, code int, want string) string {
		t.Helper()
		got, out := do(line)
		if got != code || !strings.Contains(out, want) {
			t.Fatalf("%s: exit %d, want %d and %q in\n%s", line, got, code, want, out)
		}
		return out
	}
	expect("dkim show vmail.example", exitNoUser, "no such row")
	expect("dkim add nodots", exitUsage, "not a domain")
	expect("dkim add vmail.example --selector one", 0, "onee._domainkey.vmail.example.\tIN\tTXT\t\"v=DKIM1; k=ed25519; p=")
	expect("dkim add vmail.example --selector one", exitCantCreate, "exists already")
	expect("dkim check vmail.example", exitConfig, "missing")

	// The zone lines are what a name server takes.
	lines := expect("dkim show vmail.example", 0, "as one string: v=DKIM1; k=rsa; h=sha256; p=")
	zone.Set(t, lines)
	expect("dkim check vmail.example", 0, "ok")
	expect("dkim rotate vmail.example --selector two", 0, "publish these records")
	expect("dkim rotate vmail.example", exitConfig, "the old keys go on signing")
	expect("dkim check vmail.example", 0, "twor._domainkey.vmail.example  no")
	zone.Set(t, expect("dkim show vmail.example", 0, "twoe"))
	expect("dkim rotate vmail.example", 0, "remove the record onee._domainkey.vmail.example")
	out := expect("dkim list --json", 0, "twor")
	if strings.Contains(out, "one") || strings.Contains(out, "PRIVATE") {
		t.Errorf("list after rotation:\n%s", out)
	}
	expect("dkim rm vmail.example twoe", 0, "")
	var left []published
	_, js := do("dkim show vmail.example --json")
	if err := json.Unmarshal([]byte(js), &left); err != nil || len(left) != 1 || left[0].Selector != "twor" || !left[0].Signs {
		t.Errorf("show --json: %v %+v", err, left)
	}

	key, err := dkim.NewKey("rsa")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mail.private")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(fmt.Sprintf("dkim add old.example --selector mail --key-file %s", file), 0, "mail._domainkey.old.example.")
}
