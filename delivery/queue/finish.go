package queue

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"mailserver/schema"
)

// writeAgain is how long to wait when an outcome cannot be recorded: what was
// sent must not be sent again because the disk is full.
const writeAgain = 2 * time.Second

// finishMost bounds the rows written in one transaction.
const finishMost = 100

// finish records the outcomes of items, logs them and lets the items go.
func (s *scheduler) finish(ctx context.Context, c *rules, items []*item, results []Result, begun time.Time) {
	s.settleItems(ctx, c, items, results, begun, s.q.d.State.Write)
}

// commit is State.Write or State.WriteBulk.
type commit func(context.Context, func(*schema.Tx) error) error

func (s *scheduler) settleItems(ctx context.Context, c *rules, items []*item, results []Result, begun time.Time, write commit) {
	for len(items) > finishMost {
		s.settleItems(ctx, c, items[:finishMost], results[:finishMost], begun, write)
		items, results = items[finishMost:], results[finishMost:]
	}
	now := s.q.d.Now()
	keep := items[:0:0]
	for i, it := range items {
		if ctx.Err() != nil && results[i].Status == Deferred {
			s.leave(it) // cut off by the end of the server: no attempt
			continue
		}
		if c.SoftBounce && results[i].Status == Bounced {
			results[i] = softened(results[i])
		}
		it.expired = s.judge(c, it, results[i], now)
		s.q.logOutcome(it, results[i], begun, now)
		keep = append(keep, it)
	}
	gone := s.record(ctx, keep, write)
	for _, it := range keep {
		s.leave(it)
	}
	for _, m := range messages(keep) {
		s.end(ctx, m, gone[m.ID])
	}
}

// messages returns the messages of items, each once.
func messages(items []*item) (list []*active) {
	seen := make(map[*active]bool)
	for _, it := range items {
		if !seen[it.msg] {
			seen[it.msg] = true
			list = append(list, it.msg)
		}
	}
	return list
}

// leave takes an item out of memory and notes what its message owes.
func (s *scheduler) leave(it *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.items, it.Num)
	it.msg.left--
	s.count--
	if it.old {
		s.old--
	}
	if it.State == schema.QueueFailed || it.State == schema.QueueDelivered {
		it.msg.report = true
	}
	if it.late {
		it.msg.late = true
	}
}

// judge turns a result into the new row of a recipient and reports whether it
// has expired.
func (s *scheduler) judge(c *rules, it *item, res Result, now time.Time) (expired bool) {
	it.Attempts++
	it.Status, it.Reply, it.MTA, it.Diag = res.Enhanced, res.Text, res.MTA, res.Reply
	switch res.Status {
	case Sent:
		it.State = queueDone
		if wants(it.Notify, "SUCCESS") && !res.Relayed {
			it.State = schema.QueueDelivered
			it.Reply = Via(res)
		}
	case Bounced:
		it.State = schema.QueueFailed
	default:
		life := c.Lifetime
		if it.msg.Sender == "" {
			life = c.BounceLifetime
		}
		if it.msg.Expire || now.Sub(it.msg.Arrived) >= life {
			it.State = schema.QueueFailed
			return true
		}
		it.State = schema.QueueWaiting
		it.Due = nextTry(c.Config, c.start, it.msg.Arrived, now)
		it.late = c.DelayWarning > 0 && !it.msg.Warned && now.Sub(it.msg.Arrived) >= c.DelayWarning
	}
	return false
}

// softened is a refusal that is not the last word. postconf(5) soft_bounce
func softened(res Result) Result {
	res.Status = Deferred
	if strings.HasPrefix(res.Enhanced, "5") {
		res.Enhanced = "4" + res.Enhanced[1:]
	}
	return res
}

// Via is what a report of success says of a result.
func Via(res Result) string { return "delivery via " + res.Relay + ": " + res.Text }

// queueDone is a state that no row has: the recipient leaves the queue.
const queueDone schema.QueueState = -1

// nextTry is when mail that arrived then, and could not be delivered now, is
// tried again: at the first run of the queue, counted from start, after as
// long as it is old, within the bounds of the settings.
func nextTry(c *Config, start, arrived, now time.Time) time.Time {
	wait := min(max(now.Sub(arrived), c.MinBackoff), c.MaxBackoff)
	next := now.Add(wait)
	if c.RunDelay <= 0 {
		return next
	}
	if start.IsZero() { // not running yet
		start = now
	}
	runs := (next.Sub(start) + c.RunDelay - 1) / c.RunDelay
	return start.Add(runs * c.RunDelay)
}

// NextTry is when mail that arrived then, and could not be delivered now, is
// tried again.
func (q *Queue) NextTry(ctx context.Context, arrived time.Time) (time.Time, error) {
	c, err := q.config(ctx)
	if err != nil {
		return time.Time{}, err
	}
	q.sched.mu.Lock()
	start := q.sched.begun
	q.sched.mu.Unlock()
	return nextTry(c, start, arrived, q.d.Now()), nil
}

// wants reports whether a NOTIFY list has a word.
func wants(notify, word string) bool {
	for _, w := range strings.Split(notify, ",") {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}

// record writes the rows of items. It tries until it is done or the server
// stops, and returns the IDs of messages that have left the queue.
func (s *scheduler) record(ctx context.Context, items []*item, write commit) (gone map[string]bool) {
	if len(items) == 0 {
		return nil
	}
	for {
		err := write(context.WithoutCancel(ctx), func(t *schema.Tx) (err error) {
			gone, err = recordAll(t, items)
			return err
		})
		if err == nil {
			return gone
		}
		s.q.complain("record outcome of "+items[0].Message, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(writeAgain):
		}
	}
}

func recordAll(t *schema.Tx, items []*item) (gone map[string]bool, err error) {
	gone = make(map[string]bool)
	for _, it := range items {
		if it.State == queueDone {
			err = t.QueueDone(it.Num)
		} else {
			err = t.QueueOutcome(&it.Recipient)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, m := range messages(items) {
		if gone[m.ID], err = t.QueueSweep(m.ID); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// end lets a message go that has no recipients in memory any more: the sender
// is told what must be told, and a message without recipients is removed.
// Of the goroutines that settle its last recipients, one knows from its
// transaction that no rows are left (gone), and one is the last here; they need
// not be the same.
func (s *scheduler) end(ctx context.Context, m *active, gone bool) {
	for {
		s.mu.Lock()
		if s.msgs[m.ID] != m {
			s.mu.Unlock()
			break // let go already: gone is news
		}
		m.gone = m.gone || gone
		if m.left > 0 || m.ending {
			s.mu.Unlock()
			return
		}
		report, late := m.report, m.late
		m.report, m.late = false, false
		if m.gone || !report && !late {
			delete(s.msgs, m.ID)
			gone = m.gone
			s.mu.Unlock()
			break
		}
		m.ending = true
		s.mu.Unlock()
		gone = s.report(ctx, m.Message, late)
		s.mu.Lock()
		m.ending = false
		s.mu.Unlock()
	}
	if gone {
		s.q.remove(m.ID)
	}
}

// report tells the sender of a message about outcomes, and deletes their rows.
func (s *scheduler) report(ctx context.Context, m *Message, late bool) (gone bool) {
	rows, err := s.q.d.State.QueueRecipients(ctx, m.ID)
	if err == nil && late {
		late, err = s.unwarned(ctx, m.ID)
	}
	if err != nil {
		s.q.complain("report on "+m.ID, err)
		return false
	}
	var told []Recipient
	for _, state := range []schema.QueueState{schema.QueueFailed, schema.QueueDelivered, schema.QueueWaiting} {
		if state == schema.QueueWaiting && !late {
			continue
		}
		group := filter(rows, state)
		if len(group) == 0 {
			continue
		}
		if err := s.q.d.Sender.Report(ctx, m, group); err != nil {
			s.q.complain("report on "+m.ID, err)
			break
		}
		told = append(told, group...)
	}
	return s.reported(ctx, m, told)
}

// unwarned reports whether the sender was not told of the delay yet, in the
// words of the database: recipients that were tried again while that was being
// done know the message as it was before.
func (s *scheduler) unwarned(ctx context.Context, id string) (bool, error) {
	m, err := s.q.d.State.QueueMessage(ctx, id)
	return m != nil && !m.Warned, err
}

func filter(rows []Recipient, state schema.QueueState) []Recipient {
	var list []Recipient
	for _, r := range rows {
		if r.State == state {
			list = append(list, r)
		}
	}
	return list
}

// reported records that the sender knows.
func (s *scheduler) reported(ctx context.Context, m *Message, told []Recipient) (gone bool) {
	if len(told) == 0 {
		return false
	}
	err := s.q.d.State.Write(context.WithoutCancel(ctx), func(t *schema.Tx) (err error) {
		for _, r := range told {
			if r.State == schema.QueueWaiting {
				err = t.QueueWarned(m.ID)
			} else {
				err = t.QueueDone(r.Num)
			}
			if err != nil {
				return err
			}
		}
		gone, err = t.QueueSweep(m.ID)
		return err
	})
	if err != nil {
		s.q.complain("record report on "+m.ID, err)
		return false
	}
	return gone
}

// unreported looks, from time to time, for outcomes that the sender was not
// told of, because the server died or the report could not be sent.
func (s *scheduler) unreported(ctx context.Context, r *run, c *rules) {
	now := s.q.d.Now()
	if !r.reports.IsZero() && now.Sub(r.reports) < max(c.RunDelay, c.MinBackoff) {
		return
	}
	r.reports = now
	after := ""
	for {
		ids, err := s.q.d.State.QueueUnreported(ctx, after, listPage)
		if err != nil {
			s.q.complain("look for unreported mail", err)
			return
		}
		for _, id := range ids {
			after = id
			if m, err := s.q.d.State.QueueMessage(ctx, id); err == nil && m != nil {
				s.mu.Lock()
				s.owe(m)
				s.mu.Unlock()
			}
		}
		s.settle(ctx)
		if len(ids) < listPage {
			return
		}
	}
}

// settle ends messages that have something to report and no recipient to try.
func (s *scheduler) settle(ctx context.Context) {
	s.mu.Lock()
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, m := range idle {
		s.end(ctx, m, false)
	}
}

// remove deletes the file of a message that has no rows any more.
func (q *Queue) remove(id string) {
	if err := q.removeFile(id); err != nil {
		q.complain("remove spool "+id, err)
	}
	q.logRemoved(id)
}

// removeFile deletes the file of a message whose rows are gone, also if clean
// has set it aside in between.
func (q *Queue) removeFile(id string) error {
	err := os.Remove(q.file(id))
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Remove(q.orphan(id))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
