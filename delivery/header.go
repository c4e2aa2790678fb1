package delivery

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"sync"
)

// header is what delivery needs to know of a message's header section.
type header struct {
	Received    int      // how many hosts the message has passed
	DeliveredTo []string // addresses
	MessageID   string   // with its brackets, '' if none
}

// headerMost bounds the bytes of a header section that are looked at.
const headerMost = 256 << 10

// headerReaders are for readHeader.
var headerReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 2048) }}

// readHeader reads the header section of a message. It stops at the first
// empty line; what cannot be a header is passed over.
func readHeader(r io.Reader) (header, error) {
	var h header
	br := headerReaders.Get().(*bufio.Reader)
	defer headerReaders.Put(br)
	defer br.Reset(nil)
	br.Reset(io.LimitReader(r, headerMost))
	field := make([]byte, 0, 512)
	for {
		line, err := br.ReadSlice('\n')
		text := bytes.TrimRight(line, "\r\n")
		ended := len(text) == 0 && len(line) > 0
		if len(line) > 0 && (len(text) == 0 || text[0] != ' ' && text[0] != '\t') {
			h.add(field)
			field = append(field[:0], text...)
		} else if len(field) < 2048 {
			field = append(field, text...)
		}
		for err == bufio.ErrBufferFull { // the rest of a long line
			_, err = br.ReadSlice('\n')
		}
		if ended || err == io.EOF {
			h.add(field)
			return h, nil
		}
		if err != nil {
			return h, err
		}
	}
}

// add notes one unfolded field.
func (h *header) add(field []byte) {
	name, value, ok := bytes.Cut(field, []byte(":"))
	if !ok {
		return
	}
	is := func(want string) bool { return strings.EqualFold(string(name), want) }
	switch name = bytes.TrimRight(name, " \t"); {
	case is("received"):
		h.Received++
	case is("delivered-to"):
		h.DeliveredTo = append(h.DeliveredTo, string(bytes.TrimSpace(value)))
	case is("message-id"):
		if h.MessageID == "" {
			h.MessageID = string(bytes.TrimSpace(value))
		}
	}
}
