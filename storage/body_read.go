package storage

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// Body is an open message. As an io.ReadSeeker it has CRLF at the end of every
// line, whatever the file has, and offsets count so; its size is RFC822.SIZE.
// Seek costs nothing in a file with CRLF and a scan in one with LF, unless
// SeekFile says where to begin.
type Body struct {
	f    *file
	size int64
	crlf bool

	pos, file int64   // of the next byte of the reader, and of the file
	mem       *[]byte // from bodyBuffers
	buf       []byte  // of mem, what the file has from file on
	lf        bool    // the CR of a line end was given out, its LF not
	last      byte    // of the file, before buf
}

// bodyBuffer is how much of a file with LF line ends is read at once.
const bodyBuffer = 16 << 10

var bodyBuffers = sync.Pool{New: func() any { b := make([]byte, bodyBuffer); return &b }}

// Close closes the file.
func (b *Body) Close() error {
	if b.mem != nil {
		bodyBuffers.Put(b.mem)
		b.mem, b.buf = nil, nil
	}
	return b.f.Close()
}

// Size is RFC822.SIZE.
func (b *Body) Size() int64 { return b.size }

// File is the file itself. CRLF says that its bytes are those of the reader.
func (b *Body) File() (f io.ReaderAt, crlf bool) { return b.f, b.crlf }

// Bytes is all of the file, if it is short and was read ahead; else nil. It is
// valid until Close, and is not to be changed.
func (b *Body) Bytes() []byte {
	if b.f.fd >= 0 {
		return nil
	}
	return b.f.head
}

// Pos tells where the next Read begins, as the reader counts and in the file;
// between the CR and the LF of a line end, where that begins.
func (b *Body) Pos() (offset, file int64) {
	if b.lf {
		return b.pos - 1, b.file
	}
	return b.pos, b.file
}

// SeekFile moves to a place that Pos once told, without a scan.
func (b *Body) SeekFile(offset, file int64) {
	b.pos, b.file = offset, file
	b.buf, b.lf, b.last = nil, false, 0
	if file > 0 && !b.crlf {
		var c [1]byte
		if _, err := b.f.ReadAt(c[:], file-1); err == nil {
			b.last = c[0]
		}
	}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.crlf {
		n, err := b.f.ReadAt(p, b.pos)
		b.pos += int64(n)
		b.file = b.pos
		if n > 0 && err == io.EOF {
			err = nil
		}
		return n, err
	}
	n := 0
	for n < len(p) {
		if len(b.buf) == 0 {
			if n > 0 {
				break
			}
			if err := b.fill(); err != nil {
				return 0, err
			}
		}
		n += b.expand(p[n:])
	}
	b.pos += int64(n)
	return n, nil
}

func (b *Body) fill() error {
	if b.mem == nil {
		b.mem = bodyBuffers.Get().(*[]byte)
	}
	n, err := b.f.ReadAt(*b.mem, b.file)
	b.buf = (*b.mem)[:n]
	if n > 0 {
		return nil
	}
	return err
}

// expand moves bytes from buf to p, with a CR before each LF that has none.
func (b *Body) expand(p []byte) (n int) {
	for n < len(p) && len(b.buf) > 0 {
		if b.buf[0] == '\n' {
			if b.last != '\r' && !b.lf {
				p[n] = '\r'
				n++
				b.lf = true
				continue
			}
			p[n] = '\n'
			n++
			b.lf = false
			b.eat(1)
			continue
		}
		end := bytes.IndexByte(b.buf, '\n')
		if end < 0 {
			end = len(b.buf)
		}
		m := copy(p[n:], b.buf[:end])
		n += m
		b.eat(m)
	}
	return n
}

func (b *Body) eat(n int) {
	b.last = b.buf[n-1]
	b.buf = b.buf[n:]
	b.file += int64(n)
}

// Seek implements io.Seeker.
func (b *Body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.pos
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return b.pos, errors.New("seek before the start of a message")
	}
	if b.crlf {
		b.pos, b.file = offset, offset
		return offset, nil
	}
	if offset < b.pos {
		b.SeekFile(0, 0)
	}
	_, err := io.CopyN(io.Discard, readerOnly{b}, offset-b.pos)
	if err == io.EOF {
		err = nil // as of a file: reading there is EOF
	}
	return b.pos, err
}

type readerOnly struct{ io.Reader }

// virtualSize is what RFC822.SIZE of a file is.
func (d *dir) virtualSize(name string) (size int64, err error) {
	f, err := d.open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return virtualSize(f)
}

func virtualSize(f io.Reader) (size int64, err error) {
	mem := bodyBuffers.Get().(*[]byte)
	defer bodyBuffers.Put(mem)
	buf := *mem
	var last byte
	for {
		n, err := f.Read(buf)
		p := buf[:n]
		size += int64(n)
		for i := 0; i < len(p); {
			at := bytes.IndexByte(p[i:], '\n')
			if at < 0 {
				break
			}
			at += i
			if at > 0 && p[at-1] != '\r' || at == 0 && last != '\r' {
				size++
			}
			i = at + 1
		}
		if n > 0 {
			last = p[n-1]
		}
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
