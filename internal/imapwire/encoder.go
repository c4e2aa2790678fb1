package imapwire

import (
	"bytes"
	"io"
	"strconv"
	"sync"
)

const (
	writeSize = 16 << 10 // a record of TLS
	// bulkSize is what is written at once when whole messages are sent: each
	// write wakes the client.
	bulkSize = 64 << 10
)

var (
	writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, writeSize); return &b }}
	bulkBuffers  = sync.Pool{New: func() any { b := make([]byte, 0, bulkSize); return &b }}
)

// Encoder writes responses through a buffer that it borrows. Errors stick; the
// first one is returned by Flush.
type Encoder struct {
	dst io.Writer
	buf *[]byte
	err error
}

// NewEncoder returns an Encoder that holds no buffer yet.
func NewEncoder(dst io.Writer) *Encoder { return &Encoder{dst: dst} }

// Reset goes on with another stream.
func (e *Encoder) Reset(dst io.Writer) { e.dst = dst }

// Err returns the first error.
func (e *Encoder) Err() error { return e.err }

// Flush sends what was written.
func (e *Encoder) Flush() error {
	if e.buf == nil {
		return e.err
	}
	if len(*e.buf) > 0 && e.err == nil {
		_, e.err = e.dst.Write(*e.buf)
	}
	*e.buf = (*e.buf)[:0]
	return e.err
}

// Park flushes and gives the buffer back.
func (e *Encoder) Park() error {
	err := e.Flush()
	e.giveBack()
	return err
}

func (e *Encoder) giveBack() {
	switch {
	case e.buf == nil:
		return
	case cap(*e.buf) == bulkSize:
		bulkBuffers.Put(e.buf)
	default:
		writeBuffers.Put(e.buf)
	}
	e.buf = nil
}

// grow takes the large buffer, until Park.
func (e *Encoder) grow() {
	if e.buf != nil && cap(*e.buf) == bulkSize {
		return
	}
	large := bulkBuffers.Get().(*[]byte)
	if e.buf != nil {
		*large = append(*large, *e.buf...)
		*e.buf = (*e.buf)[:0]
	}
	e.giveBack()
	e.buf = large
}

// room returns the buffer with space for n more bytes, n well below writeSize.
func (e *Encoder) room(n int) []byte {
	if e.buf == nil {
		e.buf = writeBuffers.Get().(*[]byte)
	}
	if len(*e.buf)+n > cap(*e.buf) {
		e.Flush()
	}
	return *e.buf
}

// Raw writes s as it stands.
func (e *Encoder) Raw(s string) *Encoder {
	for len(s) > 0 {
		b := e.room(1)
		n := min(len(s), cap(b)-len(b))
		*e.buf = append(b, s[:n]...)
		s = s[n:]
	}
	return e
}

// Write writes p as it stands; pieces that fill the buffer go past it.
func (e *Encoder) Write(p []byte) (int, error) {
	if len(p) >= writeSize {
		if e.Flush() == nil {
			_, e.err = e.dst.Write(p)
		}
		return len(p), e.err
	}
	b := e.room(len(p))
	*e.buf = append(b, p...)
	return len(p), e.err
}

// Text writes p as it stands. Unlike Write it never passes p on, so that p may
// stay on the caller's stack.
func (e *Encoder) Text(p []byte) *Encoder {
	for len(p) > 0 {
		b := e.room(1)
		n := min(len(p), cap(b)-len(b))
		*e.buf = append(b, p[:n]...)
		p = p[n:]
	}
	return e
}

// Lines writes p with a CR before each LF that has none; prev is the byte
// before p. It returns how many bytes that made.
func (e *Encoder) Lines(p []byte, prev byte) (total int64, err error) {
	if len(p) > writeSize/4 {
		e.grow()
	}
	for len(p) > 0 {
		b := e.room(2)
		was := len(b)
		b, n := appendLines(b, p, prev)
		*e.buf = b
		total += int64(len(b) - was)
		prev, p = p[n-1], p[n:]
	}
	return total, e.err
}

// appendLines is Lines for as much of p as b has room for, which is two bytes at
// least; n is how much that was.
func appendLines(b, p []byte, prev byte) (_ []byte, n int) {
	rest := p
	for len(rest) > 0 && cap(b)-len(b) >= 2 {
		k := bytes.IndexByte(rest, '\n')
		if room := cap(b) - len(b); k < 0 || k+2 > room {
			part := rest[:min(len(rest), room)]
			if k >= 0 {
				part = rest[:min(k, room)]
			}
			if len(part) == 0 {
				break
			}
			b = append(b, part...)
			prev, rest = part[len(part)-1], rest[len(part):]
			continue
		}
		b = append(b, rest[:k]...)
		if k > 0 {
			prev = rest[k-1]
		}
		if prev != '\r' {
			b = append(b, '\r')
		}
		b = append(b, '\n')
		prev, rest = '\n', rest[k+1:]
	}
	return b, len(p) - len(rest)
}

// ReadFrom copies r through the buffer, without another one.
func (e *Encoder) ReadFrom(r io.Reader) (total int64, err error) {
	for e.err == nil {
		b := e.room(1)
		n, err := r.Read(b[len(b):cap(b)])
		*e.buf = b[:len(b)+n]
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
	return total, e.err
}

// Number writes a number.
func (e *Encoder) Number(n uint64) *Encoder {
	*e.buf = strconv.AppendUint(e.room(20), n, 10)
	return e
}

// CRLF ends a line.
func (e *Encoder) CRLF() *Encoder { return e.Raw("\r\n") }

// Set writes a number set.
func (e *Encoder) Set(s Set) *Encoder {
	for i := 0; i < len(s); i += 64 { // bounded pieces: a set may be long
		if i > 0 {
			e.Raw(",")
		}
		part := s[i:min(i+64, len(s))]
		*e.buf = part.Append(e.room(64 * 22))
	}
	return e
}

// String writes s quoted, or as a literal where a quoted string cannot hold it.
func (e *Encoder) String(s string) *Encoder {
	if !quotable(s) {
		return e.literal(s)
	}
	e.Raw(`"`)
	start := 0
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			e.Raw(s[start:i]).Raw(`\`)
			start = i
		}
	}
	return e.Raw(s[start:]).Raw(`"`)
}

// Mailbox writes a name: an atom if it can be one, as Dovecot does.
func (e *Encoder) Mailbox(name string) *Encoder {
	if name == "" || equalFoldNIL(name) {
		return e.String(name)
	}
	for i := 0; i < len(name); i++ {
		if !isAtom(name[i]) || name[i] >= 0x80 {
			return e.String(name)
		}
	}
	return e.Raw(name)
}

func equalFoldNIL(s string) bool {
	return len(s) == 3 && s[0]|0x20 == 'n' && s[1]|0x20 == 'i' && s[2]|0x20 == 'l'
}

// quotable: names in UTF-8 are only written to a client that asked for them,
// so bytes over 127 may stand in quotes.
func quotable(s string) bool {
	if len(s) > 1000 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func (e *Encoder) literal(s string) *Encoder {
	return e.Raw("{").Number(uint64(len(s))).Raw("}\r\n").Raw(s)
}

// NString writes s, or NIL for an empty one.
func (e *Encoder) NString(s string) *Encoder {
	if s == "" {
		return e.Raw("NIL")
	}
	return e.String(s)
}
