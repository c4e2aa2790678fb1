package message

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestProbe(t *testing.T) {
	b, err := os.ReadFile(os.Getenv("PROBE"))
	must(t, err)
	d := startDovecot(t, [][]byte{b})
	for _, it := range strings.Split(os.Getenv("ITEMS"), ";") {
		u, tagged := d.run("FETCH 1 (%s)", it)
		fmt.Printf("%-40s %q %q\n", it, u, strings.TrimSpace(tagged))
	}
}
