package message

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// dovecot is Dovecot's imap process on a Maildir of our making, spoken to over
// its standard input.
type dovecot struct {
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Reader
	tag int
}

const dovecotIMAP = "/usr/lib/dovecot/imap"

// startDovecot delivers the messages, numbered from 1, and selects their
// mailbox. It skips the test where there is no Dovecot.
func startDovecot(t testing.TB, messages [][]byte) *dovecot {
	t.Helper()
	if _, err := os.Stat(dovecotIMAP); err != nil {
		t.Skip("no Dovecot here")
	}
	dir, err := os.MkdirTemp("", "dovecot")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{"run", "md", "md/cur", "md/new", "md/tmp"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o777))
	}
	for i, m := range messages {
		must(t, os.WriteFile(filepath.Join(dir, "md/cur", fmt.Sprintf("%010d.M1.x:2,S", i+1)), m, 0o666))
	}
	conf := filepath.Join(dir, "dovecot.conf")
	must(t, os.WriteFile(conf, []byte("log_path = "+dir+"/log\nssl = no\nbase_dir = "+dir+"/run\n"+
		"mail_location = maildir:"+dir+"/md\n"), 0o666))
	cmd := exec.Command(dovecotIMAP, "-c", conf)
	cmd.Env = []string{"USER=test", "HOME=" + dir}
	cmd.Stderr = io.Discard
	if os.Getuid() == 0 { // which Dovecot does not accept for mail
		const nobody = 65534
		must(t, filepath.Walk(dir, func(p string, _ os.FileInfo, err error) error {
			return os.Chown(p, nobody, nobody)
		}))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	d := &dovecot{t: t}
	d.in, err = cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	d.out = bufio.NewReader(out)
	must(t, cmd.Start())
	t.Cleanup(func() { d.in.Close(); cmd.Wait() })
	d.response()
	d.run("SELECT INBOX")
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run gives the untagged responses and the tagged one, without its tag.
func (d *dovecot) run(format string, args ...any) (untagged []string, tagged string) {
	d.tag++
	tag := "t" + strconv.Itoa(d.tag) + " "
	fmt.Fprintf(d.in, tag+format+"\r\n", args...)
	for {
		r := d.response()
		if rest, ok := strings.CutPrefix(r, tag); ok {
			return untagged, rest
		}
		untagged = append(untagged, r)
	}
}

// response reads a line with the literals in it.
func (d *dovecot) response() string {
	var b strings.Builder
	for {
		line, err := d.out.ReadString('\n')
		if err != nil {
			d.t.Fatalf("dovecot: %v after %q", err, b.String())
		}
		b.WriteString(line)
		open := strings.LastIndexByte(line, '{')
		if open < 0 || !strings.HasSuffix(line, "}\r\n") {
			return b.String()
		}
		n, err := strconv.Atoi(line[open+1 : len(line)-3])
		if err != nil {
			return b.String()
		}
		if _, err := io.CopyN(&b, d.out, int64(n)); err != nil {
			d.t.Fatal(err)
		}
	}
}

// fetch gives the value of one item, or the failure.
func (d *dovecot) fetch(seq int, item string) string {
	untagged, tagged := d.run("FETCH %d (%s)", seq, item)
	if !strings.HasPrefix(tagged, "OK") {
		return "!" + strings.TrimSpace(tagged)
	}
	prefix := fmt.Sprintf("* %d FETCH (", seq)
	for _, u := range untagged {
		if rest, ok := strings.CutPrefix(u, prefix); ok {
			_, value, _ := bytes.Cut([]byte(rest), []byte(itemEnd(rest)))
			return strings.TrimSuffix(string(value), ")\r\n")
		}
	}
	return "!" + strings.TrimSpace(tagged)
}

// itemEnd is what parts the name of the item from its value.
func itemEnd(s string) string {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '[':
			depth++
		case ']':
			depth--
		case ' ':
			if depth == 0 {
				return s[:i+1]
			}
		}
	}
	return s
}
