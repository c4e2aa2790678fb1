// Package setting fills the Config struct of each part of the server from rows
// of the table Setting.
//
// A field names its parameter, as Postfix or Dovecot call it, and the value it
// has without a row:
//
//	RecipientLimit int `setting:"smtpd_recipient_limit" default:"1000"`
//
// Values may refer to other parameters, as in postconf(5): "$myhostname",
// "${mydomain}". Field types: string, []string (by comma or space), bool (yes,
// no), int, int64 (bytes, with k, M, G), time.Duration (s, m, h, d, w; a bare
// number is seconds). Further tags bound what a value may be: min, max, values.
package setting

import (
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// Field is one parameter.
type Field struct {
	Name    string
	Default string
	Type    reflect.Type
}

// Table is every parameter that some part of the server acts on.
type Table struct {
	fields map[string]Field // by name in lower case
}

// NewTable collects the parameters of Config structs. Two structs may share a
// parameter; they must agree on its type and default.
func NewTable(configs ...any) (*Table, error) {
	t := &Table{fields: make(map[string]Field)}
	for _, c := range configs {
		typ := reflect.TypeOf(c)
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if err := t.add(typ); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *Table) add(typ reflect.Type) error {
	for _, f := range reflect.VisibleFields(typ) { // those of embedded structs too
		name := f.Tag.Get("setting")
		if name == "" {
			continue
		}
		field := Field{Name: name, Default: f.Tag.Get("default"), Type: f.Type}
		key := strings.ToLower(name)
		if old, ok := t.fields[key]; ok && old != field {
			return fmt.Errorf("setting %s is declared twice, differently", name)
		}
		t.fields[key] = field
	}
	return nil
}

// Fields returns all parameters by name.
func (t *Table) Fields() []Field {
	list := make([]Field, 0, len(t.fields))
	for _, f := range t.fields {
		list = append(list, f)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// Unknown returns the names in rows that no part of the server acts on.
func (t *Table) Unknown(rows map[string]string) []string {
	var list []string
	for name := range rows {
		if _, ok := t.fields[strings.ToLower(name)]; !ok {
			list = append(list, name)
		}
	}
	sort.Strings(list)
	return list
}

// Fill sets the fields of the struct that dst points to. Names in rows are in
// lower case. The error names the parameter and what it wants.
func (t *Table) Fill(dst any, rows map[string]string) error {
	v := reflect.ValueOf(dst).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		name := f.Tag.Get("setting")
		if name == "" {
			continue
		}
		text, err := t.value(name, rows, 0)
		if err != nil {
			return err
		}
		if err := parse(v.FieldByIndex(f.Index), strings.TrimSpace(text)); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		if err := bounds(v.FieldByIndex(f.Index), f.Tag); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}

// Value returns a parameter with its references expanded; ok is false for a
// name that is not a parameter.
func (t *Table) Value(name string, rows map[string]string) (value string, ok bool, err error) {
	if _, ok := t.fields[strings.ToLower(name)]; !ok {
		return "", false, nil
	}
	value, err = t.value(name, rows, 0)
	return value, true, err
}

// maxNesting bounds references of parameters to parameters; a loop ends here.
const maxNesting = 20

func (t *Table) value(name string, rows map[string]string, depth int) (string, error) {
	if depth > maxNesting {
		return "", fmt.Errorf("setting %s: refers to itself", name)
	}
	name = strings.ToLower(name)
	text, ok := rows[name]
	if !ok {
		text = t.fields[name].Default
	}
	return t.expand(text, rows, depth)
}

func (t *Table) expand(text string, rows map[string]string, depth int) (string, error) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after := reference(rest)
		if _, ok := t.fields[strings.ToLower(name)]; !ok {
			out.WriteByte('$') // not a parameter of ours: stands for itself
			text = rest
			continue
		}
		val, err := t.value(name, rows, depth+1)
		if err != nil {
			return "", err
		}
		out.WriteString(val)
		text = after
	}
}

// reference splits "name..." or "{name}..." as it follows a dollar sign.
func reference(s string) (name, rest string) {
	if strings.HasPrefix(s, "{") || strings.HasPrefix(s, "(") {
		if end := strings.IndexAny(s, "})"); end > 0 {
			return s[1:end], s[end+1:]
		}
		return "", s
	}
	end := strings.IndexFunc(s, func(r rune) bool {
		return !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	})
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}
