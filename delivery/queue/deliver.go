package queue

import (
	"context"
	"fmt"
	"time"

	"mailserver/internal/maillog"
)

// dispatch begins all deliveries that may begin.
func (s *scheduler) dispatch(ctx context.Context, c *rules) {
	for {
		s.mu.Lock()
		j := s.pick(c)
		s.mu.Unlock()
		if j == nil {
			return
		}
		s.work.Go(func() { s.deliver(ctx, c, j) })
	}
}

func (s *scheduler) deliver(ctx context.Context, c *rules, j *job) {
	begun := s.q.d.Now()
	rcpts := make([]*Recipient, len(j.items))
	for i, it := range j.items {
		rcpts[i] = &it.Recipient
	}
	results := s.send(ctx, j, rcpts)
	died := s.release(c, j, results[0], s.q.d.Now())
	ring(s.bell)
	s.finish(ctx, c, j.items, results, begun)
	if died != nil {
		s.suspend(ctx, c, died, suspensions(results[0], len(died)))
		s.putOff(ctx, c.putOff(j.site.name, s.q.d.Now(), results[0]))
	}
	ring(s.bell)
}

// send makes the attempt; a fault in it costs an attempt, not the server.
func (s *scheduler) send(ctx context.Context, j *job, rcpts []*Recipient) (results []Result) {
	defer func() {
		if p := recover(); p != nil {
			s.q.complain("deliver "+j.msg.ID, fmt.Errorf("panic: %v", p))
			results = make([]Result, len(rcpts))
			for i := range results {
				results[i] = Result{Status: Deferred, Enhanced: "4.3.0", Text: "internal software error", Relay: "none", Tag: maillog.ErrorMail}
			}
		}
	}()
	return s.q.d.Sender.Send(ctx, j.to, j.msg.Message, rcpts)
}

// release gives the room of a delivery back and judges the destination by
// how it went. When it is dead now, died is what waits for it, and not nil.
func (s *scheduler) release(c *rules, j *job, first Result, now time.Time) (died []*item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := j.site
	s.over(j)
	st.last, st.next = now, now.Add(st.delay)
	switch {
	case !first.Unreachable:
		st.reached(c, c.limits(st.name).concurrency)
	case st.unreached(c):
		st.bury(now.Add(c.MinBackoff), first)
		died = append([]*item{}, st.drain()...)
	}
	s.line(st)
	s.forget(st, now)
	return died
}

func suspensions(why Result, n int) []Result {
	list := make([]Result, n)
	for i := range list {
		list[i] = suspended(why)
	}
	return list
}
