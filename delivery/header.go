package delivery

import (
	"bufio"
	"io"
	"strings"
)

// header is what delivery needs to know of a message's header section.
type header struct {
	Received    int      // how many hosts the message has passed
	DeliveredTo []string // addresses
	MessageID   string   // with its brackets, '' if none
}

// headerMost bounds the bytes of a header section that are looked at.
const headerMost = 256 << 10

// readHeader reads the header section of a message. It stops at the first
// empty line; what cannot be a header is passed over.
func readHeader(r io.Reader) (header, error) {
	var h header
	br := bufio.NewReaderSize(io.LimitReader(r, headerMost), 2048)
	field := ""
	for {
		line, err := br.ReadSlice('\n')
		text := strings.TrimRight(string(line), "\r\n")
		if len(line) > 0 && (text == "" || text[0] != ' ' && text[0] != '\t') {
			h.add(field)
			field = text
		} else if len(field) < 2048 {
			field += text
		}
		for err == bufio.ErrBufferFull { // the rest of a long line
			_, err = br.ReadSlice('\n')
		}
		if text == "" && len(line) > 0 || err == io.EOF {
			h.add(field)
			return h, nil
		}
		if err != nil {
			return h, err
		}
	}
}

// add notes one unfolded field.
func (h *header) add(field string) {
	name, value, ok := strings.Cut(field, ":")
	if !ok {
		return
	}
	switch strings.ToLower(strings.TrimRight(name, " \t")) {
	case "received":
		h.Received++
	case "delivered-to":
		h.DeliveredTo = append(h.DeliveredTo, strings.TrimSpace(value))
	case "message-id":
		if h.MessageID == "" {
			h.MessageID = strings.TrimSpace(value)
		}
	}
}
