// Package inflate reads a DEFLATE stream (RFC 1951) that lives as long as a
// connection and mostly waits. compress/flate keeps 40 KB for each; a Reader
// between blocks keeps what the other side has sent so far, up to 32 KB, which
// for a mail program that sends commands is next to nothing.
package inflate

import (
	"errors"
	"io"
	"sync"
)

// ErrData says that the stream is no DEFLATE.
var ErrData = errors.New("invalid deflate data")

const (
	windowSize = 32 << 10 // how far back a match may reach
	slack      = 8 << 10  // decoded at a time, and above the window before it is cut
	inputSize  = 2 << 10
)

var inputs = sync.Pool{New: func() any { return new([inputSize]byte) }}

// Reader decompresses. Used by one goroutine.
type Reader struct {
	// src reads. between says that the stream is between two blocks: then an
	// error is passed on, and the Reader can go on later. Any other error is
	// for good.
	src func(p []byte, between bool) (int, error)

	buf   *[inputSize]byte // nil while empty
	r, w  int
	bits  uint32
	nbits uint

	window []byte
	given  int // of window, to the caller

	stored int // bytes left of a stored block
	block  *codes
	end    bool // the last block was read
	err    error
}

// New returns a Reader of what src gives.
func New(src func(p []byte, between bool) (int, error)) *Reader { return &Reader{src: src} }

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	for r.given == len(r.window) {
		if r.err != nil {
			return 0, r.err
		}
		if err := r.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.window[r.given:])
	r.given += n
	return n, nil
}

// Buffered tells whether something can be read without waiting for src.
func (r *Reader) Buffered() bool { return r.given < len(r.window) || r.r < r.w }

// more decodes up to a block's end, or a good piece of it.
func (r *Reader) more() error {
	if len(r.window) > windowSize+slack {
		r.window = append(r.window[:0], r.window[len(r.window)-windowSize:]...)
		r.given = len(r.window)
	}
	if r.stored == 0 && r.block == nil {
		if r.end {
			r.err = io.EOF
			return r.err
		}
		if err := r.need(3, true); err != nil {
			return err
		}
		r.err = r.header()
		return nil
	}
	if r.block != nil {
		r.err = r.symbols()
	} else {
		r.err = r.copyStored()
	}
	return nil
}

// need makes n bits available.
func (r *Reader) need(n uint, between bool) error {
	for r.nbits < n {
		if r.r == r.w {
			if err := r.fill(between); err != nil {
				return err
			}
		}
		r.bits |= uint32(r.buf[r.r]) << r.nbits
		r.r++
		r.nbits += 8
	}
	return nil
}

func (r *Reader) fill(between bool) error {
	if between {
		r.release()
		var one [1]byte // wait without a buffer
		n, err := r.src(one[:], true)
		if n == 0 {
			return noProgress(err)
		}
		r.buf = inputs.Get().(*[inputSize]byte)
		r.buf[0], r.r, r.w = one[0], 0, 1
		return nil
	}
	if r.buf == nil {
		r.buf = inputs.Get().(*[inputSize]byte)
	}
	n, err := r.src(r.buf[:], false)
	r.r, r.w = 0, n
	if n == 0 {
		return noProgress(err)
	}
	return nil
}

func noProgress(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

func (r *Reader) release() {
	if r.buf != nil {
		clear(r.buf[:])
		inputs.Put(r.buf)
	}
	r.buf, r.r, r.w = nil, 0, 0
}

// take reads n bits.
func (r *Reader) take(n uint) (uint32, error) {
	if err := r.need(n, false); err != nil {
		return 0, unexpected(err)
	}
	v := r.bits & (1<<n - 1)
	r.bits >>= n
	r.nbits -= n
	return v, nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// header reads the beginning of a block, RFC 1951 §3.2.3.
func (r *Reader) header() error {
	h, err := r.take(3)
	if err != nil {
		return err
	}
	r.end = h&1 != 0
	switch h >> 1 {
	case 0:
		return r.storedHeader()
	case 1:
		r.block = &fixed
		return nil
	case 2:
		r.block, err = r.dynamic()
		return err
	}
	return ErrData
}

// storedHeader: §3.2.4.
func (r *Reader) storedHeader() error {
	r.bits >>= r.nbits % 8
	r.nbits -= r.nbits % 8
	size, err := r.take(16)
	if err != nil {
		return err
	}
	inverse, err := r.take(16)
	if err != nil {
		return err
	}
	if size != ^inverse&0xffff {
		return ErrData
	}
	r.stored = int(size)
	return nil
}

func (r *Reader) copyStored() error {
	for n := min(r.stored, slack); n > 0; n-- {
		c, err := r.take(8)
		if err != nil {
			return err
		}
		r.window = append(r.window, byte(c))
		r.stored--
	}
	return nil
}

// symbols decodes literals and matches, §3.2.5.
func (r *Reader) symbols() error {
	for start := len(r.window); len(r.window)-start < slack; {
		s, err := r.symbol(&r.block.lengths)
		if err != nil {
			return err
		}
		switch {
		case s < 256:
			r.window = append(r.window, byte(s))
		case s == 256:
			r.block = nil
			return nil
		default:
			if err := r.match(s - 257); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	farBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	farBits    = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

func (r *Reader) match(s int) error {
	if s >= len(lengthBase) {
		return ErrData
	}
	extra, err := r.take(uint(lengthBits[s]))
	if err != nil {
		return err
	}
	length := int(lengthBase[s]) + int(extra)
	d, err := r.symbol(&r.block.distances)
	if err != nil {
		return err
	}
	if d >= len(farBase) {
		return ErrData
	}
	if extra, err = r.take(uint(farBits[d])); err != nil {
		return err
	}
	from := len(r.window) - int(farBase[d]) - int(extra)
	if from < 0 {
		return ErrData
	}
	for i := range length { // may overlap
		r.window = append(r.window, r.window[from+i])
	}
	return nil
}
