package milter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Text is the message that filters look at and change.
type Text interface {
	// Open reads it from its beginning.
	Open() io.Reader
	// Spare is room for a body.
	Spare() (Spare, error)
	// Rewrite makes the message what fn writes; fn may still read what it was.
	Rewrite(fn func(io.Writer) error) error
}

// Spare holds bytes until it is dropped.
type Spare = interface {
	io.Writer
	Open() io.Reader
	Drop()
}

// Changes are what filters want with the envelope, in their order.
type Changes struct {
	From     *string // with its angle brackets
	FromArgs []string
	Rcpts    []RcptChange
}

// RcptChange adds a recipient, or takes one away.
type RcptChange struct {
	Remove  bool
	Address string // with its angle brackets
	Args    []string
}

// maxHeader bounds the header section of a message that filters look at.
const maxHeader = 4 << 20

// What keeps a message from being taken for good.
var (
	ErrHeader = errors.New("header section too long for milters")
	ErrTooBig = errors.New("replaced body exceeds message size limit")
)

// Message tells a message to all filters and makes the changes of each before
// the next one sees it. The first Received field is ours and is not shown. limit
// bounds a replaced body, 0 not at all. An error is a failure to read or write
// the message, ErrHeader or ErrTooBig.
func (s *Session) Message(ctx context.Context, t Text, limit int64) (Decision, Changes, error) {
	head, at, err := readHeader(t.Open())
	if err != nil {
		return Decision{}, Changes{}, err
	}
	m := &edits{text: t, head: head, bodyAt: at, limit: limit}
	defer m.drop()
	for _, raw := range head {
		if name, _ := splitField(raw, false); strings.EqualFold(name, "received") {
			m.own = &raw[0]
			break
		}
	}
	d := s.each(func(f *filter) Decision { return f.message(ctx, m) })
	switch {
	case m.err != nil:
		return Decision{}, Changes{}, m.err
	case d.Kind == Refuse || d.Kind == Discard || !m.changed:
		return d, m.changes, nil
	}
	if err := t.Rewrite(m.write); err != nil {
		return Decision{}, Changes{}, fmt.Errorf("rewrite message for a milter: %w", err)
	}
	return d, m.changes, nil
}

// readHeader reads the fields of a header section, and tells where what
// follows begins: at the empty line, or at a line that is no field.
func readHeader(r io.Reader) (fields [][]byte, at int64, err error) {
	br := bufio.NewReaderSize(r, 4096)
	for {
		start, err := br.Peek(1)
		if err == io.EOF {
			return fields, at, nil
		}
		if err != nil {
			return nil, 0, err
		}
		folded := len(fields) > 0 && (start[0] == ' ' || start[0] == '\t')
		if !folded {
			line, _ := br.Peek(1024) // a shorter message: all of it
			if !isField(line) {
				return fields, at, nil
			}
			fields = append(fields, nil)
		}
		for more := true; more; {
			var piece []byte
			piece, err = br.ReadSlice('\n')
			last := len(fields) - 1
			fields[last] = append(fields[last], piece...)
			if at += int64(len(piece)); at > maxHeader {
				return nil, 0, ErrHeader
			}
			more = err == bufio.ErrBufferFull
		}
		if err != nil && err != io.EOF {
			return nil, 0, err
		}
		if last := len(fields) - 1; err == io.EOF { // a line cut short
			fields[last] = append(fields[last], "\r\n"...)
		}
	}
}

// isField reports whether a line begins as a header field: a name of printable
// characters, perhaps spaces, a colon.
func isField(line []byte) bool {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return false
	}
	name := bytes.TrimRight(line[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(name) > 0
}

// message is one filter's look at the message.
func (f *filter) message(ctx context.Context, m *edits) Decision {
	if f.state != envelope {
		return f.reply
	}
	steps := f.steps
	defer func() { f.steps = steps }() // SKIP is for one message
	m.fresh = false
	f.state = message
	d, done := f.header(ctx, m)
	if !done {
		d, done = f.body(ctx, m)
	}
	if !done && f.state == message {
		d = f.tell(ctx, event{code: evEOB, stage: stageEOM, timeout: f.spec.Content, edits: m})
		if d.Kind == Continue && m.held {
			d = Decision{Kind: Hold}
		}
	}
	if f.state == message || f.state == accepted {
		f.state = envelope
	}
	f.in = nil
	if cap(f.out) > 8192 {
		f.out = nil
	}
	return d
}

// goesOn reports whether the message is told on.
func (f *filter) goesOn(d Decision) bool { return d.Kind == Continue && f.state == message }

func (f *filter) header(ctx context.Context, m *edits) (d Decision, done bool) {
	for _, raw := range m.head {
		if &raw[0] == m.own {
			continue
		}
		name, value := splitField(raw, f.steps&leadingSpace != 0)
		d = f.tell(ctx, event{code: evHeader, stage: noMacros, skip: noHeaders, silent: noHeaderReply,
			parts: []any{name, value}, timeout: f.spec.Content})
		if !f.goesOn(d) {
			return d, true
		}
	}
	d = f.tell(ctx, event{code: evEOH, stage: stageEOH, skip: noEOH, silent: noEOHReply, timeout: f.spec.Content})
	return d, !f.goesOn(d)
}

// splitField gives a field as filters know it: lines end in LF, without the
// space behind the colon unless the filter wants it.
func splitField(raw []byte, space bool) (name, value string) {
	name, value, _ = strings.Cut(string(raw), ":")
	name = strings.TrimRight(name, " \t")
	value = strings.ReplaceAll(strings.TrimRight(value, "\r\n"), "\r\n", "\n")
	if !space {
		value = strings.TrimPrefix(value, " ")
	}
	return name, value
}

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

func (f *filter) body(ctx context.Context, m *edits) (d Decision, done bool) {
	if f.steps&noBody != 0 {
		return d, false
	}
	r, err := m.body(true)
	if err != nil {
		m.err = err
		return tryLater, true
	}
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	for f.steps&noBody == 0 {
		n, err := io.ReadFull(r, chunk[:])
		if n > 0 {
			d = f.tell(ctx, event{code: evBody, stage: noMacros, skip: noBody, silent: noBodyReply, parts: []any{chunk[:n]}, timeout: f.spec.Content})
			if !f.goesOn(d) {
				return d, true
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		}
		if err != nil {
			m.err = fmt.Errorf("read message: %w", err)
			return tryLater, true
		}
	}
	return d, false
}
