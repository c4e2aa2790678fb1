// Package cleanup passes a message on while somebody looks at the fields of its
// header, and at the lines of its body where that is asked for. What nobody
// changes goes on byte for byte.
//
// It holds one field, or one line, at a time. The structure of MIME is followed
// the way cleanup(8) does: by boundary lines, whatever the parts are.
package cleanup

import (
	"bytes"
	"io"
	"strings"
)

// Kind is where a field or line stands.
type Kind int

const (
	Header       Kind = iota // of the message
	MIMEHeader               // of a part; and fields of the message that tell of MIME
	NestedHeader             // of a message within the message
	Body
)

// Field is a field of a header: its lines, each with its line end.
type Field struct {
	Name string // in lower case
	Raw  []byte // valid until the hook returns
	// Cut: only the beginning of the field, which is too large; the rest follows
	// if what the hook returns ends like Raw.
	Cut bool
}

// Text is the field as tables see it: with a newline in the place of line ends,
// without the last one.
func (f *Field) Text() string {
	s := strings.ReplaceAll(string(f.Raw), "\r\n", "\n")
	return strings.TrimSuffix(s, "\n")
}

// Value is the text behind the colon, with its line ends.
func (f *Field) Value() string {
	_, v, _ := strings.Cut(string(f.Raw), ":")
	return v
}

// Hooks are asked about a message. An error ends it.
type Hooks struct {
	// Field returns what stands in the place of a field, with its line end; nil
	// drops it.
	Field func(Kind, *Field) ([]byte, error)
	// HeaderEnd returns fields to add behind the header of the message.
	HeaderEnd func() (string, error)
	// Line is the same for a line of a body, or a part of a long line; nil
	// leaves bodies alone. at is its offset in the body of its part. Without
	// line end; the result has none either, or has one within. keep is false if
	// the line is dropped.
	Line func(line []byte, at int64) (out []byte, keep bool, err error)
	// Part says that a part begins, or ended, or a message within the message
	// begins; with it, Line does not see boundaries. nil: not wanted.
	Part func()
	// PartEnd returns fields to add behind the header of the message, and of
	// each part. nil: none.
	PartEnd func() string
	// Parts asks Field about the fields of parts too.
	Parts bool
	// FieldMost bounds a field, in bytes; LineMost what Line sees at once.
	FieldMost, LineMost int
	// NestMost bounds how deep parts are nested; TooDeep is the error then.
	NestMost int
	TooDeep  error
}

// Writer passes a message on to w.
type Writer struct {
	h    Hooks
	w    io.Writer
	err  error
	line []byte // a line that has not ended, of a header or of a body that is looked at
	part bool   // of that line, the beginning has been passed on

	field []byte
	cut   bool // the field was too large: its rest is passed on, or dropped
	drop  bool // the rest of a field or line that was dropped
	state Kind
	first bool // within the header of the message
	at    int64
	open  []string // boundaries, the innermost last
	ctype contentType
}

// NewWriter returns a Writer. Close must follow the last Write.
func NewWriter(w io.Writer, h Hooks) *Writer {
	return &Writer{h: h, w: w, state: Header, first: true}
}

// Write is io.Writer.
func (c *Writer) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && c.err == nil; {
		if c.state == Body && !c.looks() {
			_, c.err = c.w.Write(rest)
			break
		}
		// Where a long line is cut must not depend on how it is written.
		part := rest[:min(len(rest), c.most()-len(c.line))]
		i := bytes.IndexByte(part, '\n')
		if i >= 0 {
			part = part[:i+1]
		}
		c.line = append(c.line, part...)
		if rest = rest[len(part):]; i >= 0 || len(c.line) >= c.most() {
			c.take(i >= 0)
		}
	}
	if c.err != nil {
		return 0, c.err
	}
	return len(p), nil
}

// looks reports whether anybody wants to know of bodies.
func (c *Writer) looks() bool { return c.h.Line != nil || c.h.Parts }

func (c *Writer) most() int {
	if c.state == Body {
		return max(c.h.LineMost, 256)
	}
	return max(c.h.FieldMost, 1024)
}

// Close passes on what is still held.
func (c *Writer) Close() error {
	if len(c.line) > 0 && c.err == nil {
		c.take(false)
	}
	c.endField()
	if c.first && c.err == nil {
		c.endHeader()
	}
	return c.err
}

// take deals with a line, or with a piece of one that is too long to be held.
func (c *Writer) take(whole bool) {
	line, cont := c.line, c.part
	c.line, c.part = c.line[:0], !whole
	switch {
	case c.state == Body:
		c.bodyLine(line, cont)
	case cont:
		c.addToField(line)
	default:
		c.headerLine(line)
	}
}

func (c *Writer) headerLine(line []byte) {
	text := bytes.TrimRight(line, "\r\n")
	switch {
	case len(text) > 0 && (line[0] == ' ' || line[0] == '\t') && (len(c.field) > 0 || c.cut):
		c.addToField(line)
	case len(text) == 0:
		c.endField()
		c.endHeader()
		c.put(line)
	case !isField(text) || c.boundary(text) >= 0:
		c.endField()
		first := c.first
		c.endHeader()
		if first { // a body without a line between
			c.put([]byte("\r\n"))
		}
		if c.state == Body {
			c.bodyLine(line, false)
		} else {
			c.headerLine(line)
		}
	default:
		c.endField()
		c.field, c.cut, c.drop = append(c.field[:0], line...), false, false
	}
}

// addToField holds more of a field, or passes it on when it is too large.
func (c *Writer) addToField(line []byte) {
	if !c.cut && len(c.field)+len(line) > c.h.FieldMost {
		c.ask(true)
		c.cut = true
	}
	switch {
	case !c.cut:
		c.field = append(c.field, line...)
	case !c.drop:
		c.put(line)
	}
}

func (c *Writer) endField() {
	if len(c.field) > 0 && !c.cut {
		c.ask(false)
	}
	c.field, c.cut, c.drop = c.field[:0], false, false
}

// ask hands the held field to the hook.
func (c *Writer) ask(cut bool) {
	if c.err != nil {
		return
	}
	name, _, _ := bytes.Cut(c.field, []byte(":"))
	f := &Field{Name: strings.ToLower(string(bytes.TrimRight(name, " \t"))), Raw: c.field, Cut: cut}
	c.note(f)
	kind := c.state
	if kind == Header && isMIME(f.Name) {
		kind = MIMEHeader
	}
	out := f.Raw
	if c.first || c.h.Parts {
		if out, c.err = c.h.Field(kind, f); c.err != nil {
			return
		}
	}
	c.drop = out == nil
	c.put(out)
}

func (c *Writer) put(p []byte) {
	if c.err == nil && len(p) > 0 {
		_, c.err = c.w.Write(p)
	}
}

// endHeader goes on to what the header says will follow.
func (c *Writer) endHeader() {
	if c.first {
		c.first = false
		more, err := c.h.HeaderEnd()
		if c.err == nil {
			c.err = err
		}
		c.put([]byte(more))
	}
	if c.h.PartEnd != nil {
		c.put([]byte(c.h.PartEnd()))
	}
	c.at = 0
	t := c.ctype
	c.ctype = contentType{}
	switch {
	case t.boundary != "":
		if len(c.open) >= c.h.NestMost && c.err == nil && c.looks() {
			c.err = c.h.TooDeep
		}
		c.open = append(c.open, t.boundary)
		c.state = Body
	case t.nested && c.looks():
		c.state = NestedHeader
		if c.h.Part != nil {
			c.h.Part()
		}
	default:
		c.state = Body
	}
}

// bodyLine hands a line of a body to the hook, unless it begins a part.
func (c *Writer) bodyLine(line []byte, cont bool) {
	text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	end := line[len(text):]
	depth := -1
	if !cont {
		depth = c.boundary(text)
		c.drop = false
	}
	if depth >= 0 && c.h.Part != nil {
		c.h.Part()
		c.put(line)
	} else if c.h.Line == nil {
		c.put(line)
	} else if !cont || !c.drop {
		out, keep, err := c.h.Line(text, c.at)
		if c.err == nil {
			c.err = err
		}
		if c.drop = !keep; keep {
			c.put(out)
			c.put(end)
		}
	}
	c.at += int64(len(line))
	if depth >= 0 {
		last := bytes.HasPrefix(text[2+len(c.open[depth]):], []byte("--"))
		c.open = c.open[:depth+1]
		if c.at = 0; last {
			c.open = c.open[:depth]
			c.state = Body
		} else {
			c.state = MIMEHeader
		}
	}
}

// boundary returns which of the open boundaries a line is; -1: none.
func (c *Writer) boundary(text []byte) int {
	if len(text) < 3 || text[0] != '-' || text[1] != '-' {
		return -1
	}
	for i := len(c.open) - 1; i >= 0; i-- {
		if bytes.HasPrefix(text[2:], []byte(c.open[i])) {
			return i
		}
	}
	return -1
}

// isField reports whether a line begins a field, RFC 5322 §2.2; white space
// before the colon is let through.
func isField(text []byte) bool {
	i := bytes.IndexByte(text, ':')
	if i <= 0 {
		return false
	}
	for _, b := range bytes.TrimRight(text[:i], " \t") {
		if b <= ' ' || b >= 0x7f {
			return false
		}
	}
	return text[0] != ' ' && text[0] != '\t'
}
