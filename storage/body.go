package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// prefetch keeps what a command that asks for many messages needs again and
// again: the rows of the next ones, and their directory. It lives until the next
// Poll.
type prefetch struct {
	rows []schema.IndexMessage
	next int // in rows: follows the row that was given last
	cur  *dir
}

// prefetchRows is how many rows are read at once: about 12 KB.
const prefetchRows = 64

func (v *View) closeFiles() {
	v.ahead.close()
	v.opened, v.until, v.expected = 0, 0, false
	if v.files.cur != nil {
		v.files.cur.close()
	}
	v.files = prefetch{}
}

// Open opens a message for reading. ErrExpunged.
func (v *View) Open(ctx context.Context, uid imap.UID) (*Body, error) {
	f, size, err := v.open(ctx, uint32(uid))
	if err != nil && !errors.Is(err, ErrExpunged) {
		return nil, fmt.Errorf("open message %d of %s: %w", uid, v.Name(), err)
	}
	if err != nil {
		return nil, err
	}
	// Not a size that the file can have: it was written to after it came.
	if f.size > size || size > 2*f.size {
		if size, err = v.b.measure(ctx, uint32(uid), f); err != nil {
			f.Close()
			return nil, fmt.Errorf("measure message %d of %s: %w", uid, v.Name(), err)
		}
	}
	return &Body{f: f, size: size, crlf: f.size == size}, nil
}

// measure corrects RFC822.SIZE of a message.
func (b *box) measure(ctx context.Context, uid uint32, f *file) (int64, error) {
	size, err := virtualSize(io.NewSectionReader(f, 0, math.MaxInt64))
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	pos := -1
	if b.msgs != nil {
		pos = b.msgs.find(uid)
	}
	if pos < 0 {
		return size, nil
	}
	next := b.row
	tallyRemove(&next, int64(b.msgs.size[pos]), b.msgs.flags[pos])
	tallyAdd(&next, size, b.msgs.flags[pos])
	if err := b.commit(ctx, next, func(tx *schema.Tx) error { return tx.SetSize(b.num, uid, size) }); err != nil {
		return 0, err
	}
	b.msgs.size[pos] = clamp32(size)
	return size, nil
}

func (v *View) open(ctx context.Context, uid uint32) (f *file, size int64, err error) {
	at := lowerBound(v.uids, uid)
	inOrder := at > 0 && at == v.opened
	v.opened = at + 1
	if inOrder || v.expected {
		if r := v.ahead.take(uid); r != nil {
			if !v.b.has(uid) {
				r.Close()
				return nil, 0, ErrExpunged
			}
			return &r.file, r.rfcSize, nil
		}
		if !v.expected {
			v.readAhead(at + 1)
		}
	}
	row, err := v.row(ctx, uid)
	if err != nil {
		return nil, 0, err
	}
	err = v.b.t.owner.do(func() error {
		f, err = v.openRow(&row)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		f, err = v.search(row.Name)
	}
	return f, row.Size, err
}

// Expect says that most of some messages will be opened, one after the other, and
// no others until the next Expect or Poll; nil: nothing is known any more.
func (v *View) Expect(uids []uint32) {
	v.ahead.close()
	if v.expected = len(uids) > 0; v.expected {
		v.ahead.begin(v.b, uids)
	}
}

// readAhead begins with the message at a position in v.uids.
func (v *View) readAhead(from int) {
	to := len(v.uids)
	if v.until > 0 {
		to = lowerBound(v.uids, v.until)
		if to < len(v.uids) && v.uids[to] == v.until {
			to++
		}
	}
	if from < to {
		v.ahead.begin(v.b, v.uids[from:to])
	}
}

// has reports whether a message is still there.
func (b *box) has(uid uint32) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.msgs != nil && b.msgs.find(uid) >= 0
}

// openRow opens the file of a row. The caller has the owner's rights.
func (v *View) openRow(row *schema.IndexMessage) (*file, error) {
	which, name := fileOf(row)
	if which == curDir && v.files.cur != nil {
		return v.files.cur.openMessage(name)
	}
	root, err := v.b.t.root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	d, err := v.b.open(root, which)
	if err != nil {
		return nil, err
	}
	if which == curDir {
		v.files.cur = d
	} else {
		defer d.close()
	}
	return d.openMessage(name)
}

// row returns the index row of a message, with the flags of now. Who asks for
// one after the other gets many at once from the index. ErrExpunged.
func (v *View) row(ctx context.Context, uid uint32) (schema.IndexMessage, error) {
	b, p := v.b, &v.files
	b.asked.Add(1)
	b.mu.RLock()
	defer b.mu.RUnlock()
	pos := -1
	if b.msgs != nil {
		pos = b.msgs.find(uid)
	}
	if pos < 0 {
		return schema.IndexMessage{}, ErrExpunged
	}
	at := p.find(uid)
	if at < 0 || FlagSet(p.rows[at].Flags)&oddInfo != 0 {
		want := 1
		if n := len(p.rows); n > 0 && p.next == n && pos > 0 && b.msgs.uid[pos-1] == p.rows[n-1].UID {
			want = prefetchRows
		}
		if err := v.readRows(ctx, pos, want); err != nil {
			return schema.IndexMessage{}, err
		}
		at = 0
	}
	p.next = at + 1
	p.rows[at].Flags = uint64(b.diskFlags(pos))
	return p.rows[at], nil
}

func (p *prefetch) find(uid uint32) int {
	if p.next < len(p.rows) && p.rows[p.next].UID == uid {
		return p.next
	}
	return slices.IndexFunc(p.rows, func(row schema.IndexMessage) bool { return row.UID == uid })
}

// readRows reads the rows of up to want messages from a position on. b.mu is
// held.
func (v *View) readRows(ctx context.Context, pos, want int) error {
	b, p := v.b, &v.files
	uids := b.msgs.uid[pos:min(pos+want, len(b.msgs.uid))]
	p.rows = p.rows[:0]
	err := b.t.s.d.State.EachMessage(ctx, b.num, uids[0], uids[len(uids)-1], func(row *schema.IndexMessage) error {
		p.rows = append(p.rows, *row)
		return nil
	})
	if err == nil && (len(p.rows) == 0 || p.rows[0].UID != uids[0]) {
		p.rows = p.rows[:0]
		err = ErrExpunged
	}
	return err
}

// search opens a message whose file another program has renamed.
func (v *View) search(base string) (f *file, err error) {
	b := v.b
	b.distrust()
	err = b.both(func(dirs [2]*dir) error {
		which, name, found := locate(dirs, base)
		if !found {
			return ErrExpunged
		}
		f, err = dirs[which].openMessage(name)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrExpunged
	}
	return f, err
}
