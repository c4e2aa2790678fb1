package message

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/transform"
)

// ErrCharset: a charset that is not known.
var ErrCharset = errors.New("unknown charset")

// isUTF8 reports whether text of a charset needs no conversion.
func isUTF8(charset string) bool {
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return false
}

// lookupCharset finds a decoder to UTF-8; nil for none needed.
func lookupCharset(charset string) (transform.Transformer, error) {
	charset = strings.Trim(charset, " \t'\"")
	if isUTF8(charset) {
		return nil, nil
	}
	if len(charset) > 64 {
		return nil, ErrCharset
	}
	enc, err := htmlindex.Get(charset)
	if err != nil {
		enc, err = ianaindex.MIME.Encoding(charset)
	}
	if err != nil || enc == nil || enc == encoding.Replacement {
		return nil, ErrCharset
	}
	return enc.NewDecoder(), nil
}

// ToUTF8 converts text of a named charset (SEARCH CHARSET); ErrCharset: answer
// NO [BADCHARSET].
func ToUTF8(charset, text string) (string, error) {
	dec, err := lookupCharset(charset)
	if err != nil || dec == nil {
		return text, err
	}
	out, _, err := transform.String(dec, text)
	if err != nil {
		return "", ErrCharset
	}
	return out, nil
}

// textReader makes UTF-8 of the text of a part, pushed through it piece by
// piece. An unknown charset is read as UTF-8.
type textReader struct {
	transfer *transfer
	dec      transform.Transformer
	rest     []byte // of a character that is not complete
	out      func([]byte)
	buf      []byte
}

func (t *textReader) start(e Encoding, charset string, out func([]byte)) {
	t.out, t.rest = out, t.rest[:0]
	t.dec, _ = lookupCharset(charset)
	if t.transfer == nil {
		t.transfer = newTransfer(e, false, t.convert)
	}
	t.transfer.reset(e)
}

func (t *textReader) write(b []byte) { t.transfer.write(b) }

func (t *textReader) close() {
	t.transfer.close()
	if len(t.rest) > 0 {
		t.out(t.rest)
		t.rest = t.rest[:0]
	}
}

func (t *textReader) convert(b []byte) error {
	if len(t.rest) > 0 {
		b = append(t.rest, b...)
		t.rest = nil
	}
	if t.dec == nil {
		n := len(b) - incomplete(b)
		t.out(b[:n])
		t.rest = append(t.rest, b[n:]...)
		return nil
	}
	if t.buf == nil {
		t.buf = make([]byte, transferBuffer)
	}
	for len(b) > 0 {
		nDst, nSrc, err := t.dec.Transform(t.buf, b, false)
		t.out(t.buf[:nDst])
		b = b[nSrc:]
		switch {
		case err == transform.ErrShortSrc && len(b) < 16:
			t.rest = append(t.rest, b...)
			return nil
		case err != nil && err != transform.ErrShortDst && len(b) > 0:
			b = b[1:]
		}
	}
	return nil
}

// incomplete is the length of the beginning of a character at the end of b.
func incomplete(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		c := b[len(b)-n]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
