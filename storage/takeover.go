package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"mailserver/internal/uidlist"
	"mailserver/schema"
)

// A mailbox that Dovecot or Courier has served is taken over as it is: with
// its UIDVALIDITY and the UIDs of its list, so that no client fetches anything
// again. Its row is made with takingOver; the rows of its messages follow in
// steps before anybody sees the mailbox. After a crash between two steps the
// rest follows when the mailbox is next asked for.

// takingOver stands in the times of a mailbox's row until all messages of its
// list have their rows.
const takingOver = -1

// uidListFile is where Dovecot keeps UIDs, and we do.
const uidListFile = "dovecot-uidlist"

// listHeader reads the first line of a mailbox's list; false if it has none
// that makes sense.
func (t *tree) listHeader(dir string) (h uidlist.Header, found bool, err error) {
	err = t.readList(dir, func(r io.Reader) error {
		h, err = uidlist.Read(r, func(*uidlist.Entry) error { return nil })
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return h, false, nil
	case errors.Is(err, uidlist.ErrFormat), err == nil && !reasonable(h):
		t.s.d.Log.Warn("dovecot-uidlist is not taken over", "user", t.key.user, "mailbox", dir, "err", err)
		return h, false, nil
	case err != nil:
		return h, false, fmt.Errorf("read uidlist of %s: %w", t.key.user, err)
	}
	return h, true, nil
}

// reasonable says that there are UIDs left to give.
func reasonable(h uidlist.Header) bool { return h.Next > 0 && h.Next < 1<<32-1<<20 }

// readList opens the list with the owner's rights, and calls fn with those of
// the process.
func (t *tree) readList(dir string, fn func(io.Reader) error) error {
	var f *os.File
	err := t.do(func(root *os.Root) error {
		d, err := openDir(root, filepath.Join(".", dir))
		if err != nil {
			return err
		}
		defer d.close()
		f, err = d.open(uidListFile)
		return err
	})
	if err != nil {
		return err
	}
	defer f.Close()
	return fn(f)
}

// adoptList makes row that of a mailbox to be taken over, if it has a list.
// MODSEQ begins above all that Dovecot, which counts changes, can have told: a
// client that asks for what has changed since gets everything once.
func (t *tree) adoptList(row *schema.IndexMailbox) error {
	if err := t.convertCourier(row.Dir); err != nil {
		return err
	}
	h, found, err := t.listHeader(row.Dir)
	if err != nil || !found {
		return err
	}
	row.Validity, row.UIDNext = h.Validity, h.Next
	row.ModSeq = uint64(t.s.d.Now().Unix())
	row.Floor = row.ModSeq
	row.Cur, row.New = takingOver, takingOver
	return nil
}

// takeOver gives the messages of a list their rows. The box is not known to
// anybody yet.
func (b *box) takeOver(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taking = true
	if err := b.loadKeywords(ctx); err != nil {
		return err
	}
	err := b.t.readList(b.dir(), func(r io.Reader) error {
		wanted := make(map[string]listing)
		_, err := uidlist.Read(r, func(e *uidlist.Entry) error {
			l := listing{uid: e.UID, virtual: -1}
			if v, ok := e.Field(uidlist.Virtual); ok {
				l.virtual = nameField(",W="+v, ",W=")
			}
			wanted[e.Name] = l
			if len(wanted) < takeLines {
				return nil
			}
			return b.takeStep(ctx, wanted)
		})
		if err != nil {
			return err
		}
		return b.takeStep(ctx, wanted)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take over %s of %s: %w", b.row.Name, b.t.key.user, err)
	}
	b.taking = false
	return b.commit(ctx, b.row, func(*schema.Tx) error { return nil })
}

// takeLines is how many lines of a list are in memory at once: some 15 MB. The
// directories are read once for each such step.
const takeLines = 50000

// takeStep gives the files of some lines their rows, and forgets the lines.
func (b *box) takeStep(ctx context.Context, wanted map[string]listing) error {
	if err := b.forgetKnown(ctx, wanted); err != nil {
		return err
	}
	rows, err := b.listedRows(wanted)
	if err != nil {
		return err
	}
	clear(wanted)
	return b.addListed(ctx, rows)
}

// listing is what a list says of a file.
type listing struct {
	uid     uint32
	virtual int64 // -1: nothing
}

// forgetKnown takes out what an earlier attempt has written.
func (b *box) forgetKnown(ctx context.Context, wanted map[string]listing) error {
	first, last := uint32(1<<32-1), uint32(0)
	for _, l := range wanted {
		first, last = min(first, l.uid), max(last, l.uid)
	}
	err := b.t.s.d.State.EachName(ctx, b.num, first, last, func(_ uint32, name []byte) error {
		delete(wanted, string(name))
		return nil
	})
	if err != nil {
		return fmt.Errorf("read index of %s: %w", b.row.Name, err)
	}
	return nil
}

// listedRows finds the files of a list.
func (b *box) listedRows(wanted map[string]listing) ([]schema.IndexMessage, error) {
	var rows []schema.IndexMessage
	s := &scan{b: b}
	err := b.both(func(dirs [2]*dir) error {
		s.dirs = dirs
		for which, d := range dirs {
			err := d.names(func(file string) {
				base, _ := splitName(file)
				l, ok := wanted[base]
				if !ok {
					return
				}
				s.hint = l.virtual
				if row, ok := s.row(found{which: which, file: file}); ok {
					delete(wanted, base)
					row.UID = l.uid
					rows = append(rows, row)
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(rows, func(a, b schema.IndexMessage) int { return cmp.Compare(a.UID, b.UID) })
	return rows, err
}

// addListed writes rows in steps.
func (b *box) addListed(ctx context.Context, rows []schema.IndexMessage) error {
	for len(rows) > 0 {
		step := rows[:min(len(rows), stepRows)]
		rows = rows[len(step):]
		next := b.row
		for i := range step {
			step[i].ModSeq = next.ModSeq
			next.UIDNext = max(next.UIDNext, step[i].UID+1)
			tallyAdd(&next, step[i].Size, FlagSet(step[i].Flags))
		}
		if err := b.commit(ctx, next, func(tx *schema.Tx) error { return tx.AddMessages(b.num, step) }); err != nil {
			return err
		}
	}
	return nil
}

// listedUIDs finds new files in the list: another server has worked on the tree
// while this one did not, and has given them UIDs. fresh are the others, which
// come after them: from next on. b.mu is held for writing.
func (b *box) listedUIDs(rows []schema.IndexMessage) (known, fresh []schema.IndexMessage, next uint32) {
	next = b.row.UIDNext
	if len(rows) == 0 || b.listIsOurs() {
		return nil, rows, next
	}
	at := make(map[string]int, len(rows))
	for i := range rows {
		at[rows[i].Name] = i
	}
	var h uidlist.Header
	err := b.t.readList(b.dir(), func(r io.Reader) (err error) {
		h, err = uidlist.Read(r, func(e *uidlist.Entry) error {
			if i, ok := at[e.Name]; ok && e.UID >= b.row.UIDNext {
				rows[i].UID = e.UID
			}
			return nil
		})
		return err
	})
	if err != nil || h.Validity != b.row.Validity || !reasonable(h) {
		for i := range rows {
			rows[i].UID = 0
		}
		return nil, rows, next
	}
	next = max(next, h.Next)
	for _, row := range rows {
		if row.UID > 0 {
			known = append(known, row)
		} else {
			fresh = append(fresh, row)
		}
	}
	slices.SortFunc(known, func(a, b schema.IndexMessage) int { return cmp.Compare(a.UID, b.UID) })
	return known, fresh, next
}

// meet makes the box agree with the list before anybody sees it. tell is
// errOtherList when the list is not that of the row.
func (b *box) meet(ctx context.Context) error {
	if b.row.Cur == takingOver && b.row.New == takingOver {
		return b.takeOver(ctx)
	}
	h, last, ok := b.tail()
	switch {
	case !ok:
		b.mu.Lock()
		defer b.mu.Unlock()
		b.writeFirst(ctx)
		return nil
	case h.Validity != b.row.Validity:
		return errOtherList
	case last < b.row.UIDNext && h.Next <= b.row.UIDNext:
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.distrust()
	if err := b.sync(ctx); !errors.Is(err, ErrNoMailbox) {
		return err
	}
	return nil
}

// errOtherList: another server has begun the mailbox anew, or another tree was
// put in the place of this one.
var errOtherList = errors.New("the uidlist has another UIDVALIDITY")
