package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// sizeFile is the count of the quota of Maildir++ that Courier and Dovecot keep
// in the Maildir. Where it is, it is kept current for them; here nobody reads
// it. https://www.courier-mta.org/imap/README.maildirquota.html
const sizeFile = "maildirsize"

// sizeDelay is for how long changes are put together into one write.
const sizeDelay = time.Second

// sizes is what is known of the file of an account.
type sizes struct {
	mu     sync.Mutex
	absent bool // there is no file
	coming bool // a goroutine will write it
	dirty  bool // it tells less than the index
}

// sizesChanged says that an account holds more or less than before. It may be called
// with any lock held.
func (t *tree) sizesChanged() {
	z := &t.sizes
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.absent {
		return
	}
	z.dirty = true
	if !z.coming {
		z.coming = t.s.background(t.writeSizesSoon)
	}
}

func (t *tree) writeSizesSoon() {
	t.hold()
	defer t.release()
	timer := time.NewTimer(sizeDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.s.stop:
	}
	t.writeSizes()
}

// writeSizes writes the file, if there is one.
func (t *tree) writeSizes() {
	t.sizes.mu.Lock()
	t.sizes.coming, t.sizes.dirty = false, false
	t.sizes.mu.Unlock()
	err := t.replaceSizes(context.Background())
	if errors.Is(err, fs.ErrNotExist) {
		t.sizes.mu.Lock()
		t.sizes.absent = true
		t.sizes.mu.Unlock()
		return
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		t.s.d.Log.Warn("cannot write maildirsize", "user", t.key.user, slog.Any("err", err))
	}
}

// replaceSizes writes the limit that the file has, and what the account holds.
// Mailboxes that nobody has opened yet are taken in first.
func (t *tree) replaceSizes(ctx context.Context) error {
	if err := t.do(func(root *os.Root) error { _, err := root.Lstat(sizeFile); return err }); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old, err := t.readFile("", sizeFile, 64<<10)
	if err != nil {
		return err
	}
	limit, _, _ := strings.Cut(old, "\n")
	if err := t.meetAll(ctx); err != nil {
		return err
	}
	if err := t.count(ctx); err != nil {
		return err
	}
	return t.writeFile("", sizeFile, fmt.Sprintf("%s\n%d %d\n", limit, t.bytes.Load(), t.messages.Load()))
}

// meetAll makes the index know every mailbox of the tree. t.mu is held.
func (t *tree) meetAll(ctx context.Context) error {
	dirs, err := t.directories()
	if err != nil {
		return err
	}
	num, err := t.number(ctx)
	if err != nil {
		return err
	}
	rows, err := t.s.d.State.IndexMailboxes(ctx, num)
	if err != nil {
		return err
	}
	for i := range rows {
		delete(dirs, rows[i].Name)
	}
	for name := range dirs {
		b, err := t.find(ctx, name)
		if err != nil && !errors.Is(err, ErrNoMailbox) {
			return err
		}
		if err != nil {
			continue
		}
		b.mu.Lock()
		err = b.refresh(ctx)
		b.mu.Unlock()
		if err != nil && !errors.Is(err, ErrNoMailbox) {
			return err
		}
	}
	return nil
}

// lastSizes writes what changed while the Store was closing.
func (s *Store) lastSizes() {
	s.mu.Lock()
	var list []*tree
	for _, t := range s.trees {
		list = append(list, t)
	}
	s.mu.Unlock()
	for _, t := range list {
		t.sizes.mu.Lock()
		due := t.sizes.dirty && !t.sizes.absent
		t.sizes.mu.Unlock()
		if due {
			t.writeSizes()
		}
	}
}
