package textindex

// A joint is a space between two words, the first of which may end with a comma or
// its like, with three bytes on either side. Two words may be in most texts where that one follows
// the other is in few, and the grams of both are too. The key of a joint is a
// hash, whose lower bits are of the outermost bytes: what is known of two bytes
// on either side is a range of keys.

const (
	jointBits = 18
	outerBits = 4
	// jointReach is how many bytes on either side belong to a joint, innerReach
	// how many must be known to look for it.
	jointReach, innerReach = 3, 2
)

// window is the end of a text, the last byte lowest: as much of it as a joint has.
type window uint64

func (w *window) take(c byte) { *w = *w<<8 | window(c) }

// joint tells whether one is in the middle.
func (w window) joint() bool {
	if byte(w>>24) != ' ' || !isWord[byte(w>>16)] {
		return false
	}
	switch c := byte(w >> 32); c {
	case ',', '.', ';', ':':
		return isWord[byte(w>>40)]
	default:
		return isWord[c]
	}
}

func (w window) key() uint32 {
	outer := uint32(w>>48)&0xff<<8 | uint32(w)&0xff
	return w.inner() | hash(outer)>>(32-outerBits)
}

// inner is the first key of joints that differ in the outermost bytes.
func (w window) inner() uint32 {
	inner := uint32(w>>32)<<16 | uint32(w>>8)&0xffff
	return 1<<gramBits | hash(inner)>>(32-jointBits)&^(1<<outerBits-1)
}

func hash(n uint32) uint32 {
	n ^= n >> 15
	return n * 0x9e3779b1
}

// jointsOf are the keys of all joints in a needle.
func jointsOf(needle []byte) (list []keyRange) {
	var w window
	for i := range needle[:max(0, len(needle)-innerReach)] {
		if needle[i] != ' ' || i < innerReach {
			continue
		}
		w = 0
		for at := i - jointReach; at <= i+jointReach; at++ {
			c := byte(0)
			if at >= 0 && at < len(needle) {
				c = needle[at]
			}
			w.take(c)
		}
		switch {
		case !w.joint():
		case i >= jointReach && i+jointReach < len(needle):
			list = append(list, keyRange{w.key(), w.key()})
		default:
			list = append(list, keyRange{w.inner(), w.inner() | (1<<outerBits - 1)})
		}
	}
	return list
}
