package inflate

// huffman is a canonical code: how many symbols have a code of each length, and
// the symbols in the order of their codes. RFC 1951 §3.2.2.
type huffman struct {
	count  [16]uint16
	symbol []uint16
}

// codes are the two codes of a block.
type codes struct{ lengths, distances huffman }

// build makes a code of the lengths of its symbols' codes; false if there are
// more than fit. A code that leaves some unused is allowed, as zlib allows one
// distance.
func (h *huffman) build(lengths []uint8) bool {
	h.count = [16]uint16{}
	for _, n := range lengths {
		h.count[n]++
	}
	left := 1
	var offset [16]uint16
	for n := 1; n < 16; n++ {
		left = left<<1 - int(h.count[n])
		if left < 0 {
			return false
		}
		if n < 15 {
			offset[n+1] = offset[n] + h.count[n]
		}
	}
	h.symbol = make([]uint16, len(lengths))
	for s, n := range lengths {
		if n != 0 {
			h.symbol[offset[n]] = uint16(s)
			offset[n]++
		}
	}
	return true
}

// fixed is the code of §3.2.6.
var fixed = func() (c codes) {
	var lengths [288]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	c.lengths.build(lengths[:])
	var distances [30]uint8
	for i := range distances {
		distances[i] = 5
	}
	c.distances.build(distances[:])
	return c
}()

// symbol reads one symbol, a bit at a time, and no bit further.
func (r *Reader) symbol(h *huffman) (int, error) {
	code, first, index := 0, 0, 0
	for n := 1; n < 16; n++ {
		if r.nbits == 0 {
			if err := r.need(1, false); err != nil {
				return 0, unexpected(err)
			}
		}
		code |= int(r.bits & 1)
		r.bits >>= 1
		r.nbits--
		count := int(h.count[n])
		if code-count < first {
			return int(h.symbol[index+code-first]), nil
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, ErrData
}

// order in which the lengths of the code for lengths stand, §3.2.7.
var order = [19]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic reads the codes of a block, §3.2.7.
func (r *Reader) dynamic() (*codes, error) {
	head, err := r.take(14)
	if err != nil {
		return nil, err
	}
	literals, distances, lengths := int(head&31)+257, int(head>>5&31)+1, int(head>>10)+4
	if literals > 286 || distances > 30 {
		return nil, ErrData
	}
	var l [320]uint8
	for i := range lengths {
		n, err := r.take(3)
		if err != nil {
			return nil, err
		}
		l[order[i]] = uint8(n)
	}
	var code huffman
	if !code.build(l[:19]) {
		return nil, ErrData
	}
	l = [320]uint8{}
	if err := r.runs(&code, l[:literals+distances]); err != nil {
		return nil, err
	}
	c := &codes{}
	if l[256] == 0 || !c.lengths.build(l[:literals]) || !c.distances.build(l[literals:literals+distances]) {
		return nil, ErrData
	}
	return c, nil
}

// runs reads code lengths, in which runs stand shortened.
func (r *Reader) runs(code *huffman, l []uint8) error {
	for i := 0; i < len(l); {
		s, err := r.symbol(code)
		if err != nil {
			return err
		}
		if s < 16 {
			l[i] = uint8(s)
			i++
			continue
		}
		value, bits, base := uint8(0), uint(2), 3
		switch s {
		case 16:
			if i == 0 {
				return ErrData
			}
			value = l[i-1]
		case 17:
			bits = 3
		case 18:
			bits, base = 7, 11
		}
		n, err := r.take(bits)
		if err != nil {
			return err
		}
		run := base + int(n)
		if i+run > len(l) {
			return ErrData
		}
		for range run {
			l[i] = value
			i++
		}
	}
	return nil
}
