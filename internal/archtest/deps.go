package archtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Map is the deps block: rows of packages, the highest first, and what each
// package may import. Packages of the module go without its path; outside
// modules are named in full.
type Map struct {
	Row     map[string]int
	Imports map[string][]string
}

// testsLine is the entry that lists what only tests import.
const testsLine = "tests"

// ReadMap finds the deps block in a Markdown text. In it a line is
// "package: import import ...", going on in indented lines; an empty line ends
// a row.
func ReadMap(r io.Reader) (*Map, error) {
	m := &Map{Row: make(map[string]int), Imports: make(map[string][]string)}
	sc := bufio.NewScanner(r)
	inside, row, last := false, 0, ""
	for sc.Scan() {
		line := sc.Text()
		switch {
		case !inside:
			inside = line == "```deps"
			continue
		case line == "```":
			return m, nil
		case strings.TrimSpace(line) == "":
			row++
			continue
		case strings.HasPrefix(line, " "):
			if last == "" {
				return nil, fmt.Errorf("deps block: %q goes on from nothing", line)
			}
			m.Imports[last] = append(m.Imports[last], strings.Fields(line)...)
			continue
		}
		name, imports, ok := strings.Cut(line, ":")
		if _, twice := m.Row[name]; !ok || twice {
			return nil, fmt.Errorf("deps block: %q is no line of it, or stands there twice", line)
		}
		m.Row[name], last = row, name
		m.Imports[name] = strings.Fields(imports)
	}
	return nil, errors.Join(errors.New("the text holds no whole deps block"), sc.Err())
}

// mayImport says whether rows allow from to import to at all: what stands in a
// lower row, its own rooms, and one another within internal/.
func (m *Map) mayImport(from, to string) bool {
	if m.Row[from] < m.Row[to] || strings.HasPrefix(to, from+"/") {
		return true
	}
	return m.Row[from] == m.Row[to] && strings.HasPrefix(from, "internal/") && strings.HasPrefix(to, "internal/")
}
