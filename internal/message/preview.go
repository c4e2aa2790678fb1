package message

import (
	"bytes"
	"html"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPreview is how long a preview is, in characters; RFC 8970 §3.1 recommends
// 200, and forbids more than 256.
const maxPreview = 200

// maxPreviewText bounds how much of a part is looked at for a preview: one that
// is mostly quotes, or mostly markup.
const maxPreviewText = 256 << 10

// Preview is the beginning of what a person would read of a message: of its first
// part of plain text or HTML that is no attachment, without quotes, white space
// as one space; "" if there is none. RFC 8970. The message is read as far as it
// must be.
func Preview(r io.Reader) (string, error) {
	in := windows.Get().(*window)
	defer in.free()
	in.reset(r)
	v := &previewVisitor{part: -1}
	v.w = newWalker(in, v)
	err := v.w.walk()
	v.end()
	return v.out.String(), err
}

// previewVisitor walks one message for Preview.
type previewVisitor struct {
	w        *walker
	part     int // whose text is read, or -1
	typ      string
	charset  string
	attached bool
	seen     bool // Content-Type was seen in this header
	done     bool
	decode   textReader
	out      snippet
	markup   *markup // of a part of HTML
	read     int
}

func (v *previewVisitor) stop() bool { return v.done }

func (v *previewVisitor) wants(_ int, name []byte) bool {
	return string(name) == "content-type" || string(name) == "content-disposition"
}

func (v *previewVisitor) field(_ int, name, _, value []byte) {
	if string(name) == "content-disposition" {
		x := lexer{s: string(value)}
		v.attached = strings.EqualFold(x.word(isToken), "attachment")
		return
	}
	if v.seen {
		return
	}
	v.seen = true
	x := lexer{s: string(value)}
	typ, subtype, ok := x.contentType()
	if !ok {
		return
	}
	v.typ = strings.ToLower(typ + "/" + subtype)
	for _, p := range x.params() {
		if strings.EqualFold(p.name, "charset") {
			v.charset = p.value
			return
		}
	}
}

func (v *previewVisitor) headerDone(part int, _ bool) {
	v.end()
	p := &v.w.layout[part]
	plain := !v.seen || v.typ == "text/plain"
	if (plain || v.typ == "text/html") && !v.attached && p.Kind != KindMultipart && p.Kind != KindMessage && p.Encoding != EncodingUnknown && !v.done {
		v.part, v.read, v.out, v.markup = part, 0, snippet{start: true}, nil
		if !plain {
			v.markup = &markup{}
		}
		v.decode.start(p.Encoding, v.charset, v.take)
	}
	v.seen, v.typ, v.charset, v.attached = false, "", "", false
}

func (v *previewVisitor) text(part int, b []byte) {
	if part == v.part {
		v.decode.write(b)
	}
}

// end takes what the end of a text releases. A part that has said nothing
// leaves it to the next.
func (v *previewVisitor) end() {
	if v.part < 0 {
		return
	}
	v.decode.close()
	v.part = -1
	v.done = v.done || v.out.String() != ""
}

func (v *previewVisitor) take(b []byte) {
	if v.read += len(b); v.read > maxPreviewText {
		v.done = true
	}
	if v.done {
		return
	}
	if v.markup != nil {
		v.markup.strip(b, &v.out)
	} else {
		v.out.add(b)
	}
	v.done = v.out.full()
}

// snippet collects text: white space as one space, lines that begin with '>'
// apart, to be used if there is nothing else.
type snippet struct {
	own, quoted []byte
	nOwn, nQuot int
	start       bool // at the beginning of a line
	quote       bool // in a line that is a quote
	rest        []byte
}

func (s *snippet) full() bool { return s.nOwn >= maxPreview }

func (s *snippet) String() string {
	text := bytes.TrimSpace(s.own)
	if len(text) == 0 {
		text = bytes.TrimSpace(s.quoted)
	}
	return string(text)
}

func (s *snippet) add(b []byte) {
	if len(s.rest) > 0 {
		b = append(s.rest, b...)
		s.rest = nil
	}
	for len(b) > 0 && !s.full() {
		if !utf8.FullRune(b) {
			s.rest = append([]byte(nil), b...)
			return
		}
		r, n := utf8.DecodeRune(b)
		b = b[n:]
		s.rune(r)
	}
}

func (s *snippet) rune(r rune) {
	switch {
	case r == '\n':
		s.start, s.quote = true, false
		s.put(' ')
	case s.start && r == '>':
		s.start, s.quote = false, true
	case unicode.IsSpace(r) || r == 0xa0:
		s.put(' ')
	case r == utf8.RuneError || unicode.IsControl(r) || r == 0xfeff || r == 0x200b || r == 0x200c || r == 0xad:
		// nothing to be seen; mailings fill their previews with it
	default:
		s.start = false
		s.put(r)
	}
}

func (s *snippet) put(r rune) {
	text, n := &s.own, &s.nOwn
	if s.quote {
		text, n = &s.quoted, &s.nQuot
	}
	if *n >= maxPreview || r == ' ' && (len(*text) == 0 || (*text)[len(*text)-1] == ' ') {
		return
	}
	*text = utf8.AppendRune(*text, r)
	*n++
}

// markup takes the text out of HTML that comes in pieces.
type markup struct {
	tag    []byte // since its '<'
	entity []byte // since its '&'
	inTag  bool
	inEnt  bool
	hidden string // the element whose contents are not shown
}

const maxTag, maxEntity = 64, 16

// hiddenElements have contents that nobody reads, or quotes.
var hiddenElements = []string{"style", "script", "head", "title", "blockquote"}

// inline elements divide no words.
var inline = []string{"b", "i", "u", "em", "strong", "span", "a", "font", "small", "big", "sub", "sup", "code", "tt"}

func (m *markup) strip(b []byte, out *snippet) {
	for _, c := range b {
		switch {
		case m.inTag && c == '>':
			m.inTag = false
			m.endTag(out)
			m.tag = m.tag[:0]
		case m.inTag && c == '<' && m.hidden != "": // that before was no tag: it is a script
			m.tag = m.tag[:0]
		case m.inTag:
			if len(m.tag) < maxTag {
				m.tag = append(m.tag, c)
			}
		case c == '<':
			m.endEntity(out)
			m.inTag = true
		case m.hidden != "":
		case m.inEnt:
			m.entity = append(m.entity, c)
			if c == ';' || len(m.entity) > maxEntity || c <= ' ' {
				m.endEntity(out)
			}
		case c == '&':
			m.inEnt, m.entity = true, append(m.entity[:0], c)
		case c == '\n' || c == '\r':
			out.put(' ')
		default:
			out.start = false // a '>' is no quote here
			out.add([]byte{c})
		}
	}
}

func (m *markup) endEntity(out *snippet) {
	if m.inEnt {
		m.inEnt = false
		out.add([]byte(html.UnescapeString(string(m.entity))))
	}
}

func (m *markup) endTag(out *snippet) {
	word := strings.ToLower(string(m.tag))
	closing := strings.HasPrefix(word, "/")
	word = strings.TrimPrefix(word, "/")
	if i := strings.IndexFunc(word, func(r rune) bool { return r <= ' ' || r == '/' }); i >= 0 {
		word = word[:i]
	}
	if m.hidden != "" {
		if closing && word == m.hidden {
			m.hidden = ""
		}
		return
	}
	for _, name := range hiddenElements {
		if word == name && !closing {
			m.hidden = name
		}
	}
	for _, name := range inline {
		if word == name {
			return
		}
	}
	out.put(' ')
}
