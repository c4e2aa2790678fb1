package queue

import (
	"context"
	"time"

	"mailserver/internal/maillog"
	"mailserver/schema"
)

// take reads what is due into memory, as far as there is room, and reports
// whether more is due. Half of the room is kept for new mail.
func (r *run) take(ctx context.Context, c *rules) (more bool) {
	s := r.s
	now := s.q.d.Now()
	due, ok, err := s.q.d.State.QueueNext(ctx)
	if err != nil {
		s.q.complain("look for due mail", err)
		return false
	}
	s.mu.Lock()
	room := min(c.ActiveLimit-s.count, max(c.ActiveLimit/2, 1)-s.old, takeMost)
	s.mu.Unlock()
	if !ok || due.After(now) || room <= 0 {
		return false
	}
	var rows []Recipient
	err = s.q.d.State.Write(ctx, func(t *schema.Tx) (err error) {
		rows, err = t.QueueTake(now, room)
		return err
	})
	if err != nil {
		s.q.complain("take due mail", err)
		return false
	}
	items, err := s.load(ctx, rows, now)
	if err != nil {
		s.q.complain("read due mail", err)
		return false
	}
	s.route(ctx, c, items)
	return len(rows) == room
}

// load makes items of rows, reading each message once.
func (s *scheduler) load(ctx context.Context, rows []Recipient, now time.Time) ([]*item, error) {
	byMessage := make(map[string][]Recipient)
	var order []string
	for _, row := range rows {
		if byMessage[row.Message] == nil {
			order = append(order, row.Message)
		}
		byMessage[row.Message] = append(byMessage[row.Message], row)
	}
	var items []*item
	for _, id := range order {
		m, err := s.q.d.State.QueueMessage(ctx, id)
		if err != nil {
			return items, err
		}
		if m == nil {
			continue // deleted meanwhile
		}
		s.q.logActive(m, len(byMessage[id]))
		items = append(items, s.reenter(m, byMessage[id], now)...)
	}
	return items, nil
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
		s.old++
		it := s.enter(m, row, now)
		it.old, it.must = true, row.Due.Unix() == 0
		items = append(items, it)
	}
	return items
}

// route puts items in line at their sites. What has its outcome at once, or a
// site that is dead, is finished here.
func (s *scheduler) route(ctx context.Context, c *rules, items []*item) {
	now := s.q.d.Now()
	open := make(map[string]*job) // by message and site
	var done []*item
	var results []Result
	for _, it := range items {
		to, res := s.q.d.Sender.Route(ctx, it.msg.Message, &it.Recipient)
		if res == nil {
			it.Site = to.Site()
			res = s.enqueue(open, to, it, c, now)
		}
		if res != nil {
			done, results = append(done, it), append(results, *res)
		}
	}
	s.finish(ctx, c, done, results, now)
}

// enqueue adds an item to a job of its message and site; if the site is dead,
// it returns why.
func (s *scheduler) enqueue(open map[string]*job, to Target, it *item, c *rules, now time.Time) *Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.site(it.Site, c)
	if n, ok := to.(Narrow); ok {
		st.most = n.ConcurrencyLimit()
	}
	if it.must {
		st.dead, st.failed = time.Time{}, 0
	}
	if st.dead.After(now) {
		res := suspended(st.why)
		return &res
	}
	limit := to.RecipientLimit()
	if limit <= 0 {
		limit = c.limits(it.Site).recipients
	}
	key := it.Message + " " + st.name
	if j := open[key]; j != nil && len(j.items) < limit {
		j.items = append(j.items, it)
		return nil
	}
	class := 0
	if it.Attempts > 0 && !it.must {
		class = 1
	}
	j := &job{msg: it.msg, to: to, site: st, items: []*item{it}, class: class}
	open[key] = j
	st.jobs[class].PushBack(j)
	s.line(st)
	return nil
}

// suspended is the outcome of a recipient whose destination is dead.
func suspended(why Result) Result {
	why.Text = "delivery temporarily suspended: " + why.Text
	why.Tag, why.Relay = maillog.ErrorMail, "none"
	why.Setup, why.Talk = 0, 0
	return why
}
