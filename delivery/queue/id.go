package queue

import (
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// idDigits are the characters of a long queue ID, in the order of their bytes,
// so that IDs sort by time: no vowels, hence no words. The part after the "z"
// has no "z". postconf(5) enable_long_queue_ids
const idDigits = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"

// ids makes queue IDs: six digits of seconds, four of microseconds, "z", four
// at random, so that two programs on one spool do not meet.
type ids struct {
	rand io.Reader // nil: crypto/rand

	mu   sync.Mutex
	last int64 // microseconds of the last ID; guarded by mu
}

func (g *ids) next(now time.Time) (string, error) {
	g.mu.Lock()
	us := max(now.UnixMicro(), g.last+1)
	g.last = us
	g.mu.Unlock()
	src := g.rand
	if src == nil {
		src = rand.Reader
	}
	var tail [4]byte
	if _, err := io.ReadFull(src, tail[:]); err != nil {
		return "", fmt.Errorf("make queue ID: %w", err)
	}
	b := make([]byte, 0, 15)
	b = appendDigits(b, us/1e6, 6)
	b = appendDigits(b, us%1e6, 4)
	b = append(b, 'z')
	for _, c := range tail {
		b = append(b, idDigits[c%51])
	}
	return string(b), nil
}

func appendDigits(b []byte, n int64, width int) []byte {
	start := len(b)
	for range width {
		b = append(b, '0')
	}
	for i := start + width - 1; i >= start; i-- {
		b[i] = idDigits[n%52]
		n /= 52
	}
	return b
}

// Arrival is the time that an ID was made at, to the microsecond.
func Arrival(id string) (time.Time, bool) {
	if len(id) < 12 || id[10] != 'z' {
		return time.Time{}, false
	}
	sec, ok1 := parseDigits(id[:6])
	us, ok2 := parseDigits(id[6:10])
	return time.Unix(sec, us*1000), ok1 && ok2
}

func parseDigits(s string) (n int64, ok bool) {
	for _, c := range s {
		i := strings.IndexRune(idDigits, c)
		if i < 0 {
			return 0, false
		}
		n = n*52 + int64(i)
	}
	return n, true
}
