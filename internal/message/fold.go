package message

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// appendFolded appends UTF-8 text in the form in which texts are compared: title
// case, decomposed, as i;unicode-casemap (RFC 5051 §2), without CR. What is not
// UTF-8 becomes U+FFFD.
func appendFolded(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		c := b[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c >= 'a' && c <= 'z':
				c -= 'a' - 'A'
			case c == '\r':
				continue
			}
			dst = append(dst, c)
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		i += n
		dst = appendFoldedRune(dst, r)
	}
	return dst
}

func appendFoldedRune(dst []byte, r rune) []byte {
	if r >= 0x2e80 && r < 0xa640 { // no case, and mostly whole
		if norm.NFKD.QuickSpanString(string(r)) > 0 {
			return utf8.AppendRune(dst, r)
		}
	}
	r = unicode.ToTitle(r)
	if r < utf8.RuneSelf {
		return append(dst, byte(r))
	}
	var buf [utf8.UTFMax]byte
	n := utf8.EncodeRune(buf[:], r)
	if d := norm.NFKD.Properties(buf[:n]).Decomposition(); d != nil {
		return append(dst, d...)
	}
	if r >= 0xac00 && r <= 0xd7a3 { // Hangul, which has no table
		return norm.NFKD.Append(dst, buf[:n]...)
	}
	return append(dst, buf[:n]...)
}
