package postfixconf

import (
	_ "embed"
	"fmt"
	"io"
	"sort"
	"strings"
)

// Param is a line of main.cf.
type Param struct {
	Name  string
	Value string // as it stands there
	Line  int
}

// Main is a main.cf.
type Main struct {
	params map[string]Param // the last of each name counts
	order  []Param          // every line
	// Defaults are values of parameters that depend on the host, before those
	// that are built in.
	Defaults map[string]string
}

//go:embed parameters.txt
var parameters string

// builtin are the parameters of Postfix and their defaults.
func builtin() map[string]string {
	all := make(map[string]string, 1000)
	for line := range strings.Lines(parameters) {
		name, value, _ := strings.Cut(line, "=")
		all[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return all
}

// ReadMain reads main.cf. Lines that have no "=" are in faults.
func ReadMain(r io.Reader) (m *Main, faults []Param, err error) {
	m = &Main{params: make(map[string]Param), Defaults: builtin()}
	err = eachLine(r, func(l logical) error {
		name, value, ok := strings.Cut(l.text, "=")
		p := Param{strings.TrimSpace(name), strings.TrimSpace(value), l.line}
		if !ok || p.Name == "" || strings.ContainsAny(p.Name, " \t") {
			faults = append(faults, Param{Value: l.text, Line: l.line})
			return nil
		}
		m.params[p.Name] = p
		m.order = append(m.order, p)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("main.cf: %w", err)
	}
	return m, faults, nil
}

// Params are the lines, in their order; Overridden tells those that a later
// one makes void.
func (m *Main) Params() []Param { return m.order }

// Overridden reports whether a later line has the same name.
func (m *Main) Overridden(p Param) bool { return m.params[p.Name].Line != p.Line }

// Get is the line of a parameter that counts; ok is false if there is none.
func (m *Main) Get(name string) (p Param, ok bool) {
	p, ok = m.params[name]
	return p, ok
}

// Known reports whether Postfix 3.7 has a parameter of that name.
func (m *Main) Known(name string) bool {
	_, ok := m.Defaults[name]
	return ok
}

// Raw is the value as main.cf has it, or the default.
func (m *Main) Raw(name string) string {
	if p, ok := m.params[name]; ok {
		return p.Value
	}
	return m.Defaults[name]
}

// Value is Raw with all that it refers to.
func (m *Main) Value(name string) (string, error) {
	text, err := m.Expand(m.Raw(name))
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}

// References are the names that a value refers to, sorted.
func References(value string) []string {
	seen := make(map[string]bool)
	x := expander{get: func(name string) (string, bool) { seen[name] = true; return "x", true }, all: true}
	x.expand(value, 0)
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Plain reports whether the references of a value are all $name, ${name} or
// $(name): nothing conditional.
func Plain(value string) bool {
	for i := 0; i+1 < len(value); i++ {
		if value[i] != '$' {
			continue
		}
		if value[i+1] == '$' {
			return false
		}
		if strings.IndexByte("{(", value[i+1]) >= 0 {
			end := closing(value, i+1)
			if end < 0 || !isName(strings.TrimSpace(value[i+2:end])) {
				return false
			}
		}
	}
	return true
}
