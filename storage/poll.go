package storage

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// Changes is what a Poll found, in the order in which a client must be told.
type Changes struct {
	// Expunged are sequence numbers, highest first, so that each is right
	// when it is told.
	Expunged []uint32
	// Vanished are the same as UIDs.
	Vanished imap.UIDSet
	// Exists is the number of messages now; Grown says that some are new.
	Exists uint32
	Grown  bool
	// Recent is the number of \Recent messages now; it matters when Grown.
	Recent uint32
	// Keywords says that Flags and PermanentFlags have grown.
	Keywords bool
	// Flags are sequence numbers, as they are now, of messages whose flags or
	// MODSEQ have changed, but for what this view stored itself. New messages
	// are not among them.
	Flags []uint32
}

// Poll brings the view up to date and tells the difference. Without
// allowExpunge messages that are gone stay in the view, to be told later. A
// view that may write takes \Recent of new messages. ErrNoMailbox: deleted.
func (v *View) Poll(ctx context.Context, allowExpunge bool) (Changes, error) {
	b := v.b
	if o := v.early(); o != nil {
		return Changes{Exists: v.Len(), Recent: o.row.Recent}, nil
	}
	b.asked.Add(1)
	v.closeFiles()
	if err := b.flush(ctx); err != nil {
		return Changes{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refresh(ctx); err != nil {
		return Changes{}, err
	}
	if b.row.Validity != v.validity {
		return Changes{}, ErrNoMailbox // it was rebuilt: the session must select anew
	}
	if !v.readOnly {
		if err := v.claim(ctx); err != nil {
			return Changes{}, err
		}
	}
	v.changes = b.changes
	return v.diff(allowExpunge), nil
}

// Watch calls fn when there may be something to Poll, at once if that is so
// already. fn must not block, nor call the View. It costs no goroutine.
func (v *View) Watch(fn func()) {
	b := v.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watchers == nil {
		b.watchers = make(map[*View]func())
	}
	b.watchers[v] = fn
	if b.watches == [2]int32{} && !b.gone {
		b.watches = b.t.s.news.add(b)
	}
	if v.changes != b.changes {
		fn()
	}
}

// Unwatch ends Watch: fn is not called any more.
func (v *View) Unwatch() {
	b := v.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unwatch(v)
}

func (b *box) unwatch(v *View) {
	delete(b.watchers, v)
	if len(b.watchers) == 0 {
		b.watchers = nil
	}
}

// refresh makes the shared state agree with the tree. A view is open, or is
// being opened. b.mu is held for writing.
func (b *box) refresh(ctx context.Context) error {
	err := b.catchUp(ctx)
	if errors.Is(err, schema.ErrStale) {
		err = b.catchUp(ctx) // another process has written; it was read again
	}
	if errors.Is(err, ErrNoMailbox) && !b.gone {
		b.gone = true
		b.changed()
	}
	return err
}

func (b *box) catchUp(ctx context.Context) error {
	if err := b.drain(ctx); err != nil {
		return err
	}
	return b.sync(ctx)
}

// diff compares the view with what is shared. b.mu is held.
func (v *View) diff(allowExpunge bool) Changes {
	b := v.b
	old := len(v.uids)
	var last uint32
	if old > 0 {
		last = v.uids[old-1]
	}
	var ch Changes
	switch {
	case v.cuts == b.cuts:
		v.uids = b.msgs.uid
		ch.Grown = len(v.uids) > old
	case allowExpunge:
		v.expunged(&ch)
		v.uids, v.cuts = b.msgs.uid, b.cuts
		ch.Grown = len(v.uids) > old-len(ch.Expunged)
	default:
		added := b.msgs.uid[b.msgs.at(last+1):]
		v.uids = append(v.uids[:old:old], added...)
		ch.Grown = len(added) > 0
	}
	ch.Exists, ch.Recent = v.Len(), v.recents
	if v.readOnly {
		ch.Recent = b.row.Recent
	}
	ch.Keywords = v.keys != b.keys.known
	v.keys = b.keys.known
	ch.Flags = v.reflagged(last)
	v.modSeq, v.own = b.row.ModSeq, nil
	if v.cuts == b.cuts {
		v.told = v.modSeq
	}
	return ch
}

// expunged tells what the view has and the mailbox has not, and drops it from
// \Recent. b.mu is held.
func (v *View) expunged(ch *Changes) {
	have := v.b.msgs.uid
	at := 0
	for i, uid := range v.uids {
		for at < len(have) && have[at] < uid {
			at++
		}
		if at < len(have) && have[at] == uid {
			continue
		}
		ch.Expunged = append(ch.Expunged, uint32(i+1))
		addUID(&ch.Vanished, imap.UID(uid))
		if len(v.recent) > 0 && v.isRecent(uid) {
			v.recents--
		}
	}
	slices.Reverse(ch.Expunged)
}

// reflagged lists old messages with changes that the view does not know. b.mu
// is held.
func (v *View) reflagged(last uint32) (seqs []uint32) {
	b := v.b
	if b.row.ModSeq == v.modSeq {
		return nil
	}
	for pos, modSeq := range b.msgs.modSeq {
		if modSeq <= v.modSeq || slices.Contains(v.own, modSeq) {
			continue
		}
		uid := b.msgs.uid[pos]
		if uid > last {
			break
		}
		if seq := v.Seq(imap.UID(uid)); seq != 0 {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

// claim makes new messages \Recent in this session and no other, and moves
// their files from new/ to cur/. b.mu is held for writing.
func (v *View) claim(ctx context.Context) error {
	b := v.b
	if b.row.Recent == 0 {
		return nil
	}
	if err := b.load(ctx); err != nil {
		return err
	}
	var at []int
	for pos, flags := range b.msgs.flags {
		if flags&unclaimed != 0 {
			at = append(at, pos)
		}
	}
	stay := b.toCur(ctx, at)
	next := b.row
	next.Recent = 0
	err := b.commit(ctx, next, func(tx *schema.Tx) error {
		for _, r := range b.msgs.ranges(at) {
			if err := tx.MaskFlags(b.num, r, math.MaxUint64&^uint64(unclaimed|inNew), 0, 0); err != nil {
				return err
			}
		}
		for _, r := range b.msgs.ranges(stay) {
			if err := tx.MaskFlags(b.num, r, math.MaxUint64, uint64(inNew), 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, pos := range at {
		b.msgs.flags[pos] &^= unclaimed | inNew
	}
	for _, pos := range stay {
		b.msgs.flags[pos] |= inNew
	}
	v.recent = append(v.recent, b.msgs.ranges(at)...)
	v.recents += uint32(len(at))
	return nil
}

// addUID adds a UID that is above all of the set.
func addUID(set *imap.UIDSet, uid imap.UID) {
	s := *set
	if n := len(s); n > 0 && s[n-1].Stop == uid-1 {
		s[n-1].Stop = uid
		return
	}
	*set = append(s, imap.UIDRange{Start: uid, Stop: uid})
}
