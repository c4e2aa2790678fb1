// Package textindex finds the documents that may hold a string, and those that
// surely do, without reading them.
//
// A document has two texts, one of headers and one of bodies, both folded: what
// is equal in a search is the same bytes. Of each text the index has the set of
// its runs of three bytes, grams; of the joints between its words; and its words.
// A string can only be where all its grams and joints are; a piece of a word is
// where a word is that holds it, and nowhere else. What is left must be looked at.
//
// Documents are numbered in the order of Add. An index is a list of segments,
// each of a range of documents, that never change; small ones are merged into
// larger. Where they are kept is the caller's matter.
package textindex

import "math/bits"

// Pad follows the end of each text in grams. No folded text has it.
const Pad = 0xff

const (
	gramBits = 24
	// The keys of lists: grams, and then those of joints.
	numKeys = 1<<gramBits + 1<<jointBits
	keyBits = gramBits + 1
	// MaxWord is the longest word that is kept, in bytes.
	MaxWord = 24
	// fullBlock is the size of a block that no other gram goes into: with its key
	// it fills a page of the file.
	fullBlock = 4000
	// fullList bounds the words of a block.
	fullList = 1000
)

// A text is half a document: twice its number, and one more for the body. In
// postings they count from the first of the segment.

// Block is a piece of a segment. Blocks of grams and joints are ordered by Key,
// their first; those of words are numbered.
type Block struct {
	Key  uint32
	List []byte // words, each after a "\n", and a last "\n"; nil for grams
	Data []byte
}

// Segment is what is known of a range of documents.
type Segment struct {
	Num         int64
	First, Last uint32 // documents
	Docs        uint32 // how many it has in that range
}

// Bits is a set of numbers.
type Bits []uint64

// NewBits makes room for numbers below n.
func NewBits(n uint32) Bits { return make(Bits, (uint64(n)+63)/64) }

// Has tells whether n is in the set.
func (b Bits) Has(n uint32) bool { return b[n>>6]>>(n&63)&1 != 0 }

// Add puts n into the set.
func (b Bits) Add(n uint32) { b[n>>6] |= 1 << (n & 63) }

// Count is how many numbers are in the set.
func (b Bits) Count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// isWord are the bytes of words: letters as they are folded, and all beyond
// ASCII. Digits are not: numbers, and what only looks like words, would be most of
// the index.
var isWord = func() (set [256]bool) {
	for c := range set {
		set[c] = c >= 'A' && c <= 'Z' || c >= 0x80
	}
	return set
}()
