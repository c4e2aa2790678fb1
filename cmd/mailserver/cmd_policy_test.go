package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
)

const policyZone = `
9.2.0.192.in-addr.arpa. PTR mail.sender.test.
mail.sender.test.       A   192.0.2.9
9.2.0.192.bl.test.      A   127.0.0.2
9.2.0.192.bl.test.      TXT "seen sending"
`

func TestPolicyTest(t *testing.T) {
	dir := sampleDir(t)
	message := filepath.Join(t.TempDir(), "m.eml")
	if err := os.WriteFile(message, []byte("Subject: x\n\ntext\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	zone := dnstest.Start(t, policyZone)
	line := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &errs, dns: dns.New(dns.Config{Servers: []string{zone.Addr}})}
		code := a.main(context.Background(), append(args, "--data", dir))
		return code, out.String(), errs.String()
	}
	for _, set := range [][]string{
		{"class", "add", "44", "test", "--list", "reject_rbl_client bl.test"},
		{"domain", "set", "vmail.example", "--rclass", "44"},
		{"config", "set", "smtpd_end_of_data_restrictions=check_client_access static:{REJECT no content}"},
	} {
		if code, out, errs := line(set...); code != 0 {
			t.Fatalf("%q: %d %s%s", set, code, out, errs)
		}
	}
	base := []string{"policy", "test", "--client", "192.0.2.9", "--helo", "mail.sender.test", "--from", "a@sender.test"}
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"listed client", []string{"--to", "ann@vmail.example"}, 1, []string{
			"client mail.sender.test[192.0.2.9]", "smtpd_recipient_restrictions", "check_recipient_class: refuse 554 by RC44-test/reject_rbl_client",
			"DNS A 9.2.0.192.bl.test = 127.0.0.2", "=> 554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using bl.test; seen sending",
			"rule: RC44-test/reject_rbl_client"}},
		{"relay", []string{"--to", "a@elsewhere.test"}, 1, []string{"=> 554 5.7.1 <a@elsewhere.test>: Relay access denied", "rule: reject_unauth_destination"}},
		{"logged in", []string{"--to", "a@elsewhere.test", "--user", "ann@vmail.example", "--listener", "submission", "--tls"}, 0,
			[]string{"mua_relay_restrictions", "permit_sasl_authenticated: permit", "=> accepted"}},
		{"two recipients", []string{"--to", "ann@vmail.example", "--to", "postmaster"}, 1, []string{"RCPT TO:<ann@vmail.example>", "RCPT TO:<postmaster>\n  => accepted"}},
		{"message", []string{"--to", "postmaster", "--message", message}, 1, []string{"end of data\n", "554 5.7.1", "no content"}},
		{"no client", []string{"--client", "x", "--to", "postmaster"}, exitUsage, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := line(append(base[:len(base):len(base)], tt.args...)...)
			if code != tt.code {
				t.Fatalf("exit %d, want %d\n%s%s", code, tt.code, out, errs)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
	_, out, _ := line(append(base, "--to", "ann@vmail.example", "--json")...)
	var got policyAnswer
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	last := got.Stages[len(got.Stages)-1]
	if got.Accepted || last.Rule != "RC44-test/reject_rbl_client" || len(last.Steps) == 0 {
		t.Errorf("JSON: %s", out)
	}
}
