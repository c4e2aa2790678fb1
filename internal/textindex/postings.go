package textindex

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// ErrDamaged says that a block is not what was written: make the index anew.
var ErrDamaged = errors.New("text index is damaged")

// A posting list is uvarint length<<1, and the distances of texts as uvarints,
// each from the one after the last; or length<<1|1 and a bitmap, where that is
// shorter.

// appendPostings writes texts, which ascend.
func appendPostings(dst []byte, texts []uint32) []byte {
	last := texts[len(texts)-1]
	size, next := 0, uint32(0)
	for _, t := range texts {
		size += uvarintLen(t - next)
		next = t + 1
	}
	if whole := int(last/8) + 1; whole < size {
		dst = binary.AppendUvarint(dst, uint64(whole)<<1|1)
		at := len(dst)
		dst = append(dst, make([]byte, whole)...)
		for _, t := range texts {
			dst[at+int(t>>3)] |= 1 << (t & 7)
		}
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(size)<<1)
	next = 0
	for _, t := range texts {
		dst = binary.AppendUvarint(dst, uint64(t-next))
		next = t + 1
	}
	return dst
}

func uvarintLen(n uint32) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// cutPostings parts a posting list from what follows it.
func cutPostings(b []byte) (list postings, rest []byte, err error) {
	head, n := binary.Uvarint(b)
	size := head >> 1
	if n <= 0 || size > uint64(len(b)-n) {
		return list, nil, ErrDamaged
	}
	b = b[n:]
	return postings{b[:size], head&1 != 0}, b[size:], nil
}

type postings struct {
	data   []byte
	bitmap bool
}

// each calls fn for every text, in order.
func (p postings) each(fn func(text uint32)) error {
	if p.bitmap {
		for i, c := range p.data {
			for ; c != 0; c &= c - 1 {
				fn(uint32(i)<<3 | trailing[c])
			}
		}
		return nil
	}
	next := uint32(0)
	for b := p.data; len(b) > 0; {
		d, n := uint64(b[0]), 1
		if d >= 0x80 {
			d, n = binary.Uvarint(b)
		}
		if n <= 0 || d > 1<<32-2-uint64(next) {
			return ErrDamaged
		}
		b = b[n:]
		next += uint32(d) + 1
		fn(next - 1)
	}
	return nil
}

// trailing is the lowest bit of a byte.
var trailing = func() (t [256]uint32) {
	for c := 1; c < 256; c++ {
		for c>>t[c]&1 == 0 {
			t[c]++
		}
	}
	return t
}()

// into adds the texts to a set that has room for n. ErrDamaged.
func (p postings) into(set Bits, n uint32) error {
	if p.bitmap {
		return p.bitsInto(set, n)
	}
	next := uint64(0)
	for b := p.data; len(b) > 0; {
		d, size := uint64(b[0]), 1
		if d >= 0x80 {
			d, size = binary.Uvarint(b)
		}
		if size <= 0 || d >= uint64(n) || next+d >= uint64(n) {
			return ErrDamaged
		}
		b = b[size:]
		set.Add(uint32(next + d))
		next += d + 1
	}
	return nil
}

// bitsInto is into for a bitmap, eight bytes at a time.
func (p postings) bitsInto(set Bits, n uint32) error {
	b := p.data
	for end := len(b); end > 0 && b[end-1] == 0; end-- {
		b = b[:end-1]
	}
	if len(b) > 0 && uint64(len(b))*8-uint64(bits.LeadingZeros8(b[len(b)-1])) > uint64(n) {
		return ErrDamaged
	}
	at := 0
	for ; len(b) >= 8; at, b = at+1, b[8:] {
		set[at] |= binary.LittleEndian.Uint64(b)
	}
	for i, c := range b {
		set[at] |= uint64(c) << (8 * i)
	}
	return nil
}
