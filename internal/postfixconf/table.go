package postfixconf

import (
	"fmt"
	"io"
	"strings"
)

// Ref is a table as a parameter names it: type:name, or a path alone.
type Ref struct {
	Type string // '' for a name without one
	Name string // path; what stands in the braces of inline, static and their like
	Text string // as it stands
}

// ParseRef reads type:name, proxy:type:name and { type:name, ... }.
func ParseRef(word string) Ref {
	r := Ref{Text: word}
	if inner, braced := Unbrace(word); braced {
		if w := Words(inner, true); len(w) > 0 {
			word = w[0]
		}
	}
	word = strings.TrimPrefix(word, "proxy:")
	typ, name, ok := strings.Cut(word, ":")
	if !ok || strings.ContainsAny(typ, "/.[@ ") {
		r.Name = word
		return r
	}
	r.Type, r.Name = typ, name
	return r
}

// Refs are the words of a list of tables.
func Refs(text string) []Ref {
	var list []Ref
	for _, w := range Words(text, true) {
		list = append(list, ParseRef(w))
	}
	return list
}

// Row is an entry of a table. Keys of patterns are as regexp_table(5) writes
// them, with ! and if before.
type Row struct {
	Key, Value string
	Line       int
}

// Kinds of table sources.
type Kind int

// How the sources of tables are written.
const (
	Hash    Kind = iota // postmap(1): key, white space, value
	Aliases             // aliases(5): key: value
	CIDR                // cidr_table(5)
	Regexp              // regexp_table(5), pcre_table(5)
	List                // a word is an entry: files of domains and networks
)

// ReadTable calls fn for each entry; bad for each line that is none.
func ReadTable(r io.Reader, kind Kind, fn func(Row) error, bad func(line int, why string)) error {
	return eachLine(r, func(l logical) error {
		if kind == List {
			for _, w := range Words(l.text, true) {
				if err := fn(Row{Key: w, Line: l.line}); err != nil {
					return err
				}
			}
			return nil
		}
		row, why := readRow(l.text, kind)
		if why != "" {
			bad(l.line, why)
			return nil
		}
		row.Line = l.line
		return fn(row)
	})
}

func readRow(text string, kind Kind) (Row, string) {
	switch kind {
	case Aliases:
		return aliasRow(text)
	case CIDR, Regexp:
		return patternRow(text, kind)
	}
	key, value := text, ""
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		key, value = text[:i], strings.TrimSpace(text[i:])
	}
	if value == "" {
		return Row{}, fmt.Sprintf("%q has no value", key)
	}
	return Row{Key: key, Value: value}, ""
}

// aliasRow reads name: value, "quoted name": value.
func aliasRow(text string) (Row, string) {
	if rest, ok := strings.CutPrefix(text, `"`); ok {
		end := strings.IndexByte(rest, '"')
		if end < 0 {
			return Row{}, "a quoted name has no end"
		}
		value, ok := strings.CutPrefix(strings.TrimSpace(rest[end+1:]), ":")
		if value = strings.TrimSpace(value); !ok || value == "" || end == 0 {
			return Row{}, "needs name: value"
		}
		return Row{Key: rest[:end], Value: value}, ""
	}
	key, value, ok := strings.Cut(text, ":")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || key == "" || value == "" {
		return Row{}, "needs name: value"
	}
	return Row{Key: key, Value: value}, ""
}

// patternRow reads pattern value, if pattern, endif.
func patternRow(text string, kind Kind) (Row, string) {
	word, rest := cutWord(text)
	switch strings.ToLower(word) {
	case "endif":
		return Row{Key: "endif"}, ""
	case "if":
		key, tail, why := patternOf(rest, kind)
		if why == "" && tail != "" {
			why = fmt.Sprintf("%q stands behind if", tail)
		}
		return Row{Key: "if " + key}, why
	}
	key, value, why := patternOf(text, kind)
	if why == "" && value == "" {
		why = fmt.Sprintf("%q has no value", key)
	}
	return Row{Key: key, Value: value}, why
}

func cutWord(text string) (word, rest string) {
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		return text[:i], strings.TrimSpace(text[i:])
	}
	return text, ""
}

// patternOf splits a pattern, with ! before it, from what follows.
func patternOf(text string, kind Kind) (pattern, rest, why string) {
	not := ""
	for strings.HasPrefix(text, "!") {
		text = strings.TrimSpace(text[1:])
		if not == "" {
			not = "!"
		} else {
			not = ""
		}
	}
	if text == "" {
		return "", "", "there is no pattern"
	}
	if kind == CIDR {
		word, rest := cutWord(text)
		return not + word, rest, ""
	}
	end := patternEnd(text)
	if end < 0 {
		return "", "", fmt.Sprintf("pattern %q has no end", text)
	}
	word, rest := cutWord(text[end:])
	return not + text[:end] + word, rest, ""
}

// patternEnd is the index behind the delimiter that ends a pattern; below 0:
// none.
func patternEnd(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[0]:
			return i + 1
		}
	}
	return -1
}

// Inline are the entries of inline:{ key=value, { key = value } }.
func Inline(text string) ([]Row, error) {
	inner, braced := Unbrace(text)
	if !braced {
		return nil, fmt.Errorf("inline table %q has no braces", text)
	}
	var rows []Row
	for _, w := range Words(inner, true) {
		w, _ = Unbrace(w)
		key, value, ok := strings.Cut(w, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" || value == "" {
			return nil, fmt.Errorf("inline table: %q is not key=value", w)
		}
		rows = append(rows, Row{Key: key, Value: value})
	}
	return rows, nil
}
