package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/mutf7"
)

// Maildir is a Maildir++ tree as source or target.
type Maildir struct {
	Dir  string
	n    int
	host string
	made map[string][]string // keywords by mailbox, as target
}

// NewMaildir returns the tree at dir.
func NewMaildir(dir string) *Maildir {
	host, _ := os.Hostname()
	return &Maildir{Dir: dir, host: strings.NewReplacer("/", "_", ":", "_").Replace(host), made: map[string][]string{}}
}

// letters of system flags in file names.
var letters = []struct {
	letter byte
	flag   imap.Flag
}{{'D', imap.FlagDraft}, {'F', imap.FlagFlagged}, {'R', imap.FlagAnswered}, {'S', imap.FlagSeen}, {'T', imap.FlagDeleted}}

const (
	keywordFile = "dovecot-keywords"
	maxKeywords = 26
)

// Boxes implements Source.
func (m *Maildir) Boxes(context.Context) (list []Box, left []string, err error) {
	if st, err := os.Stat(filepath.Join(m.Dir, "cur")); err != nil || !st.IsDir() {
		return nil, nil, fmt.Errorf("%s is no Maildir: it has no cur: %w", m.Dir, fs.ErrNotExist)
	}
	list = []Box{{Name: "INBOX", Subscribed: true}}
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return nil, nil, err
	}
	subscribed := m.subscribed()
	for _, e := range entries {
		name := e.Name()
		if st, err := os.Stat(filepath.Join(m.Dir, name, "cur")); err != nil || !st.IsDir() || name == "." {
			continue
		}
		if name[0] != '.' {
			left = append(left, fmt.Sprintf("directory %s: only mailboxes that begin with a dot are Maildir++", name))
			continue
		}
		box := Box{Name: name[1:], ref: name}
		if text, err := mutf7.Decode(name[1:]); err == nil {
			box.Name = text
		}
		box.Subscribed = subscribed == nil || subscribed[box.Name]
		list = append(list, box)
	}
	return list, left, nil
}

// subscribed returns names; nil when there is no such file.
func (m *Maildir) subscribed() map[string]bool {
	text, err := os.ReadFile(filepath.Join(m.Dir, "subscriptions"))
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	rest, second := strings.CutPrefix(string(text), "V\t2\n")
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		if second {
			line = strings.ReplaceAll(line, "\t", ".")
		}
		if name, err := mutf7.Decode(line); err == nil {
			line = name
		}
		names[line] = true
	}
	return names
}

// Validity implements Source: names of files never change.
func (m *Maildir) Validity(context.Context, Box) (string, error) { return "", nil }

// file is one message.
type file struct{ base, path string }

// Each implements Source.
func (m *Maildir) Each(ctx context.Context, b Box, _, after string, fn func(*Message, io.Reader) error) error {
	var files []file
	dir := filepath.Join(m.Dir, b.ref)
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			base, _, _ := strings.Cut(e.Name(), ":2,")
			if e.Type().IsRegular() && e.Name()[0] != '.' && base > after {
				files = append(files, file{base, filepath.Join(sub, e.Name())})
			}
		}
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.base, b.base) })
	names := readKeywords(dir)
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := one(dir, f, names, fn); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func one(dir string, file file, names map[byte]imap.Flag, fn func(*Message, io.Reader) error) error {
	f, err := os.Open(filepath.Join(dir, file.path))
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	meta := &Message{ID: file.base, Time: st.ModTime(), Flags: flagsOf(file.path, names)}
	if meta.Size, err = io.Copy(io.Discard, newCRLF(f)); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return fn(meta, newCRLF(f))
}

func flagsOf(path string, names map[byte]imap.Flag) (flags []imap.Flag) {
	_, info, _ := strings.Cut(path, ":2,")
	for i := range len(info) {
		for _, l := range letters {
			if l.letter == info[i] {
				flags = append(flags, l.flag)
			}
		}
		if name := names[info[i]]; name != "" {
			flags = append(flags, name)
		}
	}
	return flags
}

func readKeywords(dir string) map[byte]imap.Flag {
	names := map[byte]imap.Flag{}
	text, _ := os.ReadFile(filepath.Join(dir, keywordFile))
	for line := range strings.Lines(string(text)) {
		number, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.Atoi(number); ok && err == nil && n >= 0 && n < maxKeywords {
			names[byte('a'+n)] = imap.Flag(name)
		}
	}
	return names
}

// newCRLF reads lines with CRLF at their ends.
func newCRLF(r io.Reader) io.Reader { return &crlf{r: bufio.NewReaderSize(r, 16<<10)} }

type crlf struct {
	r    *bufio.Reader
	last byte
	lf   bool // owed
}

func (c *crlf) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if c.lf {
			p[n], c.lf, c.last = '\n', false, '\n'
			n++
			continue
		}
		if n > 0 && c.r.Buffered() == 0 {
			break
		}
		if _, err := c.r.Peek(1); err != nil {
			return n, err
		}
		buf, _ := c.r.Peek(min(c.r.Buffered(), len(p)-n))
		if buf[0] == '\n' {
			c.r.Discard(1)
			c.lf = true
			if c.last != '\r' {
				p[n] = '\r'
				n++
			}
			continue
		}
		if at := bytes.IndexByte(buf, '\n'); at > 0 {
			buf = buf[:at]
		}
		n += copy(p[n:], buf)
		c.last = buf[len(buf)-1]
		c.r.Discard(len(buf))
	}
	return n, nil
}

// Prepare implements Target.
func (m *Maildir) Prepare(_ context.Context, b Box) error {
	dir, err := m.boxDir(b)
	if err != nil {
		return err
	}
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	if b.Name != "INBOX" {
		if err := os.WriteFile(filepath.Join(dir, "maildirfolder"), nil, 0o600); err != nil {
			return err
		}
	}
	if _, known := m.made[b.Name]; !known {
		var names []string
		for letter, name := range readKeywords(dir) {
			for len(names) <= int(letter-'a') {
				names = append(names, "")
			}
			names[letter-'a'] = string(name)
		}
		m.made[b.Name] = names
	}
	if !b.Subscribed || b.Name == "INBOX" || m.subscribed()[b.Name] {
		return nil
	}
	return m.subscribe(b.Name)
}

func (m *Maildir) subscribe(name string) error {
	f, err := os.OpenFile(filepath.Join(m.Dir, "subscriptions"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	enc, err := mutf7.Encode(name)
	if err != nil {
		return err
	}
	line := strings.ReplaceAll(enc, ".", "\t") + "\n"
	if st.Size() == 0 {
		line = "V\t2\n\n" + line
	}
	_, err = f.WriteString(line)
	return err
}

func (m *Maildir) boxDir(b Box) (string, error) {
	if b.Name == "INBOX" {
		return m.Dir, nil
	}
	enc, err := mutf7.Encode(b.Name)
	if err != nil || strings.ContainsAny(enc, "/\x00") {
		return "", fmt.Errorf("%q cannot be a directory", b.Name)
	}
	return filepath.Join(m.Dir, "."+enc), nil
}

// Add implements Target.
func (m *Maildir) Add(_ context.Context, b Box, meta *Message, text io.Reader) error {
	dir, err := m.boxDir(b)
	if err != nil {
		return err
	}
	info, err := m.info(dir, b.Name, meta.Flags)
	if err != nil {
		return err
	}
	m.n++
	now := time.Now()
	name := fmt.Sprintf("%d.M%06dP%dQ%d.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), m.n, m.host)
	tmp := filepath.Join(dir, "tmp", name)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 16<<10)
	size, virtual, err := copyLF(w, text)
	if e := w.Flush(); err == nil {
		err = e
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil && !meta.Time.IsZero() {
		err = os.Chtimes(tmp, meta.Time, meta.Time)
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, "cur", fmt.Sprintf("%s,S=%d,W=%d:2,%s", name, size, virtual, info)))
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// copyLF writes text with LF at the ends of lines.
func copyLF(w *bufio.Writer, r io.Reader) (size, virtual int64, err error) {
	br := bufio.NewReaderSize(r, 16<<10)
	held := false // a CR that an LF may follow
	for {
		c, err := br.ReadByte()
		if err == io.EOF {
			break
		}
		if err != nil {
			return size, virtual, err
		}
		if held && c != '\n' {
			w.WriteByte('\r')
			size, virtual = size+1, virtual+1
		}
		if held = c == '\r'; held {
			continue
		}
		if c == '\n' {
			virtual++
		}
		w.WriteByte(c)
		size, virtual = size+1, virtual+1
	}
	if held {
		w.WriteByte('\r')
		size, virtual = size+1, virtual+1
	}
	return size, virtual, nil
}

// info is the letters of flags. Keywords beyond 26 have none.
func (m *Maildir) info(dir, box string, flags []imap.Flag) (string, error) {
	var out []byte
	names := m.made[box]
	grown := false
next:
	for _, f := range flags {
		for _, l := range letters {
			if strings.EqualFold(string(l.flag), string(f)) {
				out = append(out, l.letter)
				continue next
			}
		}
		if f == "" || f[0] == '\\' {
			continue
		}
		at := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, string(f)) })
		if at < 0 && len(names) < maxKeywords {
			names, at, grown = append(names, string(f)), len(names), true
		}
		if at >= 0 {
			out = append(out, byte('a'+at))
		}
	}
	if grown {
		m.made[box] = names
		var text strings.Builder
		for i, name := range names {
			if name != "" {
				fmt.Fprintf(&text, "%d %s\n", i, name)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, keywordFile), []byte(text.String()), 0o600); err != nil {
			return "", err
		}
	}
	slices.Sort(out)
	return string(out), nil
}

// Flush implements Target: makes the names durable.
func (m *Maildir) Flush(_ context.Context, b Box) error {
	dir, err := m.boxDir(b)
	if err != nil {
		return err
	}
	d, err := os.Open(filepath.Join(dir, "cur"))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Next implements Target.
func (m *Maildir) Next(context.Context, Box) (uint32, error) { return 0, nil }
