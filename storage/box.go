package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mailserver/schema"
)

// box is a mailbox as all its sessions share it. Each change is written to the
// index first and shown here after; row and msgs are what the index has.
type box struct {
	t   *tree
	num int64
	in  incoming

	place atomic.Pointer[place]

	dirs   sync.Mutex // held over a change of new/ or cur/ and the looks at its time, see change
	times  [2]dirTime // guarded by dirs
	astray bool       // a file was not where the index says; guarded by dirs

	mu        sync.RWMutex // guards what follows
	row       schema.IndexMailbox
	keys      keywords
	keysRead  bool
	keysOf    string    // keyword file that keys agree with
	msgs      *messages // nil: not loaded
	cuts      uint64    // counts removals from msgs.uid
	views     int
	gone      bool      // deleted, or renamed away by another program
	trim      int       // expunged ranges written since the last trim
	rescan    time.Time // when a doubt about times may be settled at the earliest
	cache     cacheWrites
	changes   uint64 // counts what sessions may want to know
	watchers  map[*View]func()
	watches   [2]int32 // of Store.news, from the first watcher to the last view
	taking    bool     // takeOver has not ended
	list      ownList
	recording bool // recordAll has it to do
	following bool // a goroutine renames files by their flags

	asked atomic.Uint64 // counts what sessions ask, for that goroutine
}

// The directories of a mailbox.
const (
	curDir = iota
	newDir
)

var subdirs = [2]string{"cur", "new"}

// dirTime is the time of a directory when its contents were as the index has
// them. Not sure: something else may have happened within the same tick of the
// file system's clock.
type dirTime struct {
	at   int64
	sure bool
}

// tick is the coarsest clock of a file system that we care for.
const tick = 2 * time.Second

func newBox(t *tree, row schema.IndexMailbox) *box {
	b := &box{t: t, num: row.Num, row: row}
	b.place.Store(&place{row.Name, row.Dir})
	b.times = loadTimes(&row)
	b.in.step = make(chan struct{})
	return b
}

func loadTimes(row *schema.IndexMailbox) (times [2]dirTime) {
	for i, at := range [2]int64{curDir: row.Cur, newDir: row.New} {
		times[i] = dirTime{max(at, -at), at > 0}
	}
	return times
}

// saveTimes puts into row the times that the index agrees with once row is
// written: none, while files wait for their UIDs.
func (b *box) saveTimes(row *schema.IndexMailbox) {
	b.dirs.Lock()
	defer b.dirs.Unlock()
	if b.taking {
		row.Cur, row.New = takingOver, takingOver
		return
	}
	if b.in.waiting() {
		row.Cur, row.New = 0, 0
		return
	}
	for i, to := range [2]*int64{curDir: &row.Cur, newDir: &row.New} {
		*to = b.times[i].at
		if !b.times[i].sure {
			*to = -*to
		}
	}
}

// distrust makes the next look read the directories, whatever their times.
func (b *box) distrust() {
	b.dirs.Lock()
	b.times = [2]dirTime{}
	b.dirs.Unlock()
}

// touched is a directory that a change concerns.
type touched struct {
	b     *box
	which int
	d     *dir
}

// change runs a change of directories. A directory that was as the index has it
// before has a new time that is known as well; but something may have slipped
// in between, so it is not sure. fn must not take b.mu of any box.
func change(list []touched, fn func() error) error {
	boxes := lockDirs(list)
	defer func() {
		for _, b := range boxes {
			b.dirs.Unlock()
		}
	}()
	var known [3]bool
	for i, t := range list {
		at, err := t.d.mtime()
		known[i] = err == nil && at == t.b.times[t.which].at
	}
	err := fn()
	for i, t := range list {
		at, e := t.d.mtime()
		switch {
		case t.b.astray:
			t.b.times[t.which] = dirTime{}
		case known[i] && e == nil && at != t.b.times[t.which].at:
			t.b.times[t.which] = dirTime{at: at}
		}
	}
	for _, b := range boxes {
		b.astray = false
	}
	return err
}

// lockDirs locks the boxes of a change in the order of their numbers.
func lockDirs(list []touched) (boxes []*box) {
	for _, t := range list {
		if !slices.Contains(boxes, t.b) {
			boxes = append(boxes, t.b)
		}
	}
	slices.SortFunc(boxes, func(a, b *box) int { return cmp.Compare(a.num, b.num) })
	for _, b := range boxes {
		b.dirs.Lock()
	}
	return boxes
}

// open opens new/ or cur/. The caller has the owner's rights.
func (b *box) open(root *os.Root, which int) (*dir, error) {
	return openDir(root, filepath.Join(b.dir(), subdirs[which]))
}

// both runs fn with cur/ and new/ open and the owner's rights. b.mu is held.
func (b *box) both(fn func(dirs [2]*dir) error) error {
	return b.t.do(func(root *os.Root) error {
		var dirs [2]*dir
		for which := range dirs {
			d, err := b.open(root, which)
			if err != nil {
				return err
			}
			defer d.close()
			dirs[which] = d
		}
		return fn(dirs)
	})
}

// commit writes next and what fn adds in one transaction; only then next is
// what sessions see. When it fails, the tree may be ahead of the index, and the
// next look reads it. b.mu is held for writing.
func (b *box) commit(ctx context.Context, next schema.IndexMailbox, fn func(*schema.Tx) error) error {
	b.saveTimes(&next)
	err := b.t.s.d.State.Write(context.WithoutCancel(ctx), func(tx *schema.Tx) error {
		if err := tx.SaveMailbox(&next); err != nil {
			return err
		}
		return fn(tx)
	})
	if err != nil {
		b.distrust()
		if errors.Is(err, schema.ErrStale) {
			err = errors.Join(err, b.reload(ctx))
		}
		return fmt.Errorf("write index of %s: %w", b.row.Name, err)
	}
	b.t.bytes.Add(next.Size - b.row.Size)
	b.t.messages.Add(int64(next.Messages) - int64(b.row.Messages))
	if next.Size != b.row.Size || next.Messages != b.row.Messages {
		b.t.sizesChanged()
	}
	if next.Name != b.row.Name || next.Dir != b.row.Dir {
		b.place.Store(&place{next.Name, next.Dir})
	}
	b.t.tellMail(&b.row, &next)
	b.row = next
	return nil
}

// reload reads the mailbox again after another process has written it.
func (b *box) reload(ctx context.Context) error {
	row, found, err := b.t.s.d.State.IndexMailbox(ctx, b.num)
	if err != nil {
		return err
	}
	b.changed()
	if !found {
		b.gone = true
		return ErrNoMailbox
	}
	b.t.bytes.Add(row.Size - b.row.Size)
	b.t.messages.Add(int64(row.Messages) - int64(b.row.Messages))
	b.t.tellMail(&b.row, &row)
	b.row = row
	b.place.Store(&place{row.Name, row.Dir})
	b.cuts++
	b.keysRead = false
	if b.msgs == nil {
		return nil
	}
	b.msgs = nil
	return b.load(ctx)
}

// changed wakes whoever watches. b.mu is held for writing.
func (b *box) changed() {
	b.changes++
	for _, wake := range b.watchers {
		wake()
	}
}

// drop marks the mailbox as gone: deleted, or known by another name.
func (b *box) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	b.changed()
}

// load reads all messages into memory, if they are not there. b.mu is held for
// writing.
func (b *box) load(ctx context.Context) error {
	if b.msgs != nil {
		return nil
	}
	if err := b.loadKeywords(ctx); err != nil {
		return err
	}
	m, late := newMessages(int(b.row.Messages)), false
	err := b.t.s.d.State.LoadMessages(ctx, b.num, 0, 1<<32-1, func(row *schema.IndexMessage) error {
		m.add(row)
		late = late || FlagSet(row.Flags)&behind != 0
		return nil
	})
	if err != nil {
		return fmt.Errorf("read index of %s: %w", b.row.Name, err)
	}
	b.msgs = m
	if late {
		return b.findNames(ctx)
	}
	return nil
}

// unload gives the memory back when no view needs it, or soon after. b.mu is held
// for writing.
func (b *box) unload() {
	s := b.t.s
	if b.views > 0 || b.msgs == nil {
		return
	}
	if b.gone || !s.idle.put(b, s.d.Now()) {
		b.msgs = nil
	}
}

// info is the end of a message's file name as its flags tell it.
func info(flags FlagSet) string {
	if flags&inNew != 0 {
		return ""
	}
	var buf [3 + 5 + numLetters]byte
	return string(appendInfo(buf[:0], flags))
}

// fileOf returns where a message's file is: directory and name.
func fileOf(row *schema.IndexMessage) (which int, file string) {
	if FlagSet(row.Flags)&inNew != 0 {
		which = newDir
	}
	if row.HasInfo {
		return which, row.Name + row.Info
	}
	return which, row.Name + info(FlagSet(row.Flags))
}

// tally changes the counters of row for a message that had flags before and
// has flags after.
func tally(row *schema.IndexMailbox, size int64, before, after FlagSet) {
	count := func(n *uint32, bit FlagSet, when bool) {
		if was, is := (before&bit != 0) == when, (after&bit != 0) == when; was && !is {
			*n--
		} else if is && !was {
			*n++
		}
	}
	count(&row.Unseen, Seen, false)
	count(&row.Recent, unclaimed, true)
	count(&row.Deleted, Deleted, true)
	switch {
	case before&Deleted != 0 && after&Deleted == 0:
		row.DelSize -= size
	case before&Deleted == 0 && after&Deleted != 0:
		row.DelSize += size
	}
}

// tallyAdd counts a new message, tallyRemove one that is gone.
func tallyAdd(row *schema.IndexMailbox, size int64, flags FlagSet) {
	row.Messages++
	row.Size += size
	if flags&Seen == 0 {
		row.Unseen++
	}
	if flags&unclaimed != 0 {
		row.Recent++
	}
	if flags&Deleted != 0 {
		row.Deleted++
		row.DelSize += size
	}
}

func tallyRemove(row *schema.IndexMailbox, size int64, flags FlagSet) {
	row.Messages--
	row.Size -= size
	if flags&Seen == 0 {
		row.Unseen--
	}
	if flags&unclaimed != 0 {
		row.Recent--
	}
	if flags&Deleted != 0 {
		row.Deleted--
		row.DelSize -= size
	}
}
