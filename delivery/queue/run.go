package queue

import (
	"context"
	"sync"
	"time"

	"mailserver/schema"
)

// grace is how long deliveries under way may go on when the server stops.
const grace = 5 * time.Second

// Run works the queue until ctx ends, then waits a little for deliveries under
// way.
func (q *Queue) Run(ctx context.Context) error {
	s := q.sched
	start := q.d.Now()
	if err := q.waitAgain(ctx, start); err != nil {
		return err
	}
	s.mu.Lock()
	s.on, s.stale, s.begun = true, true, start
	s.mu.Unlock()

	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	r := &run{s: s, start: start}
	var loops sync.WaitGroup
	loops.Go(func() {
		if err := q.clean(ctx); err != nil && ctx.Err() == nil {
			q.complain("clean spool", err)
		}
	})
	loops.Go(func() { s.serve(ctx, s.tell, work, r.old) })
	s.serve(ctx, s.bell, work, r.fresh)
	loops.Wait()
	s.mu.Lock()
	s.on = false
	s.mu.Unlock()
	s.work.Wait()
	return q.waitAgain(context.WithoutCancel(ctx), start)
}

func (q *Queue) waitAgain(ctx context.Context, now time.Time) error {
	return q.d.State.Write(ctx, func(t *schema.Tx) error { return t.QueueWaitAgain(now) })
}

// serve repeats what a loop does until ctx ends: when its bell rings, and
// after the time that it asks for.
func (s *scheduler) serve(ctx context.Context, bell chan struct{}, work context.Context, once func(context.Context, *rules) time.Duration) {
	for ctx.Err() == nil {
		wait := s.look
		if c, err := s.q.rules(ctx, s.begun); err != nil {
			s.q.complain("read settings", err)
		} else {
			wait = once(work, c)
		}
		if wait <= 0 {
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-bell:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// run is the state of one Run. New mail has a loop of its own, which waits for
// no row of the mail that is there already.
type run struct {
	s     *scheduler
	start time.Time

	// Of the loop old:
	looked   time.Time // when the file was looked at last
	reports  time.Time // when outcomes left unreported were looked for last
	flushing bool      // the rows taken last were asked for by the operator
}

// fresh sends new mail on its way, and begins what may begin.
func (r *run) fresh(ctx context.Context, c *rules) time.Duration {
	s := r.s
	s.mu.Lock()
	s.limit = c.ActiveLimit
	fresh := s.fresh
	s.fresh = nil
	s.mu.Unlock()
	s.route(ctx, c, fresh)
	s.dispatch(ctx, c)
	s.settle(ctx)
	return s.look
}

// old takes what is due, and reports what was not reported.
func (r *run) old(ctx context.Context, c *rules) time.Duration {
	s := r.s
	if !r.mustLook(c) {
		return s.look
	}
	more := r.take(ctx, c)
	s.unreported(ctx, r, c)
	ring(s.bell)
	if more {
		s.wake()
		return 0
	}
	return s.look
}

// mustLook reports whether it is time to look at the file, and does what is
// due with time.
func (r *run) mustLook(c *rules) bool {
	s, now := r.s, r.s.q.d.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	tick := now.Sub(r.looked) >= s.look
	if !s.stale && !tick {
		return false
	}
	s.stale = false
	if !tick {
		return true
	}
	r.looked = now
	s.overlook(c, now)
	for _, st := range s.sites {
		if st.delay > 0 {
			s.line(st) // its time may have come
		}
		s.forget(st, now)
	}
	return true
}
