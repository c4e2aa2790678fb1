package message

import (
	"encoding/base64"
	"errors"
)

// ErrData: the text of a part is not what its Content-Transfer-Encoding says;
// Dovecot answers NO [PARSE] Invalid data in MIME part.
var ErrData = errors.New("invalid data in MIME part")

// transfer decodes a part's text that is pushed through it. RFC 2045 §6. Where
// it is not strict, what is broken is passed on or skipped.
type transfer struct {
	encoding Encoding
	strict   bool
	out      func([]byte) error
	buf      []byte // decoded, not yet passed on

	quantum []byte // base64: up to a multiple of 4 characters without white space
	padded  bool   // base64: the end was seen

	escape []byte // quoted-printable: from "=" on
	blank  []byte // quoted-printable: white space that may end a line
	cr     bool   // quoted-printable: a CR whose LF must come
}

const transferBuffer = 4 << 10

// maxBlank bounds the white space held back.
const maxBlank = 1 << 10

func newTransfer(e Encoding, strict bool, out func([]byte) error) *transfer {
	return &transfer{encoding: e, strict: strict, out: out}
}

// reset makes it ready for another text, whatever the last has left.
func (t *transfer) reset(e Encoding) {
	*t = transfer{encoding: e, strict: t.strict, out: t.out, buf: t.buf[:0], quantum: t.quantum[:0],
		escape: t.escape[:0], blank: t.blank[:0]}
}

func (t *transfer) write(b []byte) error {
	switch t.encoding {
	case EncodingBase64:
		return t.base64(b)
	case EncodingQuotedPrintable:
		return t.quotedPrintable(b)
	}
	return t.out(b)
}

// close passes on what is left.
func (t *transfer) close() error {
	switch t.encoding {
	case EncodingBase64:
		if err := t.quanta(true); err != nil {
			return err
		}
	case EncodingQuotedPrintable:
		if err := t.qpEnd(); err != nil {
			return err
		}
	}
	return t.flush()
}

func (t *transfer) flush() error {
	b := t.buf
	t.buf = t.buf[:0]
	if len(b) == 0 {
		return nil
	}
	return t.out(b)
}

func (t *transfer) put(b ...byte) error {
	t.buf = append(t.buf, b...)
	if len(t.buf) < transferBuffer {
		return nil
	}
	return t.flush()
}

// isBase64 marks the alphabet.
var isBase64 = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		set[c] = true
	}
	return set
}()

func (t *transfer) base64(b []byte) error {
	for i := 0; i < len(b); {
		n := i
		for n < len(b) && isBase64[b[n]] {
			n++
		}
		if n > i {
			if t.padded {
				return t.broken()
			}
			t.quantum = append(t.quantum, b[i:n]...)
			if len(t.quantum) >= transferBuffer {
				if err := t.quanta(false); err != nil {
					return err
				}
			}
			i = n
			continue
		}
		switch c := b[i]; c {
		case ' ', '\t', '\r', '\n':
		case '=':
			if len(t.quantum)%4 < 2 && !t.padded {
				if err := t.broken(); err != nil {
					return err
				}
			}
			t.padded = true
		default:
			if err := t.broken(); err != nil {
				return err
			}
		}
		i++
	}
	return nil
}

// broken is an error if that matters.
func (t *transfer) broken() error {
	if t.strict {
		return ErrData
	}
	return nil
}

// quanta decodes whole groups of four characters; at the end, the rest.
func (t *transfer) quanta(end bool) error {
	n := len(t.quantum) &^ 3
	if end {
		n = len(t.quantum)
		if n%4 == 1 {
			n--
		}
	}
	at := len(t.buf)
	t.buf = append(t.buf, make([]byte, base64.RawStdEncoding.DecodedLen(n))...)
	k, err := base64.RawStdEncoding.Decode(t.buf[at:], t.quantum[:n])
	t.buf = t.buf[:at+k]
	if err != nil {
		return ErrData
	}
	t.quantum = t.quantum[:copy(t.quantum, t.quantum[n:])]
	if len(t.buf) >= transferBuffer {
		return t.flush()
	}
	return nil
}

func (t *transfer) quotedPrintable(b []byte) error {
	for i := 0; i < len(b); {
		if len(t.escape) == 0 && len(t.blank) == 0 && !t.cr {
			n := i
			for n < len(b) && b[n] > ' ' && b[n] != '=' {
				n++
			}
			if n > i {
				if err := t.put(b[i:n]...); err != nil {
					return err
				}
				i = n
				continue
			}
		}
		if err := t.qpByte(b[i]); err != nil {
			return err
		}
		i++
	}
	return nil
}

func (t *transfer) qpByte(c byte) error {
	if t.cr && c != '\n' {
		t.cr = false
		if err := t.broken(); err != nil {
			return err
		}
		if err := t.solid('\r'); err != nil {
			return err
		}
	}
	switch {
	case c == '\r':
		t.cr = true
		return nil
	case c == '\n':
		return t.qpLine()
	case len(t.escape) > 0:
		return t.qpEscape(c)
	case c == '=':
		t.escape = append(t.escape, c)
		return nil
	case c == ' ' || c == '\t':
		if t.blank = append(t.blank, c); len(t.blank) < maxBlank {
			return nil
		}
		return t.releaseBlank()
	}
	return t.solid(c)
}

// solid puts a byte that does not end a line, and the white space before it.
func (t *transfer) solid(c ...byte) error {
	if err := t.releaseBlank(); err != nil {
		return err
	}
	return t.put(c...)
}

func (t *transfer) releaseBlank() error {
	b := t.blank
	t.blank = t.blank[:0]
	return t.put(b...)
}

// qpLine ends a line: white space before it is no part of the text.
func (t *transfer) qpLine() error {
	t.cr = false
	if len(t.escape) > 0 {
		soft := t.escape[len(t.escape)-1] == '=' || isBlank(t.escape[1])
		if soft {
			t.escape = t.escape[:0]
			return t.releaseBlank()
		}
		if err := t.qpBroken(); err != nil {
			return err
		}
	}
	t.blank = t.blank[:0]
	return t.put('\r', '\n')
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// qpEscape takes a byte after "=": two digits, or white space to the line end.
func (t *transfer) qpEscape(c byte) error {
	if isBlank(c) && (len(t.escape) == 1 || isBlank(t.escape[1])) {
		if t.escape = append(t.escape, c); len(t.escape) < maxBlank {
			return nil
		}
		return t.qpBroken()
	}
	_, digit := unhex(c)
	if !digit || len(t.escape) > 1 && isBlank(t.escape[1]) {
		if err := t.qpBroken(); err != nil {
			return err
		}
		return t.qpByte(c)
	}
	if len(t.escape) == 1 {
		t.escape = append(t.escape, c)
		return nil
	}
	high, _ := unhex(t.escape[1])
	low, _ := unhex(c)
	t.escape = t.escape[:0]
	return t.solid(high<<4 | low)
}

// qpBroken passes on what looked like an escape.
func (t *transfer) qpBroken() error {
	if err := t.broken(); err != nil {
		return err
	}
	b := t.escape
	t.escape = t.escape[:0]
	return t.solid(b...)
}

func (t *transfer) qpEnd() error {
	if t.cr {
		t.cr = false
		if err := t.solid('\r'); err != nil {
			return err
		}
	}
	if len(t.escape) > 1 && !isBlank(t.escape[1]) {
		return t.qpBroken()
	}
	return nil
}

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
