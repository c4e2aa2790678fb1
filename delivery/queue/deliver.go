package queue

import (
	"context"
	"fmt"

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
	s.release(ctx, c, j, results[0])
	s.finish(ctx, c, j.items, results, begun)
	s.ring()
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

// release gives the place of a delivery back and judges the destination by
// how it went. When it is dead, what waits for it is deferred.
func (s *scheduler) release(ctx context.Context, c *rules, j *job, first Result) {
	now := s.q.d.Now()
	var drop []*item
	s.mu.Lock()
	st := j.site
	st.busy--
	st.last, st.next = now, now.Add(st.delay)
	s.running[j.class]--
	switch {
	case !first.Unreachable:
		st.reached(c.limits(st.name).concurrency)
	case st.unreached():
		st.dead, st.why = now.Add(c.MinBackoff), first
		drop = st.drain()
	}
	s.line(st)
	s.forget(st, now)
	s.mu.Unlock()
	results := make([]Result, len(drop))
	for i := range results {
		results[i] = suspended(first)
	}
	s.finish(ctx, c, drop, results, now)
}

// drain takes all that waits. The caller holds the lock of the scheduler.
func (s *site) drain() (all []*item) {
	for class := range s.jobs {
		for e := s.jobs[class].Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*job).items...)
		}
		s.jobs[class].Init()
	}
	return all
}
