package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mailserver/internal/postfixconf"
	"mailserver/schema"
)

// sqlMap writes a row of SqlMap for a table of SQL, and returns what is said of
// it; ” if it could not be taken, which has been told.
func (mv *postfixMove) sqlMap(ref postfixconf.Ref, parameter string) (string, error) {
	m, query, err := mv.sqlTable(ref)
	if err != nil {
		mv.tell(mv.short(mv.path(ref.Name)), 0, ref.Text, missed, "%v", err)
		return "", nil
	}
	m.Name = parameter
	if base := tableName(ref.Name); parameter != base {
		m.Name = parameter + ":" + base
	}
	if err := mv.t.PutSQLMap(m, query); err != nil {
		return "", mv.row(mv.short(mv.path(ref.Name)), 0, ref.Text, err)
	}
	return fmt.Sprintf("the SQL map %s asks %s where it is", m.Name, plainURL(m.File)), nil
}

// plainURL hides a password.
func plainURL(file string) string {
	if u, err := url.Parse(file); err == nil && u.User != nil {
		return u.Redacted()
	}
	return file
}

// sqlTable reads sqlite_table(5), mysql_table(5) or pgsql_table(5).
func (mv *postfixMove) sqlTable(ref postfixconf.Ref) (m schema.SQLMap, query string, err error) {
	f, err := os.Open(mv.path(ref.Name))
	if err != nil {
		return m, "", err
	}
	defer f.Close()
	c, _, err := postfixconf.ReadMain(f)
	if err != nil {
		return m, "", err
	}
	c.Defaults = map[string]string{}
	if query = c.Raw("query"); query == "" {
		if query = oldQuery(c); query == "" {
			return m, "", fmt.Errorf("there is no query in it")
		}
	}
	if m.Format = c.Raw("result_format"); m.Format == "" {
		m.Format = "%s"
	}
	m.Domains = strings.FieldsFunc(c.Raw("domain"), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	for _, d := range m.Domains {
		if strings.ContainsAny(d, ":/") {
			return m, "", fmt.Errorf("domain %s: name the domains themselves", d)
		}
	}
	if text := c.Raw("expansion_limit"); text != "" {
		if m.Limit, err = strconv.Atoi(text); err != nil {
			return m, "", fmt.Errorf("expansion_limit %q is no number", text)
		}
	}
	if m.File, err = sqlFile(ref.Type, c); err != nil {
		return m, "", err
	}
	if ref.Type == "sqlite" && !filepath.IsAbs(m.File) {
		return m, "", fmt.Errorf("dbpath %q is no absolute path", m.File)
	}
	return m, query, nil
}

// oldQuery makes a query of the parameters that came before it.
func oldQuery(c *postfixconf.Main) string {
	table, field, where := c.Raw("table"), c.Raw("select_field"), c.Raw("where_field")
	if table == "" || field == "" || where == "" {
		return ""
	}
	return strings.TrimSpace("SELECT " + field + " FROM " + table + " WHERE " + where + " = '%s' " + c.Raw("additional_conditions"))
}

// sqlFile is the database of a table: a path, or a URL.
func sqlFile(kind string, c *postfixconf.Main) (string, error) {
	if kind == "sqlite" {
		return c.Raw("dbpath"), nil
	}
	u := url.URL{Scheme: map[string]string{"mysql": "mysql", "pgsql": "postgres"}[kind], Path: "/" + c.Raw("dbname")}
	if user := c.Raw("user"); user != "" {
		u.User = url.UserPassword(user, c.Raw("password"))
	}
	hosts := strings.FieldsFunc(c.Raw("hosts"), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if len(hosts) == 0 {
		hosts = []string{"localhost"}
	}
	host := hosts[0]
	if strings.Contains(host, "://") { // pgsql: a URI of its own
		return host, nil
	}
	host = strings.TrimPrefix(host, "inet:")
	if socket, ok := strings.CutPrefix(host, "unix:"); ok {
		u.RawQuery = url.Values{"socket": {socket}}.Encode()
	} else {
		u.Host = host
	}
	if c.Raw("dbname") == "" {
		return "", fmt.Errorf("there is no dbname in it")
	}
	return u.String(), nil
}

// tableName is the name that a table goes by here: that of its file, as lists
// of restrictions take it.
func tableName(path string) string {
	name := filepath.Base(strings.TrimSpace(path))
	for _, ext := range []string{".query", ".cf", ".db"} {
		name = strings.TrimSuffix(name, ext)
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ,{}:", r) {
			return '_'
		}
		return r
	}, name)
}
