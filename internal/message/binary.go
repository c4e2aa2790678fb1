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
	p := &l[i]
	switch p.Encoding {
	case EncodingUnknown:
		return nil, ErrUnknownEncoding
	case EncodingIdentity:
		return copyOf(f, p.Body), nil
	}
	return nil, ErrUnknownEncoding
}
