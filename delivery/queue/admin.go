package queue

import (
	"context"
	"fmt"
	"io"

	"mailserver/schema"
)

// Entry is a message with its recipients.
type Entry struct {
	*Message
	Recipients []Recipient
}

// listPage is how many messages List has in memory.
const listPage = 100

// List calls fn for every message, the oldest first, and stops at its error.
// Messages may come and go meanwhile.
func (q *Queue) List(ctx context.Context, fn func(Entry) error) error {
	after := ""
	for {
		page, err := q.d.State.QueuePage(ctx, after, listPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, m := range page {
			rcpts, err := q.d.State.QueueRecipients(ctx, m.ID)
			if err != nil {
				return err
			}
			if err := fn(Entry{m, rcpts}); err != nil {
				return err
			}
			after = m.ID
		}
	}
}

// Show returns a message, its recipients and its text, which the caller closes.
func (q *Queue) Show(ctx context.Context, id string) (Entry, io.ReadCloser, error) {
	m, err := q.d.State.QueueMessage(ctx, id)
	if err != nil {
		return Entry{}, nil, err
	}
	if m == nil {
		return Entry{}, nil, fmt.Errorf("%s: %w", id, ErrNoMessage)
	}
	rcpts, err := q.d.State.QueueRecipients(ctx, id)
	if err != nil {
		return Entry{}, nil, err
	}
	text, err := q.Text(m)
	if err != nil {
		return Entry{}, nil, err
	}
	return Entry{m, rcpts}, text, nil
}

// Retry makes a message due now, as postqueue -i; the empty id means all, as
// postqueue -f. It returns how many recipients that were.
func (q *Queue) Retry(ctx context.Context, id string) (int64, error) {
	return q.change(ctx, id, func(t *schema.Tx) (int64, error) { return t.QueueRetry(id) })
}

// RetrySite makes the mail of a domain or next hop due now, as postqueue -s.
func (q *Queue) RetrySite(ctx context.Context, site string) (int64, error) {
	return q.change(ctx, "", func(t *schema.Tx) (int64, error) { return t.QueueRetrySite(site) })
}

// Expire makes a message due now and has it go back if that attempt fails, as
// postsuper -e; with release also what is on hold, as -f. The empty id means all.
func (q *Queue) Expire(ctx context.Context, id string, release bool) (int64, error) {
	return q.change(ctx, id, func(t *schema.Tx) (int64, error) { return t.QueueExpire(id, release) })
}

// Hold keeps a message from being tried until Release; the empty id means all.
func (q *Queue) Hold(ctx context.Context, id string) (int64, error) {
	return q.change(ctx, id, func(t *schema.Tx) (int64, error) { return t.QueueHold(id) })
}

// Release ends a hold and makes the message due now; the empty id means all.
func (q *Queue) Release(ctx context.Context, id string) (int64, error) {
	return q.change(ctx, id, func(t *schema.Tx) (int64, error) { return t.QueueRelease(id) })
}

// Delete removes one message; nobody is told but the log.
func (q *Queue) Delete(ctx context.Context, id string) error {
	_, err := q.change(ctx, id, func(t *schema.Tx) (int64, error) { return t.QueueDelete(id) })
	if err != nil {
		return err
	}
	if err := q.removeFile(id); err != nil {
		return fmt.Errorf("remove spool %s: %w", id, err)
	}
	q.logDeleted(id)
	return nil
}

// change runs one change and wakes the server, if it is this program.
func (q *Queue) change(ctx context.Context, id string, fn func(*schema.Tx) (int64, error)) (n int64, err error) {
	if id != "" {
		m, err := q.d.State.QueueMessage(ctx, id)
		if err != nil {
			return 0, err
		}
		if m == nil {
			return 0, fmt.Errorf("%s: %w", id, ErrNoMessage)
		}
	}
	err = q.d.State.Write(ctx, func(t *schema.Tx) error {
		n, err = fn(t)
		return err
	})
	q.sched.wake()
	return n, err
}
