package storage

import (
	"context"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// StoreResult is the outcome of Store. All messages changed have the same new
// ModSeq; those that had the flags already keep theirs.
type StoreResult struct {
	ModSeq   uint64      // 0 if nothing changed
	Changed  imap.UIDSet // messages that were changed
	Modified imap.UIDSet // not touched, because of UNCHANGEDSINCE
	Gone     bool        // some of the set were expunged by others
	Keywords bool        // Flags and PermanentFlags have grown: tell before FETCH
}

// Store sets, adds or removes flags of a set of messages. With unchangedSince,
// RFC 7162 §3.1.3, messages of a higher MODSEQ are left alone and told in
// Modified. \Recent among the flags is left out. ErrReadOnly, ErrKeywords.
func (v *View) Store(ctx context.Context, set imap.NumSet, op imap.StoreFlagsOp, flags []imap.Flag, unchangedSince *uint64) (StoreResult, error) {
	var res StoreResult
	if v.readOnly {
		return res, ErrReadOnly
	}
	b := v.b
	b.asked.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return res, ErrNoMailbox
	}
	bits, grown, err := b.bits(ctx, flags)
	if err != nil {
		return res, err
	}
	res.Keywords = grown
	c := flagChange{keep: ^FlagSet(0), set: bits}
	switch op {
	case imap.StoreFlagsDel:
		c = flagChange{keep: ^bits}
	case imap.StoreFlagsSet:
		c = flagChange{keep: hiddenFlags, set: bits}
	}
	c.keep, c.set = c.keep|v.keep, c.set&^v.keep
	at := v.toStore(set, c, unchangedSince, &res)
	if len(at) == 0 {
		return res, nil
	}
	done, err := b.store(ctx, at, c)
	for _, pos := range done {
		addUID(&res.Changed, imap.UID(b.msgs.uid[pos]))
	}
	if len(done) > 0 {
		res.ModSeq = b.row.ModSeq
		v.own = append(v.own, res.ModSeq)
	}
	if err != nil {
		return res, fmt.Errorf("store flags in %s: %w", b.row.Name, err)
	}
	return res, nil
}

// flagChange makes flags & keep | set of flags.
type flagChange struct{ keep, set FlagSet }

func (c flagChange) of(flags FlagSet) FlagSet { return flags&c.keep | c.set }

// toStore returns the positions of the messages that a Store changes. b.mu is
// held.
func (v *View) toStore(set imap.NumSet, c flagChange, unchangedSince *uint64, res *StoreResult) (at []int) {
	all := v.b.msgs
	for _, s := range v.spans(set) {
		for i := s.from; i < s.to; i++ {
			pos := v.position(i)
			switch {
			case pos < 0:
				res.Gone = true
			case unchangedSince != nil && all.modSeq[pos] > *unchangedSince:
				addUID(&res.Modified, imap.UID(all.uid[pos]))
			case c.of(all.flags[pos]) != all.flags[pos]:
				at = append(at, pos)
			}
		}
	}
	return at
}

// stepFlags is how many messages one transaction changes.
const stepFlags = 20000

// store changes flags of messages at positions, which ascend: names of files
// first, then the index; of many, the other way round, see storeBehind. A crash between them is a change by another program,
// for the next reconcile. All get the same MODSEQ. b.mu is held for writing.
func (b *box) store(ctx context.Context, at []int, c flagChange) (done []int, err error) {
	modSeq := b.row.ModSeq + 1
	for len(at) > 0 {
		n := min(len(at), stepFlags)
		stored, err := b.storeSome(ctx, at[:n], c, modSeq)
		done = append(done, stored...)
		if err != nil {
			return done, err
		}
		at = at[n:]
	}
	return done, nil
}

func (b *box) storeSome(ctx context.Context, at []int, c flagChange, modSeq uint64) ([]int, error) {
	if b.mayLag(at) {
		return b.storeBehind(ctx, at, c, modSeq)
	}
	odd, lost, err := b.renameFlags(ctx, at, c, modSeq)
	if err != nil {
		b.distrust()
		return nil, spaceError(err)
	}
	if len(lost) > 0 {
		b.distrust()
		at = slices.DeleteFunc(slices.Clone(at), func(pos int) bool { return slices.Contains(lost, pos) })
	}
	next := b.row
	next.ModSeq = modSeq
	for _, pos := range at {
		flags := b.msgs.flags[pos]
		tally(&next, int64(b.msgs.size[pos]), flags, c.of(flags))
	}
	keep, set := c.keep, c.set
	err = b.commit(ctx, next, func(tx *schema.Tx) error {
		for _, r := range b.msgs.ranges(at) {
			// A file that got flags lies in cur/.
			if err := tx.MaskFlags(b.num, r, uint64(keep&^(inNew|behind)), uint64(set), modSeq); err != nil {
				return err
			}
		}
		for i := range odd {
			if err := tx.SetFile(b.num, &odd[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, pos := range at {
		b.msgs.flags[pos] = c.of(b.msgs.flags[pos]) &^ (inNew | behind)
		b.msgs.modSeq[pos] = modSeq
	}
	for i := range odd {
		b.msgs.flags[b.msgs.find(odd[i].UID)] = FlagSet(odd[i].Flags)
	}
	b.changed()
	return at, nil
}

// renameFlags gives files the names that their new flags ask for. odd are the
// rows of messages with names that flags do not tell.
func (b *box) renameFlags(ctx context.Context, at []int, c flagChange, modSeq uint64) (odd []schema.IndexMessage, lost []int, err error) {
	err = b.eachFile(ctx, at, b, func(op *fileOp) error {
		flags := c.of(b.msgs.flags[op.pos]) &^ (inNew | behind)
		to := op.row.Name + info(flags)
		if flags&oddInfo != 0 {
			_, old := splitName(op.file)
			now := changeInfo(old, flags, b.keys.known)
			to = op.row.Name + now
			if _, still := parseInfo(now, b.keys.known&onDisk); !still {
				flags &^= oddInfo
			}
			odd = append(odd, schema.IndexMessage{UID: op.row.UID, Flags: uint64(flags), ModSeq: modSeq,
				Info: now, HasInfo: flags&oddInfo != 0})
		}
		if op.which == curDir && to == op.file {
			return nil // only flags that no letter tells
		}
		return op.dirs[op.which].rename(op.file, op.to, to)
	}, func(pos int) error {
		lost = append(lost, pos)
		return nil
	})
	return odd, lost, err
}
