package message

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProbe(t *testing.T) {
	var ms [][]byte
	fs, _ := filepath.Glob(os.Getenv("PROBE"))
	for _, f := range fs {
		b, err := os.ReadFile(f)
		must(t, err)
		ms = append(ms, b)
	}
	for i := range ms {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			d := startDovecot(t, ms[i:i+1])
			for _, it := range strings.Split(os.Getenv("ITEMS"), ";") {
				u, tagged := d.run("FETCH %d (%s)", 1, it)
				_, body, _ := strings.Cut(string(ms[i]), "\n\n")
				fmt.Printf("%-4d %-30q %-10s %q %q\n", i+1, body, it, u, strings.TrimSpace(tagged))
			}
		})
	}
}
