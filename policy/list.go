package policy

import (
	"errors"
	"fmt"
	"strings"
)

// list is a restriction list, compiled.
type list struct {
	items []item
}

// item is one restriction of a list.
type item struct {
	text    string // as it stands in the list, with its argument
	rule    *rule  // nil: a class or an access table, looked up when it is reached
	name    string // of the restriction, class or table
	arg     string
	table   tableRef // argument of a check_*_access
	dnsList *dnsList // argument of a restriction by a DNS list
	service *service // argument of check_policy_service
	bare    bool     // a table without check_*_access before it
	bad     string   // why it cannot be evaluated: 451 4.3.5 when it is reached
}

// maxTokens bounds one list.
const maxTokens = 10000

// errBraces is what is wrong with a text in which { and } do not match.
const errBraces = "braces do not match"

// tokens splits a list by commas and white space. What stands in braces is one
// token, as postconf(5) smtpd_recipient_restrictions has it since Postfix 3.0.
func tokens(text string) ([]string, error) {
	var out []string
	depth, start := 0, -1
	for i := 0; i <= len(text); i++ {
		end := i == len(text)
		if !end {
			switch text[i] {
			case '{':
				depth++
			case '}':
				depth--
			}
		}
		if depth < 0 {
			return nil, errors.New(errBraces)
		}
		switch {
		case end || depth == 0 && isSeparator(text[i]):
			if start >= 0 {
				out = append(out, text[start:i])
				start = -1
			}
		case start < 0:
			start = i
		}
		if len(out) > maxTokens {
			return nil, fmt.Errorf("more than %d words", maxTokens)
		}
	}
	if depth != 0 {
		return nil, errors.New(errBraces)
	}
	return out, nil
}

func isSeparator(c byte) bool {
	return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r'
}

// unbrace removes the braces around a token, and the white space inside them.
func unbrace(s string) (inner string, braced bool) {
	if len(s) >= 2 && s[0] == '{' && s[len(s)-1] == '}' {
		return strings.TrimSpace(s[1 : len(s)-1]), true
	}
	return s, false
}

// compile makes a list of a text. It looks nothing up, so that the outcome
// depends on the text alone; what is wrong stands in the item.
func (e *Engine) compile(text string) *list {
	words, err := tokens(text)
	if err != nil {
		return &list{items: []item{{text: text, name: text, bad: err.Error()}}}
	}
	l := &list{}
	for i := 0; i < len(words); i++ {
		it := item{text: words[i], name: words[i]}
		it.rule = e.rules[strings.ToLower(words[i])]
		switch {
		case it.rule == nil && strings.ContainsAny(words[i], ":{"):
			it.bare = true
			it.setTable(words[i])
		case it.rule != nil:
			it.name = it.rule.name
			if it.rule.arg == noArg {
				break
			}
			if i+1 == len(words) {
				it.bad = "needs " + it.rule.arg.String()
				break
			}
			i++
			it.text += " " + words[i]
			it.setArg(words[i])
		}
		l.items = append(l.items, it)
	}
	return l
}

func (it *item) setArg(word string) {
	it.arg = word
	if it.rule.arg == tableArg {
		it.setTable(word)
		return
	}
	err := it.rule.arg.check(word)
	if it.rule.arg == listArg {
		it.dnsList, err = parseDNSList(word)
	}
	if it.rule.arg == serverArg && err == nil {
		it.service, err = parseService(word)
	}
	if err != nil {
		it.bad = err.Error()
	}
}

func (it *item) setTable(word string) {
	ref, err := parseTable(word)
	if err != nil {
		it.bad = err.Error()
		return
	}
	it.arg, it.table = word, ref
}

// argKind is what follows the name of a restriction.
type argKind int

const (
	noArg argKind = iota
	tableArg
	numberArg
	listArg // name of a DNS list, =d.d.d.d after it
	serverArg
)

func (k argKind) String() string {
	switch k {
	case tableArg:
		return "an access table"
	case numberArg:
		return "a number"
	case listArg:
		return "the name of a DNS list"
	case serverArg:
		return "transport:server"
	}
	return "nothing"
}

// check reports an argument that cannot be one of kind k.
func (k argKind) check(word string) error {
	switch k {
	case numberArg:
		if !isDigits(word) || len(word) > 6 {
			return fmt.Errorf("%q is not %s", word, k)
		}
	case serverArg:
		inner, _ := unbrace(word)
		if !strings.Contains(inner, ":") {
			return fmt.Errorf("%q is not %s", word, k)
		}
	}
	return nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
