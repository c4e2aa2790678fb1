package storage

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"mailserver/schema"
)

// purgeRows is how many rows of deleted mailboxes one transaction removes.
const purgeRows = 2000

// watch looks at open mailboxes from time to time, so that sessions in IDLE
// learn what other programs do. It ends with Close.
func (s *Store) watch() {
	for {
		cfg, err := s.d.Config(context.Background())
		wait := 30 * time.Second
		if err == nil && cfg.IdleCheck > 0 {
			wait = cfg.IdleCheck
		}
		timer := time.NewTimer(wait)
		select {
		case <-s.stop:
			timer.Stop()
			return
		case <-timer.C:
		}
		s.idle.expire(s.d.Now())
		for _, b := range s.open() {
			b.look()
		}
	}
}

// open returns the mailboxes that sessions have open, and all of accounts that
// have feeds.
func (s *Store) open() (list []*box) {
	s.mu.Lock()
	trees := make([]*tree, 0, len(s.trees))
	for _, t := range s.trees {
		if t.refs > 0 {
			trees = append(trees, t)
		}
	}
	s.mu.Unlock()
	for _, t := range trees {
		t.mu.Lock()
		fed := t.fed()
		if fed {
			if err := t.lookNames(context.Background()); err != nil {
				s.d.Log.Warn("cannot look at mailboxes", "user", t.key.user, slog.Any("err", err))
			}
		}
		for _, b := range t.boxes {
			b.mu.RLock()
			if b.views > 0 || fed {
				list = append(list, b)
			}
			b.mu.RUnlock()
		}
		t.mu.Unlock()
	}
	return list
}

func (b *box) look() {
	err := b.lookOnce()
	if errors.Is(err, ErrNoMailbox) {
		b.t.lost(b)
	} else if err != nil {
		b.t.s.d.Log.Warn("cannot look at mailbox", "user", b.t.key.user, "mailbox", b.name(), slog.Any("err", err))
	}
}

func (b *box) lookOnce() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return nil
	}
	if b.msgs == nil {
		defer b.unload()
	}
	return b.refresh(context.Background())
}

// purge removes the rows of deleted mailboxes that a crash left. It ends when
// there are none, or with Close.
func (s *Store) purge() {
	for more := true; more; {
		select {
		case <-s.stop:
			return
		default:
		}
		err := s.d.State.Write(context.Background(), func(tx *schema.Tx) (err error) {
			more, err = tx.PurgeMailboxes(purgeRows)
			return err
		})
		if err != nil {
			s.d.Log.Warn("cannot purge deleted mailboxes", slog.Any("err", err))
			return
		}
	}
}
