package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailserver/internal/testport"
)

// browser is a Chromium without a screen, spoken to as the W3C's WebDriver says.
type browser struct {
	t    *testing.T
	base string // URL of the session
}

// child starts a program that serves a port, and ends it with the test.
func child(t *testing.T, addr string, cmd *exec.Cmd) {
	t.Helper()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it has children
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s said: %s", cmd.Path, last(said.String(), 3000))
		}
	})
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
	}
	t.Fatalf("%s does not listen", cmd.Path)
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	addr := testport.Addr(t)
	_, port, _ := net.SplitHostPort(addr)
	driver := exec.Command(need(t, "chromedriver"), "--port="+port)
	home := t.TempDir()
	driver.Env = append(os.Environ(), "HOME="+home)
	child(t, addr, driver)
	b := &browser{t: t, base: "http://" + addr}
	var s struct {
		SessionID string `json:"sessionId"`
	}
	b.call("POST", "/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"goog:chromeOptions": map[string]any{"binary": need(t, "chromium"),
			"args": []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1000", "--user-data-dir=" + home}}}}}, &s)
	b.base += "/session/" + s.SessionID
	t.Cleanup(func() {
		r, _ := http.NewRequest("DELETE", b.base, nil)
		if answer, err := http.DefaultClient.Do(r); err == nil {
			answer.Body.Close()
		}
	})
	return b
}

func (b *browser) call(method, path string, args, into any) {
	b.t.Helper()
	body, err := json.Marshal(args)
	if err != nil {
		b.t.Fatal(err)
	}
	r, err := http.NewRequest(method, b.base+path, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	var v struct{ Value json.RawMessage }
	if err := json.NewDecoder(answer.Body).Decode(&v); err != nil || answer.StatusCode != 200 {
		b.t.Fatalf("%s %s: %v %s", method, path, err, last(string(v.Value), 1500))
	}
	if into != nil {
		if err := json.Unmarshal(v.Value, into); err != nil {
			b.t.Fatalf("%s: %v: %s", path, err, v.Value)
		}
	}
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.call("POST", "/url", map[string]any{"url": url}, nil)
}

// run runs a script in the page; what it returns is text.
func (b *browser) run(script string, args ...any) string {
	b.t.Helper()
	var out any
	b.call("POST", "/execute/sync", map[string]any{"script": script, "args": append([]any{}, args...)}, &out)
	return fmt.Sprint(out)
}

// until waits for a script to return a text.
func (b *browser) until(want, script string, args ...any) {
	b.t.Helper()
	got := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if got = b.run(script, args...); got == want {
			return
		}
	}
	b.t.Fatalf("%s: %q, not %q; the page: %s", script, got, want, last(b.run("return document.body ? document.body.innerText : ''"), 1500))
}

// roundcube serves Debian's Roundcube for a host; its URL.
func roundcube(t *testing.T, h *host) string {
	t.Helper()
	const root, schema = "/var/lib/roundcube/public_html", "/usr/share/roundcube/SQL/sqlite.initial.sql"
	if _, err := os.Stat(root); err != nil {
		t.Skip("Roundcube is not installed: apt-get install roundcube-core roundcube-sqlite3 chromium chromium-driver")
	}
	dir := t.TempDir()
	for _, name := range []string{"defaults.inc.php", "mimetypes.php"} {
		if err := os.Symlink("/etc/roundcube/"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	tables, err := os.ReadFile(schema)
	if err != nil {
		t.Fatal(err)
	}
	mustOutside(t, string(tables), "sqlite3", filepath.Join(dir, "db"))
	conf := fmt.Sprintf(`<?php
$config['db_dsnw'] = 'sqlite:///%[1]s/db';
$config['imap_host'] = 'tls://127.0.0.1:%[2]d';
$config['smtp_host'] = 'tls://127.0.0.1:%[3]d';
$config['imap_conn_options'] = $config['smtp_conn_options'] = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]];
$config['smtp_user'] = '%%u';
$config['smtp_pass'] = '%%p';
$config['des_key'] = '012345678901234567890123';
$config['plugins'] = [];
$config['skin'] = 'elastic';
$config['log_dir'] = $config['temp_dir'] = '%[1]s';
$config['enable_spellcheck'] = false;
$config['imap_cache'] = null;
$config['messages_cache'] = 'db';
$config['language'] = 'en_US';
`, dir, h.base+143, h.base+587)
	if err := os.WriteFile(filepath.Join(dir, "config.inc.php"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := testport.Addr(t)
	server := exec.Command(need(t, "php"), "-S", addr, "-t", root)
	server.Env = append(os.Environ(), "ROUNDCUBE_CONFIG_DIR="+dir, "PHP_CLI_SERVER_WORKERS=4")
	child(t, addr, server)
	t.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(dir, "errors.log")); err == nil {
			t.Errorf("Roundcube's errors: %s", last(string(text), 2000))
		}
	})
	return "http://" + addr + "/"
}

const rows = `return [...document.querySelectorAll('#messagelist tbody tr.message .subject a span')].map(e => e.innerText).join('|')`

// TestRoundcube logs in, reads, moves, searches and sends with a browser.
func TestRoundcube(t *testing.T) {
	if !long() {
		t.Skip("with MAILSERVER_LONG=1")
	}
	need(t, "chromedriver")
	h := sampleHost(t, "")
	h.start()
	site := roundcube(t, h)
	c := h.login("joe")
	for i, subject := range []string{"first plan", "second plan", "grüße"} {
		put(t, c, "INBOX", letterOf(i+1, subject, "Content-Type: text/plain; charset=utf-8\r\n"))
	}
	if err := c.Create("Archive", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe("Archive").Wait(); err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t)
	b.open(site)
	b.run(`document.querySelector('#rcmloginuser').value = 'joe@vmail.example'; document.querySelector('#rcmloginpwd').value = 'joes-secret';
		document.querySelector('#login-form').submit()`)
	b.until("grüße|second plan|first plan", rows)

	t.Log("read")
	b.open(site + "?_task=mail&_mbox=INBOX&_uid=2&_action=show")
	b.until("body 2", `let e = document.querySelector('#messagebody'); return e ? e.innerText.trim() : ''`)

	t.Log("move")
	b.open(site + "?_task=mail&_mbox=INBOX")
	b.until("grüße|second plan|first plan", rows)
	b.until("false", `return window.rcmail.busy`)
	b.run(`rcmail.message_list.select('1'); rcmail.move_messages('Archive')`)
	got := ""
	for end := time.Now().Add(patience); got != "[first plan]" && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		got = fmt.Sprint(subjects(t, c, "Archive"))
	}
	if got != "[first plan]" {
		t.Fatalf("Archive has %s", got)
	}
	b.open(site + "?_task=mail&_mbox=INBOX")
	b.until("grüße|second plan", rows)

	t.Log("search")
	b.until("false", `return window.rcmail.busy`)
	b.run(`document.querySelector('#mailsearchform').value = 'grüße'; rcmail.command('search')`)
	b.until("grüße", rows)

	t.Log("send")
	b.open(site + "?_task=mail&_action=compose&_to=" + "ann%40vmail.example&_subject=" + "From%20a%20browser&_body=hello")
	b.until("true", `return !!(window.rcmail && rcmail.busy === false && document.querySelector('#compose-subject'))`)
	b.run(`rcmail.command('send', '', {}, {})`)
	for end := time.Now().Add(patience); len(messages(t, h.folder("ann"))) == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("ann got nothing: %s", last(b.run("return document.body.innerText"), 1000))
		}
	}
	text, err := os.ReadFile(messages(t, h.folder("ann"))[0])
	if err != nil || !strings.Contains(string(text), "Subject: From a browser") {
		t.Errorf("%v %s", err, text)
	}
	h.check()
}
