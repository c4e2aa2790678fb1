package delivery

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailserver/internal/testport"
	"mailserver/policy"
)

// peerMessages is how many messages go to each peer; MAIL_PEERS sets another
// number.
func peerMessages() int {
	if n, err := strconv.Atoi(os.Getenv("MAIL_PEERS")); err == nil {
		return n
	}
	return 100
}

// TestPostfixTakesAll: signed mail goes to Postfix's smtp-sink, and by STARTTLS
// to its smtpd; each message arrives once, its body unchanged, with signatures
// that hold.
func TestPostfixTakesAll(t *testing.T) {
	if testing.Short() || os.Getuid() != 0 {
		t.Skip("needs Postfix, as root")
	}
	for _, program := range []string{"postfix", "smtp-sink", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	for _, peer := range []struct {
		name  string
		start func(*testing.T, int) (received func() []string)
		tls   string
	}{{"smtp-sink", startSink, "none"}, {"smtpd", startSmtpd, "encrypt"}} {
		t.Run(peer.name, func(t *testing.T) { relayAll(t, peer.start, peer.tls) })
	}
}

func relayAll(t *testing.T, start func(*testing.T, int) func() []string, level string) {
	txt := make(map[string]string)
	f := newFixture(t, keyRows(t, "box.test", txt), "UPDATE Setting SET stValue = '"+level+"' WHERE stName = 'smtp_tls_security_level';")
	f.port = testport.Base(t, 0)
	received := start(t, f.port)
	f.run()
	n := peerMessages()
	want := make(map[string]string)
	begun := time.Now()
	for i := range n {
		env := envelope("a@box.test", "x@out.test")
		env.User = "a@box.test"
		body := fmt.Sprintf("number %d\r\n..dots\r\n.\r\nFrom here\r\n  %s \r\n", i, strings.Repeat("abc ", i%200))
		if _, out := f.send(env, fmt.Sprintf("From: a@box.test\r\nX-Number: %d\r\nSubject: hello\r\n\r\n%s", i, body), policy.Effects{}); !out[0].OK() {
			t.Fatalf("%+v", out)
		}
		want[strconv.Itoa(i)] = fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	}
	for end := time.Now().Add(5 * time.Minute); len(f.queued()) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait; log:\n%.4000s", len(f.queued()), f.log)
		}
	}
	t.Logf("%d messages in %v", n, time.Since(begun))
	var texts []string
	for end := time.Now().Add(time.Minute); len(texts) < n && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		texts = received()
	}
	if len(texts) != n {
		t.Fatalf("%d messages arrived, want %d", len(texts), n)
	}
	for i, text := range texts {
		checkRelayed(t, text, want, txt, i < 10)
	}
	if len(want) > 0 {
		t.Errorf("%d messages did not arrive", len(want))
	}
}

// checkRelayed takes a message as the peer stored it off the list of those
// wanted.
func checkRelayed(t *testing.T, text string, want, txt map[string]string, python bool) {
	t.Helper()
	i := strings.Index(text, "DKIM-Signature:")
	if i < 0 {
		t.Fatalf("no signature in %q", text)
	}
	text = strings.ReplaceAll(text[i:], "\n", "\r\n")
	_, rest, _ := strings.Cut(text, "X-Number: ")
	number, _, _ := strings.Cut(rest, "\r\n")
	_, body, _ := strings.Cut(text, "\r\n\r\n")
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(body))); got != want[number] {
		t.Errorf("message %s twice, or its body changed: %q", number, body)
	}
	delete(want, number)
	if signatures(t, text, txt) != 2 {
		t.Errorf("message %s: not two signatures", number)
	}
	if python {
		otherVerifies(t, text, txt)
	}
}

// otherVerifies has dkimpy check both signatures, where it is installed.
func otherVerifies(t *testing.T, text string, txt map[string]string) {
	t.Helper()
	script := "import dkim,sys\ntxt=dict(zip(sys.argv[1::2],sys.argv[2::2]))\nd=dkim.DKIM(sys.stdin.buffer.read())\n" +
		"print([d.verify(idx=i, dnsfunc=lambda n, timeout=5: txt[n.decode().rstrip('.')].encode()) for i in range(2)])"
	args := []string{"-c", script}
	for name, rec := range txt {
		args = append(args, name, rec)
	}
	cmd := exec.Command("/usr/bin/python3", args...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "No module named") {
		return
	}
	if err != nil || strings.TrimSpace(string(out)) != "[True, True]" {
		t.Errorf("dkimpy: %s %v", out, err)
	}
}

// filesBelow reads all files below a directory.
func filesBelow(t *testing.T, dir string) (texts []string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			texts = append(texts, string(text))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

func startSink(t *testing.T, port int) func() []string {
	dir := t.TempDir()
	cmd := exec.Command("smtp-sink", "-u", "root", "-d", filepath.Join(dir, "m."), fmt.Sprintf("127.0.0.1:%d", port), "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	answers(t, port)
	return func() []string {
		texts := filesBelow(t, dir)
		for i := range texts {
			texts[i] = strings.TrimSuffix(texts[i], "\n") // it adds an empty line
		}
		return texts
	}
}

// answers waits until a port does.
func answers(t *testing.T, port int) {
	t.Helper()
	for range 200 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Skip("the peer does not answer")
}

// startSmtpd runs a Postfix with STARTTLS that delivers into a Maildir.
func startSmtpd(t *testing.T, port int) func() []string {
	dir, err := os.MkdirTemp("", "postfix")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	for _, d := range []string{"queue", "data", "box"} {
		os.Mkdir(filepath.Join(dir, d), 0o755)
	}
	exec.Command("chown", "postfix", filepath.Join(dir, "data")).Run()
	os.Chown(filepath.Join(dir, "box"), 5000, 5000)
	if out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=sink.test", "-days", "2",
		"-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem")).CombinedOutput(); err != nil {
		t.Skipf("openssl: %v %s", err, out)
	}
	conf := strings.ReplaceAll(`compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = peer.test
mydestination =
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = out.test
virtual_mailbox_base = DIR/box
virtual_mailbox_maps = inline:{x@out.test=x/}
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
smtpd_tls_cert_file = DIR/cert.pem
smtpd_tls_key_file = DIR/key.pem
smtpd_tls_security_level = encrypt
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
virtual_destination_concurrency_limit = 5
in_flow_delay = 0
maillog_file = DIR/log
maillog_file_prefixes = DIR
`, "DIR", dir)
	master := fmt.Sprintf("127.0.0.1:%d inet n - n - - smtpd\n", port)
	for _, line := range []string{"rewrite unix - - n - - trivial-rewrite", "cleanup unix n - n - 0 cleanup", "proxymap unix - - n - - proxymap",
		"anvil unix - - n - 1 anvil", "qmgr unix n - n 300 1 qmgr", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
		"tlsmgr unix - - n 1000? 1 tlsmgr", "virtual unix - n n - - virtual", "error unix - - n - - error", "retry unix - - n - - error", "postlog unix-dgram n - n - 1 postlogd"} {
		master += line + "\n"
	}
	for name, text := range map[string]string{"main.cf": conf, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("postfix", "-c", dir, "start").CombinedOutput(); err != nil {
		t.Skipf("Postfix does not start here: %v\n%s", err, out)
	}
	t.Cleanup(func() { exec.Command("postfix", "-c", dir, "stop").Run() })
	answers(t, port)
	return func() []string { return filesBelow(t, filepath.Join(dir, "box", "x", "new")) }
}
