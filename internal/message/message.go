// Package message is what a mail message is: header fields, MIME structure,
// addresses, dates, encodings; and how IMAP shows them. Where RFC 9051 leaves
// open how a broken message is shown, the answer is byte for byte that of
// Dovecot 2.3, so that clients that moved from it see nothing change.
//
// Nothing here holds a whole message: what is read is a stream or an
// io.ReaderAt, memory is bounded by the limits in parse.go. Files may have LF
// or CRLF line ends, also mixed; what IMAP is given always has CRLF.
package message

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
	NUL      bool   // the text has a NUL
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
	header   []byte // the fields that a record holds

	headerCut bool   // there was too much of it
	search    []byte // piece of a record
}

// Envelope is the value of FETCH ENVELOPE, with its parentheses.
func (s *Structure) Envelope() []byte { return s.envelope }

// BodyStructure is the value of FETCH BODYSTRUCTURE. See also Body.
func (s *Structure) BodyStructure() []byte { return s.body }
