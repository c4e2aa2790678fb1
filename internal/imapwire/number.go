package imapwire

import (
	"math"
	"slices"
	"strconv"
)

// Number reads a number of 32 bits.
func (d *Decoder) Number() uint32 { return uint32(d.number(math.MaxUint32)) }

// Number63 reads a number of 63 bits: sizes and MODSEQ values, RFC 7162 §7.
func (d *Decoder) Number63() int64 { return int64(d.number(math.MaxInt64)) }

func (d *Decoder) number(most uint64) uint64 {
	s := d.Run(func(c byte) bool { return c >= '0' && c <= '9' })
	if d.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > most {
		d.Fail("Invalid number.")
		return 0
	}
	return n
}

// Range is a run of numbers, both ends included. 0 stands for '*'.
type Range struct{ From, To uint32 }

// Set is a sequence-set, RFC 9051 §9. Sorted and without overlap after Resolve.
type Set []Range

// Set reads a sequence-set. '*' stays 0: Resolve gives it a number.
func (d *Decoder) Set() Set {
	var s Set
	for d.err == nil {
		r := Range{From: d.setNumber()}
		r.To = r.From
		if d.Accept(':') {
			r.To = d.setNumber()
		}
		s = append(s, r)
		if !d.Accept(',') {
			break
		}
	}
	if d.err != nil {
		return nil
	}
	return s
}

func (d *Decoder) setNumber() uint32 {
	if d.Accept('*') {
		return 0
	}
	n := d.number(math.MaxUint32)
	if n == 0 && (d.err == nil || IsSyntax(d.err)) {
		d.err = nil
		d.Fail("Invalid messageset")
	}
	return uint32(n)
}

// Resolve returns the set with '*' as last, sorted, joined where ranges touch.
// With last 0 there is nothing that '*' could be, and it is left out.
func (s Set) Resolve(last uint32) Set {
	out := make(Set, 0, len(s))
	for _, r := range s {
		from, to := r.From, r.To
		if last == 0 && (from == 0 || to == 0) {
			continue
		}
		if from == 0 {
			from = last
		}
		if to == 0 {
			to = last
		}
		out = append(out, Range{min(from, to), max(from, to)})
	}
	slices.SortFunc(out, func(a, b Range) int {
		if a.From < b.From {
			return -1
		}
		if a.From > b.From {
			return 1
		}
		return 0
	})
	return out.join()
}

func (s Set) join() Set {
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && (out[n-1].To == math.MaxUint32 || r.From <= out[n-1].To+1) {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Add puts n at the end of a sorted set; n is larger than all of them.
func (s *Set) Add(n uint32) {
	if k := len(*s); k > 0 && (*s)[k-1].To+1 == n {
		(*s)[k-1].To = n
		return
	}
	*s = append(*s, Range{n, n})
}

// Count is how many numbers a resolved set has.
func (s Set) Count() (n uint64) {
	for _, r := range s {
		n += uint64(r.To-r.From) + 1
	}
	return n
}

// Contains tells whether n is in a resolved set.
func (s Set) Contains(n uint32) bool {
	i, ok := slices.BinarySearchFunc(s, n, func(r Range, n uint32) int {
		switch {
		case r.To < n:
			return -1
		case r.From > n:
			return 1
		}
		return 0
	})
	return ok && i < len(s)
}

// Append writes the set as text, '*' for 0.
func (s Set) Append(b []byte) []byte {
	for i, r := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSetNumber(b, r.From)
		if r.To != r.From {
			b = append(b, ':')
			b = appendSetNumber(b, r.To)
		}
	}
	return b
}

func appendSetNumber(b []byte, n uint32) []byte {
	if n == 0 {
		return append(b, '*')
	}
	return strconv.AppendUint(b, uint64(n), 10)
}

// String writes the set as text.
func (s Set) String() string { return string(s.Append(nil)) }
