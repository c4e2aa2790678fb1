// Package sqldump reads the dumps that mysqldump and pg_dump write, as a stream:
// names of tables and columns, and rows. It understands nothing else of SQL.
package sqldump

import (
	"bufio"
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
	case `\`: // a command of psql: \restrict
		if err := r.comment(); !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	}
	return r.skip()
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
