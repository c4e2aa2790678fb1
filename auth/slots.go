package auth

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

const (
	// slotWait bounds how long a log-in waits for its turn: less than clients
	// wait for an answer.
	slotWait = 20 * time.Second
	// maxWaiting bounds how many wait.
	maxWaiting = 200
	// givesBack is the size, in bytes, from which the memory of a verification
	// is handed back to the system before the next one has its turn: the
	// collector alone would let two of them lie about.
	givesBack = 4 << 20
)

var errBusy = errors.New("too many log-ins at once")

// slots bounds how many passwords are verified at once and the memory they
// take together. Those who wait are served in order.
type slots struct {
	mu        sync.Mutex // guards all
	running   int
	strangers int // of those, who are not first
	memory    int64
	waiting   []*turn
}

type turn struct {
	need    int64
	limit   limits
	first   bool // before those that are not
	granted chan struct{}
}

// limits are those of the settings when the turn was asked for.
type limits struct {
	running int
	memory  int64
}

// take waits for a turn to use need bytes. More than the limit gets its turn
// alone. The returned function ends the turn.
func (s *slots) take(ctx context.Context, need int64, limit limits, first bool) (release func(), err error) {
	t := &turn{need: min(need, limit.memory), limit: limit, first: first, granted: make(chan struct{})}
	s.mu.Lock()
	switch {
	case len(s.waiting) >= maxWaiting && !first, len(s.waiting) >= 2*maxWaiting:
		s.mu.Unlock()
		return nil, errBusy
	default:
		s.waiting = slices.Insert(s.waiting, s.place(first), t)
		s.serve()
	}
	s.mu.Unlock()
	timer := time.NewTimer(slotWait)
	defer timer.Stop()
	select {
	case <-t.granted:
		return func() { s.release(t) }, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errBusy
	}
	s.leave(t)
	return nil, err
}

// place is where in the queue a turn belongs. It runs with mu held.
func (s *slots) place(first bool) int {
	at := len(s.waiting)
	for first && at > 0 && !s.waiting[at-1].first {
		at--
	}
	return at
}

// fits and grant run with mu held.
//
// Strangers leave one place free, if there are two: whatever they guess, a
// known user does not wait for them.
func (s *slots) fits(t *turn) bool {
	if !t.first && s.strangers >= max(t.limit.running-1, 1) {
		return false
	}
	return s.running < max(t.limit.running, 1) && s.memory+t.need <= t.limit.memory
}

func (s *slots) grant(t *turn) {
	s.running++
	if !t.first {
		s.strangers++
	}
	s.memory += t.need
	close(t.granted)
}

// leave gives up waiting; a turn that was granted meanwhile is ended.
func (s *slots) leave(t *turn) {
	s.mu.Lock()
	for i, w := range s.waiting {
		if w == t {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			s.serve() // who stood behind may fit now
			s.mu.Unlock()
			return
		}
	}
	s.mu.Unlock()
	s.release(t)
}

func (s *slots) release(t *turn) {
	if t.need >= givesBack {
		debug.FreeOSMemory()
	}
	s.mu.Lock()
	s.running--
	if !t.first {
		s.strangers--
	}
	s.memory -= t.need
	s.serve()
	s.mu.Unlock()
}

// serve grants the turns at the head of the queue that fit. It runs with mu held.
func (s *slots) serve() {
	for len(s.waiting) > 0 && s.fits(s.waiting[0]) {
		s.grant(s.waiting[0])
		s.waiting = s.waiting[1:]
	}
}
