package imap

import (
	"math"
	"strconv"

	"mailserver/internal/imapwire"
)

// order is a list of numbers in the order of a result; runs that ascend are
// ranges.
type order imapwire.Set

func inOrder(s imapwire.Set) order { return order(s) }

func (o *order) add(n uint32) { (*imapwire.Set)(o).Add(n) }

// partialRange is PARTIAL of RFC 9394 §3.1: positions in the result from 1, or
// with both below 0 from its end.
type partialRange struct{ from, to int64 }

func readPartialRange(d *imapwire.Decoder) *partialRange {
	read := func() int64 {
		sign := int64(1)
		if d.Accept('-') {
			sign = -1
		}
		n := d.Number63()
		if n == 0 || n > math.MaxUint32 {
			d.Fail("Invalid PARTIAL range")
		}
		return sign * n
	}
	p := &partialRange{from: read()}
	d.Expect(':')
	p.to = read()
	if (p.from < 0) != (p.to < 0) {
		d.Fail("Invalid PARTIAL range")
	}
	return p
}

// size is how many positions the range has.
func (p *partialRange) size() int64 { return max(p.from, p.to) - min(p.from, p.to) + 1 }

// cut gives the part of a result of count numbers, in the order of the result.
func (p *partialRange) cut(found order, count uint64) (part order) {
	from, to := min(p.from, p.to), max(p.from, p.to)
	if from < 0 {
		from, to = int64(count)+from+1, int64(count)+to+1
	}
	at := int64(1) // position of the range's first number
	for _, r := range found {
		size := int64(r.To-r.From) + 1
		first, last := max(from, at), min(to, at+size-1)
		if first <= last {
			part = append(part, imapwire.Range{From: r.From + uint32(first-at), To: r.From + uint32(last-at)})
		}
		at += size
	}
	return part
}

func (s *session) tellPartial(p *partialRange, found order, count uint64) {
	s.enc.Raw(" PARTIAL (" + strconv.FormatInt(p.from, 10) + ":" + strconv.FormatInt(p.to, 10) + " ")
	if part := p.cut(found, count); len(part) > 0 {
		s.enc.Set(imapwire.Set(part)).Raw(")")
	} else {
		s.enc.Raw("NIL)")
	}
}
