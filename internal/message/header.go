package message

import (
	"errors"
	"io"
)

var (
	// ErrUnknownEncoding: the part's Content-Transfer-Encoding is not known.
	ErrUnknownEncoding = errors.New("unknown content transfer encoding")
	// ErrRecord: not a cache record of this version.
	ErrRecord = errors.New("bad message cache record")
	// ErrCharset: a charset that is not known.
	ErrCharset = errors.New("unknown charset")
)

// Field is a header field. Value is unfolded (the line ends taken out, the
// white space kept), without surrounding white space, undecoded.
type Field struct {
	Name  string
	Value string
}

// ReadHeader calls f with each field of the header block at the start of r, and
// stops early if f returns false. A value over 64 KiB is cut. It reads ahead in
// r; memory is bounded whatever is in r.
func ReadHeader(r io.Reader, f func(Field) bool) error { panic("not yet") }

// Decode gives the UTF-8 of a header value with RFC 2047 encoded words. What
// cannot be decoded stays as it is; bytes that are not UTF-8 become U+FFFD.
func Decode(value string) string { panic("not yet") }

// Mailbox is an entry of an address list.
type Mailbox struct {
	Name    string // display name or comment, undecoded
	Local   string // as written, without quotes
	Domain  string // "" if missing
	Group   bool   // Name begins a group, or, if "", one ends
	Invalid bool   // syntax was not that of RFC 5322
}

// ParseAddressList reads the value of an address field; it never fails, but
// marks what is invalid. At most limit entries (0: 10,000).
func ParseAddressList(value string, limit int) []Mailbox { panic("not yet") }
