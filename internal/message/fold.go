package message

import (
	"bytes"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// appendFolded appends UTF-8 text in the form in which texts are compared: title
// case, decomposed, as i;unicode-casemap (RFC 5051 §2), without CR. What is not
// UTF-8 becomes U+FFFD.
func appendFolded(dst, b []byte) []byte {
	for len(b) > 0 {
		n := 0
		if dst, n = appendFoldedASCII(dst, b); n == len(b) {
			break
		}
		b = b[n:]
		if b[0] == '\r' {
			b = b[1:]
			continue
		}
		r, n := utf8.DecodeRune(b)
		dst = appendFoldedRune(dst, r)
		b = b[n:]
	}
	return dst
}

// upper is the fold of ASCII; 0 for what needs more thought, CR among it.
var upper = func() (table [256]byte) {
	for c := range byte(utf8.RuneSelf) {
		table[c] = c
		if c >= 'a' && c <= 'z' {
			table[c] -= 'a' - 'A'
		}
	}
	table['\r'] = 0
	return table
}()

// appendFoldedASCII appends as much of b as it can, and tells how much that is.
func appendFoldedASCII(dst, b []byte) ([]byte, int) {
	at := len(dst)
	dst = slices.Grow(dst, len(b))[:at+len(b)]
	out := dst[at:]
	for i, c := range b {
		u := upper[c]
		if u == 0 && c != 0 {
			return dst[:at+i], i
		}
		out[i] = u
	}
	return dst, len(b)
}

// appendFoldedSqueezed is appendFolded of squeeze.
func appendFoldedSqueezed(dst, b []byte) []byte {
	at := len(dst)
	for len(b) > 0 {
		n := bytes.IndexAny(b, " \t\r\n")
		if n < 0 {
			n = len(b)
		}
		if n > 0 && len(dst) > at {
			dst = append(dst, ' ')
		}
		dst = appendFolded(dst, b[:n])
		for n < len(b) && isSpace(b[n]) {
			n++
		}
		b = b[n:]
	}
	return dst
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

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
