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
	// maxWaiting bounds how many strangers wait; of those who have guessed
	// wrong lately half as many, of known users twice.
	maxWaiting = 200
	// guessBurst is for how long guesses may have had the share of the
	// processor that they did not use before.
	guessBurst = 2 * time.Second
	// givesBack is the size, in bytes, from which the memory of a verification
	// is handed back to the system before the next one has its turn: the
	// collector alone would let two of them lie about.
	givesBack = 4 << 20
)

var errBusy = errors.New("too many log-ins at once")

// lane is who has the next turn: all of the first lane before all others.
type lane int

const (
	known    lane = iota // has logged in from there before
	met                  // has logged in before, and nothing is known of the place
	stranger             // nothing is known
	suspect              // wrong passwords have come from the place lately
)

var mostWaiting = [...]int{known: 3 * maxWaiting, met: 2 * maxWaiting, stranger: maxWaiting, suspect: maxWaiting / 2}

// slots bounds how many passwords are verified at once, the memory they take
// together, and the share of the processor that wrong ones of strangers take.
// In a lane, networks take turns.
type slots struct {
	stop <-chan struct{} // closed when nobody is to wait any more; nil: never

	mu        sync.Mutex // guards all
	running   int
	strangers int // of those, who are not known
	memory    int64
	waiting   []*turn

	figures Figures
	credit  time.Duration // what wrong passwords of strangers may still take
	filled  time.Time     // when credit was counted last
	timer   *time.Timer   // serves when there is credit again; nil: none is set
}

type turn struct {
	need    int64
	limit   limits
	lane    lane
	net     string // that takes turns with others; '' all those together
	rank    int    // how many of net stood before it
	since   time.Time
	granted chan struct{}
}

// limits are those of the settings when the turn was asked for.
type limits struct {
	running int
	memory  int64
	// guesses is the share of one processor, in percent, for wrong passwords
	// of strangers; 0: any.
	guesses int
}

// take waits for a turn to use need bytes. More than the limit gets its turn
// alone. The returned function ends the turn; wrong says that it was used for
// a wrong password.
func (s *slots) take(ctx context.Context, need int64, limit limits, l lane, net string) (release func(wrong bool), err error) {
	t := &turn{need: min(need, limit.memory), limit: limit, lane: l, net: net, granted: make(chan struct{})}
	s.mu.Lock()
	if len(s.waiting) >= mostWaiting[l] {
		s.mu.Unlock()
		return nil, errBusy
	}
	s.waiting = slices.Insert(s.waiting, s.place(t), t)
	s.serve()
	s.mu.Unlock()
	timer := time.NewTimer(slotWait)
	defer timer.Stop()
	select {
	case <-t.granted:
		return func(wrong bool) { s.release(t, wrong) }, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errBusy
	case <-s.stop:
		err = errStopping
	}
	s.leave(t)
	return nil, err
}

// place is where in the queue a turn belongs. It runs with mu held.
func (s *slots) place(t *turn) int {
	for _, w := range s.waiting {
		if w.lane == t.lane && w.net == t.net {
			t.rank++
		}
	}
	at := len(s.waiting)
	for at > 0 && (s.waiting[at-1].lane > t.lane || s.waiting[at-1].lane == t.lane && s.waiting[at-1].rank > t.rank) {
		at--
	}
	return at
}

// fits, fill and grant run with mu held.
//
// Strangers leave one place free, if there are two: whatever they guess, a
// known user does not wait for them.
func (s *slots) fits(t *turn) bool {
	if t.lane != known {
		if s.strangers >= max(t.limit.running-1, 1) {
			return false
		}
		if t.limit.guesses > 0 && !s.fill(t.limit.guesses) {
			return false
		}
	}
	return s.running < max(t.limit.running, 1) && s.memory+t.need <= t.limit.memory
}

// fill counts the credit that has grown since, and reports whether there is
// any. Without, it sees to it that those who wait are served when there is.
func (s *slots) fill(percent int) bool {
	now := time.Now()
	share := func(d time.Duration) time.Duration { return d * time.Duration(percent) / 100 }
	s.credit = min(s.credit+share(now.Sub(s.filled)), share(guessBurst))
	if s.filled.IsZero() {
		s.credit = share(guessBurst)
	}
	s.filled = now
	if s.credit > 0 {
		return true
	}
	if s.timer == nil {
		s.timer = time.AfterFunc((-s.credit+time.Millisecond)*100/time.Duration(percent), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.timer = nil
			s.serve()
		})
	}
	return false
}

func (s *slots) grant(t *turn) {
	s.running++
	if t.lane != known {
		s.strangers++
	}
	s.memory += t.need
	t.since = time.Now()
	close(t.granted)
}

// leave gives up waiting; a turn that was granted meanwhile is ended.
func (s *slots) leave(t *turn) {
	s.mu.Lock()
	if i := slices.Index(s.waiting, t); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		s.serve() // who stood behind may fit now
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()
	s.release(t, false)
}

// release ends a turn. Much memory goes back to the system first, which takes
// milliseconds; a right password does not wait for that.
func (s *slots) release(t *turn, wrong bool) {
	took := time.Since(t.since)
	big := t.need >= givesBack
	if big && wrong {
		debug.FreeOSMemory()
		big = false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	s.figures.count(t.lane, wrong, took)
	if t.lane != known {
		s.strangers--
		if wrong && t.limit.guesses > 0 {
			s.credit -= took
		}
	}
	if big {
		go func() { // ends by itself
			debug.FreeOSMemory()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.memory -= t.need
			s.serve()
		}()
	} else {
		s.memory -= t.need
	}
	s.serve()
}

// serve grants the turns at the head of the queue that fit. It runs with mu held.
func (s *slots) serve() {
	for len(s.waiting) > 0 && s.fits(s.waiting[0]) {
		s.grant(s.waiting[0])
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
	}
}
