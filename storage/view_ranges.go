package storage

import (
	"iter"
	"math"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// span is positions from, to (exclusive) in View.uids.
type span struct{ from, to int }

// spans resolves a set: ascending, without overlap. "*" is the last message;
// a range beyond it ends with it, RFC 9051 §9 seq-range.
func (v *View) spans(set imap.NumSet) []span {
	var list []span
	n := uint32(len(v.uids))
	if n == 0 {
		return nil
	}
	switch set := set.(type) {
	case imap.SeqSet:
		for _, r := range set {
			first, last := ordered(r.Start, r.Stop, n)
			if first <= n {
				list = append(list, span{int(first - 1), int(min(last, n))})
			}
		}
	case imap.UIDSet:
		for _, r := range set {
			first, last := ordered(uint32(r.Start), uint32(r.Stop), v.uids[n-1])
			to := len(v.uids)
			if last < math.MaxUint32 {
				to = lowerBound(v.uids, last+1)
			}
			if from := lowerBound(v.uids, first); from < to {
				list = append(list, span{from, to})
			}
		}
	}
	return merge(list)
}

func ordered(a, b, star uint32) (first, last uint32) {
	if a == 0 {
		a = star
	}
	if b == 0 {
		b = star
	}
	return min(a, b), max(a, b)
}

func merge(list []span) []span {
	slices.SortFunc(list, func(a, b span) int { return a.from - b.from })
	out := list[:0]
	for _, s := range list {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// Messages walks through the messages of a set of UIDs or of sequence numbers,
// in order; "*" is the last of the view. Those that are gone are left out.
// Nothing is locked between two steps.
func (v *View) Messages(set imap.NumSet) iter.Seq2[uint32, Msg] { return v.MessagesWith(set, 0, 0) }

// MessagesWith is Messages for those whose flags in mask are want.
func (v *View) MessagesWith(set imap.NumSet, mask, want FlagSet) iter.Seq2[uint32, Msg] {
	return func(yield func(uint32, Msg) bool) {
		var some [128]Msg
		var seqs [128]uint32
		w := &wanted{mask: mask, want: want & mask, list: some[:], seqs: seqs[:]}
		for _, s := range v.spans(set) {
			for w.next = s.from; w.next < s.to; {
				n := v.msgs(w, s.to)
				for i := range n {
					if !yield(seqs[i], some[i]) {
						return
					}
				}
			}
		}
	}
}

// wanted are messages that somebody wants to know of, and room for some of them.
type wanted struct {
	next       int // position in View.uids
	mask, want FlagSet
	list       []Msg
	seqs       []uint32
}

// most is how many positions are looked at without a pause for others.
const most = 16 << 10

// msgs fills in messages from w.next on, but not from position to on, that are
// still there.
func (v *View) msgs(w *wanted, to int) (n int) {
	v.b.asked.Add(1)
	v.b.mu.RLock()
	defer v.b.mu.RUnlock()
	to = min(to, len(v.uids), w.next+most)
	same := v.b.msgs != nil && v.cuts == v.b.cuts
	for ; w.next < to && n < len(w.list); w.next++ {
		if same && v.b.msgs.flags[w.next]&w.mask != w.want {
			continue
		}
		if m, ok := v.msg(w.next); ok && m.Flags&w.mask == w.want {
			w.list[n], w.seqs[n] = m, uint32(w.next+1)
			n++
		}
	}
	return n
}
