package test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var constant = regexp.MustCompile(`^(\S+\.go) (\w+) = (.+)$`)

// TestLimitsTable holds the table of limits in docs/security.md to the code: a
// setting has the default that the row names, a constant its value.
func TestLimitsTable(t *testing.T) {
	page, err := os.ReadFile("../docs/man/mailserver.conf.5.md")
	if err != nil {
		t.Fatal(err)
	}
	defaults := make(map[string]string)
	for _, m := range defaultLine.FindAllStringSubmatch(string(page), -1) {
		defaults[m[1]] = m[2]
	}
	rows := 0
	for _, cells := range tableRows(t, "../docs/security.md") {
		if len(cells) != 3 {
			continue
		}
		what, bound, where := cells[0], cells[1], cells[2]
		if m := constant.FindStringSubmatch(where); m != nil {
			rows++
			checkConstant(t, what, m[1], m[2], m[3])
			continue
		}
		name := strings.Trim(where, "`")
		if name == where {
			continue
		}
		rows++
		value, ok := defaults[name]
		first := strings.FieldsFunc(bound, func(r rune) bool { return r == ' ' || r == ',' })[0]
		if !ok || value != first {
			t.Errorf("%s: the page says %q, the default of %s is %q", what, bound, name, value)
		}
	}
	if rows < 40 {
		t.Errorf("the table has %d rows that can be checked", rows)
	}
}

func checkConstant(t *testing.T, what, file, name, value string) {
	t.Helper()
	text, err := os.ReadFile("../" + file)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	want := regexp.MustCompile(`(?m)\b` + name + `\s+=\s+` + regexp.QuoteMeta(value) + `(\s|$)`)
	if !want.Match(text) {
		t.Errorf("%s: %s has no %s = %s", what, file, name, value)
	}
}
