package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// keepExpunged bounds the ranges of expunged UIDs that a mailbox remembers for
// QRESYNC; older ones are forgotten when there are a quarter more.
const keepExpunged = 20000

// Expunge removes all messages with \Deleted, or those of uids that have it.
// Poll tells the view which were removed.
func (v *View) Expunge(ctx context.Context, uids imap.UIDSet) error {
	if v.readOnly {
		return ErrReadOnly
	}
	b := v.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return ErrNoMailbox
	}
	if b.row.Deleted == 0 {
		return nil
	}
	spans := []span{{0, len(v.uids)}}
	if uids != nil {
		spans = v.spans(uids)
	}
	var at []int
	for _, s := range spans {
		for i := s.from; i < s.to; i++ {
			if pos := v.position(i); pos >= 0 && b.msgs.flags[pos]&Deleted != 0 {
				at = append(at, pos)
			}
		}
	}
	return b.destroy(ctx, at)
}

// destroy takes files away, then rows. What cannot be removed stays as it is. b.mu
// is held for writing.
func (b *box) destroy(ctx context.Context, at []int) error {
	if len(at) == 0 {
		return nil
	}
	var gone []int
	waste := b.newBin(len(at))
	defer waste.empty()
	err := b.eachFile(ctx, at, b, func(op *fileOp) error {
		if err := waste.take(op.dirs[op.which], op.file); err != nil {
			return err
		}
		gone = append(gone, op.pos)
		return nil
	}, func(pos int) error {
		gone = append(gone, pos)
		return nil
	})
	if err == nil || len(gone) > 0 {
		err = errors.Join(err, b.expunge(ctx, gone))
	}
	if err != nil {
		return fmt.Errorf("expunge %s: %w", b.row.Name, err)
	}
	return nil
}

// expunge takes messages whose files are gone out of the index. b.mu is held
// for writing.
func (b *box) expunge(ctx context.Context, gone []int) error {
	next := b.row
	next.ModSeq++
	for _, pos := range gone {
		tallyRemove(&next, int64(b.msgs.size[pos]), b.msgs.flags[pos])
	}
	ranges := b.msgs.ranges(gone)
	if b.trim += len(ranges); b.trim > keepExpunged/4 {
		floor, err := b.t.s.d.State.ExpungedFloor(ctx, b.num, keepExpunged)
		if err != nil {
			return err
		}
		next.Floor = max(next.Floor, floor)
		b.trim = 0
	}
	err := b.commit(ctx, next, func(tx *schema.Tx) error {
		if next.Floor > b.row.Floor {
			if err := tx.ForgetExpunged(b.num, next.Floor); err != nil {
				return err
			}
		}
		return tx.ExpungeMessages(b.num, ranges, next.ModSeq)
	})
	if err != nil {
		return err
	}
	b.msgs.remove(gone)
	b.cuts++
	b.changed()
	b.t.s.fts.note(b, false)
	return nil
}

// Vanished returns the UIDs among set that were expunged after modSeq; all of
// the mailbox if set is nil. When the history does not go back so far, it is
// all UIDs of the set that do not exist, as RFC 7162 §3.2.5.1 allows.
func (v *View) Vanished(ctx context.Context, modSeq uint64, set imap.UIDSet) (imap.UIDSet, error) {
	b := v.b
	b.mu.RLock()
	floor := b.row.Floor
	b.mu.RUnlock()
	if set == nil {
		set = imap.UIDSet{{Start: 1, Stop: 0}}
	}
	var gone []schema.UIDRange
	if modSeq < floor {
		gone = v.absent()
	} else {
		list, err := b.t.s.d.State.ExpungedSince(ctx, b.num, modSeq)
		if err != nil {
			return nil, fmt.Errorf("read expunged of %s: %w", b.row.Name, err)
		}
		gone = joinRanges(list)
	}
	return intersect(gone, v.uidRanges(set)), nil
}

// absent returns all UIDs that were given and that the view has not.
func (v *View) absent() (list []schema.UIDRange) {
	next := uint32(1)
	for _, uid := range v.uids {
		if uid > next {
			list = append(list, schema.UIDRange{First: next, Last: uid - 1})
		}
		next = uid + 1
	}
	if end := uint32(v.UIDNext()); end > next {
		list = append(list, schema.UIDRange{First: next, Last: end - 1})
	}
	return list
}

// uidRanges resolves a set; "*" is the last UID that was given.
func (v *View) uidRanges(set imap.UIDSet) []schema.UIDRange {
	star := uint32(v.UIDNext()) - 1
	list := make([]schema.UIDRange, 0, len(set))
	for _, r := range set {
		first, last := ordered(uint32(r.Start), uint32(r.Stop), star)
		list = append(list, schema.UIDRange{First: first, Last: last})
	}
	return joinRanges(list)
}

// joinRanges sorts ranges and joins those that touch.
func joinRanges(list []schema.UIDRange) []schema.UIDRange {
	slices.SortFunc(list, func(a, b schema.UIDRange) int { return cmp.Compare(a.First, b.First) })
	out := list[:0]
	for _, r := range list {
		if n := len(out); n > 0 && uint64(r.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// intersect returns what is in both lists, which ascend.
func intersect(a, b []schema.UIDRange) (set imap.UIDSet) {
	for len(a) > 0 && len(b) > 0 {
		first, last := max(a[0].First, b[0].First), min(a[0].Last, b[0].Last)
		if first <= last {
			set = append(set, imap.UIDRange{Start: imap.UID(first), Stop: imap.UID(last)})
		}
		if a[0].Last < b[0].Last {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return set
}
