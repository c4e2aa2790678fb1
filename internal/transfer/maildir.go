package transfer

import (
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
