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
)

// Mbox is a file, or a directory of files, of the mbox format as source or
// target: RFC 4155, with the quoting of mboxrd.
type Mbox struct {
	Path string
	Name string // of the mailbox, for a single file; '': INBOX
	out  map[string]*os.File
}

// maxHeader bounds the header of a message, whose fields are looked at.
const maxHeader = 1 << 20

// Boxes implements Source.
func (m *Mbox) Boxes(context.Context) (list []Box, left []string, err error) {
	st, err := os.Stat(m.Path)
	if err != nil {
		return nil, nil, err
	}
	if !st.IsDir() {
		name := m.Name
		if name == "" {
			name = "INBOX"
		}
		return []Box{{Name: name, Subscribed: true, ref: m.Path}}, nil, nil
	}
	err = filepath.WalkDir(m.Path, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(m.Path, path)
		switch {
		case !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "."):
			left = append(left, rel+": not a plain file, or hidden")
			return nil
		case !isMbox(path):
			left = append(left, rel+": does not begin with a From line")
			return nil
		}
		name := strings.ReplaceAll(strings.ReplaceAll(rel, ".", "_"), "/", ".")
		if strings.EqualFold(name, "inbox") || name == "mbox" {
			name = "INBOX"
		}
		list = append(list, Box{Name: name, Subscribed: true, ref: path})
		return nil
	})
	slices.SortFunc(list, func(a, b Box) int { return strings.Compare(a.Name, b.Name) })
	return list, left, err
}

func isMbox(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var head [5]byte
	n, _ := io.ReadFull(f, head[:])
	return n == 0 || string(head[:n]) == "From "
}

// Validity implements Source: marks are offsets.
func (m *Mbox) Validity(context.Context, Box) (string, error) { return "", nil }

// Each implements Source. The mark of a message is where the next one begins.
func (m *Mbox) Each(ctx context.Context, b Box, _, after string, fn func(*Message, io.Reader) error) error {
	f, err := os.Open(b.ref)
	if err != nil {
		return err
	}
	defer f.Close()
	at, _ := strconv.ParseInt(after, 10, 64)
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	r := &mboxReader{r: bufio.NewReaderSize(f, 64<<10), at: at}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := r.message(fn)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// mboxReader reads one message after the other.
type mboxReader struct {
	r     *bufio.Reader
	at    int64  // of what r gives next
	from  string // the From line of the message that follows; '' not read yet
	tail  bool   // what was given out was the middle of a line
	blank bool   // an empty line that may be the end of the message
	done  bool   // the message is over
}

// message reads a message and gives it to fn: its header at once, as flags stand
// in it, then the rest as a stream.
func (r *mboxReader) message(fn func(*Message, io.Reader) error) error {
	for r.from == "" {
		line, err := r.line()
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte("From ")) {
			r.from = string(line)
		}
	}
	m := &Message{Time: fromTime(r.from), Size: -1}
	r.from, r.done, r.blank, r.tail = "", false, false, false
	var header bytes.Buffer
	internal := false
	for header.Len() < maxHeader {
		line, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if !r.tail && statusField(line, m) {
			continue
		}
		if bytes.HasPrefix(line, []byte("X-IMAP:")) || bytes.HasPrefix(line, []byte("X-IMAPbase:")) {
			internal = internal || bytes.HasPrefix(line, []byte("X-IMAP:"))
			continue
		}
		header.Write(line)
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
	}
	body := &mboxBody{r: r}
	// Where the next one begins is known only when this one was read.
	if internal && bytes.Contains(header.Bytes(), []byte("FOLDER INTERNAL DATA")) {
		_, err := io.Copy(io.Discard, body)
		return err
	}
	end := &endOfMessage{body: body, m: m}
	if err := fn(m, newCRLF(io.MultiReader(bytes.NewReader(header.Bytes()), end))); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, body)
	return err
}

// endOfMessage fills in the mark when the text has been read.
type endOfMessage struct {
	body *mboxBody
	m    *Message
}

func (e *endOfMessage) Read(p []byte) (int, error) {
	n, err := e.body.Read(p)
	if err == io.EOF {
		e.m.ID = strconv.FormatInt(e.body.r.at-int64(len(e.body.r.from)), 10)
	}
	return n, err
}

// line reads a line, or a piece of one that is long.
func (r *mboxReader) line() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	r.at += int64(len(line))
	if len(line) > 0 && (err == bufio.ErrBufferFull || err == io.EOF) {
		err = nil
	}
	return line, err
}

// next returns the next line of the message, unquoted; io.EOF at its end.
func (r *mboxReader) next() ([]byte, error) {
	if r.done {
		return nil, io.EOF
	}
	line, err := r.line()
	if err != nil {
		r.done = true
		return nil, err
	}
	start := !r.tail
	r.tail = line[len(line)-1] != '\n'
	if !start {
		return line, nil
	}
	if bytes.HasPrefix(line, []byte("From ")) && isFromLine(line) {
		r.from, r.done = string(line), true
		return nil, io.EOF
	}
	if quoted := bytes.TrimLeft(line, ">"); len(quoted) < len(line) && bytes.HasPrefix(quoted, []byte("From ")) {
		line = line[1:]
	}
	return line, nil
}

// isFromLine tells a From line from a sentence: it ends with a time.
func isFromLine(line []byte) bool { return !fromTime(string(line)).IsZero() }

// fromTime reads the time of "From sender Thu Nov 19 10:00:00 2026".
func fromTime(line string) time.Time {
	words := strings.Fields(line)
	for n := 5; n <= 7 && len(words) >= n+1; n++ {
		text := strings.Join(words[len(words)-n:], " ")
		for _, layout := range []string{"Mon Jan 2 15:04:05 2006", "Mon Jan 2 15:04:05 2006 -0700", "Mon Jan 2 15:04:05 MST 2006", "Mon Jan 2 15:04 2006"} {
			if t, err := time.Parse(layout, text); err == nil {
				return t
			}
		}
	}
	if len(words) >= 5 {
		if t, err := time.Parse("Mon Jan 2 15:04", strings.Join(words[len(words)-4:], " ")); err == nil && len(words) > 5 {
			return t
		}
	}
	return time.Time{}
}

// statusField reads a field in which mail programs keep flags; those are no part
// of the message.
func statusField(line []byte, m *Message) bool {
	name, value, ok := strings.Cut(strings.TrimRight(string(line), "\r\n"), ":")
	if !ok {
		return false
	}
	value = strings.TrimSpace(value)
	switch strings.ToLower(name) {
	case "status":
		if strings.Contains(value, "R") {
			m.Flags = append(m.Flags, imap.FlagSeen)
		}
	case "x-status":
		for letter, flag := range map[string]imap.Flag{"A": imap.FlagAnswered, "F": imap.FlagFlagged, "T": imap.FlagDraft, "D": imap.FlagDeleted} {
			if strings.Contains(value, letter) {
				m.Flags = append(m.Flags, flag)
			}
		}
	case "x-keywords":
		for _, word := range strings.Fields(strings.ReplaceAll(value, ",", " ")) {
			m.Flags = append(m.Flags, imap.Flag(word))
		}
	case "x-uid", "content-length":
	default:
		return false
	}
	return true
}

// mboxBody is the rest of a message. The empty line before the next From line
// is not part of it.
type mboxBody struct {
	r    *mboxReader
	rest []byte
}

func (b *mboxBody) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		line, err := b.r.next()
		if err != nil {
			return 0, err
		}
		empty := string(line) == "\n" || string(line) == "\r\n"
		switch {
		case b.r.blank && empty:
			b.rest = []byte("\n") // the one that was held back; this one is held now
		case b.r.blank:
			b.r.blank = false
			b.rest = append([]byte("\n"), line...)
		case empty:
			b.r.blank = true
		default:
			b.rest = line
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Prepare implements Target.
func (m *Mbox) Prepare(_ context.Context, b Box) error {
	if m.out[b.Name] != nil {
		return nil
	}
	if strings.ContainsAny(b.Name, "/\x00") || strings.HasPrefix(b.Name, ".") {
		return fmt.Errorf("%q cannot be a file", b.Name)
	}
	if err := os.MkdirAll(m.Path, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(m.Path, b.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for name, old := range m.out { // one at a time is enough
		old.Close()
		delete(m.out, name)
	}
	m.out = map[string]*os.File{b.Name: f}
	return nil
}

// Add implements Target.
func (m *Mbox) Add(_ context.Context, b Box, meta *Message, text io.Reader) error {
	w := bufio.NewWriterSize(m.out[b.Name], 32<<10)
	at := meta.Time
	if at.IsZero() {
		at = time.Now()
	}
	fmt.Fprintf(w, "From MAILER-DAEMON %s\n%s", at.UTC().Format("Mon Jan _2 15:04:05 2006"), statusLines(meta.Flags))
	br := bufio.NewReaderSize(text, 32<<10)
	start := true
	for {
		line, err := br.ReadSlice('\n')
		if start && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			w.WriteByte('>')
		}
		if len(line) > 0 {
			start = line[len(line)-1] == '\n'
			if start {
				line = append(bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), '\n')
			}
			w.Write(line)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if !start {
		w.WriteByte('\n')
	}
	w.WriteByte('\n')
	return w.Flush()
}

func statusLines(flags []imap.Flag) string {
	status, more, keywords := "O", "", []string{}
	for _, f := range flags {
		switch {
		case strings.EqualFold(string(f), string(imap.FlagSeen)):
			status = "RO"
		case strings.EqualFold(string(f), string(imap.FlagAnswered)):
			more += "A"
		case strings.EqualFold(string(f), string(imap.FlagFlagged)):
			more += "F"
		case strings.EqualFold(string(f), string(imap.FlagDraft)):
			more += "T"
		case strings.EqualFold(string(f), string(imap.FlagDeleted)):
			more += "D"
		default:
			keywords = append(keywords, string(f))
		}
	}
	text := "Status: " + status + "\n"
	if more != "" {
		text += "X-Status: " + more + "\n"
	}
	if len(keywords) > 0 {
		text += "X-Keywords: " + strings.Join(keywords, " ") + "\n"
	}
	return text
}

// Flush implements Target.
func (m *Mbox) Flush(_ context.Context, b Box) error { return m.out[b.Name].Sync() }

// Next implements Target.
func (m *Mbox) Next(context.Context, Box) (uint32, error) { return 0, nil }
