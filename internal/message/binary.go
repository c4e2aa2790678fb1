package message

import (
	"io"

	"github.com/emersion/go-imap/v2"
)

// Binary finds BINARY[...], decoded; what the message does not have is empty.
// ErrUnknownEncoding: answer NO [UNKNOWN-CTE]. RFC 3516 §4.3. The part is read
// at this call, for its size.
func (l Layout) Binary(f io.ReaderAt, item *imap.FetchItemBinarySection) (*Literal, error) {
	lit, err := l.decoded(f, item.Part)
	if err != nil {
		return nil, err
	}
	return lit.cut(item.Partial), nil
}

// BinarySize is BINARY.SIZE[...]; 0 for what the message does not have.
func (l Layout) BinarySize(f io.ReaderAt, item *imap.FetchItemBinarySectionSize) (int64, error) {
	lit, err := l.decoded(f, item.Part)
	if err != nil {
		return 0, err
	}
	return lit.Size, nil
}

func (l Layout) decoded(f io.ReaderAt, path []int) (*Literal, error) {
	i := l.find(path)
	if i < 0 {
		return &Literal{}, nil
	}
	p := &l[i]
	switch p.Encoding {
	case EncodingUnknown:
		return nil, ErrUnknownEncoding
	case EncodingIdentity:
		return copyOf(f, p.Body), nil
	}
	return nil, ErrUnknownEncoding
}
