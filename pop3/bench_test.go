package pop3_test

import (
	"fmt"
	"strings"
	"testing"

	"mailserver/internal/testenv"
	"mailserver/pop3"
)

// BenchmarkRETR fetches messages of 5 KB one after the other, waiting for each.
func BenchmarkRETR(b *testing.B) {
	h := open(b, pop3.ListenerOptions{}, map[string]string{"pop3_no_flag_updates": "yes"})
	const n = 2000
	for i := range n {
		h.put(testenv.Section{Path: joe + "/INBOX", Text: fmt.Sprintf("Subject: %d\n\n%s", i, strings.Repeat("a line of some words\n", 240))})
	}
	c := h.login()
	b.ResetTimer()
	for i := range b.N {
		c.Send(fmt.Sprintf("RETR %d", i%n+1))
		for {
			line, err := c.R.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if len(line) == 3 && line[0] == '.' {
				break
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "RETR/s")
}
