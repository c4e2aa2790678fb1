package sqldump

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

func (r *Reader) tuple() (values []any, err error) {
	var value any
	have := false
	for {
		if err := r.space(); err != nil {
			return nil, err
		}
		if r.follows('\'') {
			r.get()
			if value, err = r.text(r.mysql); err != nil {
				return nil, err
			}
			have = true
			continue
		}
		word, err := r.word()
		switch {
		case err != nil:
			return nil, err
		case word == "," || word == ")":
			if !have || len(values) >= maxColumns {
				return nil, fmt.Errorf("%w: a row without a value", ErrSyntax)
			}
			values, value, have = append(values, value), nil, false
			if word == ")" {
				return values, nil
			}
		case word == ":": // 'x'::text
			if _, err := r.word(); err != nil {
				return nil, err
			}
		default:
			if value, err = r.bare(word, value, have); err != nil {
				return nil, err
			}
			have = true
		}
	}
}

// bare is a value without quotes, or what stands before or behind one.
func (r *Reader) bare(word string, before any, have bool) (any, error) {
	upper := strings.ToUpper(word)
	switch {
	case have && word != ".": // a cast, a collation
		return before, nil
	case upper == "NULL":
		return nil, nil
	case upper == "TRUE":
		return "1", nil
	case upper == "FALSE":
		return "0", nil
	case (upper == "E" || upper == "X" || upper == "B" || word[0] == '_') && r.follows('\''):
		r.get()
		text, err := r.text(r.mysql || upper == "E")
		if upper == "X" && err == nil {
			var raw []byte
			raw, err = hex.DecodeString(text)
			text = string(raw)
		}
		return text, err
	case strings.HasPrefix(word, "0x"):
		raw, err := hex.DecodeString(word[2:])
		return string(raw), err
	case word == "-" || word == "+":
		rest, err := r.word()
		return strings.TrimPrefix(word, "+") + rest, err
	}
	return word, nil
}

// escapes are those of MySQL strings.
var escapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '0': 0, 'b': '\b', 'Z': 26}

// text reads a string behind its quote.
func (r *Reader) text(backslash bool) (string, error) {
	var out strings.Builder
	for {
		b, err := r.get()
		if err != nil {
			return "", err
		}
		switch {
		case b == '\'' && r.follows('\''):
			r.get()
		case b == '\'':
			return out.String(), nil
		case b == '\\' && backslash:
			if b, err = r.get(); err != nil {
				return "", err
			}
			if c, ok := escapes[b]; ok {
				b = c
			}
		}
		if out.Len() >= maxValue {
			return "", fmt.Errorf("%w: a value of more than %d bytes", ErrSyntax, maxValue)
		}
		out.WriteByte(b)
	}
}

// copy reads COPY name (columns) FROM stdin; and its lines.
func (r *Reader) copy() error {
	name, err := r.name()
	if err != nil {
		return err
	}
	var columns []string
	word, err := r.word()
	if err == nil && word == "(" {
		columns, err = r.columns()
	}
	if err == nil {
		err = r.skip()
	}
	if err != nil {
		return err
	}
	if b, err := r.get(); err != nil || b == '\r' {
		r.get()
	}
	for {
		line, err := r.copyLine()
		if err != nil || line == `\.` {
			return err
		}
		if r.Wants(name) {
			if err := r.Row(name, columns, copied(line)); err != nil {
				return err
			}
		}
	}
}

// copyLine reads a line without its end.
func (r *Reader) copyLine() (string, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		if len(line)+len(part) > maxValue {
			return "", fmt.Errorf("%w: a row of more than %d bytes", ErrSyntax, maxValue)
		}
		line = append(line, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		r.line++
		return strings.TrimRight(string(line), "\r\n"), err
	}
}

// copied splits a line of COPY.
func copied(line string) (values []any) {
	for field := range strings.SplitSeq(line, "\t") {
		switch {
		case field == `\N`:
			values = append(values, nil)
		case !strings.Contains(field, `\`):
			values = append(values, field)
		default:
			var out strings.Builder
			for i := 0; i < len(field); i++ {
				b := field[i]
				if b == '\\' && i+1 < len(field) {
					i++
					if b = field[i]; b != '0' {
						if c, ok := escapes[b]; ok {
							b = c
						}
					}
				}
				out.WriteByte(b)
			}
			values = append(values, out.String())
		}
	}
	return values
}
