package message

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/emersion/go-imap/v2"
)

// Literal is data of a FETCH response whose size is known before it is sent.
type Literal struct {
	Size  int64
	Eight bool // written as literal8, ~{n}: RFC 3516 §4.1
	write func(io.Writer) error
}

// errChanged: the file is not the one that the Layout is of.
var errChanged = errors.New("message file changed while it was read")

// WriteTo sends exactly Size bytes, or returns an error: then the message file
// was changed or cannot be read, and the connection cannot be used further.
func (l *Literal) WriteTo(w io.Writer) (int64, error) {
	if l.Size == 0 {
		return 0, nil
	}
	win := &slice{w: w, n: l.Size}
	err := l.write(win)
	if err == errEnough {
		err = nil
	}
	if err == nil && win.n > 0 {
		err = errChanged
	}
	return l.Size - win.n, err
}

// cut makes the literal a part of itself, as <offset.size> asks. RFC 9051
// §6.4.5: what lies beyond the end is empty.
func (l *Literal) cut(p *imap.SectionPartial) *Literal {
	if p == nil {
		return l
	}
	from := min(max(p.Offset, 0), l.Size)
	size := min(max(p.Size, 0), l.Size-from)
	write := l.write
	return &Literal{Size: size, Eight: l.Eight, write: func(w io.Writer) error {
		return write(&slice{w: w, skip: from, n: size})
	}}
}

// slice passes on n bytes after skip.
type slice struct {
	w       io.Writer
	skip, n int64
}

// errEnough ends a writer whose reader has all it wants.
var errEnough = errors.New("enough")

func (s *slice) Write(b []byte) (int, error) {
	size := len(b)
	drop := min(s.skip, int64(len(b)))
	s.skip -= drop
	b = b[drop:]
	if int64(len(b)) > s.n {
		b = b[:s.n]
	}
	if len(b) > 0 {
		if _, err := s.w.Write(b); err != nil {
			return 0, err
		}
		s.n -= int64(len(b))
	}
	if s.n == 0 && s.skip == 0 {
		return size, errEnough
	}
	return size, nil
}

// Section finds BODY[...] in the message file f. What the message does not have
// is empty, as in Dovecot. Only HEADER.FIELDS reads the file at this call.
func (l Layout) Section(f io.ReaderAt, item *imap.FetchItemBodySection) (*Literal, error) {
	i := l.find(item.Part)
	if i < 0 {
		return &Literal{}, nil
	}
	if len(item.Part) > 0 && item.Specifier != imap.PartSpecifierNone && item.Specifier != imap.PartSpecifierMIME {
		if l[i].Kind != KindMessage || l[i].Next == i+1 {
			return &Literal{}, nil
		}
		i++
	}
	p := &l[i]
	lit := &Literal{}
	switch item.Specifier {
	case imap.PartSpecifierNone:
		lit = copyOf(f, p.Body)
		if len(item.Part) == 0 {
			lit = copyOf(f, p.whole())
		}
	case imap.PartSpecifierText:
		lit = copyOf(f, p.Body)
	case imap.PartSpecifierMIME:
		lit = copyOf(f, p.Header)
	case imap.PartSpecifierHeader:
		if item.HeaderFields == nil && item.HeaderFieldsNot == nil {
			lit = copyOf(f, p.Header)
			break
		}
		var err error
		if lit, err = filteredHeader(f, p.Header, item); err != nil {
			return nil, err
		}
	}
	return lit.cut(item.Partial), nil
}

// Whole tells whether BODY[] of the file b is b with CRLF as its line ends and
// has size bytes, as is to be expected: then the layout need not be known.
func Whole(b []byte, size int64) bool {
	_, bare := countLines(b, 0)
	return int64(len(b))+bare == size && bytes.IndexByte(b, 0) < 0
}

// whole is header and body.
func (p *Place) whole() Extent {
	return Extent{
		Offset: p.Header.Offset,
		Len:    p.Header.Len + p.Body.Len,
		Virt:   p.Header.Virt + p.Body.Virt,
		Lines:  p.Header.Lines + p.Body.Lines,
	}
}

// find gives the index of the part that a section number names, or -1. What is
// not a multipart has itself as its only part 1.
func (l Layout) find(path []int) int {
	i, leaf := 0, false
	for _, n := range path {
		if l[i].Kind == KindMessage && (i > 0 || leaf) {
			if l[i].Next == i+1 {
				return -1
			}
			i, leaf = i+1, false
		}
		if leaf || n < 1 {
			return -1
		}
		if l[i].Kind == KindMultipart {
			if i = l.child(i, n); i < 0 {
				return -1
			}
			continue
		}
		if n != 1 {
			return -1
		}
		leaf = true
	}
	return i
}

// child gives the n-th child of a part, or -1.
func (l Layout) child(i, n int) int {
	for c := i + 1; c < l[i].Next; c = l[c].Next {
		if n--; n == 0 {
			return c
		}
	}
	return -1
}

// copyBuffer is how much of a file is held while it is sent.
const copyBuffer = 16 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// copyOf is an extent with all its line ends as CRLF.
func copyOf(f io.ReaderAt, e Extent) *Literal {
	return &Literal{Size: e.Virt, write: func(w io.Writer) error {
		out := copyBuffers.Get().(*[copyBuffer]byte)
		defer copyBuffers.Put(out)
		lines, whole := linesTo(w, e)
		return eachPiece(f, e, 0, func(b []byte, prev byte) error {
			replaceNUL(b)
			switch {
			case e.Virt == e.Len:
				_, err := w.Write(b)
				return err
			case whole:
				return lines(b, prev)
			}
			return writeCRLF(w, b, prev, out[:0])
		})
	}}
}

// lineWriter is an io.Writer that makes CRLF of LF itself.
type lineWriter interface {
	Lines(b []byte, prev byte) (int64, error)
}

// linesTo is how the lines of an extent are written without a copy between, if
// w takes all of them.
func linesTo(w io.Writer, e Extent) (write func(b []byte, prev byte) error, ok bool) {
	s, _ := w.(*slice)
	if s == nil || s.skip > 0 || s.n != e.Virt {
		return nil, false
	}
	to, ok := s.w.(lineWriter)
	return func(b []byte, prev byte) error {
		n, err := to.Lines(b, prev)
		if s.n -= n; err == nil && s.n < 0 {
			err = errChanged
		}
		return err
	}, ok
}

// replaceNUL puts 0x80 for NUL, which a literal may not have (RFC 9051 §4.3),
// as Dovecot does.
func replaceNUL(b []byte) {
	for {
		k := bytes.IndexByte(b, 0)
		if k < 0 {
			return
		}
		b[k] = 0x80
		b = b[k+1:]
	}
}

// eachPiece reads an extent; prev is the byte before each piece.
func eachPiece(f io.ReaderAt, e Extent, prev byte, use func(b []byte, prev byte) error) error {
	room := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(room)
	buf := room[:min(e.Len, copyBuffer)]
	for at := int64(0); at < e.Len; {
		b := buf[:min(int64(len(buf)), e.Len-at)]
		n, err := f.ReadAt(b, e.Offset+at)
		if n < len(b) {
			if err == nil || err == io.EOF {
				err = errChanged
			}
			return err
		}
		if err := use(b, prev); err != nil {
			return err
		}
		prev = b[len(b)-1]
		at += int64(len(b))
	}
	return nil
}

// writeCRLF writes b with a CR before each LF that has none. The lines are put
// together in out, up to its capacity.
func writeCRLF(w io.Writer, b []byte, prev byte, out []byte) error {
	flush := func() error {
		if len(out) == 0 {
			return nil
		}
		_, err := w.Write(out)
		out = out[:0]
		return err
	}
	for len(b) > 0 {
		k := bytes.IndexByte(b, '\n')
		line := b
		if k >= 0 {
			line = b[:k]
		}
		if len(line) > 0 {
			prev = line[len(line)-1]
		}
		if len(out)+len(line)+len(crlf) > cap(out) {
			if err := flush(); err != nil {
				return err
			}
		}
		if len(line)+len(crlf) > cap(out) {
			if _, err := w.Write(line); err != nil {
				return err
			}
		} else {
			out = append(out, line...)
		}
		if k < 0 {
			break
		}
		if prev != '\r' {
			out = append(out, '\r')
		}
		out = append(out, '\n')
		prev, b = '\n', b[k+1:]
	}
	return flush()
}

var crlf = []byte("\r\n")

// Has tells whether the message has a part.
func (l Layout) Has(path []int) bool { return l.find(path) >= 0 }
