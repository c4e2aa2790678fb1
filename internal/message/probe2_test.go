package message

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestProbeSearch(t *testing.T) {
	b, err := os.ReadFile(os.Getenv("PROBE"))
	must(t, err)
	d := startDovecot(t, [][]byte{b})
	for _, it := range strings.Split(os.Getenv("ITEMS"), ";") {
		var k, v string
		if i := strings.IndexByte(it, '"'); i > 0 {
			k, v = it[:i-1], strings.Trim(it[i:], `"`)
		} else {
			i := strings.LastIndexByte(it, ' ')
			k, v = it[:i], it[i+1:]
		}
		u, tagged := d.run("SEARCH CHARSET UTF-8 %s {%d+}\r\n%s", k, len(v), v)
		if len(u) == 0 {
			u = []string{"?"}
		}
		var key Key
		switch {
		case k == "BODY":
			key = Key{Scope: ScopeBody, Value: v}
		case k == "TEXT":
			key = Key{Scope: ScopeText, Value: v}
		case strings.HasPrefix(k, "HEADER "):
			key = Key{Scope: ScopeHeader, Field: k[7:], Value: v}
		default:
			key = Key{Scope: ScopeHeader, Field: k, Value: v}
		}
		ours := "-"
		if os.Getenv("OURS") != "" {
			hit, err := NewSearch([]Key{key}).Match(strings.NewReader(string(b)))
			must(t, err)
			ours = fmt.Sprint(hit[0])
		}
		want := fmt.Sprint(strings.Contains(u[0], "1"))
		mark := ""
		if ours != "-" && ours != want {
			mark = "<<<<<"
		}
		fmt.Printf("%-40s %v %s %s %s\n", it, want, strings.TrimSpace(tagged)[:3], ours, mark)
	}
}
