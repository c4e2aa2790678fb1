package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"mailserver/delivery/queue"
)

func queueExpire(fs *flag.FlagSet) action {
	release := fs.Bool("release", false, "also what is on hold")
	return func(ctx context.Context, a *app, args []string) error {
		return queueEach("expire", func(q *queue.Queue, ctx context.Context, id string) (int64, error) {
			return q.Expire(ctx, id, *release)
		})(fs)(ctx, a, args)
	}
}

// queueRecover says of each message for whom it was, since some of them may
// have it already.
func queueRecover(fs *flag.FlagSet) action {
	dry := fs.Bool("dry-run", false, "only say what would be queued")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withQueue(ctx, func(q *queue.Queue) error {
			queued, left := 0, 0
			err := q.Recover(ctx, *dry, func(id string, e queue.Entry, err error) error {
				if err != nil {
					left++
					fmt.Fprintf(a.out, "%s: left: %v\n", id, err)
					return nil
				}
				queued++
				var to []string
				for _, r := range e.Recipients {
					to = append(to, r.Address)
				}
				fmt.Fprintf(a.out, "%s: from <%s> to %s\n", id, e.Sender, strings.Join(to, ", "))
				return nil
			})
			fmt.Fprintf(a.out, "recovered: %d messages, %d left in spool/orphan\n", queued, left)
			return err
		})
	}
}
