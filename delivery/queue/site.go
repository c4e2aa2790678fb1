package queue

import (
	"container/list"
	"time"
)

// site is a destination: what waits for it, and how much it bears.
type site struct {
	name string
	// jobs wait, first tries and retries apart, so that mail for hosts that
	// have failed before never stands in the way of new mail.
	jobs  [2]list.List     // of *job
	place [2]*list.Element // in scheduler.ready; nil: not there
	busy  int              // deliveries under way
	// window is how many deliveries may be under way; it grows and shrinks by
	// 1/window as they reach the host or not.
	// postconf(5) default_destination_concurrency_positive_feedback
	window float64
	most   int           // deliveries under way, whatever the window; 0 any
	failed float64       // cohorts of failures in a row
	dead   time.Time     // until then nothing is tried; zero: alive
	last   time.Time     // when a delivery ended last
	why    Result        // of dead
	delay  time.Duration // between deliveries; 0 none
	next   time.Time     // when the next may begin, if there is a delay
}

// job is one delivery: recipients of one message at one site.
type job struct {
	msg   *active
	to    Target
	site  *site
	items []*item
	class int // 0 first try, 1 retry
}

// failedCohorts is how many in a row make a destination dead.
// postconf(5) default_destination_concurrency_failed_cohort_limit
const failedCohorts = 1

// reached notes that the destination answered.
func (s *site) reached(limit int) {
	s.failed = 0
	s.dead = time.Time{}
	s.window = min(s.window+1/s.window, float64(max(limit, 1)))
}

// unreached notes that the destination did not answer, and reports whether it
// is dead now.
func (s *site) unreached() bool {
	s.failed += 1 / s.window
	s.window = max(s.window-1/s.window, 1)
	return s.failed >= failedCohorts
}

// free reports whether one more delivery may begin.
func (s *site) free(now time.Time) bool {
	if s.delay > 0 {
		return s.busy == 0 && !s.next.After(now)
	}
	return s.busy < int(s.window) && (s.most <= 0 || s.busy < s.most)
}

func (s *site) idle() bool {
	return s.busy == 0 && s.jobs[0].Len() == 0 && s.jobs[1].Len() == 0
}

// site returns the site of that name. The caller holds s.mu.
func (s *scheduler) site(name string, c *rules) *site {
	st, ok := s.sites[name]
	own := c.limits(name)
	if !ok {
		st = &site{name: name, window: float64(max(1, min(c.InitialConcurrency, own.concurrency)))}
		s.sites[name] = st
	}
	st.delay = own.delay
	return st
}

// line puts a site in the rings of those that have something to do and may.
// The caller holds s.mu.
func (s *scheduler) line(st *site) {
	for class := range st.jobs {
		want := st.jobs[class].Len() > 0 && st.free(s.q.d.Now())
		switch {
		case want && st.place[class] == nil:
			st.place[class] = s.ready[class].PushBack(st)
		case !want && st.place[class] != nil:
			s.ready[class].Remove(st.place[class])
			st.place[class] = nil
		}
	}
}

// pick takes the next job, one site after the other; nil if none may begin.
// Retries get at most half of the deliveries. The caller holds s.mu.
func (s *scheduler) pick(c *rules) *job {
	if s.running[0]+s.running[1] >= max(c.ProcessLimit, 1) {
		return nil
	}
	class := 0
	if s.turn || s.ready[0].Len() == 0 {
		class = 1
	}
	if class == 1 && (s.ready[1].Len() == 0 || s.running[1] >= max(c.ProcessLimit/2, 1)) {
		class = 0
	}
	e := s.ready[class].Front()
	if e == nil {
		return nil
	}
	s.turn = !s.turn
	st := e.Value.(*site)
	j := st.jobs[class].Remove(st.jobs[class].Front()).(*job)
	st.busy++
	s.running[class]++
	s.ready[class].Remove(e)
	st.place[class] = nil
	s.line(st)
	return j
}

// forget drops a site with nothing to do, unless it failed lately. The caller
// holds s.mu.
func (s *scheduler) forget(st *site, now time.Time) {
	if st.idle() && !st.next.After(now) && !st.dead.After(now) && (st.failed == 0 || now.Sub(st.last) > failureMemory) {
		delete(s.sites, st.name)
	}
}

// failureMemory is how long a failure counts against a site that has nothing
// to do.
const failureMemory = 5 * time.Minute
