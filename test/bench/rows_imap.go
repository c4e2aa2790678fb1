package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// imapRows are the rows of mailboxes that are read.
func imapRows() []row {
	return []row{
		mailboxRow("mailbox of 10,000 messages", 10_000),
		mailboxRow("mailbox of 100,000 messages", 100_000),
		textRow("full-text, 100,000 messages", 100_000),
		idleRow("500 sessions in IDLE", false, 15),
		idleRow("500 sessions in IDLE, TLS", true, 25),
	}
}

// steps are what is done with a mailbox, one after the other. $M is another
// mailbox, $K are the first thousand messages, of fewer than 10,000 a tenth.
var steps = []struct {
	name, command string
	times         float64
	repeat        int // how often it is done, for those that take no time; 0: once
}{
	{"SELECT, cold", "SELECT INBOX", 1.5, 0},
	{"ENVELOPE, cold", "FETCH 1:* (FLAGS UID RFC822.SIZE ENVELOPE)", 1.5, 0},
	{"SELECT", "SELECT INBOX", 3, 0},
	{"ENVELOPE", "FETCH 1:* (FLAGS UID RFC822.SIZE ENVELOPE)", 3, 0},
	{"FLAGS", "UID FETCH 1:* (FLAGS)", 3, 10},
	{"SEARCH UNSEEN", "UID SEARCH UNSEEN", 3, 10},
	{"SEARCH SUBJECT", "UID SEARCH SUBJECT quarterly", 3, 0},
	{"SEARCH TEXT", "UID SEARCH TEXT zyxneedle", 3, 0},
	{"BODY[] of all", "FETCH 1:* (BODY.PEEK[])", 1.5, 0},
	{"STORE on all", `STORE 1:* +FLAGS (\Flagged)`, 1.5, 0},
	{"STORE on all again", `STORE 1:* -FLAGS (\Flagged)`, 1.5, 0},
	{"COPY 1000", "COPY $K $M", 1.5, 0},
	{"MOVE 1000", "MOVE $K $M", 1.5, 0},
	{"STORE on 1000", `STORE $K +FLAGS.SILENT (\Deleted)`, 1.5, 0},
	{"EXPUNGE 1000", "EXPUNGE", 1.5, 0},
}

func mailboxRow(name string, messages int) row {
	var list []metric
	for _, s := range steps {
		list = append(list, metric{name: s.name + ", ms", digits: 1, less: true, times: s.times},
			metric{name: s.name + ", ms CPU", digits: 1, less: true})
	}
	list = append(list, metric{name: "POP3 log-in and UIDL, ms", digits: 1, less: true, times: 1.5},
		metric{name: "POP3 RETR/s", times: 1.5})
	return row{name, list, func(b *bench, s *subject) (figures, error) {
		n := b.count(messages)
		if err := s.fill(n); err != nil {
			return nil, err
		}
		syscall.Sync() // or who syncs first pays for the files
		if err := s.cold(); err != nil {
			return nil, err
		}
		if err := s.ready(); err != nil {
			return nil, err
		}
		time.Sleep(2 * time.Second) // what every start does has ended
		f := figures{}
		if err := s.mailbox(f, n); err != nil {
			return nil, err
		}
		return f, s.maildrop(f)
	}}
}

// fill gives the next user a tree of n messages that no server has seen: mostly
// short texts, some with a large part.
func (s *subject) fill(n int) error {
	run := time.Now().Unix() // a file of an earlier run has another name
	return s.fillWith(func(cur string) error {
		for i := range n {
			if err := s.file(cur, i, run); err != nil {
				return err
			}
		}
		return nil
	})
}

// fillLinks is fill with few files that have many names, for very many messages.
func (s *subject) fillLinks(n int) error {
	const each = 30_000 // file systems bound the names of a file
	return s.fillWith(func(cur string) error {
		first := ""
		for i := range n {
			name := filepath.Join(cur, fmt.Sprintf("%d.M%06dP1.bench,S=27,W=30:2,%s", 1_600_000_000+i/1000, i%1000, []string{"", "S"}[min(i%10, 1)]))
			if i%each == 0 {
				first = name
				text := []byte("Subject: x\nTo: y\n\nsome text")
				if err := errors.Join(os.WriteFile(name, text, 0o600), os.Chown(name, s.uid, s.gid)); err != nil {
					return err
				}
			} else if err := os.Link(first, name); err != nil {
				return err
			}
		}
		return nil
	})
}

// fillWith makes an empty tree of the next user, and files with fn.
func (s *subject) fillWith(fn func(cur string) error) error {
	s.owner++ // a server may remember what it had
	inbox := s.inbox(s.owner)
	if err := os.RemoveAll(inbox); err != nil {
		return err
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(inbox, sub), 0o700); err != nil {
			return err
		}
	}
	if err := fn(filepath.Join(inbox, "cur")); err != nil {
		return err
	}
	for dir := inbox; strings.HasPrefix(dir, s.mail+"/"); dir = filepath.Dir(dir) {
		if err := os.Chown(dir, s.uid, s.gid); err != nil {
			return err
		}
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.Chown(filepath.Join(inbox, sub), s.uid, s.gid); err != nil {
			return err
		}
	}
	return nil
}

func (s *subject) file(cur string, i int, run int64) error {
	lines := 20 + i*i%90
	if i%33 == 0 {
		lines = 1200
	}
	word, flags := "weekly", "S"
	if i%50 == 0 {
		word = "quarterly"
	}
	if i%10 == 0 {
		flags = ""
	}
	when := time.Unix(1_700_000_000+int64(i)*60, 0)
	text := fmt.Sprintf("From: Some One <s%d@elsewhere.example>\nTo: <%s>\nSubject: %s report %d\nDate: %s\nMessage-ID: <%d@bench.example>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n",
		i%97, user(s.owner), word, i, when.Format(time.RFC1123Z), i) + strings.Repeat("a line of a message as long as others\n", lines)
	name := fmt.Sprintf("%d.M%06dP%d.bench,S=%d,W=%d:2,%s", when.Unix(), i%1_000_000, run, len(text), len(text)+strings.Count(text, "\n"), flags)
	path := filepath.Join(cur, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Chtimes(path, when, when); err != nil {
		return err
	}
	return os.Chown(path, s.uid, s.gid)
}

// mailbox runs the steps. SELECT is by a new connection each time.
func (s *subject) mailbox(f figures, n int) error {
	var c *reader
	defer func() { c.close() }()
	fill := strings.NewReplacer("$M", "benchbox", "$K", fmt.Sprintf("1:%d", min(n/10, 1000)))
	for _, step := range steps {
		if strings.HasPrefix(step.command, "SELECT") {
			c.close()
			var err error
			if c, err = logIn(s.imap, s.owner, false); err != nil {
				return err
			}
		}
		if strings.HasPrefix(step.command, "COPY") {
			if _, err := c.do("CREATE benchbox"); err != nil {
				return err
			}
		}
		used, took, err := s.group.cpu(), time.Duration(0), error(nil)
		for range max(1, step.repeat) {
			var once time.Duration
			if once, err = c.do(fill.Replace(step.command)); err != nil {
				break
			}
			took += once / time.Duration(max(1, step.repeat))
		}
		f[step.name+", ms CPU"] = float64((s.group.cpu() - used).Microseconds()) / 1000 / float64(max(1, step.repeat))
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		f[step.name+", ms"] = float64(took.Microseconds()) / 1000
	}
	_, err := c.do("DELETE benchbox")
	return err
}

// ready waits until the server answers again: Dovecot drops connections for a
// moment when it reloads.
func (s *subject) ready() (err error) {
	for range 50 {
		var c *reader
		if c, err = logIn(s.imap, 0, false); err == nil {
			c.close()
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// reader is a client that reads answers without looking at them.
type reader struct {
	c net.Conn
	r *bufio.Reader
}

func dialReader(address string, secure bool) (c *reader, err error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	c = &reader{conn, bufio.NewReaderSize(conn, 64<<10)}
	_, err = c.until("* OK", "+OK")
	return c, err
}

func (c *reader) close() {
	if c != nil {
		c.c.Close()
	}
}

// until reads to a line that begins in one of the ways given.
func (c *reader) until(begins ...string) (line string, err error) {
	c.c.SetDeadline(time.Now().Add(5 * time.Minute))
	for whole := true; ; {
		b, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return "", err
		}
		for _, begin := range begins {
			if whole && strings.HasPrefix(string(b[:min(len(b), 200)]), begin) {
				return string(b), nil
			}
		}
		whole = err == nil
	}
}

// do runs a command of IMAP.
func (c *reader) do(command string) (time.Duration, error) {
	begun := time.Now()
	if _, err := c.c.Write([]byte("bench1 " + command + "\r\n")); err != nil {
		return 0, err
	}
	line, err := c.until("bench1 ")
	if err == nil && !strings.HasPrefix(line, "bench1 OK") {
		err = fmt.Errorf("%s: %q", command, line)
	}
	return time.Since(begun), err
}

func logIn(address string, i int, secure bool) (*reader, error) {
	c, err := dialReader(address, secure)
	if err != nil {
		return nil, err
	}
	if _, err = c.do("LOGIN " + user(i) + " " + password); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// maildrop reads what is left by POP3.
func (s *subject) maildrop(f figures) error {
	c, err := dialReader(s.pop3, false)
	if err != nil {
		return err
	}
	defer c.close()
	begun := time.Now()
	fmt.Fprintf(c.c, "USER %s\r\nPASS %s\r\nUIDL\r\n", user(s.owner), password)
	for _, end := range []string{"+OK", "+OK", ".\r\n"} {
		if _, err := c.until(end, "-ERR"); err != nil {
			return err
		}
	}
	f["POP3 log-in and UIDL, ms"] = float64(time.Since(begun).Microseconds()) / 1000
	const most = 5000
	begun, n := time.Now(), 0
	for ; n < most; n++ {
		fmt.Fprintf(c.c, "RETR %d\r\n", n+1)
		line, err := c.until("+OK", "-ERR")
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "-ERR") {
			break // no more messages
		}
		if _, err := c.until(".\r\n"); err != nil {
			return err
		}
	}
	f["POP3 RETR/s"] = float64(n) / time.Since(begun).Seconds()
	return nil
}

// idleRow is what a session costs that waits; what the first sessions cost once
// does not count.
func idleRow(name string, secure bool, bound float64) row {
	list := []metric{{name: "KB each, PSS", digits: 1, less: true, bound: bound}}
	return row{name, list, func(b *bench, s *subject) (figures, error) {
		address := s.imap
		if secure {
			address = s.imaps
		}
		first, err := openIdle(address, min(users, b.count(500)), secure)
		closeAll(first)
		if err != nil {
			return nil, err
		}
		const calm = 6 * time.Second
		time.Sleep(calm)
		before, _ := s.group.memory()
		all, err := openIdle(address, b.count(500), secure)
		defer closeAll(all)
		if err != nil {
			return nil, err
		}
		time.Sleep(calm)
		after, _ := s.group.memory()
		return figures{"KB each, PSS": float64(after-before) / float64(len(all))}, nil
	}}
}

func openIdle(address string, n int, secure bool) (all []*reader, err error) {
	for i := range n {
		c, err := logIn(address, i, secure)
		if err != nil {
			return all, err
		}
		all = append(all, c)
		if _, err := c.do("SELECT INBOX"); err != nil {
			return all, err
		}
		if _, err := c.c.Write([]byte("bench1 IDLE\r\n")); err != nil {
			return all, err
		}
		if _, err := c.until("+ "); err != nil {
			return all, err
		}
	}
	return all, nil
}

func closeAll(list []*reader) {
	for _, c := range list {
		c.close()
	}
}
