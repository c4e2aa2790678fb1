// Package addrfield rewrites addresses in fields of a message header: From, To
// and their kin. It reads what is there with the leniency that mail needs, keeps
// what it does not understand, and writes a field anew only when an address in
// it has changed, in the form in which cleanup(8) writes it.
//
// The form of addresses is the external one, "a b"@example.org.
package addrfield

import (
	"strings"
)

// MaxTokens bounds what is read of one field; what follows is lost when the
// field is written anew. postconf(5) header_address_token_limit
const MaxTokens = 10240

// Rewrite hands each address of a list, the text behind the colon of a field,
// to change, and puts what that returns in its place. changed is false if
// everything stays: then keep the field as it is. Otherwise list is to stand
// behind "Name: "; lines are folded. An error is one of change, which may be
// asked twice about an address.
func Rewrite(text string, change func(address string) (string, error)) (list string, changed bool, err error) {
	if addr, ok := only(text); ok {
		if now, err := change(addr); err != nil || now == addr {
			return "", false, err
		}
	}
	tree := parse(scan(text, MaxTokens))
	for i := range tree {
		if tree[i].kind != addrToken {
			continue
		}
		old := write(tree[i].sub, true)
		now, err := change(old)
		if err != nil {
			return "", false, err
		}
		if now != old {
			tree[i].sub, changed = scan(now, 0), true
		}
	}
	if !changed {
		return "", false, nil
	}
	return fold(tree), true, nil
}

// Addresses returns the addresses of a list, as Rewrite hands them out.
func Addresses(text string) (list []string) {
	for _, t := range parse(scan(text, MaxTokens)) {
		if t.kind == addrToken {
			list = append(list, write(t.sub, true))
		}
	}
	return list
}

// token is a word or an operator, or an address made of some.
type token struct {
	kind int    // one of those below, or the character of an operator
	text string // of a word, without its quotes; of a comment, with parentheses
	sub  []token
}

const (
	atomToken = 256 + iota
	quotedToken
	literalToken // [192.0.2.1]
	commentToken
	startGroup // the colon of a group
	addrToken
)

// operators are characters that stand for themselves: the specials of the old
// grammar (RFC 5322 §3.2.3) and those of the
// real world.
const operators = "|%!" + "()<>@,;:\\\".[]"

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// scan reads tokens, at most most of them; 0: all.
func scan(s string, most int) (list []token) {
	for i := 0; i < len(s); {
		c := s[i]
		var t token
		switch {
		case isSpace(c):
			i++
			continue
		case c == '(':
			t.kind = commentToken
			t.text, i = comment(s, i)
		case c == '[':
			t.kind = literalToken
			t.text, i = word(s, i+1, func(c byte) bool { return c != ']' })
			i = min(i+1, len(s))
		case c == '"':
			t.kind = quotedToken
			t.text, i = word(s, i+1, func(c byte) bool { return c != '"' })
			i = min(i+1, len(s))
		case c != '\\' && strings.IndexByte(operators, c) >= 0:
			t.kind = int(c)
			i++
		default:
			t.kind = atomToken
			t.text, i = word(s, i, func(c byte) bool { return !isSpace(c) && strings.IndexByte(operators, c) < 0 })
			if strings.IndexFunc(t.text, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(operators, r) }) >= 0 {
				t.kind = quotedToken
			}
		}
		if list = append(list, t); most > 0 && len(list) >= most {
			break
		}
	}
	return list
}

// word reads characters for which part holds, from i on; a backslash makes any
// one of them.
func word(s string, i int, part func(byte) bool) (text string, next int) {
	var b strings.Builder
	for ; i < len(s); i++ {
		c := s[i]
		if c == '\\' {
			if i++; i == len(s) {
				break
			}
			c = s[i]
		} else if !part(c) {
			break
		}
		if isSpace(c) {
			c = ' '
		}
		b.WriteByte(c)
	}
	return b.String(), min(i, len(s))
}

// comment reads a comment with those within it.
func comment(s string, i int) (text string, next int) {
	depth := 0
	for j := i; j < len(s); j++ {
		switch s[j] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[i : j+1], j + 1
			}
		case '\\':
			j++
		}
	}
	return s[i:], len(s)
}

// parser clusters the tokens of addresses. It goes from right to left, since
// what stands before <> and before the colon of a group is no address.
type parser struct {
	in   []token
	i    int     // the token that is looked at
	out  []token // reversed
	open []token // of the address that is being read, reversed
	word bool    // a word may come
	grp  bool    // within a group
}

func parse(in []token) []token {
	p := &parser{in: in, i: len(in) - 1, word: true}
	for p.i >= 0 {
		p.step()
	}
	p.cluster(false)
	for i, j := 0, len(p.out)-1; i < j; i, j = i+1, j-1 {
		p.out[i], p.out[j] = p.out[j], p.out[i]
	}
	return p.out
}

// cluster ends the address that is being read. comma adds the one that is
// missing before it.
func (p *parser) cluster(comma bool) {
	if len(p.open) == 0 {
		return
	}
	sub := make([]token, len(p.open))
	for i, t := range p.open {
		sub[len(sub)-1-i] = t
	}
	p.out = append(p.out, token{kind: addrToken, sub: sub})
	if comma {
		p.out = append(p.out, token{kind: ','})
	}
	p.open = nil
}

func (p *parser) step() {
	t := p.in[p.i]
	switch {
	case t.kind == commentToken:
		p.out = append(p.out, t) // behind the address within which it stands
	case t.kind == ';':
		p.cluster(true)
		p.out = append(p.out, t)
		p.grp, p.word = true, true
	case t.kind == ':' && p.grp:
		p.cluster(false)
		p.out = append(p.out, token{kind: startGroup})
		p.i--
		p.skip(func(t token) bool { return t.kind == ',' })
		return
	case t.kind == '>':
		p.cluster(true)
		p.out = append(p.out, t)
		p.i--
		p.route()
		p.word = true
		return
	case t.kind == atomToken || t.kind == quotedToken || t.kind == literalToken:
		if !p.word {
			p.cluster(true)
		}
		p.open = append(p.open, t)
		p.word = false
	case t.kind == ',':
		p.cluster(false)
		p.out = append(p.out, t)
		p.word = true
	default:
		p.open = append(p.open, t)
		p.word = true
	}
	p.i--
}

// route reads what is within <>, and passes over the words before it.
func (p *parser) route() {
	for p.i >= 0 && p.in[p.i].kind != '<' {
		if t := p.in[p.i]; t.kind == commentToken {
			p.out = append(p.out, t)
		} else {
			p.open = append(p.open, t)
		}
		p.i--
	}
	p.cluster(false)
	if p.i >= 0 {
		p.skip(func(t token) bool { return t.kind < 256 && strings.IndexByte(">;,:", byte(t.kind)) >= 0 })
	}
}

// skip takes tokens as they are, up to one that end accepts.
func (p *parser) skip(end func(token) bool) {
	for p.i >= 0 && !end(p.in[p.i]) {
		p.out = append(p.out, p.in[p.i])
		p.i--
	}
}

// write is the text of tokens; of an address it is without any space.
func write(list []token, address bool) string {
	var b strings.Builder
	for i, t := range list {
		put(&b, t)
		if !address && i+1 < len(list) && spaced(t, list[i+1]) {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func put(b *strings.Builder, t token) {
	switch t.kind {
	case addrToken:
		b.WriteString(quote(internal(t.sub)))
	case atomToken, commentToken:
		b.WriteString(t.text)
	case quotedToken:
		b.WriteByte('"')
		escape(b, t.text, "\"\\\r\n")
		b.WriteByte('"')
	case literalToken:
		b.WriteByte('[')
		escape(b, t.text, "\\\r\n")
		b.WriteByte(']')
	case startGroup:
		b.WriteByte(':')
	default:
		b.WriteByte(byte(t.kind))
	}
}

func escape(b *strings.Builder, s, special string) {
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
}

// internal is an address without its quotes.
func internal(list []token) string {
	var b strings.Builder
	for _, t := range list {
		switch t.kind {
		case atomToken, commentToken, quotedToken:
			b.WriteString(t.text)
		case literalToken:
			b.WriteString("[" + t.text + "]")
		default:
			b.WriteByte(byte(t.kind))
		}
	}
	return b.String()
}

// quote writes local@domain with the quotes that the local part needs.
func quote(s string) string {
	local, rest := s, ""
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		local, rest = s[:i], s[i:]
	}
	if isDotString(local) || local == "" && rest == "" {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	escape(&b, local, "\"\\\r\n")
	b.WriteByte('"')
	return b.String() + rest
}

// isDotString: RFC 5322 §3.2.3, with bytes above 127 as they are.
func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c != '.' && strings.IndexByte("()<>@,;:\\\"[]", c) >= 0 {
			return false
		}
	}
	return true
}

// spaced reports whether a space stands between two tokens.
func spaced(t, next token) bool {
	if t.kind == ',' || t.kind == startGroup || next.kind == '<' {
		return true
	}
	isWord := func(k int) bool { return k >= 256 && k != startGroup }
	return isWord(t.kind) && isWord(next.kind)
}

// lineMost is how long a line of addresses grows, in bytes, with the tab.
const lineMost = 70

// fold writes a list: as many addresses on a line as fit.
func fold(tree []token) string {
	var lines []string
	from := 0
	for i, t := range tree {
		if t.kind == ',' {
			lines = append(lines, write(tree[from:i+1], false))
			from = i + 1
		}
	}
	lines = append(lines, write(tree[from:], false))
	return strings.Join(lines, "\n")
}

// Field is a whole field: name and list with its line ends. It fills lines the
// way that cleanup(8) does.
func Field(name, list string) string {
	lines := strings.Split(name+": "+list, "\n")
	var b strings.Builder
	width := len(lines[0])
	b.WriteString(lines[0])
	for _, line := range lines[1:] {
		if width+1+len(line) < lineMost {
			b.WriteByte(' ')
			width += 1 + len(line)
		} else {
			b.WriteString("\r\n\t")
			width = len(line)
		}
		b.WriteString(line)
	}
	return b.String() + "\r\n"
}
