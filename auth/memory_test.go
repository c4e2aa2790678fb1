package auth

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/internal/memtest"
)

// TestGuessesDoNotTakeTheMemory holds that a flood of guesses at a hash of
// 64 MiB, as doveadm makes it, needs the memory of one.
func TestGuessesDoNotTakeTheMemory(t *testing.T) {
	if testing.Short() || memtest.Race {
		t.Skip("takes seconds; the race detector multiplies memory")
	}
	s, path := newService(t, nil)
	for _, v := range storedLines(t) {
		if strings.Contains(v[2], "$m=65536,") {
			other(t, path, "UPDATE VMailbox SET vmPasswd = '"+v[2]+"' WHERE vmNum = 1")
		}
	}
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak begins here
		t.Skip(err)
	}
	before := memory(t, "VmRSS:")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			err := ErrUnavailable // as long as others take their turns on a busy machine
			for end := time.Now().Add(5 * time.Minute); errors.Is(err, ErrUnavailable) && time.Now().Before(end); {
				_, err = s.Plain(context.Background(), Client{}, "ann@box.example", fmt.Sprint("guess", i))
			}
			if err != ErrBadCredentials {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	memtest.AtMost(t, "KiB at most", before+90<<10, memory(t, "VmHWM:"))
	memtest.Settles(t, "KiB resident afterwards", before+16<<10, func() int64 { return memory(t, "VmRSS:") })
}

// memory reads a line of /proc/self/status, in KiB.
func memory(t *testing.T, name string) int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here")
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(in.Text(), name+" %d kB", &kib); n == 1 {
			return kib
		}
	}
	t.Skip("no " + name)
	return 0
}
