package config

import (
	"os"
	"reflect"
	"regexp"
	"testing"
	"time"
)

var pageLine = regexp.MustCompile("(?m)^\\*\\*(\\S+)\\*\\* \\(([a-z/]+), (?:default `(.*)`|(empty))\\)$")

// TestPageOfSettings holds docs/man/mailserver.conf.5.md to the table of
// settings: names, types and defaults, in both directions.
func TestPageOfSettings(t *testing.T) {
	page, err := os.ReadFile("../../docs/man/mailserver.conf.5.md")
	if err != nil {
		t.Fatal(err)
	}
	table, err := Table()
	if err != nil {
		t.Fatal(err)
	}
	type entry struct{ kind, value string }
	written := make(map[string]entry)
	for _, m := range pageLine.FindAllSubmatch(page, -1) {
		name := string(m[1])
		if _, twice := written[name]; twice {
			t.Errorf("%s is on the page twice", name)
		}
		written[name] = entry{string(m[2]), string(m[3])}
	}
	for _, f := range table.Fields() {
		w, ok := written[f.Name]
		delete(written, f.Name)
		switch {
		case !ok:
			t.Errorf("%s is not on the page", f.Name)
		case w.value != f.Default:
			t.Errorf("%s: the default is %q, the page says %q", f.Name, f.Default, w.value)
		case !fits(w.kind, f.Type):
			t.Errorf("%s: the type is %s, the page says %s", f.Name, f.Type, w.kind)
		}
	}
	for name := range written {
		t.Errorf("the page has %s, which is no setting", name)
	}
}

// fits compares a type with its word on the page. A list of restrictions is
// kept as text: braces count in it.
func fits(kind string, typ reflect.Type) bool {
	switch kind {
	case "text", "restrictions":
		return typ.Kind() == reflect.String
	case "list":
		return typ == reflect.TypeFor[[]string]()
	case "yes/no":
		return typ.Kind() == reflect.Bool
	case "number":
		return typ.Kind() == reflect.Int
	case "size":
		return typ == reflect.TypeFor[int64]()
	case "time":
		return typ == reflect.TypeFor[time.Duration]()
	}
	return false
}
