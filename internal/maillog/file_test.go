package maillog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLinesAreWrittenSoon: nobody waits for the log longer than fileWait, nor
// does it grow in memory.
func TestLinesAreWrittenSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	synctest.Test(t, func(t *testing.T) {
		f, err := OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := func() string {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		for range 3 {
			f.Write([]byte("line\n"))
		}
		time.Sleep(fileWait)
		synctest.Wait()
		if got := text(); got != "line\nline\nline\n" {
			t.Errorf("after %s: %q", fileWait, got)
		}
		f.Write([]byte("again\n"))
		time.Sleep(fileWait)
		synctest.Wait()
		if got := text(); !strings.HasSuffix(got, "again\n") {
			t.Errorf("the second time: %q", got)
		}
		f.Write([]byte(strings.Repeat("x", fileBuffer-1) + "\n"))
		if got := text(); !strings.HasSuffix(got, "x\n") {
			t.Error("a full buffer is not written at once")
		}
		f.Write([]byte("last\n"))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if got := text(); !strings.HasSuffix(got, "x\nlast\n") {
			t.Error("Close did not write what waited")
		}
	})
}
