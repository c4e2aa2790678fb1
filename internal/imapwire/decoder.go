// Package imapwire reads and writes the words of IMAP: atoms, strings, literals,
// number sets, lists (RFC 9051 §9). It knows no command and no session.
//
// A Decoder reads from a stream and never further than it must. Errors stick:
// after the first one every method returns a zero value, so a parser reads
// straight on and looks at Err once. What a command may cost is bounded by Begin
// (bytes, literals included) and maxDepth (lists in lists). After an error Skip
// reads over the rest of the command, the bytes of its LITERAL+ literals
// included, so that they are never taken for commands.
package imapwire

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// SyntaxError is a command that breaks the grammar. The connection can go on
// after Skip.
type SyntaxError struct{ Text string }

func (e *SyntaxError) Error() string { return e.Text }

var (
	// ErrTooLong: the command is longer than Begin allowed.
	ErrTooLong = &SyntaxError{"Too long argument."}
	// ErrFlood: Skip would have to read more than it may. The connection must end.
	ErrFlood = errors.New("literal is too large to be skipped")
)

const (
	readSize = 4096
	maxDepth = 100 // lists in lists, and search keys in search keys
)

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// Decoder reads commands. The zero value is not ready: use NewDecoder.
type Decoder struct {
	// Continue tells the client to send its literal. Needed for synchronizing
	// literals; nil refuses them.
	Continue func() error
	// UTF8 lets quoted strings hold bytes over 127, RFC 6855 §3.
	UTF8 bool

	src   io.Reader
	buf   *[readSize]byte // nil when given back
	r, w  int
	left  int64 // bytes that this command may still have
	depth int
	ended bool // the line of the command is read
	// bytes of refused LITERAL+ literals that stand before the rest of the line
	pending int64
	one     [1]byte
	err     error
}

// NewDecoder returns a Decoder that holds no buffer yet.
func NewDecoder(src io.Reader) *Decoder { return &Decoder{src: src, ended: true} }

// Reset drops what was read ahead and goes on with another stream, as STARTTLS
// needs: nothing that was sent in plaintext survives.
func (d *Decoder) Reset(src io.Reader) {
	d.release()
	d.src, d.err, d.ended, d.pending = src, nil, true, 0
}

// Buffered returns how many bytes were read ahead.
func (d *Decoder) Buffered() int { return d.w - d.r }

// Park gives the buffer back and waits for the first byte of the next command.
func (d *Decoder) Park() error {
	if d.Buffered() > 0 {
		return nil
	}
	d.release()
	n, err := d.src.Read(d.one[:])
	if n == 0 {
		return noProgress(err)
	}
	d.take()
	d.buf[0], d.w = d.one[0], 1
	return nil
}

// Free gives the buffer back for good.
func (d *Decoder) Free() { d.release() }

func (d *Decoder) take() {
	d.buf = readBuffers.Get().(*[readSize]byte)
	d.r, d.w = 0, 0
}

func (d *Decoder) release() {
	if d.buf != nil {
		clear(d.buf[:]) // may hold a password
		readBuffers.Put(d.buf)
	}
	d.buf, d.r, d.w = nil, 0, 0
}

// Begin starts a command of at most limit bytes.
func (d *Decoder) Begin(limit int64) {
	d.left, d.depth, d.ended, d.pending, d.err = limit, 0, false, 0, nil
}

// Err returns the first error since Begin.
func (d *Decoder) Err() error { return d.err }

// Ended tells whether the command's last line was read to its end.
func (d *Decoder) Ended() bool { return d.ended }

// Fail records a syntax error, unless there is one already.
func (d *Decoder) Fail(format string, args ...any) {
	d.fail(&SyntaxError{fmt.Sprintf(format, args...)})
}

func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// IsSyntax tells whether err is a fault of the command, not of the connection.
func IsSyntax(err error) bool {
	var e *SyntaxError
	return errors.As(err, &e)
}

// fill reads more; false after an error.
func (d *Decoder) fill() bool {
	if d.buf == nil {
		d.take()
	}
	d.r, d.w = 0, 0
	n, err := d.src.Read(d.buf[:])
	for i := 0; n == 0 && err == nil; i++ {
		if i == 10 {
			err = io.ErrNoProgress
			break
		}
		n, err = d.src.Read(d.buf[:])
	}
	d.w = n
	if n == 0 {
		d.fail(noProgress(err))
	}
	return n > 0
}

func noProgress(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// Peek returns the next byte and leaves it; 0 after an error.
func (d *Decoder) Peek() byte {
	if d.err != nil || d.r == d.w && !d.fill() {
		return 0
	}
	return d.buf[d.r]
}

// next consumes the byte that Peek showed.
func (d *Decoder) next() {
	d.r++
	if d.left--; d.left < 0 {
		d.fail(ErrTooLong)
	}
}

// Accept consumes c if it is next.
func (d *Decoder) Accept(c byte) bool {
	if d.Peek() != c || d.err != nil {
		return false
	}
	d.next()
	return d.err == nil
}

// Expect consumes c; anything else is an error.
func (d *Decoder) Expect(c byte) {
	if !d.Accept(c) {
		d.Fail("Missing %q", c)
	}
}

// SP reads the space between two arguments. As Dovecot does, more than one is
// taken for one.
func (d *Decoder) SP() {
	if !d.Accept(' ') {
		d.Fail("Missing arguments.")
	}
	for d.Accept(' ') {
	}
}

// AtEnd tells whether the line ends here.
func (d *Decoder) AtEnd() bool {
	c := d.Peek()
	return d.err != nil || c == '\r' || c == '\n'
}

// End reads the end of the command. A bare LF is taken for one.
func (d *Decoder) End() {
	for d.Accept(' ') {
	}
	d.Accept('\r')
	if d.err == nil && d.Peek() != '\n' {
		d.Fail("Unexpected arguments.")
		return
	}
	if d.err == nil {
		d.r++
		d.ended = true
	}
}

// Skip reads over what is left of a command that failed, and no further. At
// most limit bytes: then ErrFlood. Other errors are those of the stream.
func (d *Decoder) Skip(limit int64) error {
	if d.err != nil && !IsSyntax(d.err) {
		return d.err
	}
	d.err, d.left = nil, limit
	d.discard(d.pending)
	d.pending = 0
	for !d.ended && d.err == nil {
		d.skipLine()
	}
	if d.err == ErrTooLong {
		return ErrFlood
	}
	return d.err
}

// skipLine reads to the end of a line, and over the literal it announces.
func (d *Decoder) skipLine() {
	var tail lineTail
	for d.err == nil {
		c := d.Peek()
		if d.err != nil {
			return
		}
		d.next()
		if c == '\n' {
			break
		}
		tail.add(c)
	}
	size, ok := tail.nonSync()
	if !ok {
		d.ended = true
		return
	}
	d.discard(size)
}

// discard reads over n bytes of a literal.
func (d *Decoder) discard(n int64) {
	if d.left -= n; d.left < 0 {
		d.fail(ErrTooLong)
		return
	}
	for n > 0 && (d.r < d.w || d.fill()) {
		step := min(n, int64(d.w-d.r))
		d.r += int(step)
		n -= step
	}
}

// lineTail keeps the end of a line, long enough for a literal's announcement.
type lineTail struct {
	b [24]byte
	n int
}

func (t *lineTail) add(c byte) {
	if c == '{' {
		t.n = 0
	}
	if t.n < len(t.b) {
		t.b[t.n] = c
		t.n++
	} else {
		t.b[0] = 0 // too long to be one
	}
}

// nonSync reads {n+} at the end of the line. A synchronizing literal is not
// sent when it is refused, so it ends the command.
func (t *lineTail) nonSync() (int64, bool) {
	s := t.b[:t.n]
	if len(s) > 0 && s[len(s)-1] == '\r' {
		s = s[:len(s)-1]
	}
	if len(s) < 4 || s[0] != '{' || s[len(s)-1] != '}' || s[len(s)-2] != '+' {
		return 0, false
	}
	return digits(s[1 : len(s)-2])
}

func digits(s []byte) (n int64, ok bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
