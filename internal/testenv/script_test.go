package testenv

import (
	"bufio"
	"net"
	"reflect"
	"strings"
	"testing"
)

func TestParseScript(t *testing.T) {
	s, err := ParseScript("x.txt", []byte("# RFC 5321 §4.1.1.1\nS~ ^220 \n\n[a] C: EHLO x\nC:\nC64: \\x00joe\\x00secret\nSQL: DELETE FROM Setting\n"+
		"-- sql --\nSELECT 1;\n-- want/joe@example/INBOX --\nhello\n-- log --\nconnect from\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{{2, "", "S~", "^220 "}, {4, "a", "C:", "EHLO x"}, {5, "", "C:", ""},
		{6, "", "C64:", `\x00joe\x00secret`}, {7, "", "SQL:", "DELETE FROM Setting"}}
	if !reflect.DeepEqual(s.Steps, want) {
		t.Errorf("steps %+v\nwant  %+v", s.Steps, want)
	}
	if s.SQL != "SELECT 1;\n" || s.Log != "connect from\n" || !reflect.DeepEqual(s.Want, []Section{{"joe@example/INBOX", "hello\n"}}) {
		t.Errorf("sections %+v", s)
	}
	for _, bad := range []string{"C EHLO\n", "S~\n", "hello\n", "S: x\n-- nonsense --\n"} {
		if _, err := ParseScript("x.txt", []byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestClientDialog(t *testing.T) {
	steps, err := parseDialog("x", "S~ ^220 (?P<name>\\S+)$\nC: HELO $name\nS: 250 ${name}\nC64: \\x00a\nS... ^done$\nC= \"x\\ny\"\nCLOSED\n")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 1)
	go func() {
		conn, _ := l.Accept()
		r := bufio.NewReader(conn)
		conn.Write([]byte("220 mx.example\r\n"))
		a, _ := r.ReadString('\n')
		conn.Write([]byte("250 mx.example\r\n1\r\n2\r\ndone\r\n"))
		b, _ := r.ReadString('\n')
		c, _ := r.ReadString('\n')
		d, _ := r.ReadByte()
		conn.Close()
		heard <- a + b + c + string(d)
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(conn, map[string]string{})
	for _, st := range steps {
		if err := c.Do(st); err != nil {
			t.Fatalf("line %d: %v", st.Line, err)
		}
	}
	if got := <-heard; got != "HELO mx.example\r\nAGE=\r\nx\ny" {
		t.Errorf("the server heard %q", got)
	}
}

func TestClientSaysWhatItGot(t *testing.T) {
	a, b := net.Pipe()
	go b.Write([]byte("250 no\r\n"))
	err := NewClient(a, nil).Expect("250 yes")
	if err == nil || !strings.Contains(err.Error(), `got  "250 no"`) {
		t.Errorf("error %v", err)
	}
}
