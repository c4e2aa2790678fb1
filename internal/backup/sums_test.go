package backup

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// FuzzList: a list of sums that is read is written as it was, and what is no
// list is refused.
func FuzzList(f *testing.F) {
	sum := strings.Repeat("0a", 32)
	f.Add([]byte("#12 345 6789\n" + sum + "  mail/joe/cur/1.x:2,S\n"))
	f.Add([]byte("#1 2 3\n\\" + sum + "  mail/joe/cur/a\\nb\\\\n\n"))
	f.Add([]byte("#1 2 3\n" + sum + "  ../etc/passwd\n"))
	f.Add([]byte("#1 2\n" + sum))
	f.Fuzz(func(t *testing.T, text []byte) {
		var all []entry
		if err := readList(bytes.NewReader(text), func(e entry, _ int64) error { all = append(all, e); return nil }); err != nil {
			return
		}
		var out bytes.Buffer
		for _, e := range all {
			if err := e.write(&out); err != nil {
				t.Fatal(err)
			}
		}
		i := 0
		if err := readList(&out, func(e entry, _ int64) error {
			if e != all[i] {
				t.Errorf("%+v became %+v", all[i], e)
			}
			i++
			return nil
		}); err != nil && err != io.EOF || i != len(all) {
			t.Errorf("%d of %d: %v", i, len(all), err)
		}
	})
}
