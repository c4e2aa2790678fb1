package dns

import (
	"context"
	"sync"
	"time"
)

type key struct {
	name string
	t    Type
}

// cache keeps answers, and joins look-ups for the same name that run at the
// same time.
type cache struct {
	size int
	now  func() time.Time

	mu      sync.Mutex // guards what follows
	entries map[key]*entry
	flights map[key]*flight
}

type entry struct {
	answer *Answer
	err    error
	until  time.Time
}

// flight is a look-up on its way.
type flight struct {
	done   chan struct{}
	answer *Answer
	err    error
	usable bool // the outcome holds for others than who asked
}

func newCache(size int, now func() time.Time) *cache {
	return &cache{size: size, now: now, entries: make(map[key]*entry), flights: make(map[key]*flight)}
}

// get returns what is kept of k, or asks.
func (c *cache) get(ctx context.Context, k key, ask func(context.Context) (*Answer, time.Duration, error)) (*Answer, error) {
	for {
		c.mu.Lock()
		if e, ok := c.entries[k]; ok && c.now().Before(e.until) {
			c.mu.Unlock()
			return e.answer, e.err
		}
		f, running := c.flights[k]
		if !running {
			f = &flight{done: make(chan struct{})}
			c.flights[k] = f
			c.mu.Unlock()
			return c.fly(ctx, k, f, ask)
		}
		c.mu.Unlock()
		select {
		case <-f.done:
			if f.usable {
				return f.answer, f.err
			}
		case <-ctx.Done():
			return nil, &Error{k.name, k.t, Temporary, ctx.Err()}
		}
	}
}

// fly asks, keeps the answer and tells whoever waits. An asker that gave up
// leaves nothing that others could use.
func (c *cache) fly(ctx context.Context, k key, f *flight, ask func(context.Context) (*Answer, time.Duration, error)) (*Answer, error) {
	var ttl time.Duration
	f.answer, ttl, f.err = ask(ctx)
	f.usable = !ended(ctx)
	c.mu.Lock()
	delete(c.flights, k)
	if f.usable && ttl > 0 && c.size > 0 {
		c.room()
		c.entries[k] = &entry{f.answer, f.err, c.now().Add(ttl)}
	}
	c.mu.Unlock()
	close(f.done)
	return f.answer, f.err
}

// ended reports whether an asker has given up. The deadline of a read may pass
// a moment before its context notices.
func ended(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(d)
}

// room makes place for one entry: what is out of date among a few, else any
// one of them.
func (c *cache) room() {
	if len(c.entries) < c.size {
		return
	}
	n, now := 0, c.now()
	for k, e := range c.entries {
		if !now.Before(e.until) {
			delete(c.entries, k)
		}
		if n++; n == 20 {
			break
		}
	}
	for k := range c.entries {
		if len(c.entries) < c.size {
			return
		}
		delete(c.entries, k)
	}
}

// gaveUp is why an asker has.
func gaveUp(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return context.DeadlineExceeded
}
