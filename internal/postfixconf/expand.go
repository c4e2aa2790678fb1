package postfixconf

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of references within references.
const (
	maxDepth  = 40
	maxExpand = 1 << 20
	maxSteps  = 100000
)

// Expand replaces $name, ${name}, $(name), ${name?text}, ${name:text},
// ${name?{text}:{text}}, ${{a} == {b} ? {text} : {text}} and $$; postconf(5),
// FORMAT. A name that is not set stands for nothing.
func (m *Main) Expand(text string) (string, error) { return m.ExpandWith(text, nil) }

// ExpandWith is Expand where over comes before main.cf: the -o of a line of
// master.cf.
func (m *Main) ExpandWith(text string, over map[string]string) (string, error) {
	x := expander{get: func(name string) (string, bool) {
		if v, ok := over[name]; ok {
			return v, true
		}
		if p, ok := m.params[name]; ok {
			return p.Value, true
		}
		v, ok := m.Defaults[name]
		return v, ok
	}}
	out := x.expand(text, 0)
	return out, x.err
}

type expander struct {
	get  func(name string) (string, bool)
	all  bool // both sides of a condition: for References
	size int
	done int // references followed
	err  error
}

func (x *expander) fail(format string, args ...any) string {
	if x.err == nil {
		x.err = fmt.Errorf(format, args...)
	}
	return ""
}

func (x *expander) expand(text string, depth int) string {
	if x.done++; depth > maxDepth || x.done > maxSteps {
		return x.fail("refers to itself, or to too much")
	}
	var out strings.Builder
	for i := 0; i < len(text) && x.err == nil; i++ {
		if text[i] != '$' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		switch next := text[i+1]; {
		case next == '$':
			out.WriteByte('$')
			i++
		case next == '{' || next == '(':
			end := closing(text, i+1)
			if end < 0 {
				return x.fail("%q has no end", text[i:])
			}
			out.WriteString(x.braced(text[i+2:end], depth))
			i = end
		default:
			n := nameLength(text[i+1:])
			if n == 0 {
				out.WriteByte('$')
				break
			}
			out.WriteString(x.name(text[i+1:i+1+n], depth))
			i += n
		}
		if x.size += out.Len(); x.size > 64*maxExpand || out.Len() > maxExpand {
			return x.fail("becomes too long")
		}
	}
	return out.String()
}

func (x *expander) name(name string, depth int) string {
	value, _ := x.get(name)
	if x.all {
		return value
	}
	return x.expand(value, depth+1)
}

// closing is the index of what closes the brace or parenthesis at i; below 0:
// none.
func closing(text string, i int) int {
	open, end := text[i], byte('}')
	if open == '(' {
		end = ')'
	}
	depth := 0
	for ; i < len(text); i++ {
		switch text[i] {
		case open:
			depth++
		case end:
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// nameLength is how much of a text is a name.
func nameLength(s string) int {
	n := 0
	for n < len(s) && (s[n] == '_' || s[n] >= '0' && s[n] <= '9' || s[n]|0x20 >= 'a' && s[n]|0x20 <= 'z') {
		n++
	}
	return n
}

func isName(s string) bool { return s != "" && nameLength(s) == len(s) }

var errCondition = errors.New("is no condition")

// braced expands what stands between ${ and }.
func (x *expander) braced(text string, depth int) string {
	if trimmed := strings.TrimLeft(text, " \t"); strings.HasPrefix(trimmed, "{") {
		return x.compare(trimmed, depth)
	}
	name := strings.TrimLeft(text, " \t")
	n := nameLength(name)
	name, rest := name[:n], strings.TrimLeft(name[n:], " \t")
	if name == "" {
		return x.fail("${%s}: there is no name", text)
	}
	if rest == "" {
		return x.name(name, depth)
	}
	value, _ := x.get(name)
	return x.choose(rest, value != "", depth)
}

// choose expands ?text, :text, or ?{text}:{text}.
func (x *expander) choose(rest string, is bool, depth int) string {
	if rest == "" || rest[0] != '?' && rest[0] != ':' {
		return x.fail("%q %v", rest, errCondition)
	}
	yes, no := "", ""
	if rest[0] == '?' {
		yes, no = sides(rest[1:])
	} else {
		no = sideOf(rest[1:])
	}
	if x.all {
		return x.expand(yes, depth+1) + x.expand(no, depth+1)
	}
	if is {
		return x.expand(yes, depth+1)
	}
	return x.expand(no, depth+1)
}

// sides splits {text}:{text}; without braces all of it is the first.
func sides(text string) (yes, no string) {
	trimmed := strings.TrimLeft(text, " \t")
	if !strings.HasPrefix(trimmed, "{") {
		return text, ""
	}
	end := closing(trimmed, 0)
	if end < 0 {
		return text, ""
	}
	yes = strings.TrimSpace(trimmed[1:end])
	rest := strings.TrimLeft(trimmed[end+1:], " \t")
	if strings.HasPrefix(rest, ":") {
		no = sideOf(rest[1:])
	}
	return yes, no
}

func sideOf(text string) string {
	if inner, braced := Unbrace(strings.TrimSpace(text)); braced {
		return inner
	}
	return text
}

// compare expands {a} == {b} ? {text} : {text}.
func (x *expander) compare(text string, depth int) string {
	left := closing(text, 0)
	if left < 0 {
		return x.fail("%q %v", text, errCondition)
	}
	rest := strings.TrimLeft(text[left+1:], " \t")
	open := strings.IndexByte(rest, '{')
	if open < 0 {
		return x.fail("%q %v", text, errCondition)
	}
	right := closing(rest, open)
	if right < 0 {
		return x.fail("%q %v", text, errCondition)
	}
	a := x.expand(strings.TrimSpace(text[1:left]), depth+1)
	b := x.expand(strings.TrimSpace(rest[open+1:right]), depth+1)
	is, ok := holds(strings.TrimSpace(rest[:open]), a, b)
	if !ok {
		return x.fail("%q: the operator %q is not known", text, strings.TrimSpace(rest[:open]))
	}
	tail := strings.TrimLeft(rest[right+1:], " \t")
	if tail == "" { // a comparison by itself
		if is {
			return "bool:true"
		}
		return ""
	}
	return x.choose(tail, is, depth)
}

// holds compares two texts as numbers if both are, else as texts; operators
// that end in "level" compare levels of compatibility.
func holds(op, a, b string) (is, ok bool) {
	order := 0
	if rest, found := strings.CutSuffix(op, "level"); found {
		op, order = strings.TrimSpace(rest), compareLevels(a, b)
	} else if x, err := strconv.ParseInt(a, 10, 64); err == nil {
		y, err := strconv.ParseInt(b, 10, 64)
		if order = strings.Compare(a, b); err == nil {
			order = cmpInt(x, y)
		}
	} else {
		order = strings.Compare(a, b)
	}
	switch op {
	case "==":
		return order == 0, true
	case "!=":
		return order != 0, true
	case "<":
		return order < 0, true
	case "<=":
		return order <= 0, true
	case ">":
		return order > 0, true
	case ">=":
		return order >= 0, true
	}
	return false, false
}

func cmpInt(x, y int64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// compareLevels compares 3.6 with 3.10, part by part.
func compareLevels(a, b string) int {
	x, y := strings.Split(strings.TrimSpace(a), "."), strings.Split(strings.TrimSpace(b), ".")
	for i := range max(len(x), len(y)) {
		var m, n int64
		if i < len(x) {
			m, _ = strconv.ParseInt(x[i], 10, 64)
		}
		if i < len(y) {
			n, _ = strconv.ParseInt(y[i], 10, 64)
		}
		if c := cmpInt(m, n); c != 0 {
			return c
		}
	}
	return 0
}
