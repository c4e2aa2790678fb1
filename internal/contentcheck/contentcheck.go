// Package contentcheck is the language of header_checks(5): rows of patterns,
// and what is done with a line of a message that one fits.
package contentcheck

import (
	"fmt"
	"regexp"
	"strings"

	"mailserver/internal/pattern"
)

// Row is one line of a table.
type Row struct {
	Pattern string // /pattern/flags, !/pattern/flags, if /pattern/, if !/pattern/, endif
	Action  string
}

// Table is compiled rows. Safe for concurrent use.
type Table struct{ rows []row }

type row struct {
	re     *regexp.Regexp // nil: endif
	not    bool
	skip   int // of if: the row behind its endif; 0: no if
	action string
}

// Compile reads rows in their order. bad says what was left out and why; an if
// that is left out takes the rows up to its endif with it.
func Compile(rows []Row) (t *Table, bad []string) {
	t = &Table{}
	var open []int // rows that are an if
	dropped := 0   // depth within an if that was left out
	for _, r := range rows {
		c, isIf, err := compile(r)
		switch {
		case c.re == nil && err == nil: // endif
			switch {
			case dropped > 0:
				dropped--
				continue
			case len(open) == 0:
				err = fmt.Errorf("endif without if")
			default:
				t.rows[open[len(open)-1]].skip = len(t.rows)
				open = open[:len(open)-1]
				continue
			}
		case dropped > 0:
			if isIf {
				dropped++
			}
			continue
		case isIf && err != nil:
			dropped = 1
		}
		if err != nil {
			bad = append(bad, fmt.Sprintf("row %q: %v", r.Pattern, err))
			continue
		}
		if isIf {
			open = append(open, len(t.rows))
		}
		t.rows = append(t.rows, c)
	}
	for _, i := range open {
		t.rows[i].skip = len(t.rows)
		bad = append(bad, "if without endif")
	}
	return t, bad
}

func compile(r Row) (c row, isIf bool, err error) {
	text := strings.TrimSpace(r.Pattern)
	word, rest, _ := strings.Cut(text, " ")
	switch strings.ToLower(word) {
	case "endif":
		return c, false, nil
	case "if":
		isIf, text = true, strings.TrimSpace(rest)
	}
	if rest, ok := strings.CutPrefix(text, "!"); ok {
		c.not, text = true, strings.TrimSpace(rest)
	}
	c.re, err = pattern.Parse(text)
	if c.action = strings.TrimSpace(r.Action); err == nil && !isIf {
		_, err = ParseAction(c.action)
	}
	return c, isIf, err
}

// Empty reports whether nothing can fit.
func (t *Table) Empty() bool { return t == nil || len(t.rows) == 0 }

// Find returns the action of the first row that fits.
func (t *Table) Find(text string) (action string, found bool) {
	for i := 0; i < len(t.rows); i++ {
		r := &t.rows[i]
		m := r.re.FindStringSubmatchIndex(text)
		switch fits := (m != nil) != r.not; {
		case r.skip > 0 && !fits:
			i = r.skip - 1
		case r.skip > 0 || !fits:
		case r.not:
			return r.action, true
		default:
			return pattern.Substitute(r.action, text, m), true
		}
	}
	return "", false
}

// Action is what a row asks for.
type Action struct {
	Verb string // in capitals
	Text string // behind it
}

// verbs are the actions; true: a text must follow.
var verbs = map[string]bool{
	"BCC": true, "DISCARD": false, "DUNNO": false, "FILTER": true, "HOLD": false, "IGNORE": false, "INFO": false,
	"PASS": false, "PREPEND": true, "REDIRECT": true, "REJECT": false, "REPLACE": true, "STRIP": false, "WARN": false,
}

// ParseAction reads the action of a row.
func ParseAction(text string) (Action, error) {
	word, rest := text, ""
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		word, rest = text[:i], strings.TrimSpace(text[i:])
	}
	a := Action{Verb: strings.ToUpper(word), Text: rest}
	if a.Verb == "OK" { // its old name
		a.Verb = "DUNNO"
	}
	needs, known := verbs[a.Verb]
	switch {
	case !known:
		return a, fmt.Errorf("there is no action %q", word)
	case needs && rest == "":
		return a, fmt.Errorf("the action %s needs a text", a.Verb)
	case a.Verb == "FILTER" && !strings.Contains(rest, ":"):
		return a, fmt.Errorf("FILTER needs transport:destination")
	case (a.Verb == "REDIRECT" || a.Verb == "BCC") && !strings.Contains(rest, "@"):
		return a, fmt.Errorf("%s needs user@domain", a.Verb)
	}
	return a, nil
}
