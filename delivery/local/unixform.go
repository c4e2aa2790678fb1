package local

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// Form is how a message is written for programs of this host: LF line ends,
// and above the text the lines that local(8) writes.
type Form struct {
	Sender    string // '' is the null sender
	Original  string // X-Original-To; '' leaves it out
	Delivered string // Delivered-To; '' leaves it out
	Time      time.Time
	// FromLine begins with "From sender date"; Quote puts > before lines that
	// look like one, and ends with an empty line: mbox.
	FromLine, Quote bool
}

// head is what stands above the message.
func (f *Form) head() string {
	var b strings.Builder
	if f.FromLine {
		from := f.Sender
		if from == "" {
			from = "MAILER-DAEMON"
		}
		fmt.Fprintf(&b, "From %s  %s\n", strings.ReplaceAll(from, "\n", " "), f.Time.Format("Mon Jan _2 15:04:05 2006"))
	}
	fmt.Fprintf(&b, "Return-Path: <%s>\n", f.Sender)
	if f.Original != "" {
		fmt.Fprintf(&b, "X-Original-To: %s\n", f.Original)
	}
	if f.Delivered != "" {
		fmt.Fprintf(&b, "Delivered-To: %s\n", f.Delivered)
	}
	return b.String()
}

// Reader returns a message, with CRLF line ends, in that form.
func (f *Form) Reader(text io.Reader) io.Reader {
	return &unixReader{r: bufio.NewReaderSize(text, 8<<10), out: []byte(f.head()), quote: f.Quote, start: true}
}

// unixReader makes LF of CRLF, a line at a time, long lines in pieces.
type unixReader struct {
	r     *bufio.Reader
	out   []byte // made, not read yet
	buf   []byte // where out is made
	quote bool
	start bool // at the start of a line
	held  bool // a CR that ended a piece, and may be the first half of CRLF
	err   error
}

// Read is io.Reader.
func (u *unixReader) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		u.next()
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}

func (u *unixReader) next() {
	line, err := u.r.ReadSlice('\n')
	if err != nil && err != bufio.ErrBufferFull {
		u.end(line, err)
		return
	}
	u.out = u.piece(line)
}

// piece is what a piece of the text becomes.
func (u *unixReader) piece(line []byte) []byte {
	out := u.buf[:0]
	whole := bytes.HasSuffix(line, []byte("\n"))
	if u.held && !(len(line) == 1 && whole) {
		out = append(out, '\r')
	}
	u.held = false
	if u.start && u.quote && bytes.HasPrefix(line, []byte("From ")) {
		out = append(out, '>')
	}
	u.start = whole
	switch {
	case bytes.HasSuffix(line, []byte("\r\n")):
		out = append(append(out, line[:len(line)-2]...), '\n')
	case bytes.HasSuffix(line, []byte("\r")):
		out, u.held = append(out, line[:len(line)-1]...), true
	default:
		out = append(out, line...)
	}
	u.buf = out
	return out
}

// end is the end of the text: the last line is always a whole one.
func (u *unixReader) end(line []byte, err error) {
	u.err = err
	if err != io.EOF {
		return
	}
	var out []byte
	if len(line) > 0 {
		out = u.piece(line)
	}
	if u.held {
		out = append(out, '\r')
	}
	if !u.start || len(line) > 0 {
		out = append(out, '\n')
	}
	if u.quote {
		out = append(out, '\n')
	}
	u.out = out
}
