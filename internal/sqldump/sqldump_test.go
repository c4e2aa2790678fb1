package sqldump

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const mysqlDump = "-- MySQL dump 10.19  Distrib 10.3, for debian-linux-gnu\n" + `/*!40101 SET NAMES utf8 */;
DROP TABLE IF EXISTS ` + "`domain`" + `;
CREATE TABLE ` + "`domain`" + ` (
  ` + "`domain`" + ` varchar(255) NOT NULL DEFAULT 'a,b)',
  ` + "`active`" + ` tinyint(1) NOT NULL DEFAULT 1 COMMENT 'it''s; on',
  ` + "`key`" + ` enum('x','y') DEFAULT NULL,
  PRIMARY KEY (` + "`domain`" + `),
  KEY ` + "`i`" + ` (` + "`active`, `key`" + `)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
LOCK TABLES ` + "`domain`" + ` WRITE;
INSERT INTO ` + "`domain`" + ` VALUES ('ex.org',1,NULL),('it\'s \\ \"q\"\n',0,'x;y'),
 (_binary 'b',-5,0x4142);
UNLOCK TABLES;
INSERT INTO other VALUES ('not; wanted');
`

const pgDump = `--
-- PostgreSQL database dump
--
SET client_encoding = 'UTF8';
CREATE FUNCTION f() RETURNS int AS $$ BEGIN; RETURN 'x; END; $$ LANGUAGE plpgsql;
CREATE TABLE public.domain (
    domain character varying(255) NOT NULL,
    active boolean DEFAULT true NOT NULL,
    CONSTRAINT k CHECK ((active = true))
);
COPY public.domain (domain, active) FROM stdin;
ex.org	t
tab\there	\N
\.
INSERT INTO public.domain (domain, active) VALUES ('back\slash', false), (E'a\'b', true), ('x'::text, '1'::boolean);
`

func TestRead(t *testing.T) {
	for _, c := range []struct{ name, dump, want string }{
		{"mysql", mysqlDump, `domain[domain active key];[]["ex.org" "1" nil];[]["it's \\ \"q\"\n" "0" "x;y"];[]["b" "-5" "AB"];`},
		{"postgresql", pgDump, `domain[domain active];[domain active]["ex.org" "t"];[domain active]["tab\there" nil];[domain active]["back\\slash" "0"];` +
			`[domain active]["a'b" "1"];[domain active]["x" "1"];`},
	} {
		got, err := readAll(c.dump)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n%s, want\n%s", c.name, err, got, c.want)
		}
	}
	for _, bad := range []string{"INSERT INTO domain VALUES ('a", "CREATE TABLE domain (a", "COPY domain FROM stdin;\na", "INSERT INTO domain VALUES (,)"} {
		if got, err := readAll(bad); err == nil {
			t.Errorf("%q: %s", bad, got)
		}
	}
}

func readAll(dump string) (string, error) {
	var out strings.Builder
	r := &Reader{Wants: func(t string) bool { return t == "domain" },
		Table: func(name string, columns []string) error { fmt.Fprintf(&out, "%s%v;", name, columns); return nil },
		Row: func(_ string, columns []string, values []any) error {
			fmt.Fprintf(&out, "%v[", columns)
			for i, v := range values {
				if i > 0 {
					out.WriteByte(' ')
				}
				if v == nil {
					out.WriteString("nil")
				} else {
					fmt.Fprintf(&out, "%q", v)
				}
			}
			out.WriteString("];")
			return nil
		}}
	err := r.Read(strings.NewReader(dump))
	return out.String(), err
}

// TestRealDumps reads what mariadb-dump and pg_dump have written of one
// PostfixAdmin, in several forms.
func TestRealDumps(t *testing.T) {
	files, err := filepath.Glob("testdata/*.sql")
	if err != nil || len(files) < 6 {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		columns, rows := map[string][]string{}, map[string]map[string]string{}
		r := &Reader{Wants: func(string) bool { return true },
			Table: func(name string, list []string) error { columns[name] = list; return nil },
			Row: func(table string, list []string, values []any) error {
				if list == nil {
					list = columns[table]
				}
				row := map[string]string{}
				for i, v := range values {
					row[list[i]] = fmt.Sprint(v)
				}
				rows[table+" "+fmt.Sprint(values[0])] = row
				return nil
			}}
		if err := r.Read(f); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for key, want := range map[string]string{
			"mailbox joe@example.org quota": "1024000", "mailbox off@example.org password": "{PLAIN}pass", "alias o'brien@example.org goto": "joe@example.org",
			"alias sales@example.org domain": "example.org", "domain backup.example transport": "smtp:[127.0.0.1]:1", "alias_domain example.net target_domain": "example.org",
			"domain ALL transport": "", "domain backup.example password_expiry": "0",
		} {
			words := strings.Fields(key)
			if got := rows[words[0]+" "+words[1]][words[2]]; got != want {
				t.Errorf("%s: %s is %q, want %q", file, key, got, want)
			}
		}
		text := rows["domain example.org"]["description"]
		if !strings.HasPrefix(text, "Bob's ") || !strings.HasSuffix(text, ` "place"; ü`) || len(rows) != 14 {
			t.Errorf("%s: %d rows, description %q", file, len(rows), text)
		}
	}
}

// FuzzRead: no dump makes the reader panic or run on.
func FuzzRead(f *testing.F) {
	f.Add(mysqlDump)
	f.Add(pgDump)
	f.Add("INSERT INTO domain VALUES (E'a")
	f.Add("\\restrict x\nCOPY domain FROM stdin;\n\\.\n\\unrestrict x")
	f.Fuzz(func(t *testing.T, dump string) { readAll(dump) })
}
