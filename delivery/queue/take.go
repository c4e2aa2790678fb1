package queue

import (
	"context"
	"maps"
	"slices"
	"time"

	"mailserver/internal/maillog"
	"mailserver/schema"
)

// take reads what is due into memory, as far as there is room, and reports
// whether more may be due. Half of the room is kept for new mail.
func (r *run) take(ctx context.Context, c *rules) (more bool) {
	s := r.s
	now := s.q.d.Now()
	due, ok, err := s.q.d.State.QueueNext(ctx)
	if err != nil {
		s.q.complain("look for due mail", err)
		return false
	}
	s.mu.Lock()
	room := max(c.ActiveLimit-s.count, 0)
	retries := max(min(room, s.oldRoom()-s.old, takeMost), 0)
	fresh := min(room-retries, takeMost)
	s.mu.Unlock()
	if !ok || due.After(now) || fresh+retries == 0 {
		return false
	}
	var rows []Recipient
	err = s.q.d.State.WriteBulk(ctx, func(t *schema.Tx) (err error) {
		rows, err = t.QueueTake(now, fresh, retries)
		return err
	})
	if err != nil {
		s.q.complain("take due mail", err)
		return false
	}
	r.flushes(rows)
	items, err := s.load(ctx, rows, now)
	if err != nil {
		s.q.complain("read due mail", err)
	}
	s.route(ctx, c, items)
	return len(rows) > 0 && err == nil
}

// flushes notes the beginning of a flush: mail that is due at time 0 is tried
// even at destinations that are dead, each revived once.
func (r *run) flushes(rows []Recipient) {
	asked := slices.ContainsFunc(rows, func(row Recipient) bool { return row.Due.Unix() == 0 })
	if asked && !r.flushing {
		r.s.mu.Lock()
		r.s.epoch++
		r.s.mu.Unlock()
	}
	r.flushing = asked
}

// oldRoom is the most recipients from the file in memory. The caller holds s.mu.
func (s *scheduler) oldRoom() int { return max(s.limit/2, 1) }

// load makes items of rows, reading each message once. Rows of messages that
// cannot be read wait again.
func (s *scheduler) load(ctx context.Context, rows []Recipient, now time.Time) (items []*item, err error) {
	byMessage := make(map[string][]Recipient)
	var order []string
	for _, row := range rows {
		if byMessage[row.Message] == nil {
			order = append(order, row.Message)
		}
		byMessage[row.Message] = append(byMessage[row.Message], row)
	}
	var unread []int64
	for _, id := range order {
		m, e := s.q.d.State.QueueMessage(ctx, id)
		switch {
		case e != nil:
			err = e
			for _, row := range byMessage[id] {
				unread = append(unread, row.Num)
			}
		case m != nil: // nil: deleted meanwhile
			s.q.logActive(m, len(byMessage[id]))
			items = append(items, s.reenter(m, byMessage[id], now)...)
		}
	}
	s.giveBack(ctx, unread, now.Add(parkTime))
	return items, err
}

// giveBack makes rows wait again that were taken and not tried.
func (s *scheduler) giveBack(ctx context.Context, nums []int64, due time.Time) {
	if len(nums) == 0 {
		return
	}
	err := s.q.d.State.WriteBulk(context.WithoutCancel(ctx), func(t *schema.Tx) error { return t.QueueGiveBack(nums, due) })
	if err != nil {
		s.q.complain("give back due mail", err)
	}
}

// reenter makes items of rows; those in memory already stay as they are.
func (s *scheduler) reenter(m *Message, rows []Recipient, now time.Time) (items []*item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range rows {
		if _, ok := s.items[row.Num]; ok {
			continue
		}
		s.count++
		it := s.enter(m, row, now)
		it.old, it.must = row.Attempts > 0, row.Due.Unix() == 0
		if it.old {
			s.old++
		}
		items = append(items, it)
	}
	return items
}

// route puts items in line at their sites. What has its outcome at once, or a
// site that is dead, is finished here, and what else waits for such a site is
// put off with it.
func (s *scheduler) route(ctx context.Context, c *rules, items []*item) {
	now := s.q.d.Now()
	e := entry{c: c, now: now, open: make(map[string]*job), off: make(map[string]*schema.QueuePutOff)}
	var done, dead []*item
	var results, why []Result
	for _, it := range items {
		res := s.turnAway(&e, it)
		if res == nil && !e.isParked(it) {
			to, outcome := s.q.d.Sender.Route(ctx, it.msg.Message, &it.Recipient)
			if outcome != nil {
				done, results = append(done, it), append(results, *outcome)
				continue
			}
			it.Site = to.Site()
			res = s.enqueue(&e, to, it)
		}
		if res != nil {
			dead, why = append(dead, it), append(why, *res)
		}
	}
	s.finish(ctx, c, done, results, now)
	s.suspend(ctx, c, dead, why)
	s.park(ctx, &e)
	s.putOff(ctx, slices.Collect(maps.Values(e.off))...)
}

// entry is one call of route.
type entry struct {
	c      *rules
	now    time.Time
	open   map[string]*job // by message and site
	parked []*item
	off    map[string]*schema.QueuePutOff // by site: what waits in the file
}

func (e *entry) isParked(it *item) bool {
	return len(e.parked) > 0 && e.parked[len(e.parked)-1] == it
}

// turnAway spares a retry the question where it goes if the site that it went
// to has no place for it now.
func (s *scheduler) turnAway(e *entry, it *item) *Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.sites[it.Site]
	if st == nil || !it.old || it.must {
		return nil
	}
	return s.refuse(e, st, it)
}

// refuse puts off an item whose site is dead, and tells why, or has no place in
// memory. The caller holds s.mu.
func (s *scheduler) refuse(e *entry, st *site, it *item) *Result {
	switch {
	case st.dead.After(e.now):
		if it.old && e.off[st.name] == nil {
			e.off[st.name] = e.c.putOff(st.name, e.now, st.why)
		}
		res := suspended(st.why)
		return &res
	case it.old && s.parked(st):
		e.parked = append(e.parked, it)
		e.off[st.name] = &schema.QueuePutOff{Site: st.name, Now: e.now, Start: e.now, Min: parkTime, Max: parkTime}
	}
	return nil
}

// enqueue adds an item to a job of its message and site; if the site is dead,
// it returns why.
func (s *scheduler) enqueue(e *entry, to Target, it *item) *Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	class := 0
	if it.Attempts > 0 && (!it.must || s.old > smallFlush) {
		class = 1
	}
	st := s.site(to, e.c, class)
	if n, ok := to.(Narrow); ok {
		st.most = n.ConcurrencyLimit()
	}
	if it.must && st.epoch != s.epoch {
		st.epoch, st.dead, st.failed = s.epoch, time.Time{}, 0
	}
	if res := s.refuse(e, st, it); res != nil || e.isParked(it) {
		return res
	}
	limit := to.RecipientLimit()
	if limit <= 0 {
		limit = e.c.limits(it.Site).recipients
	}
	st.items++
	key := it.Message + " " + st.name
	if j := e.open[key]; j != nil && len(j.items) < limit {
		j.items = append(j.items, it)
		return nil
	}
	j := &job{msg: it.msg, to: to, site: st, items: []*item{it}, class: class}
	e.open[key] = j
	st.jobs[class].PushBack(j)
	s.line(st)
	return nil
}

// smallFlush is how many recipients from the file may be in memory for one
// that the operator wants tried now to go before retries.
const smallFlush = 100

// suspended is the outcome of a recipient whose destination is dead.
func suspended(why Result) Result {
	why.Text = "delivery temporarily suspended: " + why.Text
	why.Tag, why.Relay = maillog.ErrorMail, "none"
	why.Setup, why.Talk = 0, 0
	return why
}
