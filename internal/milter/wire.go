package milter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Events, as the server sends them.
const (
	evAbort   = 'A'
	evBody    = 'B'
	evConnect = 'C'
	evMacro   = 'D'
	evEOB     = 'E'
	evHelo    = 'H'
	evHeader  = 'L'
	evMail    = 'M'
	evEOH     = 'N'
	evOptneg  = 'O'
	evQuit    = 'Q'
	evRcpt    = 'R'
	evData    = 'T'
	evUnknown = 'U'
)

// eventNames are how Postfix's log calls them.
var eventNames = map[byte]string{
	evAbort: "SMFIC_ABORT", evBody: "SMFIC_BODY", evConnect: "SMFIC_CONNECT", evMacro: "SMFIC_MACRO", evEOB: "SMFIC_BODYEOB",
	evHelo: "SMFIC_HELO", evHeader: "SMFIC_HEADER", evMail: "SMFIC_MAIL", evEOH: "SMFIC_EOH", evOptneg: "SMFIC_OPTNEG",
	evQuit: "SMFIC_QUIT", evRcpt: "SMFIC_RCPT", evData: "SMFIC_DATA", evUnknown: "SMFIC_UNKNOWN",
}

// Answers of a filter.
const (
	rpAddRcpt    = '+'
	rpDelRcpt    = '-'
	rpAddRcptPar = '2'
	rpShutdown   = '4'
	rpAccept     = 'a'
	rpReplBody   = 'b'
	rpContinue   = 'c'
	rpDiscard    = 'd'
	rpChgFrom    = 'e'
	rpConnFail   = 'f'
	rpAddHeader  = 'h'
	rpInsHeader  = 'i'
	rpChgHeader  = 'm'
	rpProgress   = 'p'
	rpQuarantine = 'q'
	rpReject     = 'r'
	rpSkip       = 's'
	rpTempFail   = 't'
	rpReplyCode  = 'y'
)

// What a filter may ask for at the end of a message.
const (
	actAddHeaders uint32 = 1 << iota
	actChgBody
	actAddRcpt
	actDelRcpt
	actChgHeaders
	actQuarantine
	actChgFrom
	actAddRcptPar
	actSetSymlist
)

// Steps of the protocol that a filter may leave out. Those of no reply say that
// it does not answer.
const (
	noConnect     uint32 = 1 << 0
	noHelo        uint32 = 1 << 1
	noMail        uint32 = 1 << 2
	noRcpt        uint32 = 1 << 3
	noBody        uint32 = 1 << 4
	noHeaders     uint32 = 1 << 5
	noEOH         uint32 = 1 << 6
	noHeaderReply uint32 = 1 << 7
	noUnknown     uint32 = 1 << 8
	noData        uint32 = 1 << 9
	canSkip       uint32 = 1 << 10
	wantRejected  uint32 = 1 << 11 // recipients that were refused, too
	noConnReply   uint32 = 1 << 12
	noHeloReply   uint32 = 1 << 13
	noMailReply   uint32 = 1 << 14
	noRcptReply   uint32 = 1 << 15
	noDataReply   uint32 = 1 << 16
	noUnknReply   uint32 = 1 << 17
	noEOHReply    uint32 = 1 << 18
	noBodyReply   uint32 = 1 << 19
	leadingSpace  uint32 = 1 << 20
)

// offers are the actions and steps of each version.
var offers = map[int]struct{ actions, steps uint32 }{
	2: {0x3f, 0x7f},
	3: {0x3f, 0x7f | noUnknown},
	4: {0x3f, 0x7f | noUnknown | noData},
	6: {0x1ff, 0x1fffff},
}

const (
	chunkSize = 65535   // of a body, and of a replaced one
	maxPacket = 1 << 20 // of an answer
)

var errProtocol = errors.New("malformed answer")

// appendPacket adds a packet of fixed parts: byte, uint32, uint16, string (with
// its null), []byte (without).
func appendPacket(b []byte, event byte, parts ...any) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, event)
	for _, p := range parts {
		switch p := p.(type) {
		case byte:
			b = append(b, p)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		case string:
			b = appendText(b, p)
		case []string:
			for _, s := range p {
				b = appendText(b, s)
			}
		case []byte:
			b = append(b, p...)
		}
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// appendText ends a text with a null; one within would end it early.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if s[i] != 0 {
			b = append(b, s[i])
		}
	}
	return append(b, 0)
}

// readPacket reads an answer into buf, which grows as needed.
func readPacket(r io.Reader, buf []byte) (code byte, data, grown []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, buf, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 1 || n > maxPacket {
		return 0, nil, buf, fmt.Errorf("%w: packet of %d bytes", errProtocol, n)
	}
	n--
	if uint32(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		return 0, nil, buf, err
	}
	return head[4], buf, buf, nil
}

// cutText takes a text from the front of an answer.
func cutText(data []byte) (text string, rest []byte, ok bool) {
	i := bytes.IndexByte(data, 0)
	if i < 0 {
		return "", nil, false
	}
	return string(data[:i]), data[i+1:], true
}

// cutNumber takes a number of four bytes.
func cutNumber(data []byte) (n uint32, rest []byte, ok bool) {
	if len(data) < 4 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint32(data), data[4:], true
}
