package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// pop3Host serves joe three messages.
func pop3Host(t *testing.T) *host {
	h := sampleHost(t, "")
	h.start()
	file := filepath.Join(t.TempDir(), "mail.txt")
	for i := 1; i <= 3; i++ {
		body := fmt.Sprintf("number %d\r\n.a dot\r\n..", i)
		if err := os.WriteFile(file, message("client", "message "+strconv.Itoa(i), body), 0o600); err != nil {
			t.Fatal(err)
		}
		mustOutside(t, "", "curl", "-sS", "--url", "smtp://"+h.addr(25), "--mail-from", "a@elsewhere.example",
			"--mail-rcpt", "joe@vmail.example", "--upload-file", file)
	}
	return h
}

func TestCurlPOP3(t *testing.T) {
	need(t, "curl")
	h := pop3Host(t)
	curl := func(args ...string) string {
		return mustOutside(t, "", "curl", append([]string{"-sS", "-k", "--user", "joe@vmail.example:joes-secret"}, args...)...)
	}
	if out := curl("pop3s://" + h.addr(995) + "/"); strings.Count(out, "\r\n") != 3 {
		t.Errorf("LIST: %q", out)
	}
	if out := curl("--ssl-reqd", "pop3://"+h.addr(110)+"/2"); !strings.HasSuffix(out, "number 2\r\n.a dot\r\n..\r\n") {
		t.Errorf("RETR: %q", out)
	}
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		if out := curl("--login-options", "AUTH="+mechanism, "pop3s://"+h.addr(995)+"/", "-X", "UIDL"); !strings.Contains(out, "3 00000003") {
			t.Errorf("%s: %q", mechanism, out)
		}
	}
	curl("pop3s://"+h.addr(995)+"/1", "-l", "-X", "DELE")
	if out := curl("pop3s://" + h.addr(995) + "/"); strings.Count(out, "\r\n") != 2 {
		t.Errorf("LIST after DELE: %q", out)
	}
	if out, err := outside(t, "", "curl", "-sS", "-k", "--user", "joe@vmail.example:wrong", "pop3s://"+h.addr(995)+"/"); err == nil {
		t.Errorf("a wrong password was taken: %s", out)
	}
	h.check()
}

func TestPoplib(t *testing.T) {
	need(t, "python3")
	h := pop3Host(t)
	mustOutside(t, "", "python3", "-c", fmt.Sprintf(`
import poplib, ssl
tls = ssl._create_unverified_context()
p = poplib.POP3("127.0.0.1", %d)
assert "STLS" in p.capa() and "TOP" in p.capa(), p.capa()
p.stls(tls)
p.user("joe@vmail.example"); p.pass_("joes-secret")
n, size = p.stat()
assert n == 3, n
assert [int(l.split()[0]) for l in p.list()[1]] == [1, 2, 3]
assert size == sum(int(l.split()[1]) for l in p.list()[1])
head = p.top(1, 1)[1]
assert head[-2:] == [b"", b"number 1"], head
whole = p.retr(3)[1]
assert whole[-3:] == [b"number 3", b".a dot", b".."], whole
assert sum(len(l) + 2 for l in whole) == int(p.list(3).split()[2])
uids = p.uidl()[1]
p.dele(2); p.rset(); p.dele(1); p.noop()
p.quit()
p = poplib.POP3_SSL("127.0.0.1", %d, context=tls)
p.user("joe@vmail.example"); p.pass_("joes-secret")
assert [u.split()[1] for u in p.uidl()[1]] == [u.split()[1] for u in uids[1:]], (uids, p.uidl())
try:
    p.retr(9)
    assert False
except poplib.error_proto as e:
    assert "There's no message 9." in str(e), e
p.quit()
`, h.base+110, h.base+995))
	h.check()
}

// TestFetchmail: what was fetched and kept is not fetched again.
func TestFetchmail(t *testing.T) {
	t.Parallel()
	need(t, "fetchmail")
	h := pop3Host(t)
	dir := t.TempDir()
	rc := filepath.Join(dir, "fetchmailrc")
	for i, proto := range []string{"port " + strconv.Itoa(h.base+110) + "\n user \"joe@vmail.example\" sslproto tls1.2+",
		"port " + strconv.Itoa(h.base+995) + "\n user \"joe@vmail.example\" ssl"} {
		text := "set idfile \"" + dir + "/ids" + strconv.Itoa(i) + "\"\npoll 127.0.0.1 proto POP3 uidl " + proto +
			" no sslcertck password \"joes-secret\" keep mda \"cat >> " + dir + "/out" + strconv.Itoa(i) + "\"\n"
		if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run := func(want string, code string) {
			out, err := outside(t, "", "fetchmail", "-f", rc, "--pidfile", dir+"/pid", "--nosyslog", "-v")
			if fmt.Sprint(err) != code || !strings.Contains(out, want) {
				t.Errorf("%v; want %q in\n%s", err, want, out)
			}
		}
		run("3 messages for joe@vmail.example", "<nil>")
		run("3 messages (3 seen)", "exit status 1") // nothing to be had
		mail, _ := os.ReadFile(filepath.Join(dir, "out"+strconv.Itoa(i)))
		if n := strings.Count(string(mail), "\n.a dot\n"); n != 3 {
			t.Errorf("%d messages were fetched:\n%s", n, mail)
		}
	}
	h.check()
}

func TestGetmail(t *testing.T) {
	t.Parallel()
	need(t, "getmail")
	h := pop3Host(t)
	dir := t.TempDir()
	rc := fmt.Sprintf("[retriever]\ntype = SimplePOP3SSLRetriever\nserver = 127.0.0.1\nport = %d\nusername = joe@vmail.example\npassword = joes-secret\n"+
		"[destination]\ntype = MDA_external\npath = /bin/sh\narguments = (\"-c\", \"cat >> %s/mail\")\nallow_root_commands = true\n[options]\nread_all = false\ndelete = false\n", h.base+995, dir)
	if err := os.WriteFile(filepath.Join(dir, "getmailrc"), []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"3 messages", "0 messages"} {
		if out := mustOutside(t, "", "getmail", "--getmaildir", dir); !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	mail, _ := os.ReadFile(filepath.Join(dir, "mail"))
	if n := strings.Count(string(mail), "\n.a dot\n"); n != 3 {
		t.Errorf("%d messages were fetched:\n%s", n, mail)
	}
	h.check()
}
