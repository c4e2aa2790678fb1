package smtp

import (
	"bytes"

	"mailserver/internal/smtpwire"
)

// intake is the way of a message's content into delivery: line ends set right,
// size counted. After an error it goes on to read and drops.
type intake struct {
	msg     Message
	content smtpwire.Content
	raw     bool  // BINARYMIME: the bytes as they are
	limit   int64 // of the content, 0 none
	size    int64
	over    bool // size limit exceeded
	err     error
	first   firstLine
	results *ownResults // nil: nothing is taken out
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

// close passes on what is still held.
func (in *intake) close() {
	in.first.close(in.strip)
	if in.results != nil {
		in.results.close(in.write)
	}
}

func (in *intake) take(p []byte) {
	in.size += int64(len(p))
	if in.limit > 0 && in.size > in.limit {
		in.over = true
		return
	}
	in.first.feed(p, in.strip)
}

// strip is the way behind the first line.
func (in *intake) strip(p []byte) {
	if in.results != nil && len(p) > 0 {
		in.results.feed(p, in.write)
		return
	}
	in.write(p)
}

func (in *intake) write(p []byte) {
	if in.err == nil && !in.over {
		_, in.err = in.msg.Write(p)
	}
}

// firstLine holds a message's first line back until it is known that it is
// one of a header.
type firstLine struct {
	done bool
	held []byte
}

// held bounds what is needed to know: ">>>From " and the like.
const held = 64

// feed passes p to out.
func (f *firstLine) feed(p []byte, out func([]byte)) {
	if f.done {
		out(p)
		return
	}
	if len(f.held) > 0 {
		p = append(f.held, p...)
	}
	f.held = p
	if len(p) >= held || bytes.IndexByte(p, '\n') >= 0 {
		f.close(out)
		return
	}
	f.held = append(make([]byte, 0, held), p...) // p is the caller's
}

// close passes on what is held. A line "From " of an mbox becomes a field, and
// a line that begins with space is text of the body, as smtpd(8) has it.
func (f *firstLine) close(out func([]byte)) {
	line := f.held
	f.done, f.held = true, nil
	switch {
	case len(line) == 0:
		return
	case bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")):
		out([]byte("X-Mailbox-Line: "))
	case line[0] == ' ' || line[0] == '\t':
		out([]byte("\r\n"))
	}
	out(line)
}
