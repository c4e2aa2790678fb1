package dkim

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"
)

// Header is what signing must know of a message's header section.
type Header struct {
	// From is the domain of the author, in lower case; '' unless there is
	// exactly one From field and all of its addresses are of that domain.
	From  string
	count map[string]int // by name in lower case
	sigs  []string       // values of DKIM-Signature
	froms []string
}

// headerMost bounds the bytes of a header section.
const headerMost = 1 << 20

// fieldMost bounds the part of one field that is looked at.
const fieldMost = 16 << 10

// Inspect reads the header section of a message, as it goes over the wire.
// ErrHeader says that it is too large.
func Inspect(r io.Reader) (*Header, error) {
	h := &Header{count: make(map[string]int)}
	limited := &io.LimitedReader{R: Wire(r), N: headerMost}
	br := bufio.NewReaderSize(limited, 2048)
	var field []byte
	for {
		line, err := br.ReadSlice('\n')
		start := line
		for err == bufio.ErrBufferFull {
			field = h.next(field, start)
			start = nil
			if line, err = br.ReadSlice('\n'); len(field) < fieldMost {
				field = append(field, line...)
			}
		}
		if start != nil {
			if len(strings.TrimRight(string(start), "\r\n")) == 0 && len(start) > 0 {
				break
			}
			field = h.next(field, start)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read header: %w", err)
		}
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrHeader, headerMost)
	}
	h.add(string(field))
	h.From = domainOf(h.froms)
	return h, nil
}

// next adds a line to the field that it continues, or begins a new one.
func (h *Header) next(field, line []byte) []byte {
	if len(line) > 0 && line[0] != ' ' && line[0] != '\t' {
		h.add(string(field))
		field = field[:0]
	}
	if len(field) < fieldMost {
		field = append(field, line...)
	}
	return field
}

func (h *Header) add(field string) {
	name, value, ok := strings.Cut(field, ":")
	if !ok {
		return
	}
	name = strings.ToLower(strings.TrimRight(name, " \t"))
	h.count[name]++
	switch name {
	case "from":
		h.froms = append(h.froms, value)
	case "dkim-signature":
		if len(h.sigs) < mostOfField {
			h.sigs = append(h.sigs, value)
		}
	}
}

// domainOf is the one domain of the authors.
func domainOf(froms []string) string {
	if len(froms) != 1 {
		return ""
	}
	p := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}}
	unfolded := strings.NewReplacer("\r", "", "\n", "").Replace(froms[0])
	list, err := p.ParseList(unfolded)
	if err != nil {
		return ""
	}
	domain := ""
	for i, a := range list {
		_, d, _ := cutLast(a.Address, '@')
		if d = strings.ToLower(d); i > 0 && d != domain {
			return ""
		}
		domain = d
	}
	return domain
}

func cutLast(s string, c byte) (before, after string, ok bool) {
	if i := strings.LastIndexByte(s, c); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// SignedBy reports whether the message has a signature of that domain with one
// of the selectors. It is not checked: whoever forges one harms only his own
// message.
func (h *Header) SignedBy(keys []Key) bool {
	for _, sig := range h.sigs {
		tags := tagList(sig)
		for _, k := range keys {
			if strings.EqualFold(tags["d"], k.Domain) && strings.EqualFold(tags["s"], k.Selector) {
				return true
			}
		}
	}
	return false
}

// tagList reads tag=value; pairs, RFC 6376 §3.2.
func tagList(s string) map[string]string {
	tags := make(map[string]string)
	for part := range strings.SplitSeq(s, ";") {
		name, value, ok := strings.Cut(part, "=")
		if ok && len(tags) < 50 {
			tags[strings.TrimSpace(name)] = strings.Join(strings.Fields(value), "")
		}
	}
	return tags
}
