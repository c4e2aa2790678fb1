package smtp

import (
	"bytes"
	"strings"

	"mailserver/internal/smtpwire"
)

// intake is the way of a message's content into delivery: line ends set right,
// size and hops counted. After an error it goes on to read and drops.
type intake struct {
	msg     Message
	content smtpwire.Content
	raw     bool  // BINARYMIME: the bytes as they are
	limit   int64 // of the content, 0 none
	size    int64
	over    bool // size limit exceeded
	err     error
	head    header
}

// feed passes in the next bytes; end reports that CRLF "." CRLF was read, n
// how far.
func (in *intake) feed(p []byte) (n int, end bool) {
	if in.raw {
		in.take(p)
		return len(p), false
	}
	return in.content.Feed(p, in.take)
}

// finish ends content that has no mark at its end.
func (in *intake) finish() {
	if !in.raw {
		in.content.Finish(in.take)
	}
	in.close()
}

// close passes on what the header still holds.
func (in *intake) close() { in.head.close(in.write) }

func (in *intake) take(p []byte) {
	in.size += int64(len(p))
	if in.limit > 0 && in.size > in.limit {
		in.over = true
		return
	}
	in.head.feed(p, in.write)
}

func (in *intake) write(p []byte) {
	if in.err == nil && !in.over {
		_, in.err = in.msg.Write(p)
	}
}

// header looks at a message's header as it passes: Received lines, the
// Message-ID, and a first line that is none of a header.
type header struct {
	hops      int
	messageID string

	over    bool   // the header has ended
	started bool   // the first line has been seen
	line    []byte // the beginning of the present line, at most maxHeaderLine
	inID    bool   // the present field is Message-ID
}

// maxHeaderLine bounds what is kept of one line. RFC 5322 §2.1.1: 998.
const maxHeaderLine = 1000

// feed looks at p and passes it to out.
func (h *header) feed(p []byte, out func([]byte)) {
	for !h.over && len(p) > 0 {
		part, whole := p, false
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			part, whole = p[:i+1], true
		}
		p = p[len(part):]
		h.line = append(h.line, part[:min(len(part), maxHeaderLine-len(h.line))]...)
		if h.started {
			out(part)
		} else if whole || len(h.line) == maxHeaderLine {
			h.first(out)
			if n := len(h.line); len(part) > n { // beyond what was kept
				out(part[n:])
			}
		}
		if whole {
			h.ended()
		}
	}
	if len(p) > 0 {
		out(p)
	}
}

// first passes on the first line, which is held until it is known. A line
// "From " of an mbox becomes a field and one that begins with space is text of
// the body, as cleanup(8) and smtpd(8) have it.
func (h *header) first(out func([]byte)) {
	h.started = true
	switch {
	case bytes.HasPrefix(bytes.TrimLeft(h.line, ">"), []byte("From ")):
		out([]byte("X-Mailbox-Line: "))
	case h.line[0] == ' ' || h.line[0] == '\t':
		out([]byte("\r\n"))
		h.over = true
	}
	out(h.line)
}

// close passes on a first line that never ended.
func (h *header) close(out func([]byte)) {
	if !h.started && len(h.line) > 0 {
		h.first(out)
	}
	h.over, h.line = true, nil
}

// ended looks at a whole line.
func (h *header) ended() {
	line := string(bytes.TrimRight(h.line, "\r\n"))
	h.line = h.line[:0]
	if line == "" {
		h.over = true
	}
	if h.over {
		h.line = nil
		return
	}
	if line[0] == ' ' || line[0] == '\t' {
		if h.inID {
			h.messageID = strings.TrimSpace(h.messageID + strings.TrimSpace(line))
		}
		return
	}
	name, value, found := strings.Cut(line, ":")
	name = strings.TrimRight(name, " \t")
	h.inID = false
	switch {
	case !found || strings.ContainsAny(name, " \t"):
		h.over = !strings.HasPrefix(strings.TrimLeft(line, ">"), "From ")
	case strings.EqualFold(name, "Received"):
		h.hops++
	case strings.EqualFold(name, "Message-ID"):
		h.inID, h.messageID = true, strings.TrimSpace(value)
	}
}
