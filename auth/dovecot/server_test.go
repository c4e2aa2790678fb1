package dovecot

import (
	"bufio"
	"context"
	"encoding/base64"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailserver/auth"
	"mailserver/schema"
)

// start serves on a socket, and returns its path and the directory file.
func start(t *testing.T) (socket, mail string) {
	t.Helper()
	ctx := context.Background()
	dir := t.TempDir()
	mail = filepath.Join(dir, "mail.sqlite")
	if err := schema.CreateMail(ctx, mail); err != nil {
		t.Fatal(err)
	}
	rows := `INSERT INTO Domain (domNum, domName, domClass) VALUES (2, 'box.example', 842);
		INSERT INTO Address (addNum, addLocalpart, addDomNum) VALUES (1, 'ann', 2), (2, 'odd', 2);
		INSERT INTO VMailbox (vmNum, vmPasswd) VALUES (1, '{PLAIN}Ann secret'), (2, '{NTLM}0');
		INSERT INTO AppPassword (apAddNum, apName, apPasswd, apProtocols) VALUES (1, 'phone', '{PLAIN}phone', 'imap')`
	if err := schema.Script(ctx, mail, rows); err != nil {
		t.Fatal(err)
	}
	m, err := schema.OpenMail(ctx, mail)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	cfg := auth.Config{Hostname: "mx.example", DefaultScheme: "CRYPT", UsernameFormat: "%Lu", Workers: 2, HashMemory: 64 << 20,
		Mechanisms: []string{"scram-sha-256-plus", "scram-sha-256", "cram-md5", "external", "plain", "login"}}
	svc := auth.New(auth.Deps{Mail: m, Config: func(context.Context) (*auth.Config, error) { return &cfg, nil }})
	socket = filepath.Join(dir, "auth")
	l, err := (&Config{Socket: socket, Mode: "0600"}).Listen()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Auth: svc, Log: slog.New(slog.DiscardHandler)}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(ctx, l) }()
	t.Cleanup(func() { l.Close(); <-done; s.Close() })
	return socket, mail
}

// client is the side of Postfix.
type client struct {
	t  *testing.T
	c  net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, socket string) (*client, string) {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	k := &client{t, c, bufio.NewReader(c)}
	greeting := ""
	for !strings.HasSuffix(greeting, "DONE\n") {
		greeting += k.line()
	}
	k.say("VERSION\t1\t1\nCPID\t7\n")
	return k, greeting
}

func (k *client) say(text string) {
	k.t.Helper()
	if _, err := k.c.Write([]byte(text)); err != nil {
		k.t.Fatal(err)
	}
}

func (k *client) line() string {
	k.t.Helper()
	s, err := k.in.ReadString('\n')
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestDialog(t *testing.T) {
	socket, _ := start(t)
	k, greeting := dial(t, socket)
	want := "^VERSION\t1\t2\nMECH\tSCRAM-SHA-256\tmutual-auth\nMECH\tCRAM-MD5\tdictionary\tactive\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n" +
		"SPID\t\\d+\nCUID\t1\nCOOKIE\t[0-9a-f]{32}\nDONE\n$"
	if !regexp.MustCompile(want).MatchString(greeting) {
		t.Errorf("greeting %q", greeting)
	}
	for _, tt := range []struct{ say, want string }{
		{"AUTH\t1\tPLAIN\tservice=smtp\tnologin\trip=203.0.113.9\tsecured\tresp=" + b64("\x00Ann@box.example\x00Ann secret"), "OK\t1\tuser=ann@box.example\n"},
		{"AUTH\t2\tPLAIN\tservice=smtp\tresp=" + b64("\x00ann@box.example\x00wrong"), "FAIL\t2\tuser=ann@box.example\n"},
		{"AUTH\t3\tPLAIN\tservice=smtp\tresp=" + b64("\x00odd@box.example\x00x"), "FAIL\t3\tuser=odd@box.example\ttemp\tcode=temp_fail\treason=Temporary authentication failure\n"},
		{"AUTH\t4\tPLAIN\tservice=smtp\tresp=" + b64("\x00ann@box.example\x00phone"), "FAIL\t4\tuser=ann@box.example\n"},
		{"AUTH\t5\tPLAIN\tservice=imap\tresp=" + b64("\x00ann@box.example\x00phone"), "OK\t5\tuser=ann@box.example\n"},
		{"AUTH\t6\tGSSAPI\tservice=smtp", "FAIL\t6\treason=Unsupported authentication mechanism\n"},
		{"AUTH\t7\tLOGIN\tservice=smtp", "CONT\t7\t" + b64("Username:") + "\n"},
		{"CONT\t7\t" + b64("ann@box.example"), "CONT\t7\t" + b64("Password:") + "\n"},
		{"CONT\t7\t" + b64("Ann secret"), "OK\t7\tuser=ann@box.example\n"},
		{"SOMETHING\tnew\nAUTH\t8\tPLAIN\tservice=smtp\tresp=" + b64("a\tb"), "FAIL\t8\tuser=\n"},
		{"CONT\t8\tAAAA\nCANCEL\t99\nAUTH\t1\tLOGIN\tservice=smtp", "CONT\t1\t" + b64("Username:") + "\n"},
		{"CANCEL\t1\nAUTH\t9\tLOGIN\tservice=smtp", "CONT\t9\t" + b64("Username:") + "\n"},
	} {
		k.say(tt.say + "\n")
		if got := k.line(); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.say, got, tt.want)
		}
	}
}

func TestOddClientsAreLeft(t *testing.T) {
	socket, _ := start(t)
	for name, text := range map[string]string{
		"version": "VERSION\t2\t0\n", "id": "AUTH\tx\tPLAIN\n", "negative": "AUTH\t-1\tPLAIN\n", "no mechanism": "AUTH\t1\n",
		"base64": "AUTH\t1\tPLAIN\tresp=!\n", "long": strings.Repeat("x", 2*maxLine) + "\n",
		"too many": strings.Join(manyRequests(), ""),
	} {
		k, _ := dial(t, socket)
		k.c.Write([]byte(text))
		for {
			if _, err := k.in.ReadString('\n'); err != nil {
				if os.IsTimeout(err) {
					t.Errorf("%s: the connection stays", name)
				}
				break
			}
		}
	}
}

func manyRequests() []string {
	var list []string
	for i := range maxRequests + 1 {
		list = append(list, "AUTH\t"+strings.Repeat("1", i%9+1)+string(rune('0'+i%10))+"\tLOGIN\n")
	}
	return append(list, list...)
}

func TestSocketFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []Config{{Socket: file, Mode: "0660"}, {Socket: filepath.Join(dir, "a"), Mode: "rw"}, {Socket: "0.0.0.0:12345"},
		{Socket: "localhost"}, {Socket: filepath.Join(dir, "b"), Mode: "0660", Group: "no such group"}} {
		if l, err := cfg.Listen(); err == nil {
			l.Close()
			t.Errorf("%+v is bound", cfg)
		}
	}
	if text, _ := os.ReadFile(file); string(text) != "x" {
		t.Error("a file was replaced")
	}
	cfg := Config{Socket: filepath.Join(dir, "s"), Mode: "0666"}
	for range 2 { // the second time over what a server that was killed has left
		l, err := cfg.Listen()
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	}
	if st, err := os.Stat(cfg.Socket); err != nil || st.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", st, err)
	}
}

func FuzzHandle(f *testing.F) {
	f.Add("AUTH\t1\tPLAIN\tresp=AGEAYg==")
	f.Add("CONT\t1\tAA==")
	f.Add("VERSION\t1\t1")
	f.Add("CANCEL\t18446744073709551616")
	f.Fuzz(func(t *testing.T, line string) {
		fields := strings.Split(line, "\t")
		if len(fields) > 2 && fields[0] == "AUTH" {
			if c, resp, err := parameters(fields[2:]); err == nil && len(resp) > len(line) {
				t.Error(c, resp)
			}
		}
		if strings.ContainsAny(escape(line), "\t\n\r\x00") {
			t.Errorf("%q", escape(line))
		}
	})
}
