package textindex

import (
	"encoding/binary"
	"hash/crc32"
)

// What is read is what was written, or ErrDamaged: a block ends with a checksum,
// which is also of where it belongs, and tells which block follows. So that
// something is not there is known as surely as that it is.
//
//   - Data of grams: entries, the first gram of the block that follows or numKeys,
//     checksum. The first block has the key 0, whichever its first gram is.
//   - List of words: words, 1 if another block follows, else 0, checksum.
//   - Data of words: entries, checksum.

const sumLen = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum is the checksum of a piece of a block.
func (s *Segment) sum(key uint32, pieces ...[]byte) []byte {
	var place [12]byte
	binary.LittleEndian.PutUint32(place[:], s.First)
	binary.LittleEndian.PutUint32(place[4:], s.Last)
	binary.LittleEndian.PutUint32(place[8:], key)
	sum := crc32.Update(0, castagnoli, place[:])
	for _, p := range pieces {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return binary.LittleEndian.AppendUint32(place[:0], sum)
}

// cutSum takes the checksum off; before is what it is of, besides.
func (s *Segment) cutSum(key uint32, p []byte, before ...[]byte) ([]byte, error) {
	at := len(p) - sumLen
	if at < 0 || string(s.sum(key, append(before, p[:at])...)) != string(p[at:]) {
		return nil, ErrDamaged
	}
	return p[:at], nil
}

// openGrams leaves the entries in Data. last: next is the end.
func (s *Segment) openGrams(b *Block) (next uint32, last bool, err error) {
	data, err := s.cutSum(b.Key, b.Data)
	if err != nil || len(data) < 4 {
		return 0, false, ErrDamaged
	}
	at := len(data) - 4
	b.Data, next = data[:at], binary.LittleEndian.Uint32(data[at:])
	return next, next == numKeys, nil
}

// openList leaves the words in List.
func (s *Segment) openList(b *Block) (next uint32, last bool, err error) {
	list, err := s.cutSum(b.Key, b.List)
	if err != nil || len(list) < 2 || list[0] != '\n' || list[len(list)-1] > 1 {
		return 0, false, ErrDamaged
	}
	at := len(list) - 1
	b.List = list[:at]
	return b.Key + 1, list[at] == 0, nil
}

// openWords is openList, and leaves the entries in Data.
func (s *Segment) openWords(b *Block) (next uint32, last bool, err error) {
	if next, last, err = s.openList(b); err == nil {
		b.Data, err = s.cutSum(b.Key, b.Data, b.List)
	}
	return next, last, err
}

// writer makes blocks.
type writer struct {
	emit   func(*Block) error
	s      *Segment // its First and Last
	block  Block
	begun  bool   // block has what it begins with
	blocks uint32 // of words that were emitted
	last   uint32
	entry  []byte
}

// gram adds an entry; they come in order.
func (w *writer) gram(gram uint32, texts []uint32) error {
	w.entry = appendPostings(w.entry[:0], texts)
	switch {
	case !w.begun:
		w.begun, w.last = true, 0
		w.block = Block{Data: w.block.Data[:0]}
	case len(w.block.Data)+len(w.entry)+4 > fullBlock:
		if err := w.emitGrams(gram); err != nil {
			return err
		}
		w.last = gram
		w.block = Block{Key: gram, Data: w.block.Data[:0]}
	}
	w.block.Data = binary.AppendUvarint(w.block.Data, uint64(gram-w.last))
	w.block.Data = append(w.block.Data, w.entry...)
	w.last = gram
	return nil
}

func (w *writer) emitGrams(next uint32) error {
	b := &w.block
	b.Data = binary.LittleEndian.AppendUint32(b.Data, next)
	b.Data = append(b.Data, w.s.sum(b.Key, b.Data)...)
	return w.emit(b)
}

// endGrams ends the grams; words follow.
func (w *writer) endGrams() error {
	if !w.begun {
		w.block = Block{Data: w.block.Data[:0]}
	}
	w.begun = false
	return w.emitGrams(numKeys)
}

// word adds an entry; they come in order.
func (w *writer) word(name []byte, texts []uint32) error {
	if w.begun && len(w.block.List) >= fullList {
		if err := w.emitWords(1); err != nil {
			return err
		}
	}
	w.beginWords()
	w.block.List = append(append(w.block.List, name...), '\n')
	w.block.Data = appendPostings(w.block.Data, texts)
	return nil
}

func (w *writer) beginWords() {
	if !w.begun {
		w.block = Block{Key: w.blocks, List: append(w.block.List[:0], '\n'), Data: w.block.Data[:0]}
		w.begun = true
	}
}

func (w *writer) emitWords(more byte) error {
	b := &w.block
	b.Data = append(b.Data, w.s.sum(b.Key, b.List, b.Data)...)
	b.List = append(b.List, more)
	b.List = append(b.List, w.s.sum(b.Key, b.List)...)
	w.begun = false
	w.blocks++
	return w.emit(b)
}

func (w *writer) endWords() error {
	w.beginWords()
	return w.emitWords(0)
}
