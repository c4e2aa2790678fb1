package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"mailserver/internal/sqlremote"
)

// SQLMap is a row of SqlMap: a look-up of the operator's own, in this file or
// in that of another program. sqlite_table(5).
type SQLMap struct {
	Name   string
	File   string // '' is mail.sqlite; mysql://... or postgres://... a server
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
			m.query, m.fault = compile(query, style, sqlremote.KindOf(m.File))
			all[parameter] = append(all[parameter], &m)
			return nil
		})
		return all, wrap("read SQL maps", err)
	})
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
	if m.query.kind != 0 {
		limited, cancel := context.WithTimeout(ctx, sqlremote.Timeout)
		defer cancel()
		ctx = limited
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
