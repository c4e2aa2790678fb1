package message

import (
	"encoding/base64"
	"strings"

	"golang.org/x/text/transform"
)

// Decode gives the UTF-8 of a header value with RFC 2047 encoded words. What
// cannot be decoded stays as it is; bytes that are not UTF-8 become U+FFFD.
func Decode(value string) string {
	if !strings.Contains(value, "=?") {
		return strings.ToValidUTF8(value, "\uFFFD")
	}
	var d wordDecoder
	for value != "" {
		i := strings.Index(value, "=?")
		if i < 0 {
			break
		}
		charset, text, n := encodedWord(value[i:])
		if n == 0 {
			d.plain(value[:i+2])
			value = value[i+2:]
			continue
		}
		d.plain(value[:i])
		d.word(charset, text)
		value = value[i+n:]
	}
	d.plain(value)
	d.flush()
	return d.out.String()
}

// wordDecoder joins words: the white space between two of them is none, and a
// character may be parted between two of one charset.
type wordDecoder struct {
	out     strings.Builder
	charset string
	text    []byte // of words not yet converted
	inWord  bool
	space   string // after a word
}

func (d *wordDecoder) plain(s string) {
	if s == "" {
		return
	}
	if d.inWord && strings.Trim(s, " \t\r\n") == "" && d.space == "" {
		d.space = s
		return
	}
	d.flush()
	d.out.WriteString(strings.ToValidUTF8(s, "\uFFFD"))
}

func (d *wordDecoder) word(charset string, text []byte) {
	d.space = ""
	if d.inWord && !strings.EqualFold(charset, d.charset) {
		d.flush()
	}
	d.charset, d.inWord = charset, true
	d.text = append(d.text, text...)
}

func (d *wordDecoder) flush() {
	if d.inWord {
		d.out.WriteString(decodeCharset(d.charset, d.text))
		d.out.WriteString(d.space)
	}
	d.text, d.inWord, d.space = d.text[:0], false, ""
}

// decodeCharset reads an unknown charset as UTF-8.
func decodeCharset(charset string, text []byte) string {
	if dec, err := lookupCharset(charset); err == nil && dec != nil {
		if out, _, err := transform.Bytes(dec, text); err == nil {
			text = out
		}
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

// encodedWord reads "=?charset?encoding?text?=" at the beginning of s; n is its
// length, 0 if it is none.
func encodedWord(s string) (charset string, text []byte, n int) {
	part := strings.SplitN(s[2:], "?", 4)
	if len(part) < 4 || part[0] == "" || strings.ContainsAny(part[0]+part[2], " \t\r\n") && !strings.EqualFold(part[1], "q") {
		return "", nil, 0
	}
	if !strings.HasPrefix(part[3], "=") || strings.ContainsAny(part[0], " \t\r\n") {
		return "", nil, 0
	}
	n = 2 + len(part[0]) + 1 + len(part[1]) + 1 + len(part[2]) + 2
	charset, _, _ = strings.Cut(part[0], "*") // RFC 2231 §5: language
	ok := false
	switch part[1] {
	case "q", "Q":
		text, ok = decodeQ(part[2])
	case "b", "B":
		text, ok = decodeB(part[2])
	}
	if !ok {
		return "", nil, 0
	}
	return charset, text, n
}

func decodeQ(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '_':
			out = append(out, ' ')
		case '=':
			if i+2 >= len(s) {
				return nil, false
			}
			high, ok1 := unhex(s[i+1])
			low, ok2 := unhex(s[i+2])
			if !ok1 || !ok2 {
				return nil, false
			}
			out = append(out, high<<4|low)
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out, true
}

func decodeB(s string) ([]byte, bool) {
	s = strings.TrimRight(s, "=")
	out, err := base64.RawStdEncoding.DecodeString(s)
	return out, err == nil
}
