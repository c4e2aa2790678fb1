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
	jobs  [2]list.List // of *job
	place [2]place
	items int // in jobs and under way
	busy  int // deliveries under way
	slow  int // of them, those that hang

	distant bool // another host, which may not answer
	// known is set while the last word from the destination was an answer. One
	// that is not distant is always known.
	known bool
	// window is how many deliveries may be under way.
	window           float64
	most             int       // deliveries under way, whatever the window; 0 any
	success, failure float64   // feedback that has not moved the window yet
	failed           float64   // cohorts of failures in a row
	dead             time.Time // until then nothing is tried; zero: alive
	why              Result    // of dead
	epoch            int       // of the last flush that revived it
	last             time.Time // when a delivery ended last
	delay            time.Duration
	next             time.Time // when the next may begin, if there is a delay
}

// place is where a site stands in line; the zero value: nowhere.
type place struct {
	lane lane
	at   *list.Element
}

// job is one delivery: recipients of one message at one site.
type job struct {
	msg   *active
	to    Target
	site  *site
	items []*item
	class int // 0 first try, 1 retry

	lane  lane // whose room it takes
	begun time.Time
	slow  bool // does not count in its lane any more
}

// retryWindow bounds the window of a destination about which only is known
// that mail for it has waited before.
const retryWindow = 2

// rounding is the error of a sum of shares such as five fifths.
const rounding = 1e-9

// reached notes that the destination answered.
// postconf(5) default_destination_concurrency_positive_feedback
func (s *site) reached(c *rules, limit int) {
	s.failed, s.dead, s.known = 0, time.Time{}, true
	for s.success += c.positive.of(s.window); s.success > 1-rounding; s.success-- {
		s.window = min(s.window+1, float64(max(limit, 1)))
		s.failure = 0
	}
}

// unreached notes that the destination did not answer, and reports whether it
// is dead now. postconf(5) default_destination_concurrency_negative_feedback,
// default_destination_concurrency_failed_cohort_limit
func (s *site) unreached(c *rules) (dead bool) {
	s.known = !s.distant
	s.failed += 1 / s.window
	if c.FailedCohorts > 0 && s.failed > float64(c.FailedCohorts)-rounding {
		return true
	}
	for s.failure -= c.negative.of(s.window); s.failure < -rounding; s.failure++ {
		s.window = max(s.window-1, 1)
		s.success = 0
	}
	return false
}

// bury leaves a destination alone until then.
func (s *site) bury(until time.Time, why Result) {
	s.dead, s.why = until, why
	s.failed, s.success, s.failure = 0, 0, 0
	s.window = min(s.window, retryWindow)
}

// free reports whether one more delivery may begin.
func (s *site) free(now time.Time) bool {
	if s.delay > 0 {
		return s.busy == 0 && !s.next.After(now)
	}
	if !s.known && s.slow > 0 {
		return false
	}
	return s.busy < int(s.window) && (s.most <= 0 || s.busy < s.most)
}

func (s *site) idle() bool {
	return s.busy == 0 && s.jobs[0].Len() == 0 && s.jobs[1].Len() == 0
}

// site returns the site of a target. The caller holds s.mu.
func (s *scheduler) site(to Target, c *rules, class int) *site {
	name := to.Site()
	own := c.limits(name)
	st, ok := s.sites[name]
	if !ok {
		window := min(c.InitialConcurrency, own.concurrency)
		if class == 1 && to.Distant() {
			window = min(window, retryWindow)
		}
		st = &site{name: name, window: float64(max(1, window)), distant: to.Distant(), known: !to.Distant()}
		s.sites[name] = st
	}
	st.delay = own.delay
	return st
}

// drain takes all that waits. The caller holds the lock of the scheduler.
func (s *site) drain() (all []*item) {
	for class := range s.jobs {
		for e := s.jobs[class].Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*job).items...)
		}
		s.jobs[class].Init()
	}
	s.items -= len(all)
	return all
}

// forget drops a site with nothing to do, unless what was learned of it lately
// is of use. The caller holds s.mu.
func (s *scheduler) forget(st *site, now time.Time) {
	if !st.idle() || st.next.After(now) || st.dead.After(now) {
		return
	}
	if now.Sub(st.last) > siteMemory || st.failed == 0 && (!st.distant || len(s.sites) > rememberMost) {
		delete(s.sites, st.name)
	}
}

const (
	siteMemory   = 5 * time.Minute // how long a destination without mail is remembered
	rememberMost = 1000            // of those that answer
)
