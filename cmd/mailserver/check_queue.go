package main

import (
	"context"
	"path/filepath"

	"mailserver/delivery/queue"
)

// maxNamed bounds the files of the queue that a check names one by one.
const maxNamed = 20

// queue names messages without their file, and files without their message.
func (c *checker) queue(ctx context.Context) error {
	q, lost, left := c.p.Delivery.Queue(), 0, 0
	err := q.Lost(ctx, func(m *queue.Message) error {
		if lost++; lost <= maxNamed {
			c.add("queue", "mailserver queue delete "+m.ID, "%s from <%s>: its file in spool/queue is gone: it cannot be sent", m.ID, m.Sender)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = q.Orphans(func(path string) error {
		if left++; left <= maxNamed {
			c.warn("queue", "mailserver queue recover", "%s: a message that state.sqlite does not know; recover it or remove it", path)
		}
		return nil
	})
	if lost > maxNamed {
		c.add("queue", "", "%d messages have no file in spool/queue", lost)
	}
	if left > maxNamed {
		c.warn("queue", "", "%d files in %s", left, filepath.Join(c.p.Dir, "spool", "orphan"))
	}
	return err
}
