package message

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// Scope says where a Key looks.
type Scope uint8

const (
	ScopeHeader Scope = iota // one field of the message header
	ScopeBody                // the texts of all parts
	ScopeText                // texts, and the headers of the message and its parts
)

// Key is one string to look for, in UTF-8. Case does not matter, nor how a
// letter with accents is composed; runs of white space in a header are one
// space.
type Key struct {
	Scope Scope
	Field string // with ScopeHeader
	Value string // with ScopeHeader, "" asks that the field be there
}

// Search looks for several keys in one pass. It may be used for any number of
// messages, by one goroutine.
type Search struct {
	keys    []Key
	fields  []string // of the keys, in lower case
	needles [][]byte
	found   []bool
	longest int

	hit, known []bool // of MatchRecord

	in   *window
	w    *walker
	line []byte // a header field, folded
	hay  []byte // the end of the text so far, then the text to look in
	done bool   // nothing is left that this message could have
	text textReader
	sink TextSink // nil: keys are looked for
}

// NewSearch prepares keys; Value is UTF-8 (see ToUTF8).
func NewSearch(keys []Key) *Search {
	s := &Search{keys: keys, found: make([]bool, len(keys))}
	for _, k := range keys {
		n := k.Needle()
		s.needles = append(s.needles, n)
		s.fields = append(s.fields, strings.ToLower(k.Field))
		s.longest = max(s.longest, len(n))
	}
	return s
}

// NeedsBody reports whether a key looks beyond the header.
func (s *Search) NeedsBody() bool {
	for _, k := range s.keys {
		if k.Scope != ScopeHeader {
			return true
		}
	}
	return false
}

// Match reads the message as far as it must and says of each key whether it was
// found. The result is valid until the next call.
func (s *Search) Match(r io.Reader) ([]bool, error) {
	clear(s.found)
	s.done = false
	for i, k := range s.keys {
		s.found[i] = k.Scope != ScopeHeader && k.Value == ""
	}
	v := &searchVisitor{Search: s, part: -1}
	if s.in == nil {
		s.in = newWindow(r)
	}
	s.in.reset(r)
	if s.w == nil {
		s.w = newWalker(nil, nil)
	}
	s.w.reset(s.in, v)
	err := s.w.walk()
	v.endText()
	s.in.reset(nil)
	return s.found, err
}

// Pieces tells which pieces of a record MatchRecord needs, a bit each. None: it
// could not answer anything.
func (s *Search) Pieces() (set uint8) {
	for _, k := range s.keys {
		if k.Scope != ScopeHeader {
			continue
		}
		set |= 1 << PieceSearch
		lower := strings.ToLower(k.Field)
		if searchField(lower) == 0 && isCachedField(lower) {
			set |= 1 << PieceHeader
		}
	}
	return set
}

// MatchRecord answers the header keys from a cache record: known[i] is false
// where the file is needed. The results are valid until the next call.
func (s *Search) MatchRecord(r *Record) (found, known []bool) {
	if s.hit == nil {
		s.hit, s.known = make([]bool, len(s.keys)), make([]bool, len(s.keys))
	}
	for i, k := range s.keys {
		if k.Scope == ScopeHeader {
			s.hit[i], s.known[i] = s.matchField(r, i)
			continue
		}
		s.hit[i] = k.Value == ""
		s.known[i] = s.hit[i]
	}
	return s.hit, s.known
}

func (s *Search) matchField(r *Record, i int) (found, known bool) {
	lower := s.fields[i]
	if r.search.lacks(lower) {
		return false, true
	}
	if found, known = r.search.contains(searchField(lower), s.needles[i]); known {
		return found, true
	}
	values, known := r.Field(lower)
	for _, v := range values {
		s.line = foldValue(s.line[:0], []byte(v))
		found = found || bytes.Contains(s.line, s.needles[i])
	}
	return found, known
}

// fold makes a field comparable, with its name if one is given. The result is
// valid until the next call.
func (s *Search) fold(name, value []byte) []byte {
	s.line = s.line[:0]
	if len(name) > 0 {
		s.line = appendFolded(s.line, name)
		s.line = append(s.line, ": "...)
	}
	s.line = foldValue(s.line, value)
	return s.line
}

// foldValue appends the value of a field, decoded, in the form in which texts
// are compared.
func foldValue(dst, value []byte) []byte {
	if bytes.Contains(value, []byte("=?")) || !utf8.Valid(value) {
		value = []byte(Decode(string(value)))
	}
	return appendFoldedSqueezed(dst, value)
}

// open reports whether a key of the scopes is not yet found.
func (s *Search) open(scopes ...Scope) bool {
	for i, k := range s.keys {
		if s.found[i] {
			continue
		}
		for _, scope := range scopes {
			if k.Scope == scope {
				return true
			}
		}
	}
	return false
}

// searchVisitor walks one message for a Search.
type searchVisitor struct {
	*Search
	part    int // whose text is being read, or -1
	typ     string
	charset string
	seen    bool // Content-Type was seen in this header
	dead    bool // the text of this part is not searched
}

func (v *searchVisitor) stop() bool { return v.done }

func (v *searchVisitor) wants(part int, name []byte) bool {
	if string(name) == "content-type" || v.sink != nil || v.open(ScopeText) {
		return true
	}
	for i, k := range v.keys {
		if part == 0 && k.Scope == ScopeHeader && !v.found[i] && foldIs(name, k.Field) {
			return true
		}
	}
	return false
}

func (v *searchVisitor) field(part int, name, raw, value []byte) {
	if string(name) == "content-type" && !v.seen {
		v.contentType(string(value))
	}
	if v.sink != nil {
		v.sink.Header(v.fold(name, value))
		return
	}
	bare, full := part == 0 && v.open(ScopeHeader), v.open(ScopeText)
	if bare {
		v.inField(ScopeHeader, name, v.fold(nil, value))
	}
	if full {
		v.inField(ScopeText, name, v.fold(name, value))
	}
}

// inField looks in a field for the keys of a scope.
func (v *searchVisitor) inField(scope Scope, name, folded []byte) {
	for i, k := range v.keys {
		if v.found[i] || k.Scope != scope || scope == ScopeHeader && !foldIs(name, k.Field) {
			continue
		}
		v.found[i] = bytes.Contains(folded, v.needles[i])
	}
}

func (v *searchVisitor) contentType(value string) {
	v.seen = true
	x := lexer{s: value}
	typ, _, ok := x.contentType()
	if !ok {
		return
	}
	v.typ = strings.ToLower(typ)
	for _, p := range x.params() {
		if strings.EqualFold(p.name, "charset") {
			v.charset = p.value
			return
		}
	}
}

func (v *searchVisitor) headerDone(part int, _ bool) {
	v.endText()
	p := &v.w.layout[part]
	searched := !v.seen || v.typ == "text" || v.typ == "message"
	v.dead = !searched || p.Kind == KindMultipart || p.Encoding == EncodingUnknown
	if !v.dead {
		v.part = part
		v.Search.text.start(p.Encoding, v.charset, v.look)
	}
	v.seen, v.typ, v.charset = false, "", ""
	v.done = v.sink == nil && !v.open(ScopeBody, ScopeText)
}

func (v *searchVisitor) text(part int, b []byte) {
	if part == v.part && !v.dead {
		v.Search.text.write(b)
	}
}

// endText takes what the end of a text releases.
func (v *searchVisitor) endText() {
	if v.part >= 0 && !v.dead {
		v.Search.text.close()
		if v.sink != nil {
			v.sink.EndText()
		}
	}
	v.part, v.dead = -1, true
	v.hay = v.hay[:0]
}

// look searches a piece of UTF-8 text, together with the end of the one before.
func (v *searchVisitor) look(b []byte) {
	if v.sink != nil {
		v.hay = appendFolded(v.hay[:0], b)
		v.sink.Text(v.hay)
		return
	}
	v.hay = appendFolded(v.hay, b)
	open := false
	for i, k := range v.keys {
		if v.found[i] || k.Scope == ScopeHeader {
			continue
		}
		v.found[i] = bytes.Contains(v.hay, v.needles[i])
		open = open || !v.found[i]
	}
	v.done = !open && !v.open(ScopeHeader)
	if keep := v.longest - 1; keep < len(v.hay) {
		v.hay = v.hay[:copy(v.hay, v.hay[len(v.hay)-max(keep, 0):])]
	}
}

// foldIs compares without regard to case.
func foldIs(name []byte, field string) bool {
	return len(name) == len(field) && strings.EqualFold(string(name), field)
}
