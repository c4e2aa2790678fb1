package message

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"
)

// The search piece of a record answers SEARCH of the usual header fields with a
// comparison of bytes:
//
//	byte     which of the following is complete
//	varint   day of the Date field, since 1970
//	uvarint  number of names; for each two bytes, a hash of the name of a field
//	         that the message header has
//	         for each field that searchField names: its number in a byte,
//	         uvarint length and bytes of its value in the form of foldValue
type searchPiece struct {
	have  byte
	day   int64
	names []byte
	texts []byte
}

const (
	hasDay = 1 << iota
	hasNames
	hasTexts
)

const (
	maxNames = 500
	maxTexts = 4 << 10
)

// searchField numbers the fields whose values are in the search piece; 0 is
// none. The name is in lower case.
func searchField(lower string) byte {
	switch lower {
	case "subject":
		return 1
	case "from":
		return 2
	case "to":
		return 3
	case "cc":
		return 4
	case "bcc":
		return 5
	case "message-id":
		return 6
	}
	return 0
}

// hashName is FNV-1a, folded.
func hashName[T string | []byte](lower T) uint16 {
	h := uint32(2166136261)
	for i := range len(lower) {
		h = (h ^ uint32(lower[i])) * 16777619
	}
	return uint16(h ^ h>>16)
}

// searchBuilder gathers a search piece.
type searchBuilder struct {
	names []uint16
	texts []byte
	value []byte // the one before in the form of foldValue
	many  bool   // names, or texts, are not complete
	long  bool
	dated bool
	day   int64
	ok    bool
}

// name takes the name of a header field, in lower case.
func (b *searchBuilder) name(lower []byte) {
	h := hashName(lower)
	if slices.Contains(b.names, h) {
		return
	}
	if len(b.names) == maxNames {
		b.many = true
		return
	}
	b.names = append(b.names, h)
}

// field takes a field with its value; raw is what stands in the file.
func (b *searchBuilder) field(lower string, raw, value []byte) {
	if lower == "date" && !b.dated {
		day, ok := SentDay(unfold(string(value)))
		b.dated, b.ok, b.day = true, ok, day.Unix()/(24*60*60)
	}
	id := searchField(lower)
	if id == 0 || b.long {
		return
	}
	if len(raw) >= maxField || len(b.texts)+len(value) > maxTexts {
		b.long, b.texts = true, nil
		return
	}
	if bytes.ContainsAny(value, "\r\n") {
		value = []byte(unfold(string(value)))
	}
	b.value = foldValue(b.value[:0], bytes.Trim(value, " \t"))
	b.texts = append(b.texts, id)
	b.texts = binary.AppendUvarint(b.texts, uint64(len(b.value)))
	b.texts = append(b.texts, b.value...)
}

// append writes the piece.
func (b *searchBuilder) append(out []byte) []byte {
	var have byte
	if b.ok {
		have |= hasDay
	}
	if !b.many {
		have |= hasNames
	}
	if !b.long {
		have |= hasTexts
	}
	out = append(out, recordVersion, have)
	out = binary.AppendVarint(out, b.day)
	out = binary.AppendUvarint(out, uint64(len(b.names)))
	for _, h := range b.names {
		out = binary.LittleEndian.AppendUint16(out, h)
	}
	return append(out, b.texts...)
}

func (s *searchPiece) read(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	s.have = b[0]
	day, n := binary.Varint(b[1:])
	if n <= 0 {
		return false
	}
	d := decoder{b: b[1+n:]}
	count := d.number()
	if d.bad || count > maxNames || int64(len(d.b)) < 2*count {
		return false
	}
	s.day, s.names, s.texts = day, d.b[:2*count], d.b[2*count:]
	return true
}

// SentDate gives the day of the Date field as SEARCH SENTON etc. compare it:
// the day as the sender wrote it, whatever his time zone. ok is false if there
// is none, or no valid one. known is false if the record does not tell.
func (r *Record) SentDate() (t time.Time, ok, known bool) {
	if r.search.names == nil {
		return t, false, false
	}
	if r.search.have&hasDay == 0 {
		return t, false, true
	}
	return time.Unix(r.search.day*24*60*60, 0).UTC(), true, true
}

// lacks reports whether the message surely has no field of this name, in lower
// case.
func (s *searchPiece) lacks(lower string) bool {
	if s.have&hasNames == 0 || s.names == nil {
		return false
	}
	h := hashName(lower)
	for i := 0; i+1 < len(s.names); i += 2 {
		if binary.LittleEndian.Uint16(s.names[i:]) == h {
			return false
		}
	}
	return true
}

// contains reports whether a field has needle in its value; known is false if
// the piece does not tell.
func (s *searchPiece) contains(id byte, needle []byte) (found, known bool) {
	if id == 0 || s.have&hasTexts == 0 {
		return false, false
	}
	d := decoder{b: s.texts}
	for len(d.b) > 0 && !d.bad {
		got, text := d.byte(), d.block()
		if got == id && bytes.Contains(text, needle) {
			return true, !d.bad
		}
	}
	return false, !d.bad
}
