package test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
)

// startPostfix runs a Postfix of its own below a new directory, with further
// lines for main.cf, and returns the port of its smtpd.
func startPostfix(t *testing.T, main string, services ...string) (port int, dir string) {
	t.Helper()
	need(t, "postfix")
	if _, err := user.Lookup("postfix"); err != nil || os.Geteuid() != 0 {
		t.Skip("Postfix runs as root, and as the user postfix")
	}
	dir, err := os.MkdirTemp("", "postfix-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port = freeBase(t) + 25
	for _, sub := range []string{"etc", "queue", "data"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("chown", "postfix", filepath.Join(dir, "data")).CombinedOutput()
	if err != nil {
		t.Fatal(string(out))
	}
	conf := fmt.Sprintf("compatibility_level = 3.6\nqueue_directory = %[1]s/queue\ndata_directory = %[1]s/data\nmaillog_file = %[1]s/log\n"+
		"maillog_file_prefixes = %[1]s\ncommand_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n"+
		"setgid_group = postdrop\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = front.example\nmydestination =\nlocal_recipient_maps =\nalias_maps =\n"+
		"default_transport = discard\nsmtpd_relay_restrictions = permit_sasl_authenticated, reject\n%[2]s\n", dir, main)
	master := fmt.Sprintf(`127.0.0.1:%d inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
discard unix - - n - - discard
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
%s`, port, strings.Join(services, ""))
	for name, text := range map[string]string{"main.cf": lastOfEach(conf), "master.cf": master} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	postfix := func(verb string) (string, error) {
		return outside(t, "", "postfix", "-c", filepath.Join(dir, "etc"), verb)
	}
	if out, err := postfix("start"); err != nil {
		t.Fatalf("postfix start: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if t.Failed() && len(services) == 0 {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("log of Postfix:\n%s", text)
		}
		postfix("stop")
	})
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			c.Close()
			return port, dir
		}
	}
	t.Fatal("Postfix does not listen")
	return 0, ""
}

// lastOfEach leaves the last entry of each parameter of a main.cf. Every program
// of Postfix warns of an earlier one; before postlogd reads, ten such lines fill
// its socket, and postlogd itself then waits for room there for ever.
func lastOfEach(conf string) string {
	name := regexp.MustCompile(`^([a-z]\w*)[ \t]*=`)
	entries, at := []string{}, map[string]int{}
	for _, line := range strings.SplitAfter(conf, "\n") {
		m := name.FindStringSubmatch(line)
		switch {
		case m == nil && len(entries) > 0 && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")):
			entries[len(entries)-1] += line
			continue
		case m != nil:
			if earlier, twice := at[m[1]]; twice {
				entries[earlier] = ""
			}
			at[m[1]] = len(entries)
		}
		entries = append(entries, line)
	}
	return strings.Join(entries, "")
}

// TestPostfixAsksUs has Postfix authenticate its users through our socket.
func TestPostfixAsksUs(t *testing.T) {
	t.Parallel()
	h := authHost(t)
	dir, err := os.MkdirTemp("", "authsock-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "auth")
	h.start()
	h.mustRun("config", "set", "auth_socket="+socket, "auth_socket_mode=0666") // acts without a restart
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
	}
	port, _ := startPostfix(t, "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = "+socket+"\nsmtpd_sasl_security_options = noanonymous")
	try := func(mechanism, user, password string) string {
		out, _ := outside(t, "", "swaks", "--server", "127.0.0.1", "--port", strconv.Itoa(port), "--auth", mechanism, "--auth-user", user,
			"--auth-password", password, "--from", user, "--to", "x@elsewhere.example", "--ehlo", "c.example")
		return out
	}
	for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		if out := try(mechanism, "plain@vmail.example", "pä wörd"); !strings.Contains(out, "235 2.7.0") || !strings.Contains(out, "250 2.0.0 Ok: queued") {
			t.Errorf("%s:\n%s", mechanism, out)
		}
		if out := try(mechanism, "plain@vmail.example", "wrong"); !strings.Contains(out, "535 5.7.8") {
			t.Errorf("%s, wrong password:\n%s", mechanism, out)
		}
	}
	if out := try("PLAIN", "scram-sha-256@vmail.example", "pä wörd"); !strings.Contains(out, "235 2.7.0") {
		t.Errorf("%s", out)
	}
	h.sql("UPDATE Address SET active = -1 WHERE addLocalpart = 'plain'")
	if out := try("PLAIN", "plain@vmail.example", "pä wörd"); !strings.Contains(out, "535 5.7.8") {
		t.Errorf("active -1:\n%s", out)
	}
	// Postfix 3.7 passes over "temp" and says 535, but with our reason.
	h.sql("UPDATE VMailbox SET vmPasswd = '{NTLM}x' WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = 'scram-sha-256')")
	if out := try("PLAIN", "scram-sha-256@vmail.example", "pä wörd"); !strings.Contains(out, "Temporary authentication failure") {
		t.Errorf("what cannot be decided:\n%s", out)
	}
}

// startDovecot runs the authentication of a Dovecot that knows ann@vmail.example
// with the password "far away", and returns its socket.
func startDovecot(t *testing.T) string {
	t.Helper()
	need(t, "dovecot")
	if _, err := user.Lookup("dovenull"); err != nil || os.Geteuid() != 0 {
		t.Skip("Dovecot runs as root, and as the users dovecot and dovenull")
	}
	dir, err := os.MkdirTemp("", "dc-") // a path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	conf := fmt.Sprintf("base_dir = %[1]s/run\nstate_dir = %[1]s/state\nlog_path = %[1]s/log\nprotocols =\nssl = no\nauth_mechanisms = plain\n"+
		"auth_failure_delay = 0\ninstance_name = test\n"+
		"passdb {\n driver = passwd-file\n args = %[1]s/users\n}\nuserdb {\n driver = static\n args = uid=65534 gid=65534 home=/nonexistent\n}\n"+
		"service auth {\n unix_listener auth-client {\n  mode = 0666\n }\n}\nservice stats {\n unix_listener stats-writer {\n  mode = 0666\n }\n}\n", dir)
	for name, text := range map[string]string{"conf": conf, "users": "ann@vmail.example:{PLAIN}far away\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("dovecot", "-F", "-c", filepath.Join(dir, "conf"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("log of Dovecot:\n%s", text)
		}
	})
	socket := filepath.Join(dir, "run", "auth-client")
	waitForSocket(t, socket)
	return socket
}

// waitForSocket waits until a program that was started listens.
func waitForSocket(t *testing.T, socket string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return
		}
	}
	t.Fatal("nobody listens at " + socket)
}

// TestWeAskDovecot logs in with a password that a Dovecot holds.
func TestWeAskDovecot(t *testing.T) {
	t.Parallel()
	socket := startDovecot(t)
	h := sampleHost(t, "")
	h.mustRun("config", "set", "auth_sasl_server=dovecot:"+socket)
	h.sql("UPDATE VMailbox SET vmPasswd = '{SASL}' WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = 'ann')")
	h.start()
	for password, want := range map[string]bool{"far away": true, "anns-secret": false} {
		out, err := outside(t, "", "curl", "-sS", "-k", "--user", "ann@vmail.example:"+password, "imaps://"+h.addr(993)+"/")
		if (err == nil) != want {
			t.Errorf("IMAP with %q: %v %s\n%s", password, err, out, h.log.tail(3))
		}
		out, err = outside(t, "", "curl", "-sS", "-k", "--user", "ann@vmail.example:"+password, "--mail-from", "ann@vmail.example",
			"--mail-rcpt", "joe@vmail.example", "--upload-file", smallMail(t), "--url", "smtps://"+h.addr(465))
		if (err == nil) != want {
			t.Errorf("SMTP with %q: %v %s\n%s", password, err, out, h.log.tail(3))
		}
	}
	h.sql("UPDATE Address SET active = -1 WHERE addLocalpart = 'ann'")
	if out, err := outside(t, "", "curl", "-sS", "-k", "--user", "ann@vmail.example:far away", "imaps://"+h.addr(993)+"/"); err == nil {
		t.Errorf("active -1: %s", out)
	}
}

// TestWeAskIMAP logs in with a password that another IMAP server holds, as
// saslauthd -a rimap does.
func TestWeAskIMAP(t *testing.T) {
	t.Parallel()
	far, h := sampleHost(t, ""), sampleHost(t, "")
	if out, err := far.run("far away", "mailbox", "set", "ann@vmail.example", "--password-stdin"); err != nil {
		t.Fatal(out)
	}
	h.mustRun("config", "set", "auth_throttle=no", "auth_sasl_server=imap:"+far.addr(143))
	h.sql("UPDATE VMailbox SET vmPasswd = '{SASL}' WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = 'ann')")
	far.start()
	h.start()
	for _, port := range []int{993, 465} {
		for password, want := range map[string]bool{"far away": true, "anns-secret": false} {
			if ok, line := passwordOver(t, h, port, "ann@vmail.example", password); ok != want {
				t.Errorf("port %d with %q: %s\n%s", port, password, line, h.log.tail(3))
			}
		}
	}
	far.stop()
	conn := saslDial(t, h, 993, &tls.Config{InsecureSkipVerify: true})
	defer conn.Close()
	if got := saslOver(t, conn, 993, sasl.NewPlainClient("", "ann@vmail.example", "far away")); !strings.HasPrefix(got, "a NO [UNAVAILABLE]") {
		t.Errorf("nobody to ask: %s", got)
	}
}
