package smtpwire

import (
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DecodeXtext undoes RFC 3461 §4 xtext. ok is false for text that is not xtext,
// and for such that hides a control character.
func DecodeXtext(s string) (text string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' {
			if i+2 >= len(s) {
				return "", false
			}
			var one [1]byte
			if _, err := hex.Decode(one[:], []byte(s[i+1:i+3])); err != nil {
				return "", false
			}
			c = one[0]
			i += 2
		}
		if c < ' ' || c == 0x7f {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), utf8.ValidString(b.String())
}

// DecodeUTF8Address undoes the \x{HEX} of RFC 6533 §3 utf-8-addr-xtext; other
// characters stand for themselves.
func DecodeUTF8Address(s string) (text string, ok bool) {
	var b strings.Builder
	for s != "" {
		before, after, found := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !found {
			break
		}
		digits, rest, closed := strings.Cut(after, "}")
		n, err := strconv.ParseUint(digits, 16, 21)
		if !closed || err != nil || n < ' ' || n == 0x7f || !utf8.ValidRune(rune(n)) {
			return "", false
		}
		b.WriteRune(rune(n))
		s = rest
	}
	text = b.String()
	return text, utf8.ValidString(text) && !HasControl(text)
}

// HasControl reports whether s holds a control character other than tab.
func HasControl(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) >= 0
}
