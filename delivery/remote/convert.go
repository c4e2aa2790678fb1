package remote

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"mailserver/internal/cleanup"
)

// converts reports whether the message must be made 7-bit for this server:
// RFC 6152 §3. A message with a DKIM signature stays as it is: servers without
// 8BITMIME that mind are rarer than receivers that check.
func (s *session) converts() (bool, error) {
	m := s.a.m
	if s.a.cfg.NoConversion || s.has("8BITMIME") || m.Body == "7BIT" || m.Body == "BINARYMIME" {
		return false, nil
	}
	f, err := m.Open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 2048)
	for {
		line, err := r.ReadSlice('\n')
		name := strings.ToLower(string(line[:min(len(line), len("dkim-signature:"))]))
		switch {
		case name == "dkim-signature:":
			return false, nil
		case len(bytes.TrimRight(line, "\r\n")) == 0 || err == io.EOF:
			return true, nil
		case err != nil && err != bufio.ErrBufferFull:
			return false, err
		}
		for err == bufio.ErrBufferFull { // the rest of a long line
			_, err = r.ReadSlice('\n')
		}
	}
}

// sevenBit passes a message on with the parts that are labelled 8bit or binary
// in quoted-printable, the way smtp(8) does it.
type sevenBit struct {
	eight bool // the header says 8bit or binary
	multi bool // and the content is made of parts
	code  bool // lines are encoded
}

// newSevenBit returns what turns what is written into w.
func newSevenBit(w io.Writer) *cleanup.Writer {
	c := &sevenBit{}
	return cleanup.NewWriter(w, cleanup.Hooks{Parts: true, FieldMost: 100 << 10, LineMost: 64 << 10, NestMost: 100,
		TooDeep: errors.New("MIME nesting exceeds safety limit"),
		Field:   c.field, HeaderEnd: func() (string, error) { return "", nil },
		Part: func() { *c = sevenBit{} }, PartEnd: c.end, Line: c.line})
}

func (c *sevenBit) field(_ cleanup.Kind, f *cleanup.Field) ([]byte, error) {
	value := strings.ToLower(strings.TrimSpace(f.Value()))
	switch f.Name {
	case "content-type":
		c.multi = strings.HasPrefix(value, "multipart/") || strings.HasPrefix(value, "message/")
	case "content-transfer-encoding":
		if strings.HasPrefix(value, "8bit") || strings.HasPrefix(value, "binary") {
			c.eight = true
			return nil, nil
		}
	}
	return f.Raw, nil
}

// end is behind the last field of a header.
func (c *sevenBit) end() string {
	switch {
	case c.eight && c.multi:
		return "Content-Transfer-Encoding: 7bit\r\n"
	case c.eight:
		c.code = true
		return "Content-Transfer-Encoding: quoted-printable\r\n"
	}
	return ""
}

// codedMost is where a line is continued on the next, RFC 2045 §6.7.
const codedMost = 72

func (c *sevenBit) line(line []byte, _ int64) ([]byte, bool, error) {
	if !c.code {
		return line, true, nil
	}
	var b bytes.Buffer
	width := 0
	for i, ch := range line {
		if width > codedMost {
			b.WriteString("=\r\n")
			width = 0
		}
		last := i == len(line)-1
		if ch < ' ' && ch != '\t' || ch == '=' || ch > '~' || last && (ch == ' ' || ch == '\t') {
			fmt.Fprintf(&b, "=%02X", ch)
			width += 3
		} else {
			b.WriteByte(ch)
			width++
		}
	}
	return b.Bytes(), true, nil
}

// Wrap reads r with lines of at most limit bytes: longer ones are continued on
// the next, behind a space, as postconf(5) smtp_line_length_limit. 0: as it is.
func Wrap(r io.Reader, limit int) io.Reader {
	if limit <= 0 {
		return r
	}
	return &wrapped{r: r, limit: limit}
}

type wrapped struct {
	r     io.Reader
	limit int
	width int    // of the present line
	out   []byte // not read yet
	err   error
}

// Read is io.Reader.
func (w *wrapped) Read(p []byte) (int, error) {
	for len(w.out) == 0 {
		if w.err != nil {
			return 0, w.err
		}
		n, err := w.r.Read(p)
		w.err = err
		if !w.cuts(p[:n]) {
			if n > 0 || err != nil {
				return n, err
			}
			continue
		}
		w.out = w.cut(p[:n])
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

// cuts reports whether a line grows too long in p, and counts if not.
func (w *wrapped) cuts(p []byte) bool {
	width := w.width
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			width += len(rest)
			break
		}
		if width+i > w.limit+1 { // with its CR
			return true
		}
		width, rest = 0, rest[i+1:]
	}
	if width > w.limit {
		return true
	}
	w.width = width
	return false
}

func (w *wrapped) cut(p []byte) []byte {
	out := make([]byte, 0, len(p)+len(p)/w.limit*3+3)
	for _, c := range p {
		switch {
		case c == '\n':
			w.width = 0
			out = append(out, c)
			continue
		case w.width >= w.limit && c != '\r':
			out = append(out, "\r\n "...)
			w.width = 1
		}
		out = append(out, c)
		w.width++
	}
	return out
}
