package test

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// citation is "RFC 5321 §2.1", or several: "RFC 5258, 5819 and 6154".
var citation = regexp.MustCompile(`RFC (\d{3,5})((?:, \d{3,5})*(?: and \d{3,5})?)`)

var number = regexp.MustCompile(`\d+`)

// TestRFCTable holds docs/rfc.md to the sources: an RFC that a source cites has
// a row that does not say "not", and a row that claims something names files
// that cite it.
func TestRFCTable(t *testing.T) {
	cited := citations(t)
	rows := make(map[string]bool)
	for _, cells := range tableRows(t, "../docs/rfc.md") {
		if len(cells) != 4 || !number.MatchString(cells[0]) {
			continue
		}
		rfc, status, files := cells[0], cells[2], strings.Fields(cells[3])
		if rows[rfc] {
			t.Errorf("RFC %s has two rows", rfc)
		}
		rows[rfc] = true
		done := status == "complete" || strings.HasPrefix(status, "partly: ")
		switch {
		case !done && status != "not" && !strings.HasPrefix(status, "not: "):
			t.Errorf("RFC %s: status %q", rfc, status)
		case !done && (len(files) > 0 || len(cited[rfc]) > 0):
			t.Errorf("RFC %s is said not to be there, and is cited in %v", rfc, cited[rfc])
		case done && len(files) == 0:
			t.Errorf("RFC %s: the row names no file", rfc)
		}
		for _, f := range files {
			if !slices.Contains(cited[rfc], f) {
				t.Errorf("RFC %s: %s does not cite it; these do: %v", rfc, f, cited[rfc])
			}
		}
	}
	for _, rfc := range slices.Sorted(maps.Keys(cited)) {
		if !rows[rfc] {
			t.Errorf("RFC %s has no row; it is cited in %v", rfc, cited[rfc])
		}
	}
}

// citations returns the files that cite each RFC.
func citations(t *testing.T) map[string][]string {
	t.Helper()
	cited := make(map[string][]string)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		name := strings.TrimPrefix(filepath.ToSlash(path), "../")
		for _, m := range citation.FindAllString(string(text), -1) {
			for _, rfc := range number.FindAllString(m, -1) {
				if !slices.Contains(cited[rfc], name) {
					cited[rfc] = append(cited[rfc], name)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return cited
}

// tableRows returns the cells of all rows of the tables on a page.
func tableRows(t *testing.T, page string) [][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || !strings.HasSuffix(line, "|") {
			continue
		}
		cells := strings.Split(line[1:len(line)-1], "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// TestCommandPage holds docs/man/mailserver.8.md to the commands of the
// program: every command has its heading there with its arguments and every
// flag its word below it, and no other.
func TestCommandPage(t *testing.T) {
	page, err := os.ReadFile("../docs/man/mailserver.8.md")
	if err != nil {
		t.Fatal(err)
	}
	written := make(map[string]string) // heading: text below it
	for _, part := range strings.Split(string(page), "\n### mailserver ")[1:] {
		head, body, _ := strings.Cut(part, "\n")
		body, _, _ = strings.Cut(body, "\n## ")
		written[head] = body
	}
	known := make(map[string]bool)
	for _, head := range commandLines(help(t)) {
		known[head] = true
		body, ok := written[head]
		if !ok {
			t.Errorf("no heading \"### mailserver %s\"", head)
			continue
		}
		compareFlags(t, head, body, help(t, commandName(head)...))
	}
	for head := range written {
		if !known[head] {
			t.Errorf("there is no command %q", head)
		}
	}
}

func help(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, append([]string{"help"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("help %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// usageWidth is the width of the first column of "mailserver help".
const usageWidth = 46

// commandLines returns "domain add NAME --class CLASS" for each line of the help.
func commandLines(help string) []string {
	var list []string
	for line := range strings.Lines(help) {
		rest, ok := strings.CutPrefix(line, "  ")
		if !ok || len(rest) < usageWidth || strings.HasPrefix(rest, "mailserver COMMAND") {
			continue
		}
		list = append(list, strings.TrimSpace(rest[:usageWidth]))
	}
	return list
}

// commandName is the noun and verb that a usage line begins with.
func commandName(usage string) []string {
	var name []string
	for _, w := range strings.Fields(usage) {
		if w != strings.ToLower(w) || strings.ContainsAny(w[:1], "-[{") || len(name) == 2 {
			break
		}
		name = append(name, w)
	}
	return name
}

var flagWord = regexp.MustCompile("`--?([A-Za-z][a-z-]*)")

func compareFlags(t *testing.T, head, body, help string) {
	t.Helper()
	has := make(map[string]bool)
	for line := range strings.Lines(help) {
		if f, ok := strings.CutPrefix(line, "    --"); ok && !strings.HasPrefix(f, "data ") {
			has[strings.Fields(f)[0]] = true
		}
	}
	said := make(map[string]bool)
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "- ") {
			continue
		}
		for _, m := range flagWord.FindAllStringSubmatch(strings.SplitN(line, ":", 2)[0], -1) {
			said[m[1]] = true
			if !has[m[1]] {
				t.Errorf("%s: there is no flag --%s", head, m[1])
			}
		}
	}
	for f := range has {
		if !said[f] {
			t.Errorf("%s: the flag --%s is not on the page", head, f)
		}
	}
}

var defaultLine = regexp.MustCompile("(?m)^\\*\\*(\\S+)\\*\\* \\([a-z/]+, (?:default `(.*)`|(empty))\\)$")

// TestSettingsPageAgreesWithTheProgram: "config list -d" prints what the page
// says.
func TestSettingsPageAgreesWithTheProgram(t *testing.T) {
	page, err := os.ReadFile("../docs/man/mailserver.conf.5.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range defaultLine.FindAllStringSubmatch(string(page), -1) {
		want = append(want, strings.TrimRight(m[1]+" = "+m[2], " "))
	}
	slices.Sort(want)
	got := strings.Split(strings.TrimSpace(sampleHost(t, "").mustRun("config", "list", "-d")), "\n")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		for _, line := range got {
			if !slices.Contains(want, line) {
				t.Errorf("the program: %s", line)
			}
		}
		for _, line := range want {
			if !slices.Contains(got, line) {
				t.Errorf("the page: %s", line)
			}
		}
	}
}
