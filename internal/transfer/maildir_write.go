package transfer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/mutf7"
)

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
