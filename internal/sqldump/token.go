package sqldump

import (
	"fmt"
	"strings"
)

// get returns the next byte.
func (r *Reader) get() (byte, error) {
	b, err := r.in.ReadByte()
	if b == '\n' {
		r.line++
	}
	return b, err
}

// back gives back what get has just returned.
func (r *Reader) back(b byte) {
	if b == '\n' {
		r.line--
	}
	r.in.UnreadByte()
}

// space skips spaces and comments.
func (r *Reader) space() error {
	for {
		next, err := r.in.Peek(2)
		if len(next) == 0 {
			return err
		}
		switch b := next[0]; {
		case b == ' ' || b == '\t' || b == '\r' || b == '\n':
			_, err = r.get()
		case b == '#' || string(next) == "--":
			err = r.comment()
		case string(next) == "/*":
			r.in.Discard(2)
			err = r.until("*/")
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *Reader) follows(want byte) bool {
	next, err := r.in.Peek(1)
	return err == nil && next[0] == want
}

// comment skips a line; the first ones say whose dump it is.
func (r *Reader) comment() error {
	var text strings.Builder
	for {
		b, err := r.get()
		if err != nil {
			return err
		}
		if b == '\n' {
			break
		}
		if text.Len() < 200 {
			text.WriteByte(b)
		}
	}
	if s := text.String(); strings.Contains(s, "MySQL") || strings.Contains(s, "MariaDB") {
		r.mysql = true
	}
	return nil
}

func (r *Reader) until(end string) error {
	last := byte(0)
	for {
		b, err := r.get()
		if err != nil {
			return err
		}
		if last == end[0] && b == end[1] {
			return nil
		}
		last = b
	}
}

func isName(b byte) bool {
	return b == '_' || b == '$' || b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z' || b >= 0x80
}

// word reads a name, a number, or one other character. Quotes of names are
// taken off.
func (r *Reader) word() (string, error) {
	if err := r.space(); err != nil {
		return "", err
	}
	b, err := r.get()
	if err != nil {
		return "", err
	}
	if b == '`' || b == '"' {
		if b == '`' {
			r.mysql = true
		}
		return r.quoted(b)
	}
	if !isName(b) {
		return string(b), nil
	}
	var out strings.Builder
	for ; err == nil && (isName(b) || b == '.'); b, err = r.get() {
		out.WriteByte(b)
		if out.Len() > 1000 {
			return "", fmt.Errorf("%w: a name has no end", ErrSyntax)
		}
	}
	if err == nil {
		r.back(b)
	}
	return out.String(), nil
}

func (r *Reader) quoted(quote byte) (string, error) {
	var out strings.Builder
	for out.Len() < 1000 {
		b, err := r.get()
		if err != nil {
			return "", err
		}
		if b == quote {
			return out.String(), nil
		}
		out.WriteByte(b)
	}
	return "", fmt.Errorf("%w: a name has no end", ErrSyntax)
}

// name reads the name of a table, without the schema before it.
func (r *Reader) name() (string, error) {
	name, err := r.word()
	for err == nil && r.follows('.') {
		r.get()
		name, err = r.word()
	}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	return name, err
}

// skip reads to the end of a statement.
func (r *Reader) skip() error {
	for {
		b, err := r.get()
		if err != nil {
			return err
		}
		switch b {
		case ';':
			return nil
		case '\'':
			_, err = r.text(r.mysql)
		case '`', '"':
			for c := byte(0); c != b && err == nil; {
				c, err = r.get()
			}
		case '$':
			if r.follows('$') {
				r.get()
				err = r.until("$$")
			}
		case '-', '/':
			if b == '-' && r.follows('-') {
				err = r.comment()
			} else if b == '/' && r.follows('*') {
				r.get()
				err = r.until("*/")
			}
		}
		if err != nil {
			return err
		}
	}
}
