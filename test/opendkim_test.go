package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// opendkim runs a signing and verifying opendkim(8) until the test ends. It
// signs for clients of 127.0.3.1, and finds its key without DNS.
func opendkim(t *testing.T) string {
	t.Helper()
	need(t, "opendkim")
	dir, err := os.MkdirTemp("", "opendkim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	if out, err := exec.Command("opendkim-genkey", "-b", "1024", "-d", "client.example", "-s", "sel", "-D", dir).CombinedOutput(); err != nil {
		if os.Getenv("MAILSERVER_PEERS") == "1" {
			t.Fatalf("opendkim-genkey: %v\n%s", err, out)
		}
		t.Skipf("opendkim-genkey: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "sel.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var record strings.Builder
	for _, m := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
		record.WriteString(m[1])
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dns := write("dns", "sel._domainkey.client.example "+record.String()+"\n")
	hosts := write("hosts", "127.0.3.1\n")
	socket := filepath.Join(dir, "s")
	conf := write("conf", fmt.Sprintf("Socket local:%s\nMode sv\nDomain client.example\nSelector sel\nKeyFile %s/sel.private\nInternalHosts %s\nExternalIgnoreList %s\n"+
		"Canonicalization relaxed/simple\nAuthservID host.example\nAlwaysAddARHeader yes\nUMask 000\nTestDNSData %s\nSyslog no\nRequireSafeKeys no\nSendReports no\n", socket, dir, hosts, hosts, dns))
	cmd := exec.Command("opendkim", "-f", "-x", conf)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return "unix:" + socket
		}
		if time.Now().After(end) {
			t.Fatal("opendkim does not listen")
		}
	}
}

// TestOpendkim has one opendkim sign and verify for Postfix and for us: what
// one has signed verifies at the other, and a changed message at neither.
func TestOpendkim(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	filter := opendkim(t)
	h := sampleHost(t, "")
	h.sql(`INSERT INTO Domain (domName, domClass) VALUES ('relay.example', 2) ON CONFLICT DO NOTHING;
INSERT INTO Address (addLocalpart, addDomNum) SELECT '', domNum FROM Domain WHERE domName = 'relay.example';`)
	h.setRows([]string{"smtpd_peername_lookup=no", "smtpd_recipient_restrictions=reject_unauth_destination, check_recipient_access static:HOLD", "smtpd_relay_restrictions=",
		"mynetworks=192.0.2.1", "smtpd_client_restrictions=", "smtpd_data_restrictions=", "smtpd_milters=" + filter})
	h.start()
	p := besidePostfix(t, "smtpd_recipient_restrictions = reject_unauth_destination, check_recipient_access static:HOLD\n", [][]string{{"smtpd_milters=" + filter}})
	servers := map[string]func(from net.IP, text string) string{
		"ours": func(from net.IP, text string) string {
			id := handIn(t, h.addr(25), from, text)
			got, _ := h.spooled(id)
			return strings.ReplaceAll(string(got), "\r\n", "\n")
		},
		"Postfix": func(from net.IP, text string) string { return p.text(t, handIn(t, p.addr[0], from, text)) },
	}
	const plain = "From: a@client.example\nTo: u@relay.example\nSubject: signed\nDate: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <1@client.example>\n\nthe text\n\nof it\n"
	results := regexp.MustCompile(`(?s)Authentication-Results: host\.example;.*?\n\S`)
	for signer, sign := range servers {
		signed := sign(net.IPv4(127, 0, 3, 1), plain)
		if !strings.HasPrefix(signed, "DKIM-Signature: ") || !strings.HasSuffix(strings.TrimRight(signed, "\n"), strings.TrimRight(plain, "\n")) {
			t.Errorf("%s has signed:\n%s", signer, signed)
			continue
		}
		for verifier, verify := range servers {
			for _, c := range []struct{ name, text, want string }{{"as it is", signed, "dkim=pass"}, {"changed", strings.Replace(signed, "the text", "another", 1), "dkim=fail"}} {
				got := verify(net.IPv4(127, 0, 3, 2), c.text)
				if found := results.FindString(got); !strings.Contains(found, c.want) {
					t.Errorf("signed by %s, %s, verified by %s: %q in\n%s", signer, c.name, verifier, found, got)
				}
			}
		}
	}
}

// handIn sends a message from an address and returns its queue ID.
func handIn(t *testing.T, addr string, from net.IP, text string) string {
	t.Helper()
	text = strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\r\n")
	c := dialogCase{say: [][]string{{"EHLO client.example", "MAIL FROM:<a@client.example>", "RCPT TO:<u@relay.example>", "DATA", text + "\r\n."}}}
	raw := c.raw(t, addr, from)
	m := milterID.FindStringSubmatch(raw)
	if m == nil {
		t.Fatalf("not taken:\n%s", raw)
	}
	return m[1]
}
