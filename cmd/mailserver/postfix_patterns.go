package main

import (
	"strings"

	"mailserver/internal/postfixconf"
)

// addressPattern is a pattern of regexp_table(5) or pcre_table(5) that says no
// more than what rows here can say.
type addressPattern struct {
	local   string // as LIKE has it
	domain  string
	below   bool // the subdomains, too
	grouped bool // $1 is the local part, all of it
}

// patternOf reads /^local@domain$/; ok is false for one that says more.
func patternOf(key string) (p addressPattern, ok bool) {
	body, ok := strings.CutPrefix(key, "/")
	if !ok || !strings.HasSuffix(body, "$/") || strings.HasSuffix(body, `\$/`) {
		return p, false
	}
	body = strings.TrimSuffix(body, "$/")
	body, whole := strings.CutPrefix(body, "^")
	local, domain, ok := strings.Cut(body, "@")
	if !ok {
		return p, false
	}
	p.grouped = whole && (local == "(.*)" || local == "(.+)")
	if p.local, ok = likeOf(local); !ok {
		return p, false
	}
	if !whole && !strings.HasPrefix(p.local, "%") {
		p.local = "%" + p.local
	}
	if rest, found := strings.CutPrefix(domain, `(.*\.)?`); found {
		domain, p.below = rest, true
	}
	p.domain = strings.ToLower(strings.ReplaceAll(domain, `\.`, "."))
	_, ok = dnsName(p.domain)
	return p, ok
}

// patternBlock is how many if of a table of patterns are open: what they cover
// holds in part only, which no row can say.
type patternBlock struct{ open int }

func (b *patternBlock) covers(mv *postfixMove, file string, row postfixconf.Row) bool {
	switch {
	case strings.HasPrefix(row.Key, "if "):
		b.open++
	case row.Key == "endif":
		b.open--
	case b.open == 0:
		return false
	}
	mv.tell(file, row.Line, row.Key, missed, "no row can say it: there is no if and endif here")
	return true
}

// anything are the parts of an expression that LIKE knows.
var anything = []struct{ expression, like string }{{"(.*)", "%"}, {"(.+)", "_%"}, {".*", "%"}, {".+", "_%"}, {".", "_"}}

// likeOf writes an expression as a pattern of LIKE, which has no way to name % and _.
func likeOf(expression string) (string, bool) {
	var b strings.Builder
next:
	for expression != "" {
		for _, a := range anything {
			if rest, ok := strings.CutPrefix(expression, a.expression); ok {
				b.WriteString(a.like)
				expression = rest
				continue next
			}
		}
		c := expression[0]
		if c == '\\' && len(expression) > 1 && strings.IndexByte(`.+-=&'~!#*^{|}`, expression[1]) >= 0 {
			c, expression = expression[1], expression[1:]
		} else if !isLetterOrDigit(c) && strings.IndexByte("-=&'~!#", c) < 0 {
			return "", false
		}
		b.WriteByte(c)
		expression = expression[1:]
	}
	return b.String(), true
}

func isLetterOrDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// virtualPattern takes a row of a table of patterns of virtual(5): as a row of
// PatternAlias, or, where it keeps the local part, of the whole domain.
func (mv *postfixMove) virtualPattern(file string, row postfixconf.Row, seen map[string]bool) error {
	p, ok := patternOf(row.Key)
	keeps := strings.NewReplacer("${1}@", "@", "$(1)@", "@", "$1@", "@").Replace(row.Value)
	switch {
	case !ok || p.below || strings.Contains(keeps, "$") || keeps != row.Value && !p.grouped:
		mv.tell(file, row.Line, row.Key, missed, "no row can say it: the table PatternAlias has %% and _ for the local part, as LIKE, in a domain by its name")
		return nil
	case seen[p.local+"@"+p.domain]:
		mv.tell(file, row.Line, row.Key, missed, "the pattern is there already: the first counts")
		return nil
	}
	seen[p.local+"@"+p.domain] = true
	if keeps != row.Value {
		mv.tell(file, row.Line, row.Key, taken, "alias of the domain %s, which keeps the local part", p.domain)
		row.Value = keeps
		return mv.virtualAlias(file, row, "", p.domain)
	}
	targets := splitTargets(row.Value)
	for i, to := range targets {
		if !strings.Contains(to, "@") {
			targets[i] = to + "@" + mv.origin()
		}
	}
	mv.tell(file, row.Line, row.Key, taken, "row of PatternAlias: %s@%s", p.local, p.domain)
	return mv.row(file, row.Line, row.Key, mv.t.PutPatternAlias(p.local, p.domain, strings.Join(targets, ", "), len(seen)))
}

// transportPattern takes a row of a table of patterns of transport(5), as rows
// of the domain and of its subdomains.
func (mv *postfixMove) transportPattern(file string, row postfixconf.Row) error {
	p, ok := patternOf(row.Key)
	if row.Key == "/.*/" || row.Key == "/^/" || row.Key == "/./" {
		p, ok = addressPattern{local: "%", domain: "*"}, true
	}
	if !ok || p.local != "%" && p.local != "_%" || strings.Contains(row.Value, "$") {
		mv.tell(file, row.Line, row.Key, missed, "no row can say it: a transport is of user@domain, domain, .domain or *")
		return nil
	}
	keys := []string{p.domain}
	if p.below {
		keys = append(keys, "."+p.domain)
	}
	mv.tell(file, row.Line, row.Key, taken, "transport of %s", strings.Join(keys, " and "))
	for _, key := range keys {
		row.Key = key
		if err := mv.row(file, row.Line, key, mv.transport(file, row)); err != nil {
			return err
		}
	}
	return nil
}
