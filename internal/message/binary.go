package message

import (
	"io"

	"github.com/emersion/go-imap/v2"
)

// Binary finds BINARY[...], decoded; what the message does not have is empty.
// A part with parts in it, or the whole message, is given with the texts in it
// decoded and labelled binary, as Dovecot does. ErrUnknownEncoding: answer NO
// [UNKNOWN-CTE] (RFC 3516 §4.3); ErrData: NO [PARSE]. What must be decoded is
// read at this call, for its size.
func (l Layout) Binary(f io.ReaderAt, item *imap.FetchItemBinarySection) (*Literal, error) {
	lit, err := l.decoded(f, item.Part)
	if err != nil {
		return nil, err
	}
	return lit.cut(item.Partial), nil
}

// BinarySize is BINARY.SIZE[...]; ok is false for a part that is not there,
// whose size Dovecot gives as 0.
func (l Layout) BinarySize(f io.ReaderAt, item *imap.FetchItemBinarySectionSize) (n int64, ok bool, err error) {
	if l.find(item.Part) < 0 {
		return 0, false, nil
	}
	lit, err := l.decoded(f, item.Part)
	if err != nil {
		return 0, true, err
	}
	return lit.Size, true, nil
}

func (l Layout) decoded(f io.ReaderAt, path []int) (*Literal, error) {
	i := l.find(path)
	if i < 0 {
		return &Literal{}, nil
	}
	pieces, err := l.pieces(i, len(path) == 0)
	if err != nil {
		return nil, err
	}
	lit := &Literal{write: func(w io.Writer) error { return writePieces(w, f, pieces) }}
	for _, p := range pieces {
		if p.how != asItIs {
			lit.Eight = true
			if lit.Size, err = sizeOf(lit.write); err != nil {
				return nil, err
			}
			break
		}
		lit.Size += p.extent.Virt
	}
	for c := i; c < l[i].Next; c++ {
		lit.Eight = lit.Eight || l[c].NUL
	}
	lit.Eight = lit.Eight && lit.Size > 0
	return lit, nil
}

// piece is a run of a message and what becomes of it.
type piece struct {
	extent Extent
	how    conversion
}

type conversion uint8

const (
	asItIs conversion = iota
	relabelled
	fromBase64
	fromQuotedPrintable
)

// pieces parts a part's body, or with its header, into what is copied and what
// is converted.
func (l Layout) pieces(i int, withHeader bool) ([]piece, error) {
	var out []piece
	whole := l[i].Body
	if withHeader {
		whole = l[i].whole()
	}
	at := whole // what is not yet in out
	cut := func(e Extent, how conversion) {
		before := at
		before.Len = e.Offset - at.Offset
		out = append(out, piece{extent: before}, piece{e, how})
		at.Len -= before.Len + e.Len
		at.Offset = e.Offset + e.Len
	}
	for c := i; c < l[i].Next; c++ {
		p := &l[c]
		if p.Encoding == EncodingIdentity || p.Kind == KindMessage || p.Body.Len == 0 {
			continue
		}
		if p.Encoding == EncodingUnknown || p.Kind == KindMultipart {
			return nil, ErrUnknownEncoding
		}
		if c > i || withHeader {
			cut(p.Header, relabelled)
		}
		how := fromBase64
		if p.Encoding == EncodingQuotedPrintable {
			how = fromQuotedPrintable
		}
		cut(p.Body, how)
	}
	if len(out) == 0 {
		return []piece{{extent: whole}}, nil
	}
	return append(out, piece{extent: at}), nil
}

func writePieces(w io.Writer, f io.ReaderAt, pieces []piece) error {
	out := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(out)
	prev := byte(0)
	for _, p := range pieces {
		var err error
		switch p.how {
		case asItIs:
			err = eachPiece(f, p.extent, prev, func(b []byte, before byte) error {
				prev = b[len(b)-1]
				return writeCRLF(w, b, before, out[:0])
			})
		case relabelled:
			err = relabel(w, newWindow(io.NewSectionReader(f, p.extent.Offset, p.extent.Len)))
			prev = '\n'
		default:
			err = decode(w, f, p)
			prev = 0
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func decode(w io.Writer, f io.ReaderAt, p piece) error {
	enc := EncodingBase64
	if p.how == fromQuotedPrintable {
		enc = EncodingQuotedPrintable
	}
	t := newTransfer(enc, true, func(b []byte) error {
		_, err := w.Write(b)
		return err
	})
	err := eachPiece(f, p.extent, 0, func(b []byte, _ byte) error { return t.write(b) })
	if err != nil {
		return err
	}
	return t.close()
}

// relabel writes a header with another Content-Transfer-Encoding, which comes
// last.
func relabel(w io.Writer, in *window) error {
	h := headerFilter{
		w:     w,
		names: []string{"Content-Transfer-Encoding"},
		not:   true,
		last:  "Content-Transfer-Encoding: binary\r\n",
	}
	return h.run(in)
}
