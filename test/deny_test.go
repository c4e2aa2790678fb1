package test

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
)

// systemUser adds a user with a password to the system, for as long as the test
// runs, and returns the home.
func systemUser(t *testing.T, name, password string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	home := filepath.Join(dir, name)
	if out, err := exec.Command("useradd", "--create-home", "--home-dir", home, "--shell", "/bin/sh", name).CombinedOutput(); err != nil {
		t.Fatalf("useradd: %v\n%s", err, out)
	}
	t.Cleanup(func() { exec.Command("userdel", name).Run() })
	mustOutside(t, name+":"+password+"\n", "chpasswd", "-c", "SHA512")
	return home
}

// TestDenied: active -1 blocks a user of the system and one of a row, in every
// protocol, whatever holds the password; mail still arrives. Of two users with
// the same name the system's is the one: who is unknown to it is looked for in
// the rows, and its wrong password stays wrong.
func TestDenied(t *testing.T) {
	if os.Getenv("MAILSERVER_PEERS") != "1" || os.Getuid() != 0 {
		t.Skip("adds users to the system: only as root with MAILSERVER_PEERS=1")
	}
	for _, p := range []string{"useradd", "chpasswd", "swaks"} {
		need(t, p)
	}
	name := fmt.Sprintf("md%d", os.Getpid()%100000)
	systemUser(t, name, "of the system")
	home := systemUser(t, name+"b", "of the system") // no mailbox of a row has this name
	h := sampleHost(t, "")
	tokens := tokenServer(t)
	h.mustRun("config", "set", "auth_system_users=yes", "first_valid_uid=500", "auth_throttle=no", "home_mailbox=Maildir/", "auth_master_user_separator=*",
		"oauth2_introspection_mode=post", "oauth2_introspection_url="+tokens.URL, "auth_mechanisms=plain login cram-md5 scram-sha-256 xoauth2")
	h.sql(fmt.Sprintf(`INSERT INTO Address (addNum, addLocalpart, addDomNum) SELECT 900, '%[1]s', domNum FROM Domain WHERE domName = 'mx.example';
		INSERT INTO VMailbox (vmNum, vmPasswd) VALUES (900, '{PLAIN}of the row');
		INSERT INTO Address (addNum, addLocalpart, addDomNum) SELECT 901, '%[1]sx', domNum FROM Domain WHERE domName = 'mx.example';
		INSERT INTO VMailbox (vmNum, vmPasswd) VALUES (901, '{PLAIN}of the row');
		INSERT INTO Address (addNum, addLocalpart, addDomNum) SELECT 903, '%[1]sb', domNum FROM Domain WHERE domName = 'mx.example';
		INSERT INTO Address (addNum, addLocalpart, addDomNum) SELECT 902, 'plain', domNum FROM Domain WHERE domName = 'vmail.example';
		INSERT INTO VMailbox (vmNum, vmPasswd) VALUES (902, '{PLAIN}of the row');
		INSERT INTO AppPassword (apAddNum, apName, apPasswd) VALUES (902, 'phone', '{PLAIN}of the phone');
		INSERT INTO Administrator (adName, adPasswd) VALUES ('root', '{PLAIN}of root');`, name))
	h.start()
	system, plain := name+"@mx.example", "plain@vmail.example"
	clients := []struct {
		about  string
		client func() sasl.Client
		want   bool // before the deny
		denied bool // by it
	}{
		{"system user", func() sasl.Client { return sasl.NewPlainClient("", name, "of the system") }, true, true},
		{"other system user", func() sasl.Client { return sasl.NewPlainClient("", name+"b", "of the system") }, true, true},
		{"system user with domain", func() sasl.Client { return sasl.NewLoginClient(system, "of the system") }, true, true},
		{"row of the same name", func() sasl.Client { return sasl.NewPlainClient("", system, "of the row") }, false, true},
		{"row that the system does not know", func() sasl.Client { return sasl.NewPlainClient("", name+"x@mx.example", "of the row") }, true, false},
		{"row", func() sasl.Client { return sasl.NewPlainClient("", plain, "of the row") }, true, true},
		{"app password", func() sasl.Client { return sasl.NewLoginClient(plain, "of the phone") }, true, true},
		{"CRAM-MD5", func() sasl.Client { return &cramClient{plain, "of the row"} }, true, true},
		{"token", func() sasl.Client { return &xoauth2Client{plain, "good"} }, true, true},
		{"master user", func() sasl.Client { return sasl.NewPlainClient("", plain+"*root", "of root") }, true, true},
		{"another row", func() sasl.Client { return sasl.NewPlainClient("", "joe@vmail.example", "joes-secret") }, true, false},
	}
	for _, denied := range []bool{false, true} {
		for _, c := range clients {
			for _, port := range saslPorts {
				conn := saslDial(t, h, port, &tls.Config{InsecureSkipVerify: true})
				got := saslOver(t, conn, port, c.client())
				if want := c.want && !(denied && c.denied); isLoggedIn(got) != want {
					t.Errorf("denied %v: %s, port %d: %s\n%s", denied, c.about, port, got, h.log.tail(2))
				}
				conn.Close()
			}
		}
		h.sql("UPDATE Address SET active = -1 WHERE addNum IN (900, 902, 903)")
	}
	out := mustOutside(t, "", "swaks", "--server", "127.0.0.1", "--port", fmt.Sprint(h.base+25), "--from", "a@elsewhere.example", "--to", name+"b@mx.example,"+plain)
	if !strings.Contains(out, "250 2.0.0 Ok: queued as") || strings.Contains(out, "<** 5") {
		t.Errorf("mail to who may not log in:\n%s", out)
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if list, _ := filepath.Glob(filepath.Join(home, "Maildir", "new", "*")); len(list) == 1 {
			break
		}
	}
	if list, _ := filepath.Glob(filepath.Join(home, "Maildir", "new", "*")); len(list) != 1 {
		t.Errorf("the user of the system has %d messages\n%s", len(list), h.log.tail(10))
	}
	if n := len(messages(t, h.folder("plain"))); n != 1 {
		t.Errorf("the user of the row has %d messages", n)
	}
}
