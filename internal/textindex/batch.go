package textindex

import (
	"maps"
	"slices"
)

// Bounds of a Batch in memory: 4 MB to know the grams of the text at hand, 2 MB
// of pairs and as much to sort them, about 3 MB of words.
const (
	maxPairs = 256 << 10
	maxWords = 40_000
	// maxBatch is how many documents a batch takes.
	maxBatch = 1000
	// maxGrams bounds a text, maxTextWords the words that are kept of it.
	maxGrams     = 128 << 10
	maxTextWords = 4 << 10
)

// Batch gathers documents for a new segment. Its methods Header, Text and EndText
// take the text of the document that is being added.
type Batch struct {
	first, docs uint32
	seen        Bits // keys of the text at hand
	halves      [2]half
	pairs       []uint64 // key<<32 | text
	words       map[string]*word
	wordTexts   int
}

// half is a text of the document at hand.
type half struct {
	grams []uint32 // and joints
	words []string // may have one more than once
	run   []byte   // the end of the text so far, at most two bytes
	near  window   // it, too
	word  []byte   // that the text ends with
	long  bool     // it is too long to be kept
	part  bool     // not all words are kept
}

type word struct {
	last  uint32 // text, plus one
	texts []uint32
}

const (
	headerHalf = iota
	bodyHalf
)

// NewBatch begins a segment with the document first.
func NewBatch(first uint32) *Batch {
	return &Batch{first: first, seen: NewBits(2 * numKeys), words: make(map[string]*word)}
}

// Next is the number of the document that is being added.
func (b *Batch) Next() uint32 { return b.first + b.docs }

// Docs is how many it has.
func (b *Batch) Docs() uint32 { return b.docs }

// Full says that no document should be added.
func (b *Batch) Full() bool {
	return b.docs >= maxBatch || len(b.pairs) >= maxPairs || b.wordTexts >= 2*maxWords || len(b.words) >= maxWords
}

// Over says that the document at hand is too large to be added: Drop it.
func (b *Batch) Over() bool {
	return len(b.halves[headerHalf].grams) > maxGrams || len(b.halves[bodyHalf].grams) > maxGrams
}

// Header takes a header field.
func (b *Batch) Header(folded []byte) {
	b.take(headerHalf, folded)
	b.end(headerHalf)
}

// Text takes a piece of a body.
func (b *Batch) Text(folded []byte) { b.take(bodyHalf, folded) }

// EndText ends a body, of which a document may have several.
func (b *Batch) EndText() { b.end(bodyHalf) }

func (b *Batch) take(which int, p []byte) {
	h := &b.halves[which]
	if b.Over() {
		return
	}
	h.takeWords(p)
	b.takeGrams(which, h, p)
}

func (b *Batch) takeGrams(which int, h *half, p []byte) {
	gram := uint32(0)
	have := len(h.run)
	for _, c := range h.run {
		gram = gram<<8 | uint32(c)
	}
	for _, c := range p {
		if h.near.take(c); h.near.joint() {
			b.see(which, h, h.near.key())
		}
		gram = (gram<<8 | uint32(c)) & (1<<gramBits - 1)
		if have++; have >= 3 {
			b.see(which, h, gram)
		}
	}
	if len(p) >= 2 {
		h.run = append(h.run[:0], p[len(p)-2:]...)
		return
	}
	h.run = append(h.run, p...)
	h.run = append(h.run[:0], h.run[max(0, len(h.run)-2):]...)
}

func (b *Batch) see(which int, h *half, key uint32) {
	if at := uint32(which)*numKeys + key; !b.seen.Has(at) {
		b.seen.Add(at)
		h.grams = append(h.grams, key)
	}
}

func (b *Batch) end(which int) {
	h := &b.halves[which]
	if len(h.run) > 0 {
		b.takeGrams(which, h, []byte{Pad, Pad}[:])
	}
	h.run, h.near = h.run[:0], 0
	h.endWord()
}

func (h *half) takeWords(p []byte) {
	for len(p) > 0 {
		n := 0
		for n < len(p) && isWord[p[n]] {
			n++
		}
		if n > 0 && !h.long {
			if h.long = len(h.word)+n > MaxWord; !h.long {
				h.word = append(h.word, p[:n]...)
			}
		}
		if n == len(p) {
			return
		}
		h.endWord()
		for n < len(p) && !isWord[p[n]] {
			n++
		}
		p = p[n:]
	}
}

func (h *half) endWord() {
	h.part = h.part || h.long
	if !h.long && len(h.word) > 3 { // of shorter ones the grams tell all
		if len(h.words) >= maxTextWords {
			slices.Sort(h.words)
			h.words = slices.Compact(h.words)
		}
		if len(h.words) < maxTextWords {
			h.words = append(h.words, string(h.word))
		} else {
			h.part = true
		}
	}
	h.word, h.long = h.word[:0], false
}

// Add ends the document at hand and returns its number.
func (b *Batch) Add() (doc uint32) {
	for which := range b.halves {
		h := &b.halves[which]
		text := 2*b.docs + uint32(which)
		for _, g := range h.grams {
			b.pairs = append(b.pairs, uint64(g)<<32|uint64(text))
		}
		if h.part {
			b.addWord(partly, text)
		}
		for _, w := range h.words {
			b.addWord(w, text)
		}
	}
	b.Drop()
	b.docs++
	return b.first + b.docs - 1
}

func (b *Batch) addWord(name string, text uint32) {
	w := b.words[name]
	if w == nil {
		w = &word{}
		b.words[name] = w
	}
	if w.last != text+1 {
		w.last = text + 1
		w.texts = append(w.texts, text)
		b.wordTexts++
	}
}

// Drop forgets the document at hand.
func (b *Batch) Drop() {
	for which := range b.halves {
		h := &b.halves[which]
		for _, g := range h.grams {
			at := uint32(which)*numKeys + g
			b.seen[at>>6] = 0
		}
		*h = half{grams: h.grams[:0], words: h.words[:0], run: h.run[:0], word: h.word[:0]}
	}
}

// Segment writes what was added, as blocks, and is ready for the next. Num is not
// set.
func (b *Batch) Segment(emit func(*Block) error) (s Segment, err error) {
	s = Segment{First: b.first, Last: b.first + b.docs - 1, Docs: b.docs}
	w := &writer{emit: emit, s: &s}
	sortPairs(b.pairs)
	var texts []uint32
	for i := 0; i < len(b.pairs); {
		gram := uint32(b.pairs[i] >> 32)
		texts = texts[:0]
		for ; i < len(b.pairs) && uint32(b.pairs[i]>>32) == gram; i++ {
			texts = append(texts, uint32(b.pairs[i]))
		}
		if err = w.gram(gram, texts); err != nil {
			return s, err
		}
	}
	if err = w.endGrams(); err == nil {
		err = b.writeWords(w)
	}
	*b = Batch{first: b.first + b.docs, seen: b.seen, pairs: b.pairs[:0], words: make(map[string]*word)}
	return s, err
}

func (b *Batch) writeWords(w *writer) error {
	names := slices.Sorted(maps.Keys(b.words))
	for _, name := range names {
		if err := w.word([]byte(name), b.words[name].texts); err != nil {
			return err
		}
	}
	return w.endWords()
}

// partly is the word of texts that have words which are not kept. It is the first
// of all.
const partly = "\x01"

// sortPairs sorts by key; texts ascend already.
func sortPairs(pairs []uint64) {
	const digit = (keyBits + 1) / 2
	from, to := pairs, make([]uint64, len(pairs))
	for _, shift := range []int{32, 32 + digit} {
		var at [1 << digit]uint32
		for _, p := range from {
			at[p>>shift&(1<<digit-1)]++
		}
		sum := uint32(0)
		for i, n := range at {
			at[i], sum = sum, sum+n
		}
		for _, p := range from {
			d := p >> shift & (1<<digit - 1)
			to[at[d]] = p
			at[d]++
		}
		from, to = to, from
	}
}
