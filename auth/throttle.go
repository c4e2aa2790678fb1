package auth

import (
	"sync"
	"time"
)

// A counter of wrong guesses halves in this time.
const halfLife = 10 * time.Minute

// counterSize is the memory, in bytes, that one counter takes.
const counterSize = 160

// rule is how one kind of counter holds attempts off.
type rule struct {
	// free is how many wrong guesses cost nothing: people mistype.
	free int
	// queue makes attempts wait for one another, and refuses those that would
	// wait too long. Without it an attempt only waits, so that nobody is
	// locked out by what others do.
	queue bool
}

var (
	byAddress = rule{free: 5, queue: true}
	byPair    = rule{free: 5, queue: true} // a user at an address that he has come from
	byNetwork = rule{free: 20}
	byAccount = rule{free: 10}
)

// counter is what is remembered of an address, a network or an account.
type counter struct {
	score   int
	since   time.Time // when score was halved last
	next    time.Time // when the next attempt may begin
	guesses [6]uint64 // the last ones that were counted
	at      uint8     // where the next one goes
}

// throttle counts wrong guesses. Of two halves, the older is dropped when the
// newer is full, so its memory is bounded.
type throttle struct {
	mu       sync.Mutex // guards all
	now, old map[uint64]*counter
}

// get returns the counter of a key. It runs with mu held.
func (t *throttle) get(key uint64, now time.Time, size int64) *counter {
	c, ok := t.now[key]
	if !ok {
		if len(t.now) >= max(int(size/counterSize/2), 1) {
			t.old, t.now = t.now, nil
		}
		if t.now == nil {
			t.now = make(map[uint64]*counter)
		}
		if c, ok = t.old[key]; !ok {
			c = &counter{since: now}
		}
		t.now[key] = c
	}
	for c.score > 0 && now.Sub(c.since) >= halfLife {
		c.score /= 2
		c.since = c.since.Add(halfLife)
	}
	if c.score == 0 {
		c.since = now
	}
	return c
}

// charge counts an attempt before it is decided, so that a hundred at once are
// a hundred. wait is how long it is held off; ok is false when that is longer
// than most. earlier says that there were wrong guesses before, charged
// whether refund has something to give back: the same wrong password again is
// no new guess.
func (t *throttle) charge(key uint64, r rule, guess uint64, now time.Time, most time.Duration, size int64) (wait time.Duration, earlier, charged, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.get(key, now, size)
	delay := r.delay(c.score, most)
	earlier = c.score > 0
	if r.queue {
		wait = max(c.next.Sub(now), 0)
		if wait > most {
			return wait, earlier, false, false
		}
		c.next = now.Add(wait + delay)
	} else {
		wait = delay
	}
	if guess != 0 {
		for _, g := range c.guesses {
			if g == guess {
				return wait, earlier, false, true
			}
		}
		c.guesses[c.at] = guess
		c.at = (c.at + 1) % uint8(len(c.guesses))
	}
	c.score++
	return wait, earlier, true, true
}

// delay doubles with each guess that is not free.
func (r rule) delay(score int, most time.Duration) time.Duration {
	over := score - r.free
	if over < 0 {
		return 0
	}
	return min(time.Second<<min(over, 10), most)
}

// refund takes a charge back: it was no wrong guess.
func (t *throttle) refund(key, guess uint64, now time.Time, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.get(key, now, size)
	c.score = max(c.score-1, 0)
	if c.score == 0 {
		c.next = time.Time{}
	}
	for i := range c.guesses {
		if c.guesses[i] == guess {
			c.guesses[i] = 0
		}
	}
}

// reached reports whether a counter has come to limit, and begins it anew.
func (t *throttle) reached(key uint64, limit int, now time.Time, size int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.get(key, now, size)
	if limit <= 0 || c.score < limit {
		return false
	}
	*c = counter{since: now}
	return true
}
