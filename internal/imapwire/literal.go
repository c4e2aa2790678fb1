package imapwire

import (
	"io"
)

// Literal is the announcement of a literal: {n}, {n+} or ~{n}.
type Literal struct {
	Size    int64
	NonSync bool // {n+}: the bytes come without being asked for, RFC 7888
	Binary  bool // literal8: may hold NUL, RFC 3516
}

// Literal reads an announcement with its CRLF. Nothing of the literal itself
// is read: Go or Refuse must follow.
func (d *Decoder) Literal() Literal {
	var l Literal
	l.Binary = d.Accept('~')
	d.Expect('{')
	l.Size = d.Number63()
	l.NonSync = d.Accept('+')
	d.Expect('}')
	d.Accept('\r')
	if d.err == nil && d.Peek() != '\n' {
		d.Fail("Invalid literal size.")
	}
	if d.err == nil {
		d.next()
	}
	return l
}

// Go lets the client send the literal.
func (d *Decoder) Go(l Literal) bool {
	if d.err != nil {
		return false
	}
	if l.NonSync {
		return true
	}
	if d.Continue == nil {
		d.ended = true
		d.Fail("Literals are not taken here.")
		return false
	}
	if err := d.Continue(); err != nil {
		d.fail(err)
	}
	return d.err == nil
}

// Refuse does without the literal. One that was announced by {n} will not be
// sent; one by {n+} is read over by Skip.
func (d *Decoder) Refuse(l Literal) {
	if !l.NonSync {
		d.ended = true
		return
	}
	d.pending += l.Size
}

// Reader returns the n bytes of a literal after Go. It must be read to its end.
// They do not count against the bound of the command.
func (d *Decoder) Reader(n int64) *LiteralReader { return &LiteralReader{d: d, left: n} }

// LiteralReader reads a literal from the stream.
type LiteralReader struct {
	d    *Decoder
	left int64
}

// Read reads from the buffer first, then from the stream, so that a large
// literal is not copied twice.
func (l *LiteralReader) Read(p []byte) (int, error) {
	d := l.d
	if d.err != nil {
		return 0, d.err
	}
	if l.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), l.left)]
	if d.r == d.w && len(p) >= readSize {
		n, err := d.src.Read(p)
		l.left -= int64(n)
		if n == 0 && err != nil {
			d.fail(err)
			return 0, unexpected(err)
		}
		return n, nil
	}
	if d.r == d.w && !d.fill() {
		return 0, unexpected(d.err)
	}
	n := copy(p, d.buf[d.r:d.w])
	d.r += n
	l.left -= int64(n)
	return n, nil
}

// WriteTo hands the literal over in pieces of the read buffer.
func (l *LiteralReader) WriteTo(w io.Writer) (total int64, err error) {
	d := l.d
	for l.left > 0 {
		if d.err == nil && d.r == d.w {
			d.fill()
		}
		if d.err != nil {
			return total, unexpected(d.err)
		}
		part := d.buf[d.r : d.r+int(min(l.left, int64(d.w-d.r)))]
		n, err := w.Write(part)
		d.r += n
		l.left -= int64(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Drain reads over what is left, if an error made the reader's user stop.
func (l *LiteralReader) Drain() error {
	for l.left > 0 {
		if l.d.err == nil && l.d.r == l.d.w {
			l.d.fill()
		}
		if l.d.err != nil {
			return l.d.err
		}
		n := min(l.left, int64(l.d.w-l.d.r))
		l.d.r += int(n)
		l.left -= n
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
