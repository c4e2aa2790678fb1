package schema

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"mailserver/internal/sqlremote"
)

func TestCompile(t *testing.T) {
	for _, c := range []struct {
		style       int
		query, text string
		vars        string
	}{
		{stylePostfix, "SELECT 1 FROM d WHERE n='%s'", "SELECT 1 FROM d WHERE n=?", "s"},
		{stylePostfix, "SELECT 1 FROM d WHERE n=%s", "SELECT 1 FROM d WHERE n=?", "s"},
		{stylePostfix, "SELECT '%u.%d', 'it''s 100%%'", "SELECT (?||'.'||?), 'it''s 100%'", "ud"},
		{stylePostfix, `SELECT PRINTF("%s/%s", a) FROM x WHERE b LIKE '%%@%d'`, `SELECT PRINTF("%s/%s", a) FROM x WHERE b LIKE ('%@'||?)`, "d"},
		{stylePostfix, "SELECT a FROM b WHERE ? LIKE c AND d='?'", "SELECT a FROM b WHERE ? LIKE c AND d='?'", "s"},
		{stylePostfix, "SELECT 10 % 3, '%1', '%2'", "SELECT 10 % 3, ?, ?", "12"},
		{styleDovecot, "SELECT '/var/vmail/%d/%n' AS home, '%Lu'", "SELECT ('/var/vmail/'||?||'/'||?) AS home, ?", "dus"},
	} {
		got, err := compile(c.query, c.style, 0)
		if vars := string(vars(got)); err != nil || got.text != c.text || vars != c.vars {
			t.Errorf("%s:\n%s %s %v, want\n%s %s", c.query, got.text, vars, err, c.text, c.vars)
		}
	}
	for _, c := range []struct {
		kind  sqlremote.Kind
		text  string
		query string
	}{
		{sqlremote.MySQL, `SELECT CONCAT(?,".",?) FROM x WHERE a=? AND b='it\'s %'`, `SELECT "%u.%d" FROM x WHERE a="%s" AND b='it\'s %%'`},
		{sqlremote.PostgreSQL, `SELECT ($1||'.'||$2) FROM "Ab" WHERE a=$3`, `SELECT '%u.%d' FROM "Ab" WHERE a='%s'`},
	} {
		got, err := compile(c.query, stylePostfix, c.kind)
		if err != nil || got.text != c.text {
			t.Errorf("%s:\n%s %v, want\n%s", c.query, got.text, err, c.text)
		}
	}
	for _, bad := range []string{"SELECT 'a", `SELECT "a`, "SELECT \x00", "SELECT '%r'"} {
		if _, err := compile(bad, styleDovecot, 0); !errors.Is(err, ErrSQLMap) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func vars(c compiled) (b []byte) {
	for _, v := range c.vars {
		b = append(b, byte(v))
	}
	return b
}

// TestSQLMapRules: sqlite_table(5) about keys, parts that are missing, domains,
// formats and limits.
func TestSQLMapRules(t *testing.T) {
	ctx := context.Background()
	m, path := newMail(t, "")
	file := filepath.Join(t.TempDir(), "panel's.sqlite")
	shell := newShell(t, file)
	shell.do("CREATE TABLE x (k TEXT, v TEXT); INSERT INTO x VALUES ('a@b.example','one'),('a@b.example','two@t.example'),('b.example','dom'),('a','bare'),('o''brien@b.example','quote'),('e@b.example',''),('n@b.example',NULL)")
	for i, c := range []struct{ query, format, domain, key, want string }{
		{"SELECT v FROM x WHERE k='%s'", "%s", "", "a@b.example", "one,two@t.example"},
		{"SELECT v FROM x WHERE k='%s'", "%s", "", "A@B.Example", "one,two@t.example"},
		{"SELECT v FROM x WHERE k='%s'", "%s", "", "o'brien@b.example", "quote"},
		{"SELECT v FROM x WHERE k='%s'", "%s", "", "' OR '1'='1", ""},
		{"SELECT v FROM x WHERE k='%s'", "%s", "", "e@b.example", ""},
		{"SELECT v FROM x WHERE k='%s'", "%s", "", "n@b.example", ""},
		{"SELECT v FROM x WHERE k='%d'", "%s", "", "a@b.example", "dom"},
		{"SELECT v FROM x WHERE k='%d'", "%s", "", "b.example", ""}, // no domain part: not asked
		{"SELECT v FROM x WHERE k='%u'", "%s", "", "a@b.example", "bare"},
		{"SELECT v FROM x WHERE k='%u'", "%s", "", "@b.example", ""},
		{"SELECT v FROM x WHERE k='%s'", "<%s>", "", "a@b.example", "<one>,<two@t.example>"},
		{"SELECT v FROM x WHERE k='%s'", "%u/%D", "", "a@b.example", "one/b.example,two/b.example"},
		{"SELECT v FROM x WHERE k='%s'", "%d", "", "a@b.example", "t.example"}, // a value without domain is left out
		{"SELECT v FROM x WHERE k='%s'", "%s", "c.example, b.example", "a@b.example", "one,two@t.example"},
		{"SELECT v FROM x WHERE k='%s'", "%s", "c.example", "a@b.example", ""},
		{"SELECT v FROM x WHERE k='%s'", "%s", "c.example", "a", ""},
		{"SELECT '%1-%2'", "%s", "", "a@b.example", "example-b"},
		{"SELECT '%3'", "%s", "", "a@b.example", ""},
	} {
		name := fmt.Sprint("map", i)
		other(t, path, fmt.Sprintf("INSERT INTO SqlMap (smName, smFile, smQuery, smResultFormat, smDomain) VALUES (%s)", quoted(name, file, c.query, c.format, c.domain)))
		v, err := m.View(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.LookupSQLMap(ctx, name, c.key); err != nil || got != c.want {
			t.Errorf("%s, %s, %s of %s: %q %v, want %q", c.query, c.format, c.domain, c.key, got, err, c.want)
		}
	}
	other(t, path, fmt.Sprintf("INSERT INTO SqlMap (smName, smFile, smQuery, smExpansionLimit) VALUES (%s, 2)", quoted("limited", file, "SELECT v FROM x")))
	other(t, path, "INSERT INTO SqlMap (smName, smFile, smQuery) VALUES ('gone', '/nonexistent/x.sqlite', 'SELECT 1')")
	other(t, path, fmt.Sprintf("INSERT INTO SqlMap (smName, smFile, smQuery) VALUES (%s)", quoted("writes", file, "DELETE FROM x")))
	v, err := m.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"limited", "gone", "writes"} {
		if got, err := v.LookupSQLMap(ctx, name, "a@b.example"); !errors.Is(err, ErrSQLMap) {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

// quoted is a list of strings of SQL.
func quoted(list ...string) string {
	for i, s := range list {
		list[i] = "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return strings.Join(list, ", ")
}

func TestQuotaBytes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1000": 1000, "*:bytes=5": 5, "*:storage=2": 2048, "*:storage=1G": 1 << 30, "10485760S,20C": 10485760,
		"500M": 500 << 20, "x": -1, "-1": -1, "9999999999G": -1, "": -1} {
		got, err := quotaBytes(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d %v, want %d", text, got, err, want)
		}
	}
}

func TestParseTransport(t *testing.T) {
	for text, want := range map[string]string{"smtp:[h]:26": "smtp:[h]:26", "smtp:h:26": "smtp:h:26", "relay:h": "relay:h", ":[h]": ":[h]",
		"lmtp:unix:/run/l": "lmtp:unix:/run/l", "lmtp:inet:h:24": "lmtp:h:24", "error:5.1.1 gone: away": "error:5.1.1 gone: away", "smtp:": "smtp:"} {
		if got := parseTransport(text); got.String() != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	if parseTransport("") != nil {
		t.Error("'' is a transport")
	}
}

// FuzzCompile: whatever a query is, a key never becomes part of its text.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{"SELECT '%s'", "'%u@%d''", `"%s`, "?%1%9%%", "'%Lu%n'"} {
		f.Add(s, 0)
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, query string, style int) {
		c, err := compile(query, style&1, sqlremote.Kind(style>>1&3)%3)
		if err == nil && strings.Count(c.text, "?")+strings.Count(c.text, "$") < len(c.vars) {
			t.Errorf("%q: %d parameters, %d variables", c.text, strings.Count(c.text, "?"), len(c.vars))
		}
	})
}
