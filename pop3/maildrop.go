package pop3

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/storage"
)

// maildrop is INBOX as it was at the log-in: 8 bytes a message.
type maildrop struct {
	account *storage.Account
	view    *storage.View
	uids    []uint32
	sizes   []uint32
	total   int64
	deleted marks
	gone    int64 // bytes of those marked as deleted
	read    marks // by RETR
	last    int   // LAST: the highest number that was read, now or before
}

// marks are messages by their number less one.
type marks struct {
	bits []uint64
	n    int
}

func (m *marks) has(i int) bool { return m.bits != nil && m.bits[i/64]&(1<<(i%64)) != 0 }

func (m *marks) set(i, of int) {
	if m.bits == nil {
		m.bits = make([]uint64, (of+63)/64)
	}
	if !m.has(i) {
		m.bits[i/64] |= 1 << (i % 64)
		m.n++
	}
}

const inbox = "INBOX"

// open opens the maildrop of an account.
func open(ctx context.Context, a *storage.Account, cfg *Config) (*maildrop, error) {
	view, err := a.Select(ctx, inbox, cfg.NoFlagUpdates)
	if err != nil {
		return nil, err
	}
	d := &maildrop{account: a, view: view}
	d.take(cfg)
	return d, nil
}

// take notes numbers and sizes.
func (d *maildrop) take(cfg *Config) {
	var hidden storage.FlagSet
	if cfg.DeletedFlag != "" {
		hidden, _ = d.view.Keyword(imap.Flag(cfg.DeletedFlag))
	}
	n := int(d.view.Len())
	d.uids, d.sizes = make([]uint32, 0, n), make([]uint32, 0, n)
	for _, m := range d.view.Messages(imap.UIDSet{{Start: 1}}) {
		if m.Flags&hidden != 0 {
			continue
		}
		d.uids, d.sizes = append(d.uids, uint32(m.UID)), append(d.sizes, uint32(m.Size))
		d.total += m.Size
		if m.Flags&storage.Seen != 0 {
			d.last = len(d.uids)
		}
	}
}

func (d *maildrop) close() { d.view.Close() }

// len is the number of messages, those marked as deleted among them.
func (d *maildrop) len() int { return len(d.uids) }

func (d *maildrop) delete(i int) {
	d.deleted.set(i, d.len())
	d.gone += int64(d.sizes[i])
}

// retrieved marks a message as read.
func (d *maildrop) retrieved(i int) {
	d.read.set(i, d.len())
	d.last = max(d.last, i+1)
}

// reset forgets all marks.
func (d *maildrop) reset() {
	d.deleted, d.read, d.gone, d.last = marks{}, marks{}, 0, 0
}

// set makes UIDs of marks, but not of those in except.
func (d *maildrop) set(m, except *marks) (set []imap.UID) {
	if m.n == 0 {
		return nil
	}
	for i, uid := range d.uids {
		if m.has(i) && !except.has(i) {
			set = append(set, imap.UID(uid))
		}
	}
	return set
}

// update does what was marked: RFC 1939 §6.
func (d *maildrop) update(ctx context.Context, cfg *Config) error {
	if !cfg.NoFlagUpdates {
		if err := d.store(ctx, d.set(&d.read, &d.deleted), imap.FlagSeen); err != nil {
			return err
		}
	}
	gone := d.set(&d.deleted, &marks{})
	if cfg.flagsDeleted() {
		return d.store(ctx, gone, imap.Flag(cfg.DeletedFlag))
	}
	if err := d.view.Remove(ctx, gone); err != nil {
		return fmt.Errorf("remove messages: %w", err)
	}
	return nil
}

// store adds a flag to messages.
func (d *maildrop) store(ctx context.Context, uids []imap.UID, flag imap.Flag) error {
	if len(uids) == 0 {
		return nil
	}
	return d.writable(ctx, func(v *storage.View) error {
		_, err := v.Store(ctx, imap.UIDSetNum(uids...), imap.StoreFlagsAdd, []imap.Flag{flag}, nil)
		return err
	})
}

// unsee takes \Seen from all messages, RSET with pop3_enable_last.
func (d *maildrop) unsee(ctx context.Context) error {
	return d.writable(ctx, func(v *storage.View) error {
		_, err := v.Store(ctx, imap.UIDSet{{Start: 1}}, imap.StoreFlagsDel, []imap.Flag{imap.FlagSeen}, nil)
		return err
	})
}

// writable runs fn with a view that may change flags.
func (d *maildrop) writable(ctx context.Context, fn func(*storage.View) error) error {
	if !d.view.ReadOnly() {
		return fn(d.view)
	}
	v, err := d.account.Select(ctx, inbox, false)
	if err != nil {
		return err
	}
	defer v.Close()
	return fn(v)
}

// errExpunged: another session has removed the message.
var errExpunged = errors.New("message expunged")

// message opens a message.
func (d *maildrop) message(ctx context.Context, i int) (*storage.Body, error) {
	body, err := d.view.Open(ctx, imap.UID(d.uids[i]))
	if errors.Is(err, storage.ErrExpunged) {
		return nil, errExpunged
	}
	return body, err
}

// maildropLocks lets one session of a user in at a time.
type maildropLocks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the session has ended
}

// lock waits for the session that has it; false after wait, or when ctx ends.
func (l *maildropLocks) lock(ctx context.Context, user string, wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		l.mu.Lock()
		other := l.held[user]
		if other == nil {
			if l.held == nil {
				l.held = make(map[string]chan struct{})
			}
			l.held[user] = make(chan struct{})
			l.mu.Unlock()
			return true
		}
		l.mu.Unlock()
		select {
		case <-other:
		case <-t.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (l *maildropLocks) unlock(user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.held[user])
	delete(l.held, user)
}
