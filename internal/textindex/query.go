package textindex

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Source is where the blocks of segments are kept. The blocks it gives are valid
// during the call, and the callee's to change, but not what is in their bytes.
type Source interface {
	// Gram calls fn for the block of a segment that has gram if any has: that with
	// the highest Key up to it; and for those that follow, until fn returns false.
	Gram(segment int64, gram uint32, fn func(*Block) (bool, error)) error
	// Lists calls fn for all blocks of words, without Data.
	Lists(segment int64, fn func(*Block) error) error
	// Words calls fn for a block of words.
	Words(segment int64, key uint32, fn func(*Block) error) error
}

// Query is a string to be found.
type Query struct {
	Needle       []byte // folded
	Header, Body bool   // in which texts
}

// Found says of the documents of a segment, counted from its first, where a
// needle is. Both are nil where there is nothing.
type Found struct {
	Maybe Bits // it may be there, and is in no other
	Sure  Bits // it is there
}

// fewTexts are as well read as looked for among all words.
const fewTexts = 50

// Find looks for a needle that is not empty in a segment.
func Find(src Source, s *Segment, q *Query) (f Found, err error) {
	texts := 2 * (s.Last - s.First + 1)
	var maybe, sure Bits
	n := q.Needle
	if len(n) < 3 {
		maybe, err = withPrefix(src, s, n, texts)
		sure = maybe
	} else {
		maybe, err = withAll(src, s, n, texts)
	}
	if err != nil || maybe == nil {
		return f, err
	}
	if len(n) == 3 {
		sure = maybe
	}
	if len(n) > 3 && maybe.Count() > fewTexts {
		var part Bits
		if sure, part, err = withWord(src, s, n, texts); err != nil {
			return f, err
		}
		for i := range sure {
			maybe[i] &= sure[i] | part[i]
		}
	}
	return Found{Maybe: q.docs(maybe), Sure: q.docs(sure)}, nil
}

// docs makes documents of texts.
func (q *Query) docs(texts Bits) Bits {
	if texts == nil {
		return nil
	}
	mask := uint64(0)
	if q.Header {
		mask |= 0x5555555555555555
	}
	if q.Body {
		mask |= 0xaaaaaaaaaaaaaaaa
	}
	docs := make(Bits, (len(texts)+1)/2)
	for i, w := range texts {
		w &= mask
		docs[i/2] |= squeeze(w|w>>1) << (i % 2 * 32)
	}
	return docs
}

// squeeze puts the even bits together.
func squeeze(w uint64) uint64 {
	w &= 0x5555555555555555
	w = (w | w>>1) & 0x3333333333333333
	w = (w | w>>2) & 0x0f0f0f0f0f0f0f0f
	w = (w | w>>4) & 0x00ff00ff00ff00ff
	w = (w | w>>8) & 0x0000ffff0000ffff
	return (w | w>>16) & 0x00000000ffffffff
}

// withAll finds the texts that have all grams and joints of a needle; nil for
// none.
func withAll(src Source, s *Segment, needle []byte, texts uint32) (all Bits, err error) {
	one := NewBits(texts)
	for _, keys := range keysOf(needle) {
		if err := withAny(src, s, keys, one, texts); err != nil {
			return nil, err
		}
		if all == nil {
			all = slices.Clone(one)
		}
		some := uint64(0)
		for i := range all {
			all[i] &= one[i]
			some |= all[i]
		}
		if some == 0 {
			return nil, nil
		}
	}
	return all, nil
}

// keysOf are the joints of a needle, which few texts have, and its grams.
func keysOf(needle []byte) (list []keyRange) {
	list = jointsOf(needle)
	done := make(map[uint32]bool, len(needle))
	for i := 0; i+3 <= len(needle); i++ {
		gram := uint32(needle[i])<<16 | uint32(needle[i+1])<<8 | uint32(needle[i+2])
		if !done[gram] {
			done[gram] = true
			list = append(list, keyRange{gram, gram})
		}
	}
	return list
}

// eachGram calls fn for the keys of an open block until it returns false.
func eachGram(b *Block, fn func(gram uint32, list postings) (bool, error)) error {
	gram := b.Key
	for data := b.Data; len(data) > 0; {
		d, n := binary.Uvarint(data)
		if n <= 0 || d > numKeys {
			return ErrDamaged
		}
		gram += uint32(d)
		list, rest, err := cutPostings(data[n:])
		if err != nil {
			return err
		}
		data = rest
		if more, err := fn(gram, list); err != nil || !more {
			return err
		}
	}
	return nil
}

// withPrefix finds the texts that have a gram which begins with one or two bytes:
// since the end of a text is padded, those are where the bytes are.
func withPrefix(src Source, s *Segment, prefix []byte, texts uint32) (Bits, error) {
	shift := uint(8 * (3 - len(prefix)))
	first := uint32(0)
	for _, c := range prefix {
		first = first<<8 | uint32(c)
	}
	first <<= shift
	set := NewBits(texts)
	return set, withAny(src, s, keyRange{first, first | (1<<shift - 1)}, set, texts)
}

// keyRange are keys of lists.
type keyRange struct{ first, last uint32 }

// withAny fills set with the texts that have one of some keys.
func withAny(src Source, s *Segment, keys keyRange, set Bits, texts uint32) error {
	clear(set)
	next := uint32(0) // of the blocks so far
	err := src.Gram(s.Num, keys.first, func(b *Block) (bool, error) {
		fits := b.Key == next || next == 0 && b.Key <= keys.first
		var err error
		if next, _, err = s.openGrams(b); err != nil || !fits || next <= keys.first {
			return false, ErrDamaged
		}
		return next <= keys.last, eachGram(b, func(g uint32, list postings) (bool, error) {
			if g < keys.first || g > keys.last {
				return g < keys.first, nil
			}
			return true, list.into(set, texts)
		})
	})
	if err == nil && next <= keys.last {
		err = ErrDamaged
	}
	return err
}

// withWord finds the texts of words that hold the needle, if it is a piece of a
// word, and those that may have others; else nil.
func withWord(src Source, s *Segment, needle []byte, texts uint32) (sure, part Bits, err error) {
	for _, c := range needle {
		if !isWord[c] {
			return nil, nil, nil
		}
	}
	var keys []uint32
	next, end := uint32(0), false
	err = src.Lists(s.Num, func(b *Block) error {
		fits := b.Key == next && !end
		var err error
		if next, end, err = s.openList(b); err != nil || !fits {
			return ErrDamaged
		}
		if b.Key == 0 || bytes.Contains(b.List, needle) { // the first has partly
			keys = append(keys, b.Key)
		}
		return nil
	})
	if err == nil && !end {
		err = ErrDamaged
	}
	sure, part = NewBits(texts), NewBits(texts)
	for _, key := range keys {
		if err != nil {
			break
		}
		err = src.Words(s.Num, key, func(b *Block) error {
			if _, _, err := s.openWords(b); err != nil {
				return err
			}
			return eachWord(b, func(name []byte, list postings) error {
				switch {
				case string(name) == partly:
					return list.into(part, texts)
				case bytes.Contains(name, needle):
					return list.into(sure, texts)
				}
				return nil
			})
		})
	}
	return sure, part, err
}

// eachWord calls fn for the words of an open block.
func eachWord(b *Block, fn func(name []byte, list postings) error) error {
	data := b.Data
	for names := b.List[1:]; len(names) > 0; {
		name, rest, ok := bytes.Cut(names, []byte{'\n'})
		list, others, err := cutPostings(data)
		if err != nil || !ok {
			return ErrDamaged
		}
		names, data = rest, others
		if err := fn(name, list); err != nil {
			return err
		}
	}
	return nil
}
