package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// SQLMap is a row of SqlMap: a look-up of the operator's own, in this file or
// in that of another program. sqlite_table(5).
type SQLMap struct {
	Name   string
	File   string // '' is mail.sqlite
	Format string // result_format
	// Domains limits it to keys in these domains; empty: all.
	Domains []string
	Limit   int // expansion_limit; 0 none

	query compiled
	fault error // the query cannot be understood
}

// ErrSQLMap says that a row of SqlMap cannot be asked: its file, its query, or
// its answer is wrong. Every use is answered "try again".
var ErrSQLMap = errors.New("SQL map")

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
// and begin a statement.
type compiled struct {
	text string
	vars []variable // by parameter
}

// SQLMaps returns the rows of SqlMap for a parameter: those named by it, and
// those named PARAMETER:anything, in the order of their rows.
func (v *View) SQLMaps(ctx context.Context, parameter string) ([]*SQLMap, error) {
	all, err := v.allSQLMaps(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[strings.ToLower(parameter)], nil
}

// allSQLMaps are the rows by parameter.
func (v *View) allSQLMaps(ctx context.Context) (map[string][]*SQLMap, error) {
	return cached(v, cacheKey{kind: lookSQLMap, num: 1}, func() (map[string][]*SQLMap, error) {
		all := make(map[string][]*SQLMap)
		err := v.m.each(ctx, `SELECT smName, ifnull(smFile, ''), smQuery, smResultFormat, ifnull(smDomain, ''), smExpansionLimit
			FROM SqlMap ORDER BY rowid`, nil, func(rows *sql.Rows) error {
			var m SQLMap
			var query, domains string
			if err := rows.Scan(&m.Name, &m.File, &query, &m.Format, &domains, &m.Limit); err != nil {
				return err
			}
			m.Domains = strings.FieldsFunc(strings.ToLower(domains), func(r rune) bool { return r == ',' || r == ' ' })
			parameter, _, _ := strings.Cut(strings.ToLower(m.Name), ":")
			style := stylePostfix
			if dovecotMaps[parameter] {
				style = styleDovecot
			}
			m.query, m.fault = compile(query, style)
			all[parameter] = append(all[parameter], &m)
			return nil
		})
		return all, wrap("read SQL maps", err)
	})
}

// maxQuery bounds the text of a query.
const maxQuery = 64 << 10

// compile turns variables into parameters. In a string they are joined to it:
// '%u@x' becomes (?||'@x'). A ? of the operator's own is the key. Names in
// double quotes are left alone: PRINTF("%s/%s", ...) is not for us.
func compile(query string, style int) (c compiled, err error) {
	if len(query) > maxQuery || strings.ContainsRune(query, 0) {
		return c, fmt.Errorf("%w: the query is too long, or has a NUL", ErrSQLMap)
	}
	var out strings.Builder
	for i := 0; i < len(query); {
		switch ch := query[i]; {
		case ch == '\'':
			end := literalEnd(query, i)
			if end < 0 {
				return c, fmt.Errorf("%w: a string of the query has no end", ErrSQLMap)
			}
			if err := c.literal(&out, query[i+1:end-1], style); err != nil {
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
			out.WriteByte('?')
			c.vars = append(c.vars, 's')
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
func literalEnd(s string, i int) int {
	for i++; i < len(s); i++ {
		if s[i] != '\'' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
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
	out.WriteByte('?')
	c.vars = append(c.vars, v)
}

// literal writes a string, its variables joined to it.
func (c *compiled) literal(out *strings.Builder, text string, style int) error {
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
				parts = append(parts, "'"+plain+"'")
				plain = ""
			}
			parts = append(parts, "?")
			c.vars = append(c.vars, v)
		}
		i += n
	}
	if plain != "" || parts == nil {
		parts = append(parts, "'"+plain+"'")
	}
	if len(parts) == 1 {
		out.WriteString(parts[0])
		return nil
	}
	out.WriteString("(" + strings.Join(parts, "||") + ")")
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

// asked reports whether a map is for a key: parameter domain.
func (m *SQLMap) asked(k keyParts) bool {
	if len(m.Domains) == 0 {
		return true
	}
	domain := k.domain
	if domain == "" {
		domain = k.key // a look-up of a domain itself
	}
	for _, d := range m.Domains {
		if d == domain {
			return true
		}
	}
	return false
}

// rows bounds what one look-up may return, in rows and bytes.
const (
	maxMapRows  = 10000
	maxMapBytes = 1 << 20
)

// AskSQLMap looks a key up, in lower case, and joins the values of all rows by
// commas; ” if there is none. Errors are ErrSQLMap.
func (v *View) AskSQLMap(ctx context.Context, m *SQLMap, key string) (string, error) {
	k := splitKey(strings.ToLower(key))
	var results []string
	err := v.eachMapRow(ctx, m, k, func(values []sql.NullString) error {
		for _, value := range values {
			if !value.Valid || value.String == "" {
				continue
			}
			text, ok := m.format(value.String, k)
			if !ok {
				continue
			}
			if m.Limit > 0 && len(results) >= m.Limit {
				return fmt.Errorf("more than %d values", m.Limit)
			}
			results = append(results, text)
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("%w %s: %w", ErrSQLMap, m.Name, err)
	}
	return strings.Join(results, ","), nil
}

// format applies result_format: %s %u %d %1 to %9 of the value, capitals of the key.
func (m *SQLMap) format(value string, k keyParts) (string, bool) {
	if m.Format == "" || m.Format == "%s" {
		return value, true
	}
	of := splitKey(value)
	var out strings.Builder
	for i := 0; i < len(m.Format); {
		v, n, ok := variableAt(m.Format[i:], stylePostfix)
		if !ok {
			out.WriteByte(m.Format[i])
			i++
			continue
		}
		i += n
		text := "%"
		switch {
		case v == '%':
		case v == 'S' || v == 'U' || v == 'D':
			text, ok = k.value(v)
		default:
			text, ok = of.value(v)
		}
		if !ok {
			return "", false
		}
		out.WriteString(text)
	}
	return out.String(), true
}

// eachMapRow runs the query of a map for a key and calls fn for each row. A map
// that is not for the key has none.
func (v *View) eachMapRow(ctx context.Context, m *SQLMap, k keyParts, fn func([]sql.NullString) error) error {
	_, err := v.mapRows(ctx, m, k, fn)
	return err
}

// mapRows is eachMapRow; it returns the names of the columns.
func (v *View) mapRows(ctx context.Context, m *SQLMap, k keyParts, fn func([]sql.NullString) error) ([]string, error) {
	if m.fault != nil {
		return nil, m.fault
	}
	if !m.asked(k) {
		return nil, nil
	}
	args := make([]any, len(m.query.vars))
	for i, name := range m.query.vars {
		text, ok := k.value(name)
		if !ok {
			return nil, nil
		}
		args[i] = text
	}
	db, err := v.m.mapFile(m.File)
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, m.query.text, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	size := 0
	for n := 0; rows.Next(); n++ {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for _, value := range values {
			size += len(value.String)
		}
		if n >= maxMapRows || size > maxMapBytes {
			return nil, fmt.Errorf("answers with more than %d rows or %d bytes", maxMapRows, maxMapBytes)
		}
		if err := fn(values); err != nil {
			return nil, err
		}
	}
	return columns, rows.Err()
}

// foreignFile is the database of another program, opened for look-ups.
type foreignFile struct {
	id fileID
	db *sql.DB
}

// mapFile opens the file of a map; ” is our own. One that was replaced is
// opened anew.
func (m *mailFile) mapFile(path string) (*sql.DB, error) {
	if path == "" {
		return m.r, nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(m.dir, path)
	}
	id, err := identify(path)
	if err != nil {
		return nil, err
	}
	if id == (fileID{}) {
		return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.foreign[path]; ok {
		if f.id == id {
			return f.db, nil
		}
		f.db.Close()
		delete(m.foreign, path)
	}
	db, err := open(path, 2, true)
	if err != nil {
		return nil, err
	}
	if m.foreign == nil {
		m.foreign = make(map[string]foreignFile)
	}
	m.foreign[path] = foreignFile{id, db}
	return db, nil
}

// closeForeign closes the databases of other programs.
func (m *mailFile) closeForeign() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, f := range m.foreign {
		errs = append(errs, f.db.Close())
	}
	m.foreign = nil
	return errors.Join(errs...)
}

// domainNumber gives a domain that no row names a number below 0, so that its
// addresses can be asked for as those of rows are.
func (m *mailFile) domainNumber(name string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.numbers[name]; ok {
		return n
	}
	if m.numbers == nil {
		m.numbers = make(map[string]int64)
	}
	m.names = append(m.names, name)
	n := -int64(len(m.names))
	m.numbers[name] = n
	return n
}

// numberedDomain is the domain of such a number; ” if there is none.
func (m *mailFile) numberedDomain(n int64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := int(-n) - 1; i >= 0 && i < len(m.names) {
		return m.names[i]
	}
	return ""
}

// parsePort reads a port number; 0 if it is none.
func parsePort(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}

// LookupSQLMap asks the map of that name, or those of a parameter, as postmap -q
// does; ” if there is no such key or map.
func (v *View) LookupSQLMap(ctx context.Context, name, key string) (string, error) {
	all, err := v.allSQLMaps(ctx)
	if err != nil {
		return "", err
	}
	parameter, _, _ := strings.Cut(strings.ToLower(name), ":")
	for _, m := range all[parameter] {
		if !strings.EqualFold(m.Name, name) && !strings.EqualFold(parameter, name) {
			continue
		}
		if value, err := v.AskSQLMap(ctx, m, key); err != nil || value != "" {
			return value, err
		}
	}
	return "", nil
}
