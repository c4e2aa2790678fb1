package storage

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"mailserver/schema"
)

// A STORE on many messages is done when the index has the new flags, durably:
// such a message is marked as one whose file name is behind. The names follow
// within the second, the kernel writes them to disk, and only then the marks go.
// Until then the index is the truth about the flags of these messages; what
// another program does to their names meanwhile is merged. After a crash, the
// marks say whose names must still follow.

const (
	// behindFrom is how many messages are many: files of fewer are renamed at once.
	behindFrom = 256
	// behindPause lets several commands on the same messages be one rename.
	behindPause = 100 * time.Millisecond
	// behindStep is how many files are renamed while nobody else can use the
	// mailbox.
	behindStep = 200
	// behindQuiet is how long nobody has asked for the mailbox when files are
	// renamed; behindMost, how long that is waited for.
	behindQuiet = 5 * time.Millisecond
	behindMost  = time.Second
)

// diskFlags are the flags that the name of a message's file tells. b.mu is held.
func (b *box) diskFlags(pos int) FlagSet {
	if flags := b.msgs.flags[pos]; flags&behind == 0 || b.msgs.disk == nil {
		return flags
	}
	return b.msgs.disk[pos]
}

// mayLag tells whether the names of messages may be behind. b.mu is held.
func (b *box) mayLag(at []int) bool {
	if len(at) < behindFrom || b.t.s.stopping() {
		return false
	}
	for _, pos := range at {
		if b.msgs.flags[pos]&(inNew|oddInfo) != 0 {
			return false
		}
	}
	return true
}

// storeBehind changes flags in the index only. b.mu is held for writing.
func (b *box) storeBehind(ctx context.Context, at []int, c flagChange, modSeq uint64) ([]int, error) {
	m, next := b.msgs, b.row
	next.ModSeq = modSeq
	for _, pos := range at {
		tally(&next, int64(m.size[pos]), m.flags[pos], c.of(m.flags[pos]))
	}
	err := b.commit(ctx, next, func(tx *schema.Tx) error {
		for _, r := range m.ranges(at) {
			if err := tx.MaskFlags(b.num, r, uint64(c.keep), uint64(c.set|behind), modSeq); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if m.disk == nil {
		m.disk = make([]FlagSet, len(m.flags), cap(m.flags))
	}
	for _, pos := range at {
		if m.flags[pos]&behind == 0 {
			m.disk[pos] = m.flags[pos]
		}
		m.flags[pos] = c.of(m.flags[pos]) | behind
		m.modSeq[pos] = modSeq
	}
	b.changed()
	b.follow()
	return at, nil
}

// follow starts the goroutine that renames files, unless it runs. b.mu is held
// for writing.
func (b *box) follow() {
	if b.following {
		return
	}
	b.t.hold()
	b.following = b.t.s.background(b.followAll)
	if !b.following {
		b.t.release() // the marks are in the index
		return
	}
	b.views++ // what the names are now is known in memory only
}

// followAll ends when no name is behind. It is not cut short when the Store is
// closed: another server may be next on this tree.
func (b *box) followAll() {
	defer b.t.release()
	select {
	case <-time.After(behindPause):
	case <-b.t.s.stop:
	}
	y := yielding{b: b, patience: behindMost}
	for b.followOnce(&y) {
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.following = false
	b.views--
	b.unload()
}

// yielding lets sessions go before the goroutine that renames files: each file
// that it renames while they want the mailbox is one that they wait for.
type yielding struct {
	b        *box
	asked    uint64        // as b.asked was when it was looked at last
	patience time.Duration // that is left
	step     time.Duration // that the last step took
}

// wait returns when nobody has asked for the mailbox for a moment. Without
// patience it waits only as long as others have waited for the last step.
func (y *yielding) wait() {
	for y.patience > 0 && y.asked != y.b.asked.Load() {
		y.asked = y.b.asked.Load()
		y.patience -= behindQuiet
		y.pause(behindQuiet)
	}
	if now := y.b.asked.Load(); now != y.asked {
		y.asked = now
		y.pause(y.step)
	}
}

func (y *yielding) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-y.b.t.s.stop:
	}
}

// followOnce renames all files whose names are behind, and takes the marks away
// of those that nobody has changed since. It tells whether there is more to do.
func (b *box) followOnce(y *yielding) (more bool) {
	for uid := uint32(0); ; {
		y.wait()
		begun := time.Now()
		next, err := b.renameSome(uid)
		y.step = time.Since(begun)
		if err != nil {
			b.followFailed(err)
			return false
		}
		if next == 0 {
			break
		}
		uid = next
	}
	if err := b.syncCur(); err != nil {
		b.followFailed(err)
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	more, err := b.unmark()
	if errors.Is(err, schema.ErrStale) {
		return true // another process has written; it was read again
	}
	if err != nil {
		b.followFailed(err)
	}
	return more
}

func (b *box) followFailed(err error) {
	if !errors.Is(err, ErrNoMailbox) {
		b.t.s.d.Log.Warn("cannot rename files by their flags; it will be tried again", "user", b.t.key.user, "mailbox", b.name(), slog.Any("err", err))
	}
}

// agree tells whether a file's name is what flags ask for.
func agree(disk, flags FlagSet) bool { return (disk^flags)&onDisk == 0 }

// renameSome renames a few files from a UID on, and returns where the next ones
// begin; 0: there are no more.
func (b *box) renameSome(uid uint32) (next uint32, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.msgs
	if b.gone || m == nil || m.disk == nil {
		return 0, nil
	}
	var at []int
	for pos := m.at(uid); pos < len(m.uid) && len(at) < behindStep; pos++ {
		if m.flags[pos]&behind != 0 && !agree(m.disk[pos], m.flags[pos]) {
			at = append(at, pos)
		}
	}
	if len(at) == 0 {
		return 0, nil
	}
	err = b.eachFile(context.Background(), at, b, func(op *fileOp) error {
		to := op.row.Name + info(m.flags[op.pos])
		err := op.dirs[op.which].rename(op.file, op.to, to)
		if err == nil {
			m.disk[op.pos] = m.flags[op.pos]
		}
		return err
	}, func(pos int) error {
		m.disk[pos] = m.flags[pos] // the next reconcile says what became of it
		return nil
	})
	return m.uid[at[len(at)-1]] + 1, err
}

// syncCur makes names durable.
func (b *box) syncCur() error {
	var d *dir
	err := b.t.do(func(root *os.Root) (err error) {
		d, err = b.open(root, curDir)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoMailbox
	}
	if err != nil {
		return err
	}
	defer d.close()
	return d.sync()
}

// unmark takes away the marks of messages whose names agree. b.mu is held for
// writing.
func (b *box) unmark() (more bool, err error) {
	m := b.msgs
	if b.gone || m == nil || m.disk == nil {
		return false, nil
	}
	var at []int
	for pos, flags := range m.flags {
		switch {
		case flags&behind == 0:
		case agree(m.disk[pos], flags):
			at = append(at, pos)
		default:
			more = true
		}
	}
	if len(at) == 0 {
		return more, nil
	}
	err = b.commit(context.Background(), b.row, func(tx *schema.Tx) error {
		for _, r := range m.ranges(at) {
			if err := tx.MaskFlags(b.num, r, ^uint64(behind), 0, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, pos := range at {
		m.flags[pos] &^= behind
	}
	if !more {
		m.disk = nil
	}
	return more, nil
}

// findNames learns what names the files have that a crash, or another process,
// has left behind. b.mu is held for writing.
func (b *box) findNames(ctx context.Context) error {
	if err := b.readHashes(ctx); err != nil {
		return err
	}
	m := b.msgs
	m.disk = slices.Clone(m.flags)
	names := m.byName()
	err := b.both(func(dirs [2]*dir) error {
		return dirs[curDir].names(func(file string) {
			base, end := splitName(file)
			if pos := names.find(b.t.s.hash(base)); pos >= 0 && m.flags[pos]&behind != 0 {
				m.disk[pos], _ = parseInfo(end, onDisk)
			}
		})
	})
	if err == nil {
		b.follow()
	}
	return err
}
