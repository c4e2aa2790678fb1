package pipe

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// form is how a message is written.
type form struct {
	head         string
	eol          string
	dots, quotes bool
	blank        bool // an empty line at the end
}

// form is what the flags want. The order of fields is that of mail_copy(3).
func (s *Spec) form(m *Message, to Recipient, eol string) *form {
	f := &form{eol: eol, dots: s.has('.'), quotes: s.has('>'), blank: s.has('B')}
	var b strings.Builder
	line := func(words ...string) {
		for _, w := range words {
			b.WriteString(strings.ReplaceAll(w, "\n", " "))
		}
		b.WriteString(eol)
	}
	if s.has('F') {
		from := m.Sender
		if from == "" {
			from = "MAILER-DAEMON"
		}
		line("From ", from, "  ", m.Now.Format("Mon Jan _2 15:04:05 2006"))
	}
	if s.has('R') {
		line("Return-Path: <", m.Sender, ">")
	}
	if s.has('O') {
		line("X-Original-To: ", to.Original)
	}
	if s.has('D') {
		line("Delivered-To: ", to.Address)
	}
	f.head = b.String()
	return f
}

// reader writes text, with CRLF line ends, in that form.
func (f *form) reader(text io.Reader) io.Reader {
	return &writer{f: f, r: bufio.NewReaderSize(text, 8<<10), out: []byte(f.head), start: true}
}

// writer changes a line at a time, long lines in pieces.
type writer struct {
	f     *form
	r     *bufio.Reader
	out   []byte
	start bool // at the start of a line
	held  bool // a CR that ended a piece
	err   error
}

// Read is io.Reader.
func (w *writer) Read(p []byte) (int, error) {
	for len(w.out) == 0 {
		if w.err != nil {
			return 0, w.err
		}
		line, err := w.r.ReadSlice('\n')
		w.out = w.piece(line)
		if err != nil && err != bufio.ErrBufferFull {
			w.end(err)
		}
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

func (w *writer) piece(line []byte) (out []byte) {
	if len(line) == 0 {
		return nil
	}
	whole := line[len(line)-1] == '\n'
	if w.held && !(len(line) == 1 && whole) {
		out = append(out, '\r')
	}
	w.held = false
	if w.start && w.f.quotes && bytes.HasPrefix(line, []byte("From ")) {
		out = append(out, '>')
	}
	if w.start && w.f.dots && line[0] == '.' {
		out = append(out, '.')
	}
	w.start = whole
	line = bytes.TrimSuffix(line, []byte("\n"))
	if bytes.HasSuffix(line, []byte("\r")) {
		line = line[:len(line)-1]
		w.held = !whole
	}
	out = append(out, line...)
	if whole {
		out = append(out, w.f.eol...)
	}
	return out
}

// end ends the last line, and the message.
func (w *writer) end(err error) {
	if w.err = err; err != io.EOF {
		return
	}
	if w.held {
		w.out = append(w.out, '\r')
	}
	if !w.start {
		w.out = append(w.out, w.f.eol...)
	}
	if w.f.blank {
		w.out = append(w.out, w.f.eol...)
	}
}
