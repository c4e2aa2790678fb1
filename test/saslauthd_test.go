package test

import (
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/emersion/go-sasl"
)

// startSaslauthd runs Cyrus' saslauthd, which asks an IMAP server, and returns
// its socket.
func startSaslauthd(t *testing.T, imap string) string {
	t.Helper()
	program := need(t, "saslauthd")
	dir, err := os.MkdirTemp("", "sa-") // a path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// -n 0: it forks for each question; -d: it stays in front.
	cmd := exec.Command(program, "-d", "-n", "0", "-r", "-a", "rimap", "-O", strings.Replace(imap, ":", "/", 1), "-m", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // when it ends, it ends its process group
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	socket := filepath.Join(dir, "mux")
	waitForSocket(t, socket)
	return socket
}

// TestWeAskSaslauthd logs in with a password that saslauthd finds right.
func TestWeAskSaslauthd(t *testing.T) {
	t.Parallel()
	need(t, "saslauthd")
	far, h := sampleHost(t, ""), sampleHost(t, "")
	if out, err := far.run("far \"away\"", "mailbox", "set", "ann@vmail.example", "--password-stdin"); err != nil {
		t.Fatal(out)
	}
	far.mustRun("config", "set", "auth_throttle=no")
	far.start()
	socket := startSaslauthd(t, far.addr(143))
	h.mustRun("config", "set", "auth_throttle=no", "auth_cache_size=0", "auth_sasl_server=saslauthd:"+socket)
	h.sql("UPDATE VMailbox SET vmPasswd = '{SASL}' WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = 'ann')")
	h.start()
	for _, port := range []int{993, 465, 995} {
		for password, want := range map[string]bool{`far "away"`: true, "anns-secret": false} {
			if ok, line := passwordOver(t, h, port, "ann@vmail.example", password); ok != want {
				t.Errorf("port %d with %q: %s\n%s", port, password, line, h.log.tail(3))
			}
		}
	}
	if out := mustOutside(t, "", "testsaslauthd", "-f", socket, "-u", "ann", "-r", "vmail.example", "-p", `far "away"`); !strings.Contains(out, "OK") {
		t.Errorf("testsaslauthd: %s", out)
	}
	far.stop()
	conn := saslDial(t, h, 993, &tls.Config{InsecureSkipVerify: true})
	defer conn.Close()
	if got := saslOver(t, conn, 993, sasl.NewPlainClient("", "ann@vmail.example", `far "away"`)); !strings.HasPrefix(got, "a NO [UNAVAILABLE]") {
		t.Errorf("saslauthd has nobody to ask: %s", got)
	}
}
