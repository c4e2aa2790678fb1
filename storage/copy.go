package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// Copied says which messages became which: both sets ascending, of one length.
type Copied struct {
	UIDValidity uint32
	Source      imap.UIDSet
	Dest        imap.UIDSet
}

// Copy copies messages to another mailbox of the account, all or none, by hard
// links where the file system can. ErrNoMailbox, ErrOverQuota, ErrNoSpace; and
// ErrExpunged if one of the set is gone.
func (v *View) Copy(ctx context.Context, set imap.NumSet, to string) (Copied, error) {
	x := &transfer{v: v, set: set}
	return x.run(ctx, to)
}

// Move moves messages likewise, by rename; those that are gone are left out.
// RFC 6851.
func (v *View) Move(ctx context.Context, set imap.NumSet, to string) (Copied, error) {
	if v.readOnly {
		return Copied{}, ErrReadOnly
	}
	x := &transfer{v: v, set: set, move: true}
	return x.run(ctx, to)
}

// transfer is one COPY or MOVE.
type transfer struct {
	v    *View
	set  imap.NumSet
	dst  *box
	move bool
	drop FlagSet // flags that copies do not have

	keys [maxKeywords]FlagSet // bits of dst for keywords of the view's mailbox
	at   []int                // positions of the messages
	done []placed
	into joined
	put  int64 // bytes told to the index of dst

	record schema.Copying // Num 0: none
	named  int            // files that have a name by it
}

// placed is a file that is in dst now.
type placed struct {
	uid   uint32 // it had
	file  string
	which int // where it was, and its name there
	from  string
}

// run is the order of a transfer: names of keywords, files, the index of the
// source, then that of the destination. The locks of the two are never held
// together.
func (x *transfer) run(ctx context.Context, to string) (c Copied, err error) {
	t := x.v.b.t
	if x.dst, err = t.box(ctx, to); err != nil {
		return c, err
	}
	if err = x.translate(ctx); err == nil {
		err = x.place(ctx)
	}
	if errors.Is(err, os.ErrNotExist) {
		t.lost(x.dst)
		t.lost(x.v.b)
	}
	if err != nil {
		return c, spaceError(fmt.Errorf("from %s to %s of %s: %w", x.v.Name(), x.dst.name(), t.key.user, err))
	}
	if len(x.done) == 0 {
		return c, nil
	}
	validity, uids, err := x.dst.join(&x.into)
	if err = errors.Join(err, x.endCopy()); err != nil {
		return c, err
	}
	c.UIDValidity = validity
	for i := range uids {
		addUID(&c.Source, imap.UID(x.done[i].uid))
		addUID(&c.Dest, uids[i])
	}
	return c, nil
}

// translate gives the keywords in use their bits in dst.
func (x *transfer) translate(ctx context.Context) error {
	b := x.v.b
	b.mu.RLock()
	keys, used := b.keys, x.used()
	b.mu.RUnlock()
	if x.dst == b {
		for num := range x.keys {
			x.keys[num] = keywordBit(num)
		}
		return nil
	}
	x.dst.mu.Lock()
	defer x.dst.mu.Unlock()
	grown := false
	for num, name := range keys.names {
		if name == "" || used&keywordBit(num) == 0 {
			continue
		}
		bit, more, err := x.dst.bits(ctx, []imap.Flag{imap.Flag(name)})
		if errors.Is(err, ErrKeywords) {
			continue // no room: the copy does without
		}
		if err != nil {
			return err
		}
		x.keys[num] = bit
		grown = grown || more
	}
	if grown {
		x.dst.changed()
	}
	return nil
}

// used are the flags that any of the messages has. b.mu is held.
func (x *transfer) used() (set FlagSet) {
	for _, s := range x.v.spans(x.set) {
		for i := s.from; i < s.to; i++ {
			if pos := x.v.position(i); pos >= 0 {
				set |= x.v.b.msgs.flags[pos]
			}
		}
	}
	return set
}

func (x *transfer) flags(flags FlagSet) FlagSet {
	out := flags&systemFlags | unclaimed
	for num, bit := range x.keys {
		if flags&keywordBit(num) != 0 {
			out |= bit
		}
	}
	return out &^ x.drop
}

// place puts the files into dst, all or none, and takes moved ones out of the
// index of their mailbox.
func (x *transfer) place(ctx context.Context) error {
	b := x.v.b
	if x.move {
		b.mu.Lock()
		defer b.mu.Unlock()
	} else {
		b.mu.RLock()
		defer b.mu.RUnlock()
	}
	if b.gone {
		return ErrNoMailbox
	}
	size, err := x.choose()
	if err != nil || len(x.at) == 0 {
		return err
	}
	limit := x.v.limits
	if x.move {
		limit = limits{} // the account does not grow
	}
	if err := b.t.reserve(size, int64(len(x.at)), limit); err != nil {
		return err
	}
	// What is put is given back by drain; the rest here.
	defer func() { b.t.reserved.Add(x.put - size) }()
	if err := x.beginCopy(ctx); err != nil {
		return err
	}
	if err := x.transferFiles(ctx); err != nil {
		return errors.Join(err, x.endCopy())
	}
	if !x.move {
		return nil
	}
	return b.expunge(ctx, x.at)
}

// choose finds the positions of the set.
func (x *transfer) choose() (size int64, err error) {
	for _, s := range x.v.spans(x.set) {
		for i := s.from; i < s.to; i++ {
			pos := x.v.position(i)
			if pos < 0 && !x.move {
				return 0, ErrExpunged
			}
			if pos >= 0 {
				x.at = append(x.at, pos)
				size += int64(x.v.b.msgs.size[pos])
			}
		}
	}
	return size, nil
}

// transferFiles puts each file in place and tells the index of dst at once, so
// that a reconcile there knows it. If one cannot be, all are taken back, and
// those that have a UID by then are expunged.
func (x *transfer) transferFiles(ctx context.Context) error {
	b := x.v.b
	now := b.t.s.d.Now().Unix()
	err := b.eachFile(ctx, x.at, x.dst, func(op *fileOp) error {
		row := x.row(op, now)
		_, file := fileOf(&row)
		err := x.transferFile(op, file)
		if errors.Is(err, os.ErrExist) {
			row.Name = x.freshName(op)
			_, file = fileOf(&row)
			err = x.transferFile(op, file)
		}
		if err != nil {
			return err
		}
		x.done = append(x.done, placed{op.row.UID, file, op.which, op.file})
		x.dst.in.put(arrival{row: row, into: &x.into})
		x.dst.t.coming.Add(1)
		x.put += row.Size
		return nil
	}, func(int) error { return ErrExpunged })
	if err == nil {
		err = x.finish()
	}
	if err != nil {
		x.undo()
	}
	return err
}

// row is what the message is in dst. Its name is a new one, for a move too: a
// message that comes back must not be taken for the one that was there before,
// neither by an index that has not yet seen it leave nor by the list of UIDs.
func (x *transfer) row(op *fileOp, now int64) schema.IndexMessage {
	row := schema.IndexMessage{Name: x.freshName(op), Size: op.row.Size, Date: op.row.Date, Saved: now, Email: op.row.Email}
	row.Flags = uint64(x.flags(x.v.b.msgs.flags[op.pos]))
	if row.Email == 0 {
		row.Email = emailID(op.row.Name)
	}
	return row
}

// emailID names the contents of a message, RFC 8474 §5.1, by its first name.
func emailID(name string) int64 {
	h := fnv.New64a()
	io.WriteString(h, name)
	return int64(h.Sum64() | 1) // 0 is none
}

func (x *transfer) freshName(op *fileOp) string {
	size, virtual := nameSizes(op.row.Name)
	if x.move && size >= 0 && virtual == op.row.Size {
		return withSizes(x.nextName(), size, virtual)
	}
	if st, err := op.dirs[op.which].stat(op.file); err == nil {
		size = st.Size
	}
	return withSizes(x.nextName(), size, op.row.Size)
}

func (x *transfer) transferFile(op *fileOp, file string) error {
	from := op.dirs[op.which]
	if x.move {
		return from.rename(op.file, op.to, file)
	}
	err := linkError(from.link(op.file, op.to, file))
	if errors.Is(err, ErrNoLink) {
		err = from.copy(op.file, op.to, file)
	}
	return err
}

// finish makes the names in dst durable.
func (x *transfer) finish() error {
	if !x.move {
		for _, p := range x.done {
			x.into.files = append(x.into.files, p.file)
		}
	}
	return x.v.b.t.do(func(root *os.Root) error {
		d, err := x.dst.open(root, curDir)
		if err != nil {
			return err
		}
		defer d.close()
		return d.sync()
	})
}

// undo takes back what was placed. The index of dst sees it at its next look.
func (x *transfer) undo() {
	x.v.b.withFiles(x.dst, func(op *fileOp) error {
		x.v.b.astray, x.dst.astray = true, true
		for _, p := range x.done {
			if x.move {
				op.to.rename(p.file, op.dirs[p.which], p.from)
			} else {
				op.to.remove(p.file)
			}
		}
		return nil
	})
	if len(x.done) > 0 {
		x.dst.index()
	}
	x.done = nil
}
