package saslask

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// answering serves one socket with a fixed text, after reading until the last
// byte of what stop is.
func answering(t *testing.T, greeting, stop, answer string, heard *bytes.Buffer) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, greeting)
			b := make([]byte, 1)
			for !strings.HasSuffix(heard.String(), stop) {
				if _, err := c.Read(b); err != nil {
					break
				}
				heard.Write(b)
			}
			io.WriteString(c, answer)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

func TestAnswers(t *testing.T) {
	q := Question{User: "ann@box.example", Password: "pw", Service: "imap", Remote: "203.0.113.9"}
	const hello = "VERSION\t1\t2\nMECH\tPLAIN\nSPID\t1\nDONE\n"
	for _, tt := range []struct {
		name, kind, greeting, answer string
		ok, fails                    bool
	}{
		{"right", "dovecot", hello, "OK\t1\tuser=ann\n", true, false},
		{"wrong", "dovecot", hello, "FAIL\t1\tuser=ann\n", false, false},
		{"temporary", "dovecot", hello, "FAIL\t1\tuser=ann\ttemp\n", false, true},
		{"to another question", "dovecot", hello, "OK\t2\tuser=ann\n", false, true},
		{"odd", "dovecot", hello, "HTTP/1.1 400\n", false, true},
		{"nothing", "dovecot", hello, "", false, true},
		{"endless", "dovecot", strings.Repeat("x", 3*maxLine), "", false, true},
		{"right", "saslauthd", "", "\x00\x02OK", true, false},
		{"right with a word", "saslauthd", "", "\x00\x0aOK success", true, false},
		{"wrong", "saslauthd", "", "\x00\x02NO", false, false},
		{"wrong, with a reason", "saslauthd", "", "\x00\x15NO Incorrect password", false, false},
		{"cannot tell", "saslauthd", "", "\x00\x2fNO [ALERT] Couldn't contact remote authentication server", false, true},
		{"broken", "saslauthd", "", "\x00\x1dNO internal mechanism failure", false, true},
		{"cut", "saslauthd", "", "\x00\x08OK", false, true},
		{"odd", "saslauthd", "", "\x00\x02??", false, true},
		{"nothing", "saslauthd", "", "", false, true},
	} {
		var heard bytes.Buffer
		stop := "\x00\x0bbox.example"
		if tt.kind == "dovecot" {
			stop = "resp=AGFubkBib3guZXhhbXBsZQBwdw==\n"
		}
		path := answering(t, tt.greeting, stop, tt.answer, &heard)
		ok, err := Ask(context.Background(), tt.kind+":"+path, q)
		if ok != tt.ok || (err != nil) != tt.fails {
			t.Errorf("%s %s: %v, %v", tt.kind, tt.name, ok, err)
		}
	}
	for _, server := range []string{"", "ldap:/x", "dovecot:/no/such/path", "saslauthd:"} {
		if ok, err := Ask(context.Background(), server, q); ok || err == nil {
			t.Errorf("%q answers", server)
		}
	}
}

func TestWhatIsAsked(t *testing.T) {
	var heard bytes.Buffer
	path := answering(t, "", "\x00\x0bbox.example", "\x00\x02OK", &heard)
	if _, err := Ask(context.Background(), "saslauthd:"+path, Question{User: "ann@box.example", Password: "pw", Service: "smtp"}); err != nil {
		t.Fatal(err)
	}
	if heard.String() != "\x00\x03ann\x00\x02pw\x00\x04smtp\x00\x0bbox.example" {
		t.Errorf("%q", heard.String())
	}
}

// TestIMAPAnswers: the server of a password is an IMAP server, on this host.
func TestIMAPAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		answers   []string // to the greeting, LOGIN, user, password
		ok, fails bool
	}{
		"right":         {[]string{"* OK [CAPABILITY IMAP4rev1] hello", "+ ", "+ ", "* CAPABILITY IMAP4rev1\r\na OK in"}, true, false},
		"wrong":         {[]string{"* OK hello", "+ ", "+ ", "a NO [AUTHENTICATIONFAILED] no"}, false, false},
		"wrong, old":    {[]string{"* OK hello", "+ ", "+ ", "a NO no"}, false, false},
		"not now":       {[]string{"* OK hello", "+ ", "+ ", "a NO [UNAVAILABLE] later"}, false, true},
		"not with TLS":  {[]string{"* OK hello", "a NO [PRIVACYREQUIRED] x"}, false, true},
		"bad":           {[]string{"* OK hello", "+ ", "+ ", "a BAD what?"}, false, true},
		"bye":           {[]string{"* OK hello", "+ ", "+ ", "* BYE"}, false, true},
		"full":          {[]string{"* BYE too many"}, false, true},
		"in already":    {[]string{"* PREAUTH hello"}, false, true},
		"gone":          {[]string{"* OK hello", "+ "}, false, true},
		"nobody speaks": {nil, false, true},
		"endless":       {[]string{"* OK hello", "+ ", "+ ", strings.Repeat("* x\r\n", 200)}, false, true},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan string, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			in, said := bufio.NewReader(c), ""
			for i, a := range tt.answers {
				if i > 0 {
					line, _ := in.ReadString('\n')
					said += line
				}
				io.WriteString(c, a+"\r\n")
			}
			heard <- said
		}()
		ok, err := Ask(context.Background(), "imap:"+l.Addr().String(), Question{User: "ann@box.example", Password: `p"w`})
		if ok != tt.ok || (err != nil) != tt.fails {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if name == "right" {
			if said := <-heard; said != "a LOGIN {15}\r\nann@box.example {3}\r\np\"w\r\n" {
				t.Errorf("said %q", said)
			}
		}
		l.Close()
	}
	if Check("pam:x") == nil || Check("imap:") == nil || Check("imaps:mail.example") != nil {
		t.Error("names of servers")
	}
}
