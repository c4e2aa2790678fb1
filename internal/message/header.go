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
)

// Field is a header field. Value is unfolded (the line ends taken out, the
// white space kept), without surrounding white space, undecoded.
type Field struct {
	Name  string
	Value string
}

// ReadHeader calls f with each field of the header block at the start of r, and
// stops early if f returns false. A field over 64 KiB is cut. It reads ahead in
// r; memory is bounded whatever is in r.
func ReadHeader(r io.Reader, f func(Field) bool) error {
	v := &headerVisitor{f: f}
	return newWalker(newWindow(r), v).walk()
}

// headerVisitor stops a walk at the end of the first header.
type headerVisitor struct {
	f    func(Field) bool
	done bool
}

func (v *headerVisitor) stop() bool                 { return v.done }
func (v *headerVisitor) wants(_ int, n []byte) bool { return !v.done && len(n) > 0 }
func (v *headerVisitor) headerDone(int, bool)       { v.done = true }
func (v *headerVisitor) text(int, []byte)           {}
func (v *headerVisitor) field(_ int, _, raw, value []byte) {
	v.done = v.done || !v.f(Field{string(fieldName(raw)), unfold(string(value))})
}

// Mailbox is an entry of an address list.
type Mailbox struct {
	Name    string // display name or comment, undecoded
	Local   string // without quotes
	Domain  string // "" if missing
	Group   bool   // Name begins a group, or, if "", one ends
	Invalid bool   // not the syntax of RFC 5322
}

// ParseAddressList reads the value of an address field; it never fails, but
// marks what is invalid. At most limit entries (0: 10,000).
func ParseAddressList(value string, limit int) []Mailbox {
	if limit <= 0 || limit > maxAddresses {
		limit = maxAddresses
	}
	entries := readAddresses(value, limit)
	list := make([]Mailbox, len(entries))
	for i, e := range entries {
		m := Mailbox{Name: e.name.s, Local: e.mailbox.s, Domain: e.domain.s, Invalid: e.invalid}
		if !e.domain.ok {
			m = Mailbox{Name: e.mailbox.s, Group: true, Invalid: e.invalid}
		}
		if m.Invalid {
			m.Local, m.Domain = known(m.Local), known(m.Domain)
		}
		list[i] = m
	}
	return list
}

// known empties the words that stand for what is missing.
func known(s string) string {
	switch s {
	case missingMailbox, missingDomain, syntaxError:
		return ""
	}
	return s
}
