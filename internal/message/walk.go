package message

import (
	"bytes"
)

// Bounds on what is understood of a message; the rest is a body without
// structure. Both as Dovecot has them.
const (
	maxNesting = 100
	maxParts   = 10000
)

// maxBoundary: a longer boundary is compared by its beginning.
const maxBoundary = 80

// maxField bounds what is kept of one header field.
const maxField = 64 << 10

// visitor is told what a walk meets. The arguments are valid during the call.
type visitor interface {
	// wants reports whether field should be called for a header field; name is
	// in lower case, here and below.
	wants(part int, name []byte) bool
	// field has the field as it stands, and its value with its line ends as LF,
	// without the last. Both are cut at maxField.
	field(part int, name, raw, value []byte)
	// headerDone comes after the last field of a part; mime is false if its
	// Content- fields count for nothing.
	headerDone(part int, mime bool)
	// text is a piece of the body of a part without children.
	text(part int, b []byte)
	// stop ends the walk early.
	stop() bool
}

// boundary is an open multipart and the line that divides it.
type boundary struct {
	part int
	text string
}

// walker goes over a message once and finds its parts.
type walker struct {
	in     *window
	v      visitor
	layout Layout
	bounds []boundary // innermost last
	cur    int        // the part whose header or body is read
	depth  int
	last   byte // byte before the window in this part's body

	name, raw, value []byte // the field being read; raw is all its lines
	inField          bool
	wanted           bool // by the visitor
	keeping          bool // by anyone
	flat             bool // only the first header counts, not what it tells of parts

	// Of the header being read.
	seenType bool
	mime     bool
	digest   map[int]bool // multipart/digest parts
	boundary string
	divided  bool // boundary is given, if empty
	kind     Kind
	encoding Encoding
}

func newWalker(in *window, v visitor) *walker {
	return &walker{in: in, v: v, cur: -1}
}

// reset makes it ready for another message. The layout of the last is no more.
func (w *walker) reset(in *window, v visitor) {
	*w = walker{in: in, v: v, cur: -1, layout: w.layout[:0], bounds: w.bounds[:0],
		name: w.name[:0], raw: w.raw[:0], value: w.value[:0]}
}

// walk reads the whole message.
func (w *walker) walk() error {
	w.begin()
	for next := w.header; next != nil && !w.v.stop(); {
		next = next()
	}
	for w.cur >= 0 {
		w.finish()
	}
	return w.in.failure()
}

// step is a state of the walk: it reads something and gives the next state.
type step func() step

// begin opens a child of the current part at this place.
func (w *walker) begin() {
	w.layout = append(w.layout, Place{Parent: w.cur, Header: Extent{Offset: w.in.off}})
	w.cur = len(w.layout) - 1
	w.depth++
	w.seenType, w.mime, w.boundary, w.divided, w.kind = false, false, "", false, KindOther
	w.encoding = EncodingIdentity
	if len(w.layout) == maxParts { // the last has all the rest
		w.bounds = nil
	}
	if up := w.layout[w.cur].Parent; up >= 0 && w.layout[up].Kind == KindMultipart {
		w.mime = true
	}
}

// finish closes the current part: its size is part of its parent's body.
func (w *walker) finish() {
	p := &w.layout[w.cur]
	p.Next = len(w.layout)
	if p.Parent >= 0 {
		up := &w.layout[p.Parent].Body
		for _, e := range []Extent{p.Header, p.Body} {
			up.Len += e.Len
			up.Virt += e.Virt
			up.Lines += e.Lines
		}
	}
	w.cur = p.Parent
	w.depth--
}

// body reads the text of the current part up to a boundary or the end.
func (w *walker) body() step {
	held := 0 // length of the line end before the window: it may be a boundary's
	start := true
	for !w.v.stop() {
		if start {
			line := w.in.need(2)
			if len(line) >= 2 && line[0] == '-' && line[1] == '-' {
				line = w.in.line()
				if found := w.match(line); found >= 0 {
					return w.divide(found, line, held)
				}
			}
		}
		if held > 0 {
			w.add([]byte("\r\n")[2-held:])
			held = 0
		}
		d := w.in.need(1)
		if len(d) == 0 {
			return nil
		}
		n, nl := w.run(d)
		w.add(d[:n])
		w.in.skip(n + nl)
		held, start = nl, nl > 0
	}
	return nil
}

// run finds how much of d is surely text, and the length of the line end after
// it that may belong to a boundary.
func (w *walker) run(d []byte) (n, newline int) {
	if len(w.bounds) == 0 {
		return len(d), 0
	}
	if k := bytes.Index(d, []byte("\n--")); k >= 0 {
		nl := newlineLen(d[:k+1])
		return k + 1 - nl, nl
	}
	// The beginning of "\r\n--" at the end may go on in what is not yet read.
	keep := 0
	for _, tail := range []string{"\r\n-", "\n-", "\r\n", "\n", "\r"} {
		if bytes.HasSuffix(d, []byte(tail)) {
			keep = len(tail)
			break
		}
	}
	if keep < len(d) {
		return len(d) - keep, 0
	}
	if w.in.fill() {
		return 0, 0
	}
	return len(d), 0
}

// add counts b as body of the current part.
func (w *walker) add(b []byte) {
	if len(b) == 0 {
		return
	}
	p := &w.layout[w.cur]
	addExtent(&p.Body, b, w.last)
	w.last = b[len(b)-1]
	p.NUL = p.NUL || bytes.IndexByte(b, 0) >= 0
	w.v.text(w.cur, b)
}

func addExtent(e *Extent, b []byte, prev byte) {
	lines, bare := countLines(b, prev)
	e.Len += int64(len(b))
	e.Virt += int64(len(b)) + bare
	e.Lines += lines
}

// match finds the boundary that begins a line: the longest that fits, the
// innermost of equals. RFC 2046 §5.1.1; -1 for none.
func (w *walker) match(line []byte) int {
	if len(w.bounds) == 0 || len(line) < 2 || line[0] != '-' || line[1] != '-' {
		return -1
	}
	line = line[2 : len(line)-newlineLen(line)]
	best := -1
	for i := len(w.bounds) - 1; i >= 0; i-- {
		text := w.bounds[i].text
		if len(text) > len(line) || string(line[:len(text)]) != text {
			continue
		}
		if best < 0 || len(text) > len(w.bounds[best].text) {
			best = i
			if rest := line[len(text):]; len(rest) == 0 || string(rest) == "--" {
				break
			}
		}
	}
	return best
}

// divide takes a boundary line: the parts inside are done, and the next part or
// the epilogue begins. newline is the length of the line end before it.
func (w *walker) divide(found int, line []byte, newline int) step {
	b := w.bounds[found]
	for w.cur != b.part {
		w.finish()
	}
	rest := line[2+len(b.text):]
	last := len(rest) >= 2 && rest[0] == '-' && rest[1] == '-'
	w.bounds = w.bounds[:found+1]
	if last {
		w.bounds = w.bounds[:found]
	}
	p := &w.layout[w.cur]
	if newline > 0 {
		addExtent(&p.Body, []byte("\r\n")[2-newline:], 0)
	}
	for {
		addExtent(&p.Body, line, w.last)
		w.last = line[len(line)-1]
		w.in.skip(len(line))
		if w.last == '\n' {
			break
		}
		if line = w.in.line(); line == nil {
			return nil
		}
	}
	if last {
		return w.body
	}
	w.begin()
	return w.header
}
