package arc

import "strings"

// Passed reports whether the results of a set say METHOD=pass with a property
// of that value: Passed("dmarc", "header.from", "example.org"). What stands in
// comments and quoted strings is nobody's result. RFC 8601 §2.2
func (s *Set) Passed(method, property, value string) bool {
	for i, part := range resultParts(s.Results) {
		words := strings.Fields(part)
		if i == 0 || len(words) == 0 || !strings.EqualFold(words[0], method+"=pass") {
			continue
		}
		for _, w := range words[1:] {
			name, v, ok := strings.Cut(w, "=")
			if ok && strings.EqualFold(name, property) && strings.EqualFold(strings.TrimSuffix(v, "."), value) {
				return true
			}
		}
	}
	return false
}

// resultParts divides at semicolons; comments are left out, quoted strings
// stand without their quotes and with ? for what divides.
func resultParts(s string) []string {
	var parts []string
	var b strings.Builder
	comment, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && (comment > 0 || quoted):
			i++
			if quoted {
				b.WriteByte('?')
			}
		case quoted:
			if c == '"' {
				quoted = false
			} else if strings.IndexByte("; \t=()", c) >= 0 {
				b.WriteByte('?')
			} else {
				b.WriteByte(c)
			}
		case c == '(':
			comment++
		case c == ')' && comment > 0:
			if comment--; comment == 0 {
				b.WriteByte(' ')
			}
		case comment > 0:
		case c == '"':
			quoted = true
		case c == ';':
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(c)
		}
	}
	return append(parts, b.String())
}
