package maillog

import (
	"fmt"
	"strings"
)

// OneLine keeps a text that a client sent from ending its line.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// Escaped shows at most so many bytes of a client as Postfix does: \r\n, \026.
func Escaped(p []byte, most int) string {
	var b strings.Builder
	for _, c := range p[:min(len(p), most)] {
		switch {
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\\':
			b.WriteString(`\\`)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
