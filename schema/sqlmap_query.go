package schema

import (
	"fmt"
	"strconv"
	"strings"

	"mailserver/internal/sqlremote"
)

// Style of the variables in a query.
const (
	// sqlite_table(5): %s the key, %u %d its parts, %1 to %9 labels of its domain.
	stylePostfix = iota
	// Dovecot's: %u the user, %n %d its parts.
	styleDovecot
)

// dovecotMaps are asked about users and go by Dovecot's names.
var dovecotMaps = map[string]bool{"password_query": true, "user_query": true, "iterate_query": true}

// variable is one variable of a query or format: s, u, d, n, 1-9, S, U, D.
type variable byte

// compiled is a query with its variables as parameters: no key can end a string
// and begin a statement. kind is the server whose language it is; 0: SQLite.
type compiled struct {
	text string
	vars []variable // by parameter
	kind sqlremote.Kind
}

// maxQuery bounds the text of a query.
const maxQuery = 64 << 10

// compile turns variables into parameters. In a string they are joined to it:
// '%u@x' becomes (?||'@x'). A ? of the operator's own is the key. Names in
// double quotes are left alone: PRINTF("%s/%s", ...) is not for us.
func compile(query string, style int, kind sqlremote.Kind) (c compiled, err error) {
	c.kind = kind
	if len(query) > maxQuery || strings.ContainsRune(query, 0) {
		return c, fmt.Errorf("%w: the query is too long, or has a NUL", ErrSQLMap)
	}
	var out strings.Builder
	for i := 0; i < len(query); {
		switch ch := query[i]; {
		case ch == '\'' || ch == '"' && kind == sqlremote.MySQL:
			end := literalEnd(query, i, kind == sqlremote.MySQL)
			if end < 0 {
				return c, fmt.Errorf("%w: a string of the query has no end", ErrSQLMap)
			}
			if err := c.literal(&out, query[i+1:end-1], style, ch); err != nil {
				return c, err
			}
			i = end
		case ch == '"' || ch == '`':
			end := strings.IndexByte(query[i+1:], ch)
			if end < 0 {
				return c, fmt.Errorf("%w: a name of the query has no end", ErrSQLMap)
			}
			out.WriteString(query[i : i+end+2])
			i += end + 2
		case ch == '?':
			c.add(&out, 's')
			i++
		case ch == '%':
			v, n, ok := variableAt(query[i:], style)
			if !ok {
				out.WriteByte('%') // the operator modulo
				i++
				break
			}
			c.add(&out, v)
			i += n
		default:
			out.WriteByte(ch)
			i++
		}
	}
	c.text = out.String()
	return c, nil
}

// literalEnd is the index behind the string that begins at i; below 0: none.
// With backslash one of these takes away the meaning of what follows.
func literalEnd(s string, i int, backslash bool) int {
	quote := s[i]
	for i++; i < len(s); i++ {
		if s[i] == '\\' && backslash {
			i++
			continue
		}
		if s[i] != quote {
			continue
		}
		if i+1 < len(s) && s[i+1] == quote {
			i++
			continue
		}
		return i + 1
	}
	return -1
}

func (c *compiled) add(out *strings.Builder, v variable) {
	if v == '%' {
		out.WriteByte('%')
		return
	}
	c.vars = append(c.vars, v)
	out.WriteString(c.mark())
}

// mark is how the database writes the parameter that was added last.
func (c *compiled) mark() string {
	if c.kind == sqlremote.PostgreSQL {
		return "$" + strconv.Itoa(len(c.vars))
	}
	return "?"
}

// literal writes a string, its variables joined to it.
func (c *compiled) literal(out *strings.Builder, text string, style int, quote byte) error {
	q := string(quote)
	var parts []string
	plain := ""
	for i := 0; i < len(text); {
		v, n, ok := variableAt(text[i:], style)
		switch {
		case !ok && text[i] == '%' && i+1 < len(text) && isLetter(text[i+1]) && style == styleDovecot:
			return fmt.Errorf("%w: the variable %s is not known", ErrSQLMap, text[i:i+2])
		case !ok:
			plain += text[i : i+1]
			i++
			continue
		case v == '%':
			plain += "%"
		default:
			if plain != "" {
				parts = append(parts, q+plain+q)
				plain = ""
			}
			c.vars = append(c.vars, v)
			parts = append(parts, c.mark())
		}
		i += n
	}
	if plain != "" || parts == nil {
		parts = append(parts, q+plain+q)
	}
	if len(parts) == 1 {
		out.WriteString(parts[0])
		return nil
	}
	if c.kind == sqlremote.MySQL { // || is "or" there
		out.WriteString("CONCAT(" + strings.Join(parts, ",") + ")")
	} else {
		out.WriteString("(" + strings.Join(parts, "||") + ")")
	}
	return nil
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// variableAt reads the variable that a text begins with, of n bytes.
func variableAt(s string, style int) (v variable, n int, ok bool) {
	if len(s) < 2 || s[0] != '%' {
		return 0, 0, false
	}
	n = 2
	ch := s[1]
	if style == styleDovecot && ch == 'L' && len(s) > 2 { // lower case: keys are
		ch, n = s[2], 3
	}
	known := "%sudSUD123456789"
	if style == styleDovecot {
		known = "%und"
	}
	if strings.IndexByte(known, ch) < 0 {
		return 0, 0, false
	}
	if style == styleDovecot && ch == 'u' {
		ch = 's'
	}
	if style == styleDovecot && ch == 'n' {
		ch = 'u'
	}
	return variable(ch), n, true
}

// parts are what the variables of a key are.
type keyParts struct{ key, user, domain string }

func splitKey(key string) keyParts {
	at := strings.LastIndexByte(key, '@')
	if at < 0 {
		return keyParts{key: key, user: key}
	}
	return keyParts{key, key[:at], key[at+1:]}
}

// value is what a variable stands for; ok is false where sqlite_table(5) says
// that the map is not asked: the key has no such part.
func (k keyParts) value(v variable) (text string, ok bool) {
	switch v {
	case 's', 'S':
		return k.key, true
	case 'u', 'U':
		return k.user, k.user != ""
	case 'd', 'D':
		return k.domain, k.domain != ""
	}
	labels := strings.Split(k.domain, ".")
	n := int(v - '0') // %1 is the last label
	if k.domain == "" || n > len(labels) {
		return "", false
	}
	return labels[len(labels)-n], true
}
