package message

import (
	"strconv"
	"strings"
)

// The ways in which Dovecot writes strings in ENVELOPE and BODYSTRUCTURE.

// appendString writes a quoted string, or a literal if it has line ends, 8-bit
// bytes or many quotes.
func appendString(dst []byte, s string) []byte {
	s = withoutNUL(s)
	escapes := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			if escapes++; escapes > 4 {
				return appendLiteral(dst, s)
			}
		case c == '\r' || c == '\n' || c >= 0x80:
			return appendLiteral(dst, s)
		}
	}
	return appendQuoted(dst, s)
}

// withoutNUL replaces what IMAP has no way to say.
func withoutNUL(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return s
}

func appendLiteral(dst []byte, s string) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, "}\r\n"...)
	return append(dst, s...)
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// appendOptional writes NIL or a string.
func appendOptional(dst []byte, s optional) []byte {
	if !s.ok {
		return append(dst, "NIL"...)
	}
	return appendString(dst, s.s)
}

// appendUnfolded writes NIL or a string without line ends.
func appendUnfolded(dst []byte, s optional) []byte {
	if s.ok && strings.ContainsAny(s.s, "\r\n") {
		s.s = unfolder.Replace(s.s)
	}
	return appendOptional(dst, s)
}

var unfolder = strings.NewReplacer("\r", "", "\n", "")

// appendForHumans writes a display name or subject: runs of white space become
// one space. It is a literal if that changed it, or if a quoted string needed
// escapes.
func appendForHumans(dst []byte, s optional) []byte {
	if !s.ok {
		return append(dst, "NIL"...)
	}
	s.s = withoutNUL(s.s)
	plain, space := true, true
	for i := range len(s.s) {
		switch c := s.s[i]; {
		case c == ' ':
			plain = plain && !space
			space = true
		case c == '\t' || c == '\r' || c == '\n' || c == '"' || c == '\\' || c >= 0x80:
			plain = false
		default:
			space = false
		}
	}
	if plain && (!space || s.s == "") {
		dst = append(dst, '"')
		dst = append(dst, s.s...)
		return append(dst, '"')
	}
	if s.s = squeeze(s.s); s.s == "" {
		return append(dst, `""`...)
	}
	return appendLiteral(dst, s.s)
}

func squeeze(s string) string {
	var b strings.Builder
	space := true
	for i := range len(s) {
		switch c := s[i]; c {
		case ' ', '\t', '\r', '\n':
			if !space {
				b.WriteByte(' ')
			}
			space = true
		default:
			b.WriteByte(c)
			space = false
		}
	}
	return strings.TrimSuffix(b.String(), " ")
}
