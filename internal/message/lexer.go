package message

import "strings"

// lexer reads the tokens of structured header fields, RFC 5322 §3.2 and RFC
// 2045 §5.1, forgiving in the ways that Dovecot is. Its methods give ok false
// on a syntax error and leave the position where it was met.
type lexer struct {
	s       string
	i       int
	comment []byte // the text of the last comment
}

func (x *lexer) end() bool { return x.i >= len(x.s) }

// is reports whether c is next.
func (x *lexer) is(c byte) bool { return x.i < len(x.s) && x.s[x.i] == c }

// isAtext: RFC 5322 §3.2.3, with bytes over 127.
func isAtext(c byte) bool { return c > ' ' && c != 127 && strings.IndexByte(`()<>[]:;@\,."`, c) < 0 }

// isToken: RFC 2045 §5.1.
func isToken(c byte) bool {
	return c > ' ' && c != 127 && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
}

// space skips white space and comments; ok is false for a comment without end.
func (x *lexer) space() (ok bool) {
	for x.i < len(x.s) {
		switch x.s[x.i] {
		case ' ', '\t', '\r', '\n':
			x.i++
		case '(':
			if !x.skipComment() {
				return false
			}
		default:
			return true
		}
	}
	return true
}

// skipComment keeps the text of the comment, as far as it was certain when an
// end is missing.
func (x *lexer) skipComment() bool {
	x.comment = x.comment[:0]
	x.i++
	from := x.i
	for depth := 1; x.i < len(x.s); x.i++ {
		switch x.s[x.i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				x.comment = append(x.comment, x.s[from:x.i]...)
				x.i++
				return true
			}
		case '\n':
			x.comment = append(x.comment, strings.TrimSuffix(x.s[from:x.i], "\r")...)
			from = x.i + 1
		case '\\':
			if x.i+1 == len(x.s) {
				x.i++
				return false
			}
			x.comment = append(x.comment, x.s[from:x.i]...)
			x.i++
			from = x.i
		}
	}
	return false
}

// run appends the longest run of bytes of a class.
func (x *lexer) run(b []byte, class func(byte) bool) ([]byte, bool) {
	from := x.i
	for x.i < len(x.s) && class(x.s[x.i]) {
		x.i++
	}
	return append(b, x.s[from:x.i]...), x.i > from
}

// word is the longest run of bytes of a class, maybe empty.
func (x *lexer) word(class func(byte) bool) string {
	from := x.i
	for x.i < len(x.s) && class(x.s[x.i]) {
		x.i++
	}
	return x.s[from:x.i]
}

// quoted appends the content of a quoted string.
func (x *lexer) quoted(b []byte) ([]byte, bool) {
	x.i++
	from := x.i
	for ; x.i < len(x.s); x.i++ {
		switch x.s[x.i] {
		case '"':
			b = append(b, x.s[from:x.i]...)
			x.i++
			return b, x.space()
		case '\n':
			b = append(b, strings.TrimSuffix(x.s[from:x.i], "\r")...)
			from = x.i + 1
		case '\\':
			if x.i+1 == len(x.s) {
				x.i++
				return b, false
			}
			if x.s[x.i+1] == '\n' {
				continue
			}
			b = append(b, x.s[from:x.i]...)
			x.i++
			from = x.i
		}
	}
	return b, false
}

func isTokenOrWord(c byte) bool { return isToken(c) || c == '=' || c == '?' }

// contentType reads type "/" subtype, to the end or a semicolon. Of a type
// alone the subtype is empty.
func (x *lexer) contentType() (typ, subtype string, ok bool) {
	if !x.space() {
		return "", "", false
	}
	typ = x.word(isToken)
	if typ == "" || !x.space() {
		return "", "", false
	}
	if x.end() {
		return typ, "", true
	}
	if !x.is('/') {
		return "", "", false
	}
	x.i++
	if !x.space() {
		return "", "", false
	}
	subtype = x.word(isToken)
	if subtype == "" || !x.space() || !x.end() && !x.is(';') {
		return "", "", false
	}
	return typ, subtype, true
}

// param is an attribute of a structured field.
type param struct{ name, value string }

// maxParams bounds the parameters of one field.
const maxParams = 256

// params reads what follows a content type or disposition. What is broken is
// skipped.
func (x *lexer) params() []param {
	var ps []param
	for !x.end() && len(ps) < maxParams {
		p, ok := x.param()
		if !ok {
			x.i++
			continue
		}
		ps = append(ps, p)
	}
	return joinRFC2231(ps)
}

// param reads ";" attribute "=" value.
func (x *lexer) param() (p param, ok bool) {
	if !x.is(';') {
		return p, false
	}
	x.i++
	if !x.space() {
		return p, false
	}
	p.name = x.word(isToken)
	if !x.space() || !x.is('=') {
		return p, false
	}
	x.i++
	if !x.space() {
		return p, false
	}
	switch {
	case x.is('"'):
		value, ok := x.quoted(nil)
		if !ok && x.end() {
			return p, false
		}
		p.value = string(value)
	case x.is('='): // an encoded word, which has no place here
		p.value = x.word(isTokenOrWord)
		x.space()
	default:
		p.value = x.word(isToken)
		x.space()
	}
	return p, true
}
