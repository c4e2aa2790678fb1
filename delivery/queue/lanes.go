package queue

import "time"

// lane is a kind of delivery that has room of its own, so that no other can
// take all of it.
type lane int

// The lanes: first tries and retries, for destinations that answer and for
// those of which that is not known.
const (
	firstKnown lane = iota
	firstUnknown
	retryKnown
	retryUnknown
	lanes
)

func laneOf(class int, known bool) lane {
	l := lane(2 * class)
	if !known {
		l++
	}
	return l
}

// What takes longer than most deliveries need, or than most that go well, does
// not count in its lane any more: it hangs, which costs little but a
// connection. Of these slowShare times the limit of a lane may be under way.
const (
	slowAfter      = 2 * time.Second // not known to answer
	slowAfterKnown = 30 * time.Second
	slowShare      = 10
)

// full reports whether a lane has no room. The limit holds for destinations
// that answer, and once more for the others; within it a quarter is kept for
// first tries. postconf(5) default_process_limit
// The caller holds s.mu.
func (s *scheduler) full(l lane, limit int) bool {
	first, retry := firstKnown, retryKnown
	if l == firstUnknown || l == retryUnknown {
		first, retry = firstUnknown, retryUnknown
	}
	limit = max(limit, 1)
	return s.running[first]+s.running[retry] >= limit || l == retry && s.running[retry] >= max(limit*3/4, 1)
}

// line puts a site in the lines of those that have something to do and may.
// The caller holds s.mu.
func (s *scheduler) line(st *site) {
	free := st.free(s.q.d.Now())
	for class := range st.jobs {
		p := &st.place[class]
		want, l := st.jobs[class].Len() > 0 && free, laneOf(class, st.known)
		if p.at != nil && (!want || p.lane != l) {
			s.ready[p.lane].Remove(p.at)
			*p = place{}
		}
		if want && p.at == nil {
			*p = place{l, s.ready[l].PushBack(st)}
		}
	}
}

// pick takes the next job: one lane after the other, and in each one site after
// the other; nil if none may begin. The caller holds s.mu.
func (s *scheduler) pick(c *rules) *job {
	for range lanes {
		l := s.turn
		s.turn = (s.turn + 1) % lanes
		if e := s.ready[l].Front(); e != nil && !s.full(l, c.ProcessLimit) {
			return s.begin(e.Value.(*site), l)
		}
	}
	return nil
}

// begin takes the first job of a site in a lane. The caller holds s.mu.
func (s *scheduler) begin(st *site, l lane) *job {
	class := int(l / 2)
	j := st.jobs[class].Remove(st.jobs[class].Front()).(*job)
	j.lane, j.begun = l, s.q.d.Now()
	st.busy++
	s.running[l]++
	if st.distant {
		s.distant[j] = true
	}
	s.ready[l].Remove(st.place[class].at)
	st.place[class] = place{}
	s.line(st)
	return j
}

// over gives the room of a delivery back. The caller holds s.mu.
func (s *scheduler) over(j *job) {
	j.site.busy--
	j.site.items -= len(j.items)
	delete(s.distant, j)
	if j.slow {
		s.slow--
		j.site.slow--
	} else {
		s.running[j.lane]--
	}
}

// overlook stops counting deliveries that hang. The caller holds s.mu.
func (s *scheduler) overlook(c *rules, now time.Time) {
	for j := range s.distant {
		if s.slow >= slowShare*c.ProcessLimit {
			return
		}
		patience := slowAfterKnown
		if j.lane == firstUnknown || j.lane == retryUnknown {
			patience = slowAfter
		}
		if !j.slow && now.Sub(j.begun) >= patience {
			j.slow = true
			s.slow++
			j.site.slow++
			s.running[j.lane]--
			s.line(j.site)
		}
	}
}
