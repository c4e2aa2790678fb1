// Package sqldump reads the dumps that mysqldump and pg_dump write, as a stream:
// names of tables and columns, and rows. It understands nothing else of SQL.
package sqldump

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of what a dump may hold.
const (
	maxValue   = 16 << 20
	maxColumns = 1000
)

// ErrSyntax is a dump that cannot be read.
var ErrSyntax = errors.New("dump")

// Reader reads one dump.
type Reader struct {
	// Table is called for each CREATE TABLE.
	Table func(name string, columns []string) error
	// Row is called for each row; columns is nil if the dump names none. Values
	// are strings, or nil for NULL. Only rows of tables that Wants says yes to.
	Row   func(table string, columns []string, values []any) error
	Wants func(table string) bool

	in    *bufio.Reader
	line  int
	mysql bool // a backslash escapes in strings
}

// Read reads to the end.
func (r *Reader) Read(in io.Reader) error {
	r.in, r.line = bufio.NewReaderSize(in, 64<<10), 1
	for {
		word, err := r.word()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = r.statement(strings.ToUpper(word))
		}
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w ends in a statement", ErrSyntax)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", r.line, err)
		}
	}
}

func (r *Reader) statement(word string) error {
	switch word {
	case "CREATE":
		return r.create()
	case "INSERT", "REPLACE":
		return r.insert()
	case "COPY":
		return r.copy()
	case ";":
		return nil
	}
	return r.skip()
}

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

// notColumns begin lines of CREATE TABLE that are no columns.
var notColumns = map[string]bool{"PRIMARY": true, "KEY": true, "UNIQUE": true, "INDEX": true, "CONSTRAINT": true, "FOREIGN": true, "FULLTEXT": true,
	"SPATIAL": true, "CHECK": true, "EXCLUDE": true}

func (r *Reader) create() error {
	word, err := r.word()
	if err != nil || !strings.EqualFold(word, "TABLE") {
		if err == nil && word == ";" {
			return nil
		}
		return errors.Join(err, r.skip())
	}
	name, err := r.name()
	for err == nil && (strings.EqualFold(name, "IF") || strings.EqualFold(name, "NOT") || strings.EqualFold(name, "EXISTS")) {
		name, err = r.name()
	}
	if err != nil {
		return err
	}
	if open, err := r.word(); err != nil || open != "(" {
		return errors.Join(err, r.skip())
	}
	columns, err := r.columns()
	if err != nil {
		return err
	}
	if err := r.skip(); err != nil {
		return err
	}
	if !r.Wants(name) || len(columns) == 0 {
		return nil
	}
	return r.Table(name, columns)
}

// columns reads to the closing parenthesis.
func (r *Reader) columns() (list []string, err error) {
	depth, first := 0, true
	for {
		if err := r.space(); err != nil {
			return nil, err
		}
		quoted := r.follows('`') || r.follows('"')
		if r.follows('\'') {
			r.get()
			if _, err := r.text(r.mysql); err != nil {
				return nil, err
			}
			continue
		}
		word, err := r.word()
		if err != nil {
			return nil, err
		}
		switch {
		case word == "(" && !quoted:
			depth++
		case word == ")" && !quoted && depth == 0:
			return list, nil
		case word == ")" && !quoted:
			depth--
		case word == "," && !quoted && depth == 0:
			first = true
			continue
		case first && (quoted || !notColumns[strings.ToUpper(word)]):
			if len(list) >= maxColumns || strings.ContainsAny(word, "\"\x00") {
				return nil, fmt.Errorf("%w: column %q", ErrSyntax, word)
			}
			list = append(list, word)
		}
		first = false
	}
}

func (r *Reader) insert() error {
	word, err := r.word()
	for err == nil && !strings.EqualFold(word, "INTO") {
		if word == ";" {
			return nil
		}
		word, err = r.word()
	}
	if err != nil {
		return err
	}
	name, err := r.name()
	if err != nil {
		return err
	}
	if !r.Wants(name) {
		return r.skip()
	}
	var columns []string
	word, err = r.word()
	if err == nil && word == "(" {
		if columns, err = r.columns(); err == nil {
			word, err = r.word()
		}
	}
	if err != nil || !strings.EqualFold(word, "VALUES") {
		return errors.Join(err, r.skip())
	}
	return r.tuples(name, columns)
}

func (r *Reader) tuples(table string, columns []string) error {
	for {
		word, err := r.word()
		switch {
		case err != nil:
			return err
		case word == ";":
			return nil
		case word == ",":
			continue
		case word != "(":
			return r.skip() // ON DUPLICATE KEY ...
		}
		values, err := r.tuple()
		if err != nil {
			return err
		}
		if err := r.Row(table, columns, values); err != nil {
			return err
		}
	}
}

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
		line, err := r.in.ReadString('\n')
		if err != nil {
			return err
		}
		r.line++
		line = strings.TrimRight(line, "\r\n")
		if line == `\.` {
			return nil
		}
		if len(line) > maxValue {
			return fmt.Errorf("%w: a row of more than %d bytes", ErrSyntax, maxValue)
		}
		if r.Wants(name) {
			if err := r.Row(name, columns, copied(line)); err != nil {
				return err
			}
		}
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
