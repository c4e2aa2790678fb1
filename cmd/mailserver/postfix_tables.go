package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mailserver/internal/postfixconf"
	"mailserver/schema"
)

// sorted is the report in the order of files and lines: main.cf, master.cf,
// tables.
func (mv *postfixMove) sorted() []told {
	rank := map[string]int{"main.cf": -2, "master.cf": -1}
	list := slices.Clone(mv.report)
	slices.SortStableFunc(list, func(a, b told) int {
		if c := cmp.Compare(rank[a.File], rank[b.File]); c != 0 {
			return c
		}
		if c := cmp.Compare(a.File, b.File); c != 0 {
			return c
		}
		return cmp.Compare(a.Line, b.Line)
	})
	return list
}

// value is a parameter with its references followed; one that cannot be is
// told, and is empty.
func (mv *postfixMove) value(name string) string {
	text, err := mv.conf.Value(name)
	if err != nil {
		mv.param(name, missed, "%v", err)
		return ""
	}
	return strings.TrimSpace(text)
}

// path is where a file of the configuration lies now.
func (mv *postfixMove) path(name string) string {
	if rest, ok := strings.CutPrefix(name, "/etc/postfix/"); ok && mv.dir != "/etc/postfix" {
		return filepath.Join(mv.dir, rest)
	}
	if !filepath.IsAbs(name) {
		return filepath.Join(mv.dir, name)
	}
	if mv.root != "" && !strings.HasPrefix(name, mv.root+"/") {
		return filepath.Join(mv.root, name)
	}
	return name
}

// short is a path as the report names it.
func (mv *postfixMove) short(path string) string {
	if rest, err := filepath.Rel(mv.dir, path); err == nil && !strings.HasPrefix(rest, "..") {
		return rest
	}
	return path
}

// sourceKinds are the types of tables that have a text source.
var sourceKinds = map[string]postfixconf.Kind{
	"hash": postfixconf.Hash, "btree": postfixconf.Hash, "lmdb": postfixconf.Hash, "dbm": postfixconf.Hash, "sdbm": postfixconf.Hash,
	"cdb": postfixconf.Hash, "texthash": postfixconf.Hash, "cidr": postfixconf.CIDR, "regexp": postfixconf.Regexp, "pcre": postfixconf.Regexp,
}

// noTables is why tables of other types have no counterpart.
var noTables = map[string]string{
	"ldap":     "a directory is not asked: export its entries to a table, or a panel's database to SqlMap",
	"memcache": "there is no client of memcached: look-ups are cached in memory",
	"nis":      "there is no NIS", "nisplus": "there is no NIS+", "netinfo": "there is no NetInfo",
	"tcp": "tables of servers are not asked", "socketmap": "tables of servers are not asked",
	"pipemap":  "tables in tables do not exist: put the result into one table",
	"unionmap": "tables in tables do not exist: put the result into one table",
	"randmap":  "a choice by chance does not exist",
	"environ":  "the environment is not asked", "fail": "a table that fails does not exist", "internal": "it is one of Postfix's own",
	"debug": "name the table itself",
}

// errNoTable says that a table has no counterpart; its text says why.
var errNoTable = errors.New("no table")

// each reads a table, row by row. Keys of hash tables come in lower case; a
// second row of a key is told and left out, as postmap(1) does.
func (mv *postfixMove) each(ref postfixconf.Ref, aliases bool, fn func(file string, row postfixconf.Row) error) error {
	if ref.Type == "inline" {
		rows, err := postfixconf.Inline(ref.Name)
		if err != nil {
			return fmt.Errorf("%w: %w", errNoTable, err)
		}
		for _, row := range rows {
			row.Key = strings.ToLower(row.Key)
			if err := fn("main.cf", row); err != nil {
				return err
			}
		}
		return nil
	}
	kind, ok := sourceKinds[ref.Type]
	if ref.Type == "" {
		kind, ok = postfixconf.List, true
	}
	if !ok {
		why := noTables[ref.Type]
		if why == "" {
			why = "tables of this type are not known"
		}
		return fmt.Errorf("%w: %s: %s", errNoTable, ref.Text, why)
	}
	if aliases && kind == postfixconf.Hash && ref.Type != "texthash" { // made by postalias(1)
		kind = postfixconf.Aliases
	}
	return mv.eachOf(ref, kind, fn)
}

func (mv *postfixMove) eachOf(ref postfixconf.Ref, kind postfixconf.Kind, fn func(file string, row postfixconf.Row) error) error {
	path := mv.path(ref.Name)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		for _, ext := range []string{".db", ".lmdb", ".cdb", ".dir"} {
			if _, err := os.Stat(path + ext); err == nil {
				return fmt.Errorf("%w: %s has no text source beside it; make one: postmap -s %s > %s", errNoTable, path+ext, ref.Text, ref.Name)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNoTable, err)
	}
	defer f.Close()
	file, seen := mv.short(path), make(map[string]bool)
	err = postfixconf.ReadTable(f, kind, func(row postfixconf.Row) error {
		if kind == postfixconf.Hash || kind == postfixconf.Aliases {
			row.Key = strings.ToLower(row.Key)
			if seen[row.Key] {
				mv.tell(file, row.Line, row.Key, missed, "the key is there already: the first counts")
				return nil
			}
			seen[row.Key] = true
		}
		return fn(file, row)
	}, func(line int, why string) { mv.tell(file, line, "line", missed, "%s", why) })
	return err
}

// tablesOf runs fn for every row of every table of a parameter, those of SQL
// being written as maps if the parameter can have them, and tells about the
// parameter. A table that cannot be read is told, and nothing of it is taken.
func (mv *postfixMove) tablesOf(name, sqlName string, fn func(file string, row postfixconf.Row) error) error {
	if _, set := mv.conf.Get(name); !set {
		mv.done[name] = true
		return nil
	}
	refs := postfixconf.Refs(mv.value(name))
	if len(refs) == 0 {
		mv.param(name, taken, "empty")
		return nil
	}
	var said []string
	for _, ref := range refs {
		n := 0
		if isSQL(ref) && sqlName != "" {
			text, err := mv.sqlMap(ref, sqlName)
			if err != nil {
				return err
			}
			if text != "" {
				said = append(said, text)
			}
			continue
		}
		err := mv.each(ref, false, func(file string, row postfixconf.Row) error { n++; return fn(file, row) })
		if errors.Is(err, errNoTable) {
			mv.param(name, missed, "%s", strings.TrimPrefix(err.Error(), errNoTable.Error()+": "))
			continue
		}
		if err != nil {
			return err
		}
		said = append(said, fmt.Sprintf("%d entries of %s", n, brief(ref.Text)))
	}
	if len(said) > 0 {
		mv.param(name, taken, "%s", strings.Join(said, ", "))
	}
	return nil
}

// brief bounds what is repeated in the report.
func brief(text string) string {
	if len(text) > 60 {
		return text[:57] + "..."
	}
	return text
}

// row tells about an error of a row that the operator must know of; other
// errors end the import.
func (mv *postfixMove) row(file string, line int, key string, err error) error {
	switch {
	case err == nil, errors.Is(err, schema.ErrExists):
		return nil
	case errors.Is(err, schema.ErrValue), errors.Is(err, schema.ErrNotFound):
		mv.tell(file, line, key, missed, "%v", err)
		return nil
	}
	return err
}

func isSQL(ref postfixconf.Ref) bool {
	return ref.Type == "sqlite" || ref.Type == "mysql" || ref.Type == "pgsql"
}
