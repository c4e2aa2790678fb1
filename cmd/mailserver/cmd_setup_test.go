package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
)

// TestSetupTwice: the second run changes nothing.
func TestSetupTwice(t *testing.T) {
	dir := t.TempDir() + "/d"
	run := func(line, in string) (int, string) {
		t.Helper()
		var out, errs bytes.Buffer
		a := &app{in: strings.NewReader(in), out: &out, err: &errs}
		code := a.main(context.Background(), append(strings.Fields(line), "--data", dir))
		return code, out.String() + errs.String()
	}
	const line = "setup --hostname mx.example.org --mailbox jane@example.net --own-mail --port-base 20000 --address 192.0.2.1"
	code, first := run(line, "")
	password := regexp.MustCompile(`added the mailbox jane@example.net, password (\S+)\n`).FindStringSubmatch(first)
	if code != 0 || password == nil || !strings.Contains(first, "\nexample.net.\tIN\tMX\t10 mx.example.org.\n") || !strings.Contains(first, "e._domainkey.example.net.\tIN\tTXT") {
		t.Fatalf("exit %d\n%s", code, first)
	}
	code, second := run(line, "")
	if code != 0 || strings.Contains(second, ", password ") || !strings.Contains(second, "mailbox jane@example.net is there already") {
		t.Errorf("second run: exit %d\n%s", code, second)
	}
	if _, a, _ := strings.Cut(first, "\nPublish"); !strings.HasSuffix(second, a) {
		t.Errorf("the second run wants other records:\n%s", second)
	}
	if code, out := run("auth test jane@example.net", password[1]+"\n"); code != 0 {
		t.Errorf("the password shown: exit %d %s", code, out)
	}
	if code, out := run("route postmaster@example.net", ""); code != 0 || !strings.Contains(out, "jane@example.net") {
		t.Errorf("mail for postmaster: exit %d\n%s", code, out)
	}
	for _, bad := range []string{"setup --hostname other.example.org", "setup --domain nodots", "setup --domain a.example --mailbox x@b.example"} {
		if code, out := run(bad, ""); code != exitUsage {
			t.Errorf("%s: exit %d\n%s", bad, code, out)
		}
	}
}
