// Package message is what a mail message is: header fields, MIME structure,
// addresses, dates, encodings; and how IMAP shows them. Where RFC 9051 leaves
// open how a broken message is shown, the answer is byte for byte that of
// Dovecot 2.3, so that clients that moved from it see nothing change.
//
// Nothing here holds a whole message: what is read is a stream or an
// io.ReaderAt, memory is bounded by the limits in parse.go. Files may have LF
// or CRLF line ends, also mixed; what IMAP is given always has CRLF.
package message

import "github.com/emersion/go-imap/v2"

// Extent is a run of bytes of the stored message.
type Extent struct {
	Offset int64 // in the file
	Len    int64 // bytes in the file
	Virt   int64 // bytes with every line end as CRLF: what IMAP counts
	Lines  int64 // line ends in it
}

// Kind is what of a part's type decides how IMAP treats it.
type Kind uint8

const (
	KindOther Kind = iota
	KindText
	KindMultipart
	KindMessage // message/rfc822
)

// Encoding is a part's Content-Transfer-Encoding.
type Encoding uint8

const (
	EncodingIdentity Encoding = iota // 7bit, 8bit, binary, none
	EncodingQuotedPrintable
	EncodingBase64
	EncodingUnknown
)

// Place is where a part stands in the file.
type Place struct {
	Kind     Kind
	Encoding Encoding
	Header   Extent // with the empty line
	Body     Extent
	Parent   int // index in the Layout; -1 for the message itself
	Next     int // index after the last of its descendants
}

// Layout is the places of all parts of a message, in the order in which they
// stand; a part's children follow it. The message itself is the first.
type Layout []Place

// Size is the RFC822.SIZE.
func (l Layout) Size() int64 { return l[0].Header.Virt + l[0].Body.Virt }

// Structure is all that one pass over a message finds.
type Structure struct {
	Layout   Layout
	envelope []byte
	body     []byte
	header   []byte
}

// Record gives the cache record of the message, at most 64 KiB: what would make
// it longer is left out, and then read from the file when asked for.
func (s *Structure) Record() []byte { panic("not yet") }

// Envelope is the value of FETCH ENVELOPE, with its parentheses; nil if the
// record lacks it. BodyStructure likewise.
func (s *Structure) Envelope() []byte      { return s.envelope }
func (s *Structure) BodyStructure() []byte { return s.body }

// Body gives the value of FETCH BODY from that of BODYSTRUCTURE.
func Body(bodyStructure []byte) []byte { panic("not yet") }

// Record is a decoded cache record. It points into the bytes it was opened on.
type Record struct {
	Size int64 // RFC822.SIZE
	// Each is nil where the record was too long to hold it: Parse the file.
	Envelope      []byte
	BodyStructure []byte
}

// OpenRecord reads what Structure.Record wrote. ErrRecord: damaged, or written
// by another version; Parse the file again.
func OpenRecord(b []byte) (*Record, error) { panic("not yet") }

// Layout decodes the places of the parts; nil where the record lacks them.
func (r *Record) Layout() Layout { panic("not yet") }

// HeaderFields serves BODY[HEADER.FIELDS (...)] from the record, without the
// file, where the record knows all the fields asked for; else ok is false. Only
// for the message itself (no part number), only for HeaderFields.
func (r *Record) HeaderFields(item *imap.FetchItemBodySection) (data []byte, ok bool) {
	panic("not yet")
}

// Field returns the unfolded, undecoded values of a header field from the
// record, in order; ok is false if the record does not know this field.
func (r *Record) Field(name string) (values []string, ok bool) { panic("not yet") }
