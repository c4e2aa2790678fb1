package textindex

import (
	"bytes"
	"encoding/binary"
	"errors"
)

const (
	// mergeWidth is how many segments of about a size are made one.
	mergeWidth = 8
	// finalDocs is the size of a segment that is not merged again.
	finalDocs = 4096
)

// ToMerge returns how many of the last segments should be made one; 0 for none.
// They are in the order of documents.
func ToMerge(list []Segment) int {
	n := len(list)
	if n == 0 || list[n-1].Docs >= finalDocs {
		return 0
	}
	size, same := class(list[n-1].Docs), 0
	for same < n && list[n-1-same].Docs < finalDocs && class(list[n-1-same].Docs) <= size {
		same++
	}
	if same < mergeWidth {
		return 0
	}
	return same
}

// class is the logarithm of a size.
func class(docs uint32) (c int) {
	for ; docs >= 4*mergeWidth; docs /= mergeWidth {
		c++
	}
	return c
}

// Cursor walks through the blocks of a segment: Next returns nil at the end. What
// it returns is valid until it is called again, as of Source.
type Cursor interface {
	Next() (*Block, error)
}

// Merge makes one segment of several, which are in the order of documents. grams
// and words walk through the blocks of each. keep says which documents are still
// needed; nil: all.
func Merge(list []Segment, grams, words []Cursor, keep func(doc uint32) bool, emit func(*Block) error) (Segment, error) {
	out := Segment{First: list[0].First, Last: list[len(list)-1].Last}
	m := &merging{list: list, w: &writer{emit: emit, s: &out}}
	for i := range list {
		m.shift = append(m.shift, 2*(list[i].First-out.First))
		out.Docs += list[i].Docs
	}
	if keep != nil {
		m.gone = func(text uint32) bool { return !keep(out.First + text/2) }
		out.Docs = 0
		for doc := out.First; ; doc++ {
			if keep(doc) {
				out.Docs++
			}
			if doc == out.Last {
				break
			}
		}
	}
	err := m.merge(grams, gramHead, func(key []byte, texts []uint32) error {
		return m.w.gram(binary.BigEndian.Uint32(key), texts)
	})
	if err == nil {
		err = m.w.endGrams()
	}
	if err == nil {
		err = m.merge(words, wordHead, m.w.word)
	}
	if err == nil {
		err = m.w.endWords()
	}
	return out, err
}

type merging struct {
	list  []Segment
	w     *writer
	shift []uint32 // of texts, for each segment
	gone  func(text uint32) bool
	texts []uint32
}

// take adds the texts of a segment.
func (m *merging) take(segment int, list postings) error {
	bad, end := false, 2*(m.list[segment].Last-m.list[segment].First+1)
	err := list.each(func(t uint32) {
		if t >= end {
			bad = true
		} else if t += m.shift[segment]; m.gone == nil || !m.gone(t) {
			m.texts = append(m.texts, t)
		}
	})
	if bad {
		return ErrDamaged
	}
	return err
}

// merge writes the entries of the segments that cursors walk through, in the
// order of their keys.
func (m *merging) merge(cursors []Cursor, start func(*walk) *head, write func(key []byte, texts []uint32) error) error {
	heads := make([]*head, len(cursors))
	for i, c := range cursors {
		heads[i] = start(&walk{c: c, s: &m.list[i]})
		if err := heads[i].next(); err != nil {
			return err
		}
	}
	var key []byte
	for {
		first := -1
		for i, h := range heads {
			if h.key != nil && (first < 0 || bytes.Compare(h.key, heads[first].key) < 0) {
				first = i
			}
		}
		if first < 0 {
			return nil
		}
		key = append(key[:0], heads[first].key...)
		m.texts = m.texts[:0]
		for i, h := range heads {
			if h.key == nil || !bytes.Equal(h.key, key) {
				continue
			}
			if err := errors.Join(m.take(i, h.list), h.next()); err != nil {
				return err
			}
		}
		if len(m.texts) == 0 {
			continue
		}
		if err := write(key, m.texts); err != nil {
			return err
		}
	}
}

// walk goes through the blocks of a segment, and misses none.
type walk struct {
	c    Cursor
	s    *Segment
	next uint32 // key of the block that must follow
	end  bool
}

// block returns nil at the end.
func (w *walk) block(open func(*Segment, *Block) (next uint32, last bool, err error)) (*Block, error) {
	b, err := w.c.Next()
	if err != nil || b == nil && w.end {
		return nil, err
	}
	if b == nil || w.end || b.Key != w.next {
		return nil, ErrDamaged
	}
	w.next, w.end, err = open(w.s, b)
	return b, err
}

// head is the entry at which a walk stands.
type head struct {
	key  []byte // nil: at the end
	list postings
	next func() error
}

func gramHead(w *walk) *head {
	h := &head{}
	var gram uint32
	var data, buf []byte
	h.next = func() error {
		for len(data) == 0 {
			b, err := w.block((*Segment).openGrams)
			if err != nil || b == nil {
				h.key = nil
				return err
			}
			gram, data = b.Key, b.Data
		}
		d, n := binary.Uvarint(data)
		if n <= 0 || d >= numKeys-uint64(gram) {
			return ErrDamaged
		}
		gram += uint32(d)
		buf = binary.BigEndian.AppendUint32(buf[:0], gram)
		h.key = buf
		var err error
		h.list, data, err = cutPostings(data[n:])
		return err
	}
	return h
}

func wordHead(w *walk) *head {
	h := &head{}
	var names, data []byte
	h.next = func() error {
		for len(names) == 0 {
			b, err := w.block((*Segment).openWords)
			if err != nil || b == nil {
				h.key = nil
				return err
			}
			names, data = b.List[1:], b.Data
		}
		name, rest, ok := bytes.Cut(names, []byte{'\n'})
		if !ok {
			return ErrDamaged
		}
		h.key, names = name, rest
		var err error
		h.list, data, err = cutPostings(data)
		return err
	}
	return h
}
