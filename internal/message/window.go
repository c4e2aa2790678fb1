package message

import (
	"bytes"
	"io"
	"sync"
)

// windowSize bounds what is held of a message at a time. A header line or a
// boundary line longer than this is seen in pieces.
const windowSize = 16 << 10

// window reads a stream through a buffer of fixed size.
type window struct {
	r   io.Reader
	buf []byte
	i   int    // buf[i:] is not yet read
	off int64  // where buf[i] stands in the stream
	err error  // what r said last; io.EOF at the end
	own []byte // buf, while that is the memory of another
}

// InMemory is a message all of which is in memory: it is read where it stands,
// and not changed.
func InMemory(b []byte) io.Reader { return &inMemory{*bytes.NewReader(b), b} }

type inMemory struct {
	bytes.Reader
	all []byte
}

// windows are for those who read one message after another.
var windows = sync.Pool{New: func() any { return newWindow(nil) }}

func (w *window) free() {
	w.reset(nil)
	windows.Put(w)
}

func newWindow(r io.Reader) *window {
	return &window{r: r, buf: make([]byte, 0, windowSize)}
}

func (w *window) reset(r io.Reader) {
	own := w.buf
	if w.own != nil {
		own = w.own
	}
	if m, ok := r.(*inMemory); ok {
		*w = window{buf: m.all, err: io.EOF, own: own[:0]}
		return
	}
	*w = window{r: r, buf: own[:0]}
}

func (w *window) data() []byte { return w.buf[w.i:] }

func (w *window) skip(n int) {
	w.i += n
	w.off += int64(n)
}

// fill reads more behind what is there. It reports false when the buffer is
// full or the stream has ended.
func (w *window) fill() bool {
	if w.err != nil {
		return false
	}
	if w.i > 0 && len(w.buf) == cap(w.buf) {
		w.buf = w.buf[:copy(w.buf, w.buf[w.i:])]
		w.i = 0
	}
	if len(w.buf) == cap(w.buf) {
		return false
	}
	for range 100 {
		n, err := w.r.Read(w.buf[len(w.buf):cap(w.buf)])
		w.buf = w.buf[:len(w.buf)+n]
		w.err = err
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	w.err = io.ErrNoProgress
	return false
}

// need makes at least n bytes there to look at, if the stream has them.
func (w *window) need(n int) []byte {
	for len(w.buf)-w.i < n && w.fill() {
	}
	return w.data()
}

// line looks at the bytes up to and with the next LF. It gives less at the end
// of the stream, or of a line longer than the buffer: a CR is then left for the
// next piece, so that it is not parted from its LF. Nil at the end.
func (w *window) line() []byte {
	from := 0
	for {
		d := w.data()
		if k := bytes.IndexByte(d[from:], '\n'); k >= 0 {
			return d[:from+k+1]
		}
		from = len(d)
		if w.fill() {
			continue
		}
		if len(d) > 1 && d[len(d)-1] == '\r' && w.err == nil {
			d = d[:len(d)-1]
		}
		if len(d) == 0 {
			return nil
		}
		return d
	}
}

// failure is the error of the stream, if it is not its end.
func (w *window) failure() error {
	if w.err == io.EOF {
		return nil
	}
	return w.err
}

// newlineLen is the length of the line end that b ends with.
func newlineLen(b []byte) int {
	n := len(b)
	switch {
	case n == 0 || b[n-1] != '\n':
		return 0
	case n > 1 && b[n-2] == '\r':
		return 2
	}
	return 1
}

// countLines gives the number of LF in b and how many of them lack a CR. prev
// is the byte before b.
func countLines(b []byte, prev byte) (lines, bare int64) {
	if len(b) == 0 {
		return 0, 0
	}
	lines = int64(bytes.Count(b, []byte{'\n'}))
	if lines == 0 {
		return 0, 0
	}
	bare = lines
	if b[0] == '\n' && prev == '\r' {
		bare--
	}
	for from := 0; ; {
		k := bytes.IndexByte(b[from:], '\r')
		if k < 0 || from+k+1 >= len(b) {
			return lines, bare
		}
		from += k + 1
		if b[from] == '\n' {
			bare--
		}
	}
}
