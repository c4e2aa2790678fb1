package cleanup

import "strings"

// isMIME reports whether a field of the message tells of MIME; tables for parts
// are asked about it.
func isMIME(name string) bool {
	switch name {
	case "content-description", "content-disposition", "content-id", "content-transfer-encoding", "content-type", "mime-version":
		return true
	}
	return false
}

// contentType is what a Content-Type says of what follows the header.
type contentType struct {
	boundary string // of a multipart
	nested   bool   // a message
}

// boundaryMost bounds a boundary, in bytes; postconf(5)
// mime_boundary_length_limit.
const boundaryMost = 2048

// note remembers the last Content-Type of a header.
func (c *Writer) note(f *Field) {
	if f.Name == "content-type" {
		c.ctype = parseType(f.Value())
	}
}

// parseType reads a Content-Type, RFC 2045 §5.1, with comments passed over.
func parseType(s string) (t contentType) {
	words := lex(s)
	if len(words) < 3 || words[1] != "/" {
		return t
	}
	major, minor := strings.ToLower(words[0]), strings.ToLower(words[2])
	switch {
	case major == "message" && (minor == "rfc822" || minor == "global"):
		t.nested = true
	case major == "multipart":
		for i := 3; i+3 < len(words); i++ {
			if words[i] == ";" && words[i+2] == "=" && strings.EqualFold(words[i+1], "boundary") {
				t.boundary = words[i+3]
				break
			}
		}
	}
	t.boundary = t.boundary[:min(len(t.boundary), boundaryMost)]
	return t
}

// lex splits a structured field into words, strings without their quotes, and
// the characters / ; =.
func lex(s string) (list []string) {
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			i++
		case c == '(':
			i = skipComment(s, i)
		case strings.IndexByte("/;=", c) >= 0:
			list = append(list, s[i:i+1])
			i++
		case c == '"':
			var b strings.Builder
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' && i+1 < len(s) {
					i++
				}
				b.WriteByte(s[i])
			}
			list = append(list, b.String())
			i++
		default:
			j := i
			for j < len(s) && strings.IndexByte(" \t\r\n(/;=\"", s[j]) < 0 {
				j++
			}
			list = append(list, s[i:j])
			i = j
		}
	}
	return list
}

func skipComment(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		case '\\':
			i++
		}
	}
	return len(s)
}
