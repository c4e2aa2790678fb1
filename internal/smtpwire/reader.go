package smtpwire

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// ErrLineTooLong says that a line was longer than allowed. The line has been
// consumed to its end.
var ErrLineTooLong = errors.New("line too long")

const (
	smallSize = 512   // kept while waiting for a command
	largeSize = 32768 // borrowed for content and for long or many commands
)

var large = sync.Pool{New: func() any { return new([largeSize]byte) }}

// Reader reads command lines and blocks of content from one connection. It is
// used by one goroutine.
type Reader struct {
	src      io.Reader
	buf      []byte // small, or big[:]
	r, w     int    // buf[r:w] has not been consumed
	small    []byte
	big      *[largeSize]byte
	lastFull bool // the last read filled the buffer: more waits
	bareLF   bool
}

// NewReader returns a Reader of src. Each Read of src may block.
func NewReader(src io.Reader) *Reader {
	small := make([]byte, smallSize)
	return &Reader{src: src, buf: small, small: small}
}

// ReadLine returns the next line without its line end. The slice is good until
// the next call. Lines end in CRLF or in a bare LF; BareLF tells which. A line
// of more than limit bytes is skipped and answered with ErrLineTooLong.
func (r *Reader) ReadLine(limit int) ([]byte, error) {
	seen, skipped := 0, false
	if r.r == r.w { // nothing has come yet: wait with the small buffer only
		r.Release()
		r.lastFull = false
	}
	for {
		if i := bytes.IndexByte(r.buf[r.r+seen:r.w], '\n'); i >= 0 {
			line := r.buf[r.r : r.r+seen+i]
			r.r += seen + i + 1
			line, r.bareLF = trimCR(line)
			if skipped || len(line) > limit {
				return nil, ErrLineTooLong
			}
			return line, nil
		}
		seen = r.w - r.r
		if seen > min(limit+1, largeSize-1) {
			skipped, seen = true, 0
			r.r, r.w = 0, 0
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

func trimCR(line []byte) (text []byte, bare bool) {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1], false
	}
	return line, true
}

// BareLF reports whether the last line ended in LF without CR.
func (r *Reader) BareLF() bool { return r.bareLF }

// Block returns bytes that have not been consumed, at least one; it reads only
// when there are none. The slice is good until the next call. Advance consumes.
func (r *Reader) Block() ([]byte, error) {
	if r.r == r.w {
		r.lastFull = true // content: read in large blocks
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	return r.buf[r.r:r.w], nil
}

// Advance consumes n bytes of the last Block.
func (r *Reader) Advance(n int) { r.r += n }

// Pending returns what has been read and not consumed.
func (r *Reader) Pending() []byte { return r.buf[r.r:r.w] }

// Discard drops what has been read and not consumed, and reads from src from
// now on: nothing that came before a change to TLS is read as if it had come
// after.
func (r *Reader) Discard(src io.Reader) {
	r.src = src
	r.r, r.w, r.lastFull = 0, 0, false
	r.Release()
}

// Release gives the large buffer back. Unconsumed bytes must have been
// consumed or discarded.
func (r *Reader) Release() {
	if r.big == nil {
		return
	}
	large.Put(r.big)
	r.big, r.buf = nil, r.small
	r.r, r.w = 0, 0
}

// fill reads once into free space, changing between the buffers as needed.
func (r *Reader) fill() error {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.big == nil && (r.lastFull || r.w-r.r >= smallSize) {
		r.grow()
	}
	if r.r > 0 {
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, r.w-r.r
	}
	free := len(r.buf) - r.w
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	r.lastFull = n == free
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

func (r *Reader) grow() {
	r.big = large.Get().(*[largeSize]byte)
	r.w = copy(r.big[:], r.buf[r.r:r.w])
	r.r, r.buf = 0, r.big[:]
}
