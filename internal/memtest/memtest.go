// Package memtest holds programs of tests to what they promise to need in
// memory. What is promised is a state that is reached, not an instant: buffers
// go back to their pools, stacks shrink and the collector runs when they do.
// Under the race detector, which multiplies memory and drops what pools hold
// at random, nothing is promised.
package memtest

import (
	"runtime"
	"testing"
	"time"
)

// patience is how long a test waits for memory to be given back.
const patience = 2 * time.Minute

// Heap is the number of bytes in use on the heap after everything has been
// collected, what pools held included.
func Heap() int64 {
	m := collected()
	return int64(m.HeapAlloc)
}

// HeapAndStacks is Heap with the stacks of goroutines.
func HeapAndStacks() int64 {
	m := collected()
	return int64(m.HeapAlloc + m.StackInuse)
}

func collected() (m runtime.MemStats) {
	for range 8 { // stacks shrink by half each time, pools need two
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}

// Settles waits until what is at most most, both in the unit that the test
// chooses, and fails after two minutes.
func Settles(t testing.TB, what string, most int64, figure func() int64) {
	t.Helper()
	got := figure()
	for end := time.Now().Add(patience); got > most && !Race && time.Now().Before(end); got = figure() {
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("%s: %d", what, got)
	if got > most && !Race {
		t.Errorf("%s: %d, more than %d", what, got, most)
	}
}

// AtMost fails if what is more than most, except under the race detector. It is
// for all that was ever allocated, and for peaks.
func AtMost(t testing.TB, what string, most, got int64) {
	t.Helper()
	t.Logf("%s: %d", what, got)
	if got > most && !Race {
		t.Errorf("%s: %d, more than %d", what, got, most)
	}
}
