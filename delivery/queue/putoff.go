package queue

import (
	"context"
	"time"

	"mailserver/schema"
)

// parkTime is after how long the mail of a destination that is parked is
// looked at again.
const parkTime = time.Minute

// parked reports whether a destination that is not known to answer has its
// share of the memory for retries when that is half full. Its other mail looks
// again after parkTime, so that what is behind it has its turn. The caller
// holds s.mu.
func (s *scheduler) parked(st *site) bool {
	room := s.oldRoom()
	return !st.known && s.old > room/2 && st.items >= max(retryWindow, room/2/len(s.sites))
}

// putOffMost bounds the rows put off in one transaction.
const putOffMost = 500

// putOff is what the mail of a dead site waits for.
func (c *rules) putOff(site string, now time.Time, why Result) *schema.QueuePutOff {
	p := &schema.QueuePutOff{Site: site, Now: now, Start: c.start, Run: c.RunDelay, Min: c.MinBackoff, Max: c.MaxBackoff,
		Lifetime: c.Lifetime, BounceLifetime: c.BounceLifetime, Warning: c.DelayWarning,
		Status: why.Enhanced, Reply: suspended(why).Text, MTA: why.MTA, Diag: why.Reply}
	if p.Start.IsZero() {
		p.Start = now
	}
	return p
}

// putOff changes what waits in the file for sites, as many rows in one
// transaction as nobody minds waiting for. One line tells of all of a site.
func (s *scheduler) putOff(ctx context.Context, sites ...*schema.QueuePutOff) {
	totals := make([]int64, len(sites))
	for at := 0; at < len(sites); {
		first := at
		counts := make([]int64, len(sites))
		err := s.q.d.State.WriteBulk(ctx, func(t *schema.Tx) error {
			for room := int64(putOffMost); room > 0 && at < len(sites); {
				n, err := t.QueuePutOff(sites[at], room)
				if err != nil {
					return err
				}
				counts[at] = n
				if n < room {
					at++
				}
				room -= n
			}
			return nil
		})
		if err != nil {
			s.q.complain("put off mail for "+sites[first].Site, err)
			return
		}
		for i, n := range counts {
			totals[i] += n
		}
	}
	for i, p := range sites {
		if totals[i] > 0 && p.Reply != "" {
			s.q.logPutOff(p, totals[i])
		}
	}
}

// suspend defers items whose destination is dead; nobody waits for that.
func (s *scheduler) suspend(ctx context.Context, c *rules, items []*item, results []Result) {
	s.settleItems(ctx, c, items, results, s.q.d.Now(), s.q.d.State.WriteBulk)
}

// park lets items go that have no place in memory.
func (s *scheduler) park(ctx context.Context, e *entry) {
	if len(e.parked) == 0 {
		return
	}
	nums := make([]int64, len(e.parked))
	for i, it := range e.parked {
		nums[i] = it.Num
	}
	s.giveBack(ctx, nums, e.now.Add(parkTime))
	for _, it := range e.parked {
		s.leave(it)
	}
	for _, m := range messages(e.parked) {
		s.end(ctx, m, false)
	}
}
