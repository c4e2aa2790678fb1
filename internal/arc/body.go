package arc

import (
	"crypto/sha256"
	"hash"
)

// bodyHash hashes the canonical form of a body, RFC 6376 §3.4.3 and §3.4.4. LF
// on its own ends a line, as it does on the wire behind us.
type bodyHash struct {
	h       hash.Hash
	relaxed bool
	blank   int  // line ends that count only if something follows
	white   bool // likewise, within the line
	cr      bool
	any     bool
	buf     []byte
}

func newBodyHash(form string) *bodyHash {
	return &bodyHash{h: sha256.New(), relaxed: form == "relaxed", buf: make([]byte, 0, 4096)}
}

// Write is io.Writer.
func (b *bodyHash) Write(p []byte) (int, error) {
	for _, c := range p {
		if b.cr && c != '\n' {
			b.text('\r')
		}
		b.cr = c == '\r'
		switch {
		case b.cr:
		case c == '\n':
			b.blank++
			b.white = false
		case b.relaxed && (c == ' ' || c == '\t'):
			b.white = true
		default:
			b.text(c)
		}
	}
	return len(p), nil
}

// text is a byte that counts.
func (b *bodyHash) text(c byte) {
	for ; b.blank > 0; b.blank-- {
		b.put('\r')
		b.put('\n')
	}
	if b.white {
		b.put(' ')
		b.white = false
	}
	b.put(c)
	b.any = true
}

func (b *bodyHash) put(c byte) {
	if b.buf = append(b.buf, c); len(b.buf) == cap(b.buf) {
		b.flush()
	}
}

func (b *bodyHash) flush() {
	b.h.Write(b.buf)
	b.buf = b.buf[:0]
}

func (b *bodyHash) sum() []byte {
	if b.cr {
		b.cr = false
		b.text('\r')
	}
	if b.any || !b.relaxed {
		b.put('\r')
		b.put('\n')
	}
	b.flush()
	return b.h.Sum(nil)
}
