package test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/internal/dns/dnstest"
	"mailserver/internal/testenv"
	"mailserver/schema"
)

// TestHowto runs every block of docs/howto.md against a running server.
func TestHowto(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/howto.md")
	if err != nil {
		t.Fatal(err)
	}
	h := &howto{t: t, dir: testenv.Dir(t), base: freeBase(t)}
	link := filepath.Join(h.dir, "mailserver")
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks(string(page)) {
		if err := h.run(b); err != nil {
			t.Fatalf("docs/howto.md:%d: %v\nlog:\n%s", b.line, err, h.log.String())
		}
	}
}

type block struct {
	line int
	kind string
	text []string
}

func blocks(page string) []block {
	var list []block
	inside := false
	for i, line := range strings.Split(page, "\n") {
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !inside:
			list = append(list, block{line: i + 1, kind: kind})
			inside = true
		case fence:
			inside = false
		case inside:
			b := &list[len(list)-1]
			b.text = append(b.text, line)
		}
	}
	return list
}

type howto struct {
	t    *testing.T
	dir  string
	base int
	log  howtoLog
}

func (h *howto) run(b block) error {
	switch b.kind {
	case "console":
		return h.console(b.text)
	case "sql":
		return h.sql(strings.Join(b.text, "\n"))
	case "serve":
		return h.serve()
	case "smtp":
		return h.dialog(h.base+25, []string{"EHLO client.example", "MAIL FROM:<someone@elsewhere.example>"}, b.text)
	case "imap":
		return h.dialog(h.base+143, nil, b.text)
	}
	return fmt.Errorf("no block is called %q", b.kind)
}

// console runs lines that begin with "$ " and compares what follows them.
func (h *howto) console(lines []string) error {
	for i := 0; i < len(lines); {
		command, ok := strings.CutPrefix(lines[i], "$ ")
		if !ok {
			return fmt.Errorf("%q follows no command", lines[i])
		}
		var want []string
		for i++; i < len(lines) && !strings.HasPrefix(lines[i], "$ "); i++ {
			want = append(want, lines[i])
		}
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = h.dir
		cmd.Env = append(os.Environ(), "PATH="+h.dir+":"+os.Getenv("PATH"), "PORTBASE="+strconv.Itoa(h.base))
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %v\n%s", command, err, out)
		}
		if got := strings.TrimRight(string(out), "\n"); want != nil && got != strings.Join(want, "\n") {
			return fmt.Errorf("%s: says\n%s\nwant\n%s", command, got, strings.Join(want, "\n"))
		}
	}
	return nil
}

// sql runs statements in the sqlite3 shell, where there is one.
func (h *howto) sql(statements string) error {
	file := filepath.Join(h.dir, "data", "mail.sqlite")
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		return schema.Script(context.Background(), file, statements)
	}
	cmd := exec.Command(shell, "-bail", file)
	cmd.Stdin = strings.NewReader(statements)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sqlite3: %v\n%s", err, out)
	}
	return nil
}

func (h *howto) serve() error {
	// The page says nothing about DNS, so that it must not hang on the network.
	zone := dnstest.Start(h.t, "elsewhere.example. IN MX 10 mx.elsewhere.example.\nmx.elsewhere.example. IN A 192.0.2.25\n"+
		"1.0.0.127.in-addr.arpa. IN PTR client.example.\nclient.example. IN A 127.0.0.1\n")
	if err := schema.Script(context.Background(), filepath.Join(h.dir, "data", "mail.sqlite"),
		"INSERT INTO Setting (stName, stValue) VALUES ('dns_servers', '"+zone.Addr+"')"); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(h.dir, "mailserver"), "serve")
	cmd.Dir = h.dir
	cmd.Stderr = &h.log
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	h.t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); <-done })
	for begin := time.Now(); time.Since(begin) < patience; {
		select {
		case <-done:
			return fmt.Errorf("serve ended")
		case <-time.After(20 * time.Millisecond):
		}
		if strings.Contains(h.log.String(), "ready") {
			return nil
		}
	}
	return fmt.Errorf("serve is not ready")
}

// dialog says before, whose replies do not matter, and then the lines.
func (h *howto) dialog(port int, before, lines []string) error {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	in := bufio.NewReader(conn)
	if _, err := reply(in); err != nil {
		return err
	}
	for _, line := range before {
		fmt.Fprintf(conn, "%s\r\n", line)
		if _, err := reply(in); err != nil {
			return err
		}
	}
	for _, line := range lines {
		verb, text, _ := strings.Cut(line, " ")
		if verb == "C:" {
			fmt.Fprintf(conn, "%s\r\n", text)
			continue
		}
		got, err := reply(in)
		if err != nil {
			return err
		}
		if verb == "S:" && got != text || verb == "S~" && !regexp.MustCompile(text).MatchString(got) {
			return fmt.Errorf("says\n  %s\nwant\n  %s", got, text)
		}
	}
	return nil
}

// reply reads the last line of a reply of SMTP, or the next line of IMAP that
// is not untagged; the greeting of IMAP is both.
func reply(in *bufio.Reader) (string, error) {
	for first := true; ; first = false {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if len(line) > 3 && line[3] == '-' && line[0] >= '2' && line[0] <= '5' {
			continue
		}
		if strings.HasPrefix(line, "* ") && !(first && strings.HasPrefix(line, "* OK")) {
			continue
		}
		return line, nil
	}
}

// howtoLog is written by the process and read by the test.
type howtoLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

var _ io.Writer = (*howtoLog)(nil)

func (s *howtoLog) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *howtoLog) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
