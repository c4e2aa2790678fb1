package queue

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// qmgr gives the attempts that Postfix's queue manager makes at a message that
// is deferred every time, as documented in qmgr(8) and postconf(5): the first
// at once; then the file's time stamp is set to now plus the time in the queue,
// within the bounds of the backoff, and a scan of the deferred queue, each
// queue_run_delay after the start, takes files whose stamp has passed. Once the
// message has its lifetime the attempt is the last one.
func qmgr(c *Config, life time.Duration, start, arrived time.Time) (attempts []time.Duration) {
	now := arrived
	for {
		attempts = append(attempts, now.Sub(arrived))
		if now.Sub(arrived) >= life {
			return attempts
		}
		delay := now.Sub(arrived)
		if delay < c.MinBackoff {
			delay = c.MinBackoff
		}
		if delay > c.MaxBackoff {
			delay = c.MaxBackoff
		}
		stamp := now.Add(delay)
		scan := start
		for !scan.After(now) || stamp.After(scan) {
			scan = scan.Add(c.RunDelay)
		}
		now = scan
	}
}

// TestTimetableOfPostfix holds five days of attempts to those of qmgr(8).
func TestTimetableOfPostfix(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name                     string
		run, shortest, longest   time.Duration
		lifetime, bounceLifetime time.Duration
		sender                   string
		arrives                  time.Duration // after the start
	}{
		{"defaults", 300 * time.Second, 300 * time.Second, 4000 * time.Second, 5 * day, 5 * day, "s@x", 10 * time.Second},
		{"in step with a run", 300 * time.Second, 300 * time.Second, 4000 * time.Second, 5 * day, 5 * day, "s@x", 300 * time.Second},
		{"null sender", 300 * time.Second, 300 * time.Second, 4000 * time.Second, 5 * day, day, "", 77 * time.Second},
		{"many runs", 60 * time.Second, 300 * time.Second, 4000 * time.Second, day, day, "s@x", 7 * time.Second},
		{"few runs", 1000 * time.Second, 300 * time.Second, 4000 * time.Second, 5 * day, 5 * day, "s@x", 999 * time.Second},
		{"wide bounds", 300 * time.Second, 60 * time.Second, 6 * time.Hour, 5 * day, 5 * day, "s@x", 123 * time.Second},
		{"equal bounds", 300 * time.Second, 900 * time.Second, 900 * time.Second, 2 * day, 2 * day, "s@x", 1 * time.Second},
		{"one attempt", 300 * time.Second, 300 * time.Second, 4000 * time.Second, 0, 0, "s@x", 10 * time.Second},
		{"one attempt, null sender", 300 * time.Second, 300 * time.Second, 4000 * time.Second, 5 * day, 0, "", 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &fake{send: func(*Message, *Recipient) Result { return Result{Status: Deferred, Enhanced: "4.2.0", Text: "later"} }}
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, f)
				b.q.sched.look = tt.run / 4
				b.set(func(c *Config) { c.RunDelay, c.MinBackoff, c.MaxBackoff = tt.run, tt.shortest, tt.longest })
				b.set(func(c *Config) { c.Lifetime, c.BounceLifetime = tt.lifetime, tt.bounceLifetime })
				defer b.state.Close()
				start := time.Now()
				stop := b.run()
				time.Sleep(tt.arrives - time.Since(start))
				arrived := time.Now()
				b.add(tt.sender, "a@one")
				life := tt.lifetime
				if tt.sender == "" {
					life = tt.bounceLifetime
				}
				time.Sleep(life + day/2)
				stop()
				var got []time.Duration
				for _, at := range f.attempts("a@one") {
					got = append(got, at.Sub(arrived))
				}
				want := qmgr(&b.cfg, life, start, arrived)
				same := slices.EqualFunc(got, want, func(a, b time.Duration) bool { return (a - b).Abs() <= tt.run/4+time.Second })
				if !same {
					t.Errorf("%d attempts at %v, want %d at %v", len(got), got, len(want), want)
				}
				t.Logf("%d attempts, the first at %v", len(got), got[:min(len(got), 9)])
				if _, reports := f.snapshot(); !slices.Equal(reports, []string{"3 a@one"}) {
					t.Errorf("reports %q", reports)
				}
				if e := b.entries(); len(e) != 0 {
					t.Errorf("left %q", e)
				}
			})
		})
	}
}
