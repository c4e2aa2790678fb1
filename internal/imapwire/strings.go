package imapwire

import (
	"strings"
	"unicode/utf8"
)

// isAtom: RFC 9051 §9 ATOM-CHAR. Bytes over 127 are not in the grammar; taking
// them lets a client name a mailbox in UTF-8 without quotes, as Dovecot does.
func isAtom(c byte) bool {
	switch c {
	case '(', ')', '{', ' ', '%', '*', '"', '\\', ']', 0x7f:
		return false
	}
	return c > 0x1f
}

// isAString: RFC 9051 §9 ASTRING-CHAR.
func isAString(c byte) bool { return isAtom(c) || c == ']' }

// isListChar: RFC 9051 §9 list-char.
func isListChar(c byte) bool { return isAString(c) || c == '%' || c == '*' }

// isTag: RFC 9051 §9 tag.
func isTag(c byte) bool { return isAString(c) && c != '+' }

// Run reads bytes as long as ok holds; perhaps none.
func (d *Decoder) Run(ok func(byte) bool) string {
	var long []byte
	for d.err == nil && (d.r < d.w || d.fill()) {
		end := d.r
		for end < d.w && ok(d.buf[end]) {
			end++
		}
		part := d.buf[d.r:end]
		if d.left -= int64(len(part)); d.left < 0 {
			d.fail(ErrTooLong)
			return ""
		}
		d.r = end
		if end < d.w {
			if long == nil {
				return string(part)
			}
			return string(append(long, part...))
		}
		long = append(long, part...)
	}
	return ""
}

func (d *Decoder) word(ok func(byte) bool, what string) string {
	s := d.Run(ok)
	if s == "" {
		d.Fail("Missing %s", what)
	}
	return s
}

// Tag reads the tag of a command.
func (d *Decoder) Tag() string { return d.word(isTag, "tag") }

// Atom reads an atom as it is.
func (d *Decoder) Atom() string { return d.word(isAtom, "atom") }

// Keyword reads an atom in upper case: a word of the protocol.
func (d *Decoder) Keyword() string { return strings.ToUpper(d.Atom()) }

// Word reads letters, digits and '-', '.', '=' in upper case, such as the name
// of a data item before its '['.
func (d *Decoder) Word() string {
	return strings.ToUpper(d.word(func(c byte) bool { return isAtom(c) && c != '[' && c != '<' }, "word"))
}

// Flag reads a flag or keyword with its backslash.
func (d *Decoder) Flag() string {
	if d.Accept('\\') {
		return `\` + d.Atom()
	}
	return d.Atom()
}

// AString reads an atom, a quoted string, or a literal.
func (d *Decoder) AString() string {
	switch d.Peek() {
	case '"', '{':
		return d.String()
	}
	return d.word(isAString, "argument")
}

// ListMailbox reads the pattern of LIST.
func (d *Decoder) ListMailbox() string {
	switch d.Peek() {
	case '"', '{':
		return d.String()
	}
	return d.word(isListChar, "pattern")
}

// NString reads a string or NIL; ok is false for NIL.
func (d *Decoder) NString() (s string, ok bool) {
	switch d.Peek() {
	case '"', '{':
		return d.String(), true
	}
	if a := d.Atom(); d.err == nil && !strings.EqualFold(a, "NIL") {
		d.Fail("Expected string")
	}
	return "", false
}

// String reads a quoted string or a literal. It holds no NUL.
func (d *Decoder) String() string {
	switch d.Peek() {
	case '"':
		return d.quoted()
	case '{':
		return d.literalString()
	}
	d.Fail("Expected string")
	return ""
}

func (d *Decoder) quoted() string {
	d.next()
	s := d.Run(isPlainQuoted)
	if d.Accept('"') {
		return d.checked(s)
	}
	b := []byte(s)
	for d.err == nil {
		switch d.Peek() {
		case '"':
			d.next()
			return d.checked(string(b))
		case '\\':
			d.next()
			if c := d.Peek(); c != '"' && c != '\\' {
				d.Fail("Escaped character is not a quote or backslash.")
				return ""
			}
			b = append(b, d.buf[d.r])
			d.next()
		case '\r', '\n', 0:
			d.Fail("Missing '\"'")
		default:
			b = append(b, d.Run(isPlainQuoted)...)
		}
	}
	return ""
}

func isPlainQuoted(c byte) bool {
	return c != '"' && c != '\\' && c != '\r' && c != '\n' && c != 0
}

// checked refuses what is not UTF-8 where UTF-8 was agreed.
func (d *Decoder) checked(s string) string {
	if d.UTF8 && !utf8.ValidString(s) {
		d.Fail("Invalid UTF-8 in string.")
	}
	return s
}

// literalString reads a literal into memory, within the command's bound.
func (d *Decoder) literalString() string {
	l := d.Literal()
	if d.err != nil {
		return ""
	}
	if l.Size > d.left {
		d.Refuse(l)
		d.fail(ErrTooLong)
		return ""
	}
	if !d.Go(l) {
		return ""
	}
	// Grows with what comes, not with what was announced.
	var b strings.Builder
	for n := l.Size; n > 0 && (d.r < d.w || d.fill()); {
		step := min(n, int64(d.w-d.r))
		b.Write(d.buf[d.r : d.r+int(step)])
		d.r += int(step)
		d.left -= step
		n -= step
	}
	if d.err == nil && strings.IndexByte(b.String(), 0) >= 0 {
		d.Fail("NULs in literal.")
		return ""
	}
	return b.String()
}
