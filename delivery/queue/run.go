package queue

import (
	"context"
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
	if err := q.clean(ctx); err != nil && ctx.Err() == nil {
		q.complain("clean spool", err)
	}
	s.mu.Lock()
	s.on, s.stale, s.begun = true, true, start
	s.mu.Unlock()

	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	r := &run{s: s, start: start}
	for ctx.Err() == nil {
		s.pause(ctx, r.once(work))
	}
	s.mu.Lock()
	s.on = false
	s.mu.Unlock()
	s.work.Wait()
	return q.waitAgain(context.WithoutCancel(ctx), start)
}

func (q *Queue) waitAgain(ctx context.Context, now time.Time) error {
	return q.d.State.Write(ctx, func(t *schema.Tx) error { return t.QueueWaitAgain(now) })
}

// pause waits for d, or for something to do.
func (s *scheduler) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.bell:
	case <-timer.C:
	}
}

// run is the state of one Run: all of it used by its goroutine only.
type run struct {
	s       *scheduler
	start   time.Time
	looked  time.Time // when the file was looked at last
	reports time.Time // when outcomes left unreported were looked for last
}

// once does everything that can be done now and says how long to wait.
func (r *run) once(ctx context.Context) time.Duration {
	s := r.s
	config, err := s.q.config(ctx)
	if err != nil {
		s.q.complain("read settings", err)
		return s.look
	}
	c := &rules{config, r.start}
	s.mu.Lock()
	s.limit = c.ActiveLimit
	fresh := s.fresh
	s.fresh = nil
	s.mu.Unlock()
	s.route(ctx, c, fresh)
	more := false
	if r.mustLook() {
		more = r.take(ctx, c)
	}
	s.unreported(ctx, r, c)
	s.dispatch(ctx, c)
	s.settle(ctx)
	if more {
		return 0
	}
	return s.look
}

func (r *run) mustLook() bool {
	now := r.s.q.d.Now()
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if !r.s.stale && now.Sub(r.looked) < r.s.look {
		return false
	}
	r.s.stale = false
	r.looked = now
	for _, st := range r.s.sites {
		if st.delay > 0 {
			r.s.line(st) // its time may have come
		}
		r.s.forget(st, now)
	}
	return true
}
