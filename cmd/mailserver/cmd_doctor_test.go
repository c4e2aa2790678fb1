package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
)

// doctorDir is a data directory with four mail domains.
func doctorDir(t *testing.T, lines ...string) (dir string, run func(line string) (int, string)) {
	t.Helper()
	dir = t.TempDir() + "/d"
	zone := dnstest.Start(t, "")
	run = func(line string) (int, string) {
		t.Helper()
		var out, errs bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &errs, dns: dns.New(dns.Config{Servers: []string{zone.Addr}, Entries: -1})}
		if text, ok := strings.CutPrefix(line, "zone "); ok {
			zone.Set(t, text)
			return 0, ""
		}
		code := a.main(context.Background(), append(strings.Fields(line), "--data", dir))
		return code, out.String() + errs.String()
	}
	for _, line := range append([]string{"init --hostname mx.example.org --own-mail"}, lines...) {
		if code, out := run(line); code != 0 {
			t.Fatalf("%s: exit %d\n%s", line, code, out)
		}
	}
	return dir, run
}

// TestDnsShowIsRight: what "dns show" prints, published, is what "dns check"
// wants.
func TestDnsShowIsRight(t *testing.T) {
	_, run := doctorDir(t, "domain add example.org", "domain add example.net", "dkim add example.org", "dkim add example.net")
	code, zone := run("dns show --address 192.0.2.1,2001:db8::1")
	if code != 0 || !strings.Contains(zone, "_submissions._tcp.example.net.\tIN\tSRV\t0 1 465 mx.example.org.") {
		t.Fatalf("dns show: exit %d\n%s", code, zone)
	}
	run("zone " + zone)
	if code, out := run("dns check --address 192.0.2.1,2001:db8::1"); code != 0 || !strings.HasPrefix(out, "0 faults, 0 warnings, 0 without answer") {
		t.Errorf("dns check: exit %d\n%s", code, out)
	}
	if code, out := run("dns check example.net --address 192.0.2.9"); code != exitConfig || !strings.Contains(out, "mend      mx.example.org.\tIN\tA\t192.0.2.9") {
		t.Errorf("dns check of another address: exit %d\n%s", code, out)
	}
	if code, out := run("dns check example.com"); code != exitNoUser {
		t.Errorf("dns check of a strange domain: exit %d\n%s", code, out)
	}
	if _, out := run("dns show example.org --relative --address 192.0.2.1"); !strings.Contains(out, "\n@\tMX\t10 mx.example.org.\n") || !strings.Contains(out, "\n_dmarc\tTXT\tv=DMARC1; p=quarantine; rua=") {
		t.Errorf("dns show --relative:\n%s", out)
	}
}

// planted is a zone with one mistake a line.
const planted = `
mx.example.org.                 IN A     192.0.2.7
mx.example.org.                 IN AAAA  fd00::1
7.2.0.192.in-addr.arpa.         IN PTR   host-7.provider.example.
mx.example.org.                 IN TXT   "v=spf1 a:mx.example.org ip4:bad -all"
_25._tcp.mx.example.org.        IN TLSA  3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
a.example.                      IN TXT   "v=spf1 mx -all"
a.example.                      IN TXT   "v=spf1 a -all"
b.example.                      IN MX    10 192.0.2.1.
b.example.                      IN TXT   "v=spf1 +all"
_dmarc.b.example.               IN TXT   "v=DMARC1; p=none"
_smtp._tls.b.example.           IN TXT   "v=TLSRPTv1"
_mta-sts.b.example.             IN TXT   "v=STSv1; id=1"
_imaps._tcp.b.example.          IN SRV   0 1 993 imap.b.example.
c.example.                      IN MX    0 .
c.example.                      IN TXT   "v=spf1 ip4:198.51.100.1 -all"
_dmarc.c.example.               IN TXT   "v=DMARC1; p=reject; rua=mailto:x@reports.example"
d.example.                      IN MX    10 old.d.example.
_dmarc.d.example.               IN TXT   "v=DMARC1; p=maybe"
e.example.                      IN MX    20 mx.example.org.
e.example.                      IN MX    10 first.e.example.
e.example.                      IN TXT   "v=spf1 mx ~all"
_dmarc.e.example.               IN TXT   "v=DMARC1; p=reject"
_dmarc.e.example.               IN TXT   "v=DMARC1; p=none"
2.0.0.127.zen.spamhaus.org.     IN A     127.255.255.254
2.0.0.127.bl.spamcop.net.       IN A     127.0.0.2
1.0.0.127.bl.spamcop.net.       IN A     127.0.0.2
2.0.0.127.psbl.surriel.com.     IN A     127.0.0.2
1.2.0.192.psbl.surriel.com.     IN A     127.0.0.2
`

// mistakes are those of planted and of the rows, by what the doctor says.
var mistakes = []string{
	"mx.example.org A | fault | 192.0.2.7 | remove it",
	"mx.example.org AAAA | fault | fd00::1 | publish the public address",
	"mx.example.org A | warning | no such record | mx.example.org.\tIN\tA\t192.0.2.1",
	"192.0.2.7 PTR | fault | host-7.provider.example | 7.2.0.192.in-addr.arpa.\tIN\tPTR\tmx.example.org.",
	"mx.example.org SPF | fault | ip4:bad | mx.example.org.\tIN\tTXT\t\"v=spf1 a -all\"",
	"a.example MX | fault | no record | a.example.\tIN\tMX\t10 mx.example.org.",
	"a.example SPF | fault | 2 records | a.example.\tIN\tTXT\t\"v=spf1 mx ~all\"",
	"_dmarc.a.example DMARC | fault | 0 records | _dmarc.a.example.\tIN\tTXT\t\"v=DMARC1; p=quarantine",
	"one-r._domainkey.a.example DKIM | fault | no record | one-r._domainkey.a.example.\tIN\tTXT",
	"b.example MX | fault | 10 192.0.2.1 | b.example.\tIN\tMX",
	"b.example SPF | fault | +all | b.example.\tIN\tTXT",
	"_dmarc.b.example DMARC | warning | p=none | p=quarantine",
	"_smtp._tls.b.example TLS-RPT | warning | v=TLSRPTv1 | leave one record",
	"_mta-sts.b.example MTA-STS | warning | id=1 | serve https://mta-sts.b.example",
	"_imaps._tcp.b.example SRV | warning | imap.b.example | SRV\t0 1 993 mx.example.org.",
	"b.example DKIM | fault | no key signs | mailserver dkim add b.example",
	"c.example MX | fault | null MX | c.example.\tIN\tMX",
	"c.example SPF | fault | 198.51.100.1 | c.example.\tIN\tTXT",
	"c.example._report._dmarc.reports.example | warning | no record | c.example._report._dmarc.reports.example.\tIN\tTXT\t\"v=DMARC1\"",
	"d.example MX | fault | old.d.example | d.example.\tIN\tMX",
	"d.example SPF | fault | no record | d.example.\tIN\tTXT",
	"_dmarc.d.example DMARC | fault | p=maybe | p=quarantine",
	"e.example MX | warning | first.e.example | e.example.\tIN\tMX",
	"_dmarc.e.example DMARC | fault | 2 records | p=quarantine",
	"list zen.spamhaus.org | fault | 127.255.255.254 | resolver of your own",
	"list bl.spamcop.net | fault | 127.0.0.1 is listed | out of the classes",
	"192.0.2.1 in psbl.surriel.com | fault | 127.0.0.2 | find and stop the cause",
	"no_such_setting: this server has no such setting | fault |  | mailserver config unset no_such_setting",
}

func TestDoctorFindsEveryMistake(t *testing.T) {
	dir, run := doctorDir(t, "domain add a.example", "domain add b.example", "domain add c.example", "domain add d.example", "domain add e.example",
		"dkim add a.example --selector one- --algorithm rsa")
	if out, err := exec.Command("sqlite3", dir+"/mail.sqlite", "INSERT INTO Setting VALUES ('no_such_setting', '1')").CombinedOutput(); err != nil {
		t.Skipf("sqlite3: %v %s", err, out)
	}
	run("zone " + planted)
	code, out := run("doctor --json --probe= --address 192.0.2.1")
	var found []examined
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != exitConfig {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	for _, m := range mistakes {
		want := strings.Split(m, " | ")
		ok := false
		for _, f := range found {
			ok = ok || f.Subject == want[0] && string(f.State) == want[1] && strings.Contains(f.Found, want[2]) && strings.Contains(f.Mend, want[3])
		}
		if !ok {
			t.Errorf("not found: %s", m)
		}
	}
	if t.Failed() {
		for _, f := range found {
			t.Logf("%s | %s | %s | %s", f.Subject, f.State, f.Found, f.Mend)
		}
	}
	if code, out := run("doctor --monitor --probe= --address 192.0.2.1"); code != 2 || strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "MAIL CRITICAL - ") {
		t.Errorf("--monitor: exit %d %q", code, out)
	}
}

// TestDoctorWithoutDNS: a dead resolver is one fault, and what could not be
// asked is named together.
func TestDoctorWithoutDNS(t *testing.T) {
	_, run := doctorDir(t, "domain add example.org", "domain add example.net")
	closed := "127.0.0.1:1" // tcpmux, which nobody serves
	code, out := run("doctor --probe= --resolver " + closed)
	want := "checks could not be made: records of mx.example.org, records of example.net, records of example.org, list "
	if code != exitConfig || strings.Count(out, "dns: fault: resolver\n") != 1 || strings.Count(out, "connection refused") != 1 || strings.Count(out, ": unknown: ") != 1 || !strings.Contains(out, want) {
		t.Errorf("exit %d\n%s", code, out)
	}
	if !regexp.MustCompile(`(?m)^1 faults, \d+ warnings, \d+ without answer, `).MatchString(out) {
		t.Errorf("the sum:\n%s", out)
	}
	if code, out := run("dns check example.org --resolver " + closed + " --verbose"); code != exitConfig || !strings.Contains(out, "dns: unknown: records of example.org\n") {
		t.Errorf("dns check: exit %d\n%s", code, out)
	}
	if code, out := run("doctor --monitor --probe= --resolver " + closed); code != 2 || !strings.HasPrefix(out, "MAIL CRITICAL - 1 faults") {
		t.Errorf("--monitor: exit %d\n%s", code, out)
	}
}
