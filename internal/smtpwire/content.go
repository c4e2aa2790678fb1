package smtpwire

import "bytes"

// Content turns what a client sends as message content into lines that end in
// CRLF. The zero value reads a BDAT message; DATA sets Dots.
//
// A bare LF becomes CRLF. A line that holds one dot and does not begin and end
// in CRLF is neither the end nor a line: it is dropped, as smtpd(8) does. A CR that is not followed by LF becomes a space, as
// postconf(5) cleanup_replace_stray_cr_lf, or stays where KeepCR is set.
type Content struct {
	// Dots removes the stuffing of RFC 5321 §4.5.2 and ends at CRLF "." CRLF.
	Dots bool
	// KeepCR leaves stray CR characters as they are.
	KeepCR bool
	// AfterLF says that the present line begins after a bare LF. Set it when
	// the line DATA ended in one.
	AfterLF bool

	bareLF bool
	state  contentState
}

type contentState uint8

const (
	atStart  contentState = iota // of a line
	inLine                       //
	afterCR                      // within a line; the CR has not been passed on
	afterDot                     // a "." at the start of a line, removed
	dotCR                        // that, and a CR
)

var (
	crlf  = []byte("\r\n")
	space = []byte(" ")
)

// BareLF reports whether a bare LF was seen.
func (c *Content) BareLF() bool { return c.bareLF }

// Feed passes the content in p on to emit, in pieces that emit must not keep.
// It returns how much of p belongs to the content and whether the end was
// found. Without Dots, content ends when the caller says so.
func (c *Content) Feed(p []byte, emit func([]byte)) (n int, end bool) {
	start := 0 // p[start:i] goes out as it is
	for i := 0; i < len(p); {
		switch c.state {
		case atStart:
			c.state = inLine
			if p[i] == '.' && c.Dots {
				emitPart(emit, p[start:i])
				i++
				start = i
				c.state = afterDot
			}
		case inLine:
			i, start = c.line(p, i, start, emit)
		default:
			var used int
			used, end = c.special(p[i], emit)
			i += used
			start = i
			if end {
				return i, true
			}
		}
	}
	emitPart(emit, p[start:])
	return len(p), false
}

// line reads to the end of the line, or to where something must be changed.
func (c *Content) line(p []byte, i, start int, emit func([]byte)) (next, newStart int) {
	lf := bytes.IndexByte(p[i:], '\n')
	rest := p[i:]
	if lf >= 0 {
		rest = p[i : i+lf]
	}
	cr := bytes.IndexByte(rest, '\r')
	switch {
	case cr >= 0 && lf >= 0 && cr == lf-1: // a line as it should be
		c.state, c.AfterLF = atStart, false
		return i + lf + 1, start
	case cr >= 0: // stray, or the last byte of the block
		emitPart(emit, p[start:i+cr])
		c.state = afterCR
		return i + cr + 1, i + cr + 1
	case lf >= 0:
		emitPart(emit, p[start:i+lf])
		c.newLine(emit)
		return i + lf + 1, i + lf + 1
	}
	return len(p), start
}

// special decides about one byte after a CR or a leading dot that has not been
// passed on; used is 0 when the byte still has to be read as part of the line.
func (c *Content) special(b byte, emit func([]byte)) (used int, end bool) {
	switch {
	case c.state == dotCR && b == '\n' && !c.AfterLF:
		c.state = atStart
		return 1, true
	case b == '\n' && c.state == afterDot:
		c.state, c.AfterLF, c.bareLF = atStart, true, true
		return 1, false
	case b == '\n' && c.state == dotCR:
		c.state, c.AfterLF = atStart, false
		return 1, false
	case b == '\n':
		emit(crlf)
		c.state, c.AfterLF = atStart, false
		return 1, false
	case b == '\r' && c.state == afterDot:
		c.state = dotCR
		return 1, false
	case c.state == afterDot:
		c.state = inLine
		return 0, false
	}
	c.strayCR(emit)
	c.state = inLine
	return 0, false
}

// newLine ends a line at a bare LF.
func (c *Content) newLine(emit func([]byte)) {
	emit(crlf)
	c.state, c.AfterLF, c.bareLF = atStart, true, true
}

func (c *Content) strayCR(emit func([]byte)) {
	if c.KeepCR {
		emit(crlf[:1])
		return
	}
	emit(space)
}

// Finish ends content that has no end of its own (BDAT LAST): the last line
// gets its line end if it has none.
func (c *Content) Finish(emit func([]byte)) {
	if c.state == afterCR {
		c.strayCR(emit)
		c.state = inLine
	}
	if c.state != atStart {
		emit(crlf)
		c.state = atStart
	}
}

func emitPart(emit func([]byte), p []byte) {
	if len(p) > 0 {
		emit(p)
	}
}
