package sasl

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Prepare brings a password to the form that clients of SCRAM derive keys
// from: SASLprep, RFC 4013, of what people can type. Text that is not UTF-8
// stays as it is, and so does what SASLprep forbids: it is compared, not shown.
func Prepare(password []byte) []byte {
	if isASCII(password) || !utf8.Valid(password) {
		return password
	}
	mapped := bytes.Map(func(r rune) rune {
		switch {
		case r > 0x7f && unicode.Is(unicode.Zs, r):
			return ' ' // RFC 3454, table C.1.2
		case r == 0xad, r == 0x34f, r == 0x1806, r >= 0x180b && r <= 0x180d, r >= 0x200b && r <= 0x200d,
			r == 0x2060, r >= 0xfe00 && r <= 0xfe0f, r == 0xfeff:
			return -1 // table B.1
		}
		return r
	}, password)
	return norm.NFKC.Bytes(mapped)
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c > 0x7f {
			return false
		}
	}
	return true
}
