package message

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// A record is what the index keeps of a message so that FETCH and SEARCH of the
// usual things open no file. It has pieces, which are kept and read apart. Each
// begins with a byte for its version; then
//
//	envelope   ENVELOPE
//	structure  uvarint RFC822.SIZE, uvarint length and bytes of the layout,
//	           BODYSTRUCTURE
//	header     the header fields that isCachedField names
//	search     see record_search.go
//
// The layout is, for each part, kind and encoding in a byte and, as uvarints,
// the number of its children, the distance of its header from that of the part
// before, and of header and body the length, the number of LF without CR and
// the number of lines.
const recordVersion = 1

// The pieces of a record.
const (
	PieceEnvelope = iota
	PieceStructure
	PieceHeader
	PieceSearch
	NumPieces
)

// Pieces is a record in pieces; nil for those that are not there.
type Pieces [NumPieces][]byte

const (
	// maxPiece bounds a piece; one that would be longer is left out.
	maxPiece = 20 << 10
	// maxCachedHeader bounds the header fields in a record.
	maxCachedHeader = 16 << 10
)

// isCachedField reports whether a record holds the fields of this name, given
// in lower case: what mail programs ask for to list a mailbox.
func isCachedField(lower string) bool {
	switch lower {
	case "date", "from", "sender", "reply-to", "to", "cc", "bcc", "subject",
		"message-id", "in-reply-to", "references", "newsgroups",
		"content-type", "mime-version", "content-transfer-encoding", "content-description",
		"priority", "x-priority", "x-msmail-priority", "importance",
		"list-id", "list-post", "list-unsubscribe", "mail-followup-to", "mail-reply-to",
		"disposition-notification-to", "return-receipt-to", "x-confirm-reading-to",
		"return-path", "lines", "x-label", "x-draft-info", "x-k9mail-identity", "x-uid", "x-tuid":
		return true
	}
	return false
}

// Record gives the cache record of the message. What would make a piece longer
// than 20 KiB is left out, and then read from the file when asked for.
func (s *Structure) Record() (p Pieces) {
	p[PieceSearch] = s.search
	if len(s.envelope) < maxPiece {
		p[PieceEnvelope] = append([]byte{recordVersion}, s.envelope...)
	}
	if s.Layout == nil { // of ParseEnvelope
		return p
	}
	p[PieceStructure] = s.structure()
	if !s.headerCut {
		p[PieceHeader] = append([]byte{recordVersion}, s.header...)
	}
	return p
}

func (s *Structure) structure() []byte {
	const slack = 32 // for the numbers
	layout, body := s.Layout.encode(), s.body
	if len(layout) > maxPiece-slack {
		layout = nil
	}
	if len(body) > maxPiece-slack-len(layout) {
		body = nil
	}
	out := append(make([]byte, 0, slack+len(layout)+len(body)), recordVersion)
	out = binary.AppendUvarint(out, uint64(s.Layout.Size()))
	out = binary.AppendUvarint(out, uint64(len(layout)))
	return append(append(out, layout...), body...)
}

func (l Layout) encode() []byte {
	out := make([]byte, 0, 16*len(l))
	put := func(n int64) { out = binary.AppendUvarint(out, uint64(n)) }
	put(int64(len(l)))
	before := int64(0)
	for i, p := range l {
		c := byte(p.Kind) | byte(p.Encoding)<<4
		if p.NUL {
			c |= 1 << 7
		}
		out = append(out, c)
		children := int64(0)
		for c := i + 1; c < p.Next; c = l[c].Next {
			children++
		}
		put(children)
		put(p.Header.Offset - before)
		before = p.Header.Offset
		for _, e := range []Extent{p.Header, p.Body} {
			put(e.Len)
			put(e.Virt - e.Len)
			put(e.Lines)
		}
	}
	return out
}

// Record is a decoded cache record. It points into the bytes it was read from.
type Record struct {
	Size int64 // RFC822.SIZE; 0 without structure
	// Each is nil where its piece is not there: Parse the file.
	Envelope      []byte
	BodyStructure []byte
	layout        []byte
	header        []byte
	hasHeader     bool
	search        searchPiece
}

// OpenRecord reads what Structure.Record wrote. ErrRecord: damaged, or written
// by another version; Parse the file again.
func OpenRecord(p Pieces) (*Record, error) {
	r := &Record{}
	if err := r.Read(p); err != nil {
		return nil, err
	}
	return r, nil
}

// Read is OpenRecord into a Record that is used again.
func (r *Record) Read(p Pieces) error {
	*r = Record{}
	for i, b := range p {
		if b != nil && (len(b) == 0 || b[0] != recordVersion) {
			return ErrRecord
		}
		if b != nil {
			p[i] = b[1:]
		}
	}
	r.Envelope = p[PieceEnvelope]
	if b := p[PieceStructure]; b != nil {
		d := decoder{b: b}
		r.Size, r.layout = d.number(), d.block()
		if d.bad {
			return ErrRecord
		}
		if len(d.b) > 0 {
			r.BodyStructure = d.b
		}
	}
	r.header, r.hasHeader = p[PieceHeader], p[PieceHeader] != nil
	if b := p[PieceSearch]; b != nil && !r.search.read(b) {
		return ErrRecord
	}
	return nil
}

type decoder struct {
	b   []byte
	bad bool
}

// number reads a uvarint that is a length or a size.
func (d *decoder) number() int64 {
	n, k := binary.Uvarint(d.b)
	if k <= 0 || n > 1<<62 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[k:]
	return int64(n)
}

func (d *decoder) block() []byte {
	n := d.number()
	if n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) extent(offset int64) Extent {
	e := Extent{Offset: offset, Len: d.number()}
	e.Virt = e.Len + d.number()
	e.Lines = d.number()
	return e
}

// Layout decodes the places of the parts; nil where the record lacks them.
func (r *Record) Layout() Layout {
	d := decoder{b: r.layout}
	count := d.number()
	if count < 1 || count > maxParts || count > int64(len(d.b)) {
		return nil
	}
	l := make(Layout, count)
	left := make([]int64, count) // children not yet seen
	parent, offset := -1, int64(0)
	for i := range l {
		for parent >= 0 && left[parent] == 0 {
			l[parent].Next = i
			parent = l[parent].Parent
		}
		if parent >= 0 {
			left[parent]--
		} else if i > 0 {
			return nil
		}
		c := d.byte()
		l[i] = Place{Kind: Kind(c & 15), Encoding: Encoding(c >> 4 & 7), NUL: c>>7 != 0, Parent: parent}
		left[i] = d.number()
		offset += d.number()
		l[i].Header = d.extent(offset)
		l[i].Body = d.extent(offset + l[i].Header.Len)
		parent = i
	}
	for ; parent >= 0; parent = l[parent].Parent {
		if l[parent].Next = len(l); left[parent] != 0 {
			return nil
		}
	}
	if d.bad {
		return nil
	}
	return l
}

// HeaderFields serves BODY[HEADER.FIELDS (...)] from the record, without the
// file, where the record knows all the fields asked for; else ok is false. Only
// for the message itself (no part number), only for HeaderFields.
func (r *Record) HeaderFields(item *imap.FetchItemBodySection) (data []byte, ok bool) {
	if len(item.Part) > 0 || item.Specifier != imap.PartSpecifierHeader || item.HeaderFields == nil || !r.hasHeader {
		return nil, false
	}
	for _, n := range item.HeaderFields {
		if !isCachedField(strings.ToLower(n)) {
			return nil, false
		}
	}
	pass := false
	eachLine(r.header, func(line []byte) {
		if line[0] != ' ' && line[0] != '\t' {
			pass = named(line, item.HeaderFields)
		}
		if pass {
			data = append(data, line...)
		}
	})
	data = append(data, crlf...)
	replaceNUL(data)
	if p := item.Partial; p != nil {
		from := min(max(p.Offset, 0), int64(len(data)))
		data = data[from : from+min(max(p.Size, 0), int64(len(data))-from)]
	}
	return data, true
}

func eachLine(b []byte, f func(line []byte)) {
	for len(b) > 0 {
		n := len(b)
		if k := bytes.IndexByte(b, '\n'); k >= 0 {
			n = k + 1
		}
		f(b[:n])
		b = b[n:]
	}
}

// Field returns the unfolded, undecoded values of a header field from the
// record, in order; ok is false if the record does not know this field.
func (r *Record) Field(name string) (values []string, ok bool) {
	if !r.hasHeader || !isCachedField(strings.ToLower(name)) {
		return nil, false
	}
	var raw []byte
	done := func() {
		if raw != nil {
			values = append(values, unfold(string(fieldValue(nil, raw))))
			raw = nil
		}
	}
	eachLine(r.header, func(line []byte) {
		if line[0] == ' ' || line[0] == '\t' {
			if raw != nil {
				raw = append(raw, line...)
			}
			return
		}
		done()
		if named(line, []string{name}) {
			raw = append([]byte{}, line...)
		}
	})
	done()
	return values, true
}

// unfold takes the line ends out of a value, and white space from its ends.
func unfold(value string) string {
	if strings.ContainsAny(value, "\r\n") {
		value = unfolder.Replace(value)
	}
	return strings.Trim(value, " \t")
}
