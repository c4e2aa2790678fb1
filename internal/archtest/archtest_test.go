package archtest

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

var printMap = flag.Bool("print", false, "print what each package imports")

const (
	module   = "mailserver/"
	root     = "../.."
	maxLines = 600
	// maxTestLines is for tables of cases, which are read from top to bottom.
	maxTestLines = 800
)

// forbiddenNames say nothing about what is inside.
var forbiddenNames = []string{"util", "utils", "helper", "helpers", "common", "misc", "types", "manager"}

// source is one Go file of the module.
type source struct {
	path    string // from the root
	pkg     string // directory
	test    bool
	lines   int
	name    string
	imports []string
	init    bool // declares func init
}

func readSources(t *testing.T) []source {
	t.Helper()
	var list []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "data") {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			s, err := readSource(path)
			list = append(list, s)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 10 {
		t.Fatalf("only %d files below %s", len(list), root)
	}
	return list
}

func readSource(path string) (source, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return source{}, err
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	rel, _ := filepath.Rel(root, path)
	s := source{path: rel, pkg: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(path, "_test.go"),
		lines: bytes.Count(text, []byte("\n")), name: f.Name.Name}
	for _, imp := range f.Imports {
		p, _ := strconv.Unquote(imp.Path.Value)
		s.imports = append(s.imports, p)
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			s.init = true
		}
	}
	return s, nil
}

// short gives the name of an import in the map; ” for the standard library.
func short(path string, externals []string) string {
	if in, ok := strings.CutPrefix(path, module); ok {
		return in
	}
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return ""
	}
	for _, e := range externals {
		if path == e || strings.HasPrefix(path, e+"/") {
			return e
		}
	}
	return path
}

func readMap(t *testing.T) *Map {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "docs/ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := ReadMap(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// modules lists the modules of go.mod, the longest name first.
func modules(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && strings.HasPrefix(f[1], "v") && strings.Contains(f[0], ".") {
			list = append(list, f[0])
		}
	}
	sort.Slice(list, func(i, j int) bool { return len(list[i]) > len(list[j]) })
	return list
}

// TestImports: the map allows every import, and every entry of it is used.
func TestImports(t *testing.T) {
	sources, external := readSources(t), modules(t)
	if *printMap {
		printImports(sources, external)
	}
	m := readMap(t)
	used := make(map[string]bool) // "package import"
	for _, s := range sources {
		if s.test {
			continue
		}
		used[s.pkg] = true
		for _, imp := range s.imports {
			name := short(imp, external)
			if name == "" {
				continue
			}
			used[s.pkg+" "+name] = true
			checkImport(t, m, s, name)
		}
	}
	checkTests(t, m, sources, external, used)
	for pkg, imports := range m.Imports {
		if pkg != testsLine && !used[pkg] {
			t.Errorf("the map has %s, which does not exist", pkg)
		}
		for _, imp := range imports {
			if !used[pkg+" "+imp] {
				t.Errorf("the map lets %s import %s, which it does not", pkg, imp)
			}
		}
	}
}

func checkImport(t *testing.T, m *Map, s source, name string) {
	t.Helper()
	if !slices.Contains(m.Imports[s.pkg], name) {
		t.Errorf("%s imports %s: the map in docs/ARCHITECTURE.md does not let %s do so", s.path, name, s.pkg)
		return
	}
	if _, inside := m.Row[name]; inside && !m.mayImport(s.pkg, name) {
		t.Errorf("%s imports %s, which does not stand in a lower row", s.path, name)
	}
}

// checkTests: a test may import what its package may, the package itself, and
// what the line "tests" lists.
func checkTests(t *testing.T, m *Map, sources []source, external []string, used map[string]bool) {
	t.Helper()
	for _, s := range sources {
		if !s.test {
			continue
		}
		for _, imp := range s.imports {
			name := short(imp, external)
			if name == "" || name == s.pkg || slices.Contains(m.Imports[s.pkg], name) {
				continue
			}
			if used[testsLine+" "+name] = true; !slices.Contains(m.Imports[testsLine], name) {
				t.Errorf("%s imports %s: the line %q of the map lacks it", s.path, name, testsLine)
			}
		}
	}
}

func printImports(sources []source, external []string) {
	all := make(map[string][]string)
	for _, s := range sources {
		for _, imp := range s.imports {
			if name := short(imp, external); name != "" && !s.test && !slices.Contains(all[s.pkg], name) {
				all[s.pkg] = append(all[s.pkg], name)
			}
		}
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		sort.Strings(all[name])
		fmt.Printf("%s: %s\n", name, strings.Join(all[name], " "))
	}
}

// TestSQLStandsInSchema: nothing else speaks to a database.
func TestSQLStandsInSchema(t *testing.T) {
	for _, s := range readSources(t) {
		for _, imp := range s.imports {
			if (imp == "database/sql" || strings.HasPrefix(imp, "modernc.org/sqlite")) && s.pkg != "schema" {
				t.Errorf("%s imports %s: only schema may", s.path, imp)
			}
		}
	}
}

func TestFilesAndNames(t *testing.T) {
	for _, s := range readSources(t) {
		limit := maxLines
		if s.test {
			limit = maxTestLines
		}
		if s.lines > limit {
			t.Errorf("%s has %d lines; split it by noun below %d", s.path, s.lines, limit)
		}
		if slices.Contains(forbiddenNames, strings.TrimSuffix(s.name, "_test")) {
			t.Errorf("%s: the package name %q says nothing", s.path, s.name)
		}
		if base := strings.TrimSuffix(filepath.Base(s.path), ".go"); slices.Contains(forbiddenNames, base) {
			t.Errorf("%s: the file name says nothing", s.path)
		}
		if s.init {
			t.Errorf("%s: func init hides what happens; wire it in internal/server", s.path)
		}
	}
}

func TestReadMap(t *testing.T) {
	m, err := ReadMap(strings.NewReader("x\n```deps\nsmtp: policy\n  schema\nimap: schema\n\npolicy: schema\n\nschema:\ninternal/a: internal/b\ninternal/b:\n```\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Imports["smtp"]; !slices.Equal(got, []string{"policy", "schema"}) {
		t.Errorf("smtp may import %q", got)
	}
	for _, tt := range []struct {
		from, to string
		want     bool
	}{{"smtp", "policy", true}, {"smtp", "imap", false}, {"policy", "smtp", false}, {"internal/a", "internal/b", true}, {"schema", "internal/a", false}} {
		if got := m.mayImport(tt.from, tt.to); got != tt.want {
			t.Errorf("%s → %s: %v", tt.from, tt.to, got)
		}
	}
	for _, bad := range []string{"", "```deps\nsmtp: a\n", "```deps\nsmtp\n```\n", "```deps\n  a\n```\n", "```deps\na: b\na: c\n```\n"} {
		if _, err := ReadMap(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
