package message

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"sync"
)

// maxKept bounds what a Structure keeps of the headers of all parts together;
// parts beyond it are shown without their particulars.
const maxKept = 1 << 20

// shape is what Structure keeps of a part: pieces of its BODYSTRUCTURE.
type shape struct {
	front     []byte // before the size
	extension []byte // disposition, language, location
	md5       []byte // or, of a multipart, its subtype and parameters
	envelope  []byte // of a message in a message/rfc822 part, or the whole
	text      bool
}

// builder is the visitor that makes a Structure.
type builder struct {
	w      *walker
	shapes []shape
	cur    details
	env    envelope
	only   bool // the envelope and what SEARCH wants, and no more
	kept   int
	header []byte // the fields that a record holds, as they stand
	cut    bool   // not all of them
	search searchBuilder
	room   []byte // for what is written
}

// Parse reads a message to its end. The only errors are those of r: any bytes
// are a message.
func Parse(r io.Reader) (*Structure, error) {
	b := builders.Get().(*builder)
	defer b.free()
	if err := b.read(r); err != nil {
		return nil, err
	}
	s := b.begin()
	s.Layout = slices.Clone(b.w.layout)
	b.room = b.appendPart(b.room[:0], 0)
	s.body = bytes.Clone(b.room)
	s.header, s.headerCut = bytes.Clone(b.header), b.cut
	return s, nil
}

// ParseEnvelope is Parse of the header of the message only. All that the
// Structure has, and gives to a record, is the envelope and what SEARCH wants.
func ParseEnvelope(r io.Reader) (*Structure, error) {
	b := builders.Get().(*builder)
	defer b.free()
	b.only = true
	if err := b.read(r); err != nil {
		return nil, err
	}
	return b.begin(), nil
}

func (b *builder) read(r io.Reader) error {
	in := windows.Get().(*window)
	defer in.free()
	in.reset(r)
	b.w.reset(in, b)
	b.w.flat = b.only
	return b.w.walk()
}

func (b *builder) begin() *Structure {
	b.room = b.search.append(b.room[:0])
	return &Structure{envelope: b.shapes[0].envelope, search: bytes.Clone(b.room)}
}

// builders are for those who read one message after another.
var builders = sync.Pool{New: func() any { return &builder{w: newWalker(nil, nil), room: make([]byte, 0, 1024)} }}

// free keeps what is small enough of the buffers.
func (b *builder) free() {
	const much = 1000 // parts
	if cap(b.w.layout) > much || cap(b.w.raw) > maxField/2 {
		return
	}
	b.w.reset(nil, nil)
	clear(b.shapes)
	if cap(b.room) > maxField {
		b.room = nil
	}
	*b = builder{w: b.w, room: b.room, shapes: b.shapes[:0], header: b.header[:0], env: b.env.empty(),
		search: searchBuilder{names: b.search.names[:0], texts: b.search.texts[:0], value: b.search.value[:0]}}
	builders.Put(b)
}

func (b *builder) stop() bool       { return b.only && len(b.shapes) > 0 }
func (b *builder) text(int, []byte) {}

// inMessage reports whether the part is a message: the whole, or the content of
// a message/rfc822 part.
func (b *builder) inMessage(part int) bool {
	up := b.w.layout[part].Parent
	return up < 0 || b.w.layout[up].Kind == KindMessage
}

func (b *builder) wants(part int, name []byte) bool {
	if part == 0 {
		b.search.name(name)
	}
	if b.only {
		return isEnvelopeField(string(name))
	}
	return bytes.HasPrefix(name, contentPrefix) || part == 0 && isCachedField(string(name)) ||
		isEnvelopeField(string(name)) && b.inMessage(part)
}

var contentPrefix = []byte("content-")

func (b *builder) field(part int, name, raw, value []byte) {
	if part == 0 && isCachedField(string(name)) {
		if !b.only {
			b.keepField(raw)
		}
		b.search.field(string(name), raw, value)
	}
	if b.kept += len(value); b.kept > maxKept {
		return
	}
	if rest, ok := bytes.CutPrefix(name, contentPrefix); ok {
		b.cur.content(string(rest), string(value))
		return
	}
	if b.inMessage(part) && isEnvelopeField(string(name)) {
		b.env.set(string(name), string(value))
	}
}

func (b *builder) headerDone(part int, mime bool) {
	if b.only {
		b.shapes = append(b.shapes, shape{envelope: b.takeEnvelope()})
		return
	}
	if !mime {
		b.cur = details{}
	}
	d, kind := &b.cur, b.w.layout[part].Kind
	s := shape{text: d.isText() && kind != KindMessage}
	if kind == KindMultipart {
		s.md5 = appendString(nil, d.subtype.s)
		s.front = appendParams(nil, d.params, false)
	} else {
		s.front = d.appendFront(nil, kind)
		s.md5 = appendUnfolded(nil, d.md5)
	}
	s.extension = d.appendExtension(nil)
	if b.inMessage(part) {
		s.envelope = b.takeEnvelope()
	}
	b.kept += len(s.front) + len(s.extension) + len(s.envelope)
	b.shapes = append(b.shapes, s)
	b.cur, b.env = details{}, b.env.empty()
}

// takeEnvelope writes the envelope of the header that was read.
func (b *builder) takeEnvelope() []byte {
	b.room = b.env.append(b.room[:0])
	return bytes.Clone(b.room)
}

// keepField keeps a field for the record, every line with CRLF.
func (b *builder) keepField(raw []byte) {
	if len(raw) >= maxField || len(b.header)+len(raw) > maxCachedHeader {
		b.cut, b.header = true, nil
	}
	for !b.cut && len(raw) > 0 {
		line := raw
		if k := bytes.IndexByte(raw, '\n'); k >= 0 {
			line = raw[:k+1]
		}
		b.header = appendFieldLine(b.header, line)
		raw = raw[len(line):]
	}
}

// appendFieldLine appends a header line with CRLF, as HEADER.FIELDS gives it:
// of several CR before the LF one is taken away, as Dovecot does.
func appendFieldLine(dst, line []byte) []byte {
	nl := newlineLen(line)
	dst = append(dst, line[:len(line)-nl]...)
	if nl == 0 {
		return bytes.TrimSuffix(dst, crlf[:1])
	}
	if len(dst) > 0 && dst[len(dst)-1] == '\r' {
		return append(dst, '\n')
	}
	return append(dst, '\r', '\n')
}

const emptyBody = `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)`

// appendPart writes the BODYSTRUCTURE of a part and all in it.
func (b *builder) appendPart(dst []byte, i int) []byte {
	p, s := &b.w.layout[i], &b.shapes[i]
	dst = append(dst, '(')
	if p.Kind == KindMultipart {
		if p.Next == i+1 {
			dst = append(dst, emptyBody...)
		}
		dst = b.appendChildren(dst, i)
		dst = append(dst, ' ')
		dst = append(dst, s.md5...)
		dst = append(dst, ' ')
		dst = append(dst, s.front...)
	} else {
		dst = append(dst, s.front...)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, p.Body.Virt, 10)
		switch {
		case p.Kind != KindMessage:
		case p.Next == i+1:
			dst = append(dst, " (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) "+emptyBody...)
		default:
			dst = append(dst, ' ')
			dst = append(dst, b.shapes[i+1].envelope...)
			dst = append(dst, ' ')
			dst = b.appendChildren(dst, i)
		}
		if s.text || p.Kind == KindMessage {
			dst = append(dst, ' ')
			dst = strconv.AppendInt(dst, p.Body.Lines, 10)
		}
		dst = append(dst, ' ')
		dst = append(dst, s.md5...)
	}
	dst = append(dst, ' ')
	dst = append(dst, s.extension...)
	return append(dst, ')')
}

func (b *builder) appendChildren(dst []byte, i int) []byte {
	for c := i + 1; c < b.w.layout[i].Next; c = b.w.layout[c].Next {
		dst = b.appendPart(dst, c)
	}
	return dst
}
