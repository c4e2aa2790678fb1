package textindex

import "bytes"

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
// it returns is valid until it is called again.
type Cursor interface {
	Next() (*Block, error)
}

// Merge makes one segment of several, which are in the order of documents. grams
// and words walk through the blocks of each. keep says which documents are still
// needed; nil: all.
func Merge(list []Segment, grams, words []Cursor, keep func(doc uint32) bool, emit func(*Block) error) (Segment, error) {
	out := Segment{First: list[0].First, Last: list[len(list)-1].Last}
	m := &merging{w: &writer{emit: emit}}
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
	if err := m.grams(grams); err != nil {
		return out, err
	}
	return out, m.words(words)
}

type merging struct {
	w     *writer
	shift []uint32 // of texts, for each segment
	gone  func(text uint32) bool
	texts []uint32
}

// take adds the texts of a segment.
func (m *merging) take(segment int, list postings) error {
	return list.each(func(t uint32) {
		if t += m.shift[segment]; m.gone == nil || !m.gone(t) {
			m.texts = append(m.texts, t)
		}
	})
}

func (m *merging) grams(cursors []Cursor) error {
	heads := make([]gramHead, len(cursors))
	for i := range heads {
		heads[i].c = cursors[i]
		if err := heads[i].next(); err != nil {
			return err
		}
	}
	for {
		least := uint32(numGrams)
		for i := range heads {
			least = min(least, heads[i].gram)
		}
		if least == numGrams {
			return m.w.endGrams()
		}
		m.texts = m.texts[:0]
		for i := range heads {
			if heads[i].gram != least {
				continue
			}
			if err := m.take(i, heads[i].list); err != nil {
				return err
			}
			if err := heads[i].next(); err != nil {
				return err
			}
		}
		if len(m.texts) == 0 {
			continue
		}
		if err := m.w.gram(least, m.texts); err != nil {
			return err
		}
	}
}

// gramHead is the gram at which a cursor stands; numGrams at the end.
type gramHead struct {
	c    Cursor
	gram uint32
	list postings
	data []byte
}

func (h *gramHead) next() error {
	if len(h.data) == 0 {
		b, err := h.c.Next()
		if err != nil {
			return err
		}
		if b == nil {
			h.gram = numGrams
			return nil
		}
		h.gram, h.data = b.Key, b.Data
	}
	before := h.gram
	return eachGram(&Block{Key: before, Data: h.data}, func(g uint32, list postings) (bool, error) {
		if g >= numGrams {
			return false, ErrDamaged
		}
		h.gram, h.list = g, list
		h.data = h.data[gapLen(g-before):]
		_, h.data, _ = cutPostings(h.data)
		return false, nil
	})
}

func gapLen(n uint32) int { return uvarintLen(n) }

func (m *merging) words(cursors []Cursor) error {
	heads := make([]wordHead, len(cursors))
	for i := range heads {
		heads[i].c = cursors[i]
		if err := heads[i].next(); err != nil {
			return err
		}
	}
	var name []byte
	for {
		first := -1
		for i := range heads {
			if heads[i].name != nil && (first < 0 || bytes.Compare(heads[i].name, heads[first].name) < 0) {
				first = i
			}
		}
		if first < 0 {
			return m.w.endWords()
		}
		name = append(name[:0], heads[first].name...)
		m.texts = m.texts[:0]
		for i := range heads {
			if heads[i].name == nil || !bytes.Equal(heads[i].name, name) {
				continue
			}
			if err := m.take(i, heads[i].list); err != nil {
				return err
			}
			if err := heads[i].next(); err != nil {
				return err
			}
		}
		if len(m.texts) == 0 {
			continue
		}
		if err := m.w.word(name, m.texts); err != nil {
			return err
		}
	}
}

// wordHead is the word at which a cursor stands; nil at the end.
type wordHead struct {
	c           Cursor
	name        []byte
	list        postings
	names, data []byte
}

func (h *wordHead) next() error {
	h.name = nil
	if len(h.names) == 0 {
		b, err := h.c.Next()
		if err != nil || b == nil {
			return err
		}
		if len(b.List) < 2 {
			return ErrDamaged
		}
		h.names, h.data = b.List[1:], b.Data
	}
	name, rest, ok := bytes.Cut(h.names, []byte{'\n'})
	if !ok {
		return ErrDamaged
	}
	list, data, err := cutPostings(h.data)
	h.name, h.list, h.names, h.data = name, list, rest, data
	return err
}
