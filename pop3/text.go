package pop3

import (
	"bytes"
	"io"
)

// everything is more lines than a message has.
const everything = -1

// text sends a message as RFC 1939 §3 has it: a line that begins with a dot
// gets another one, a line with a dot alone ends it.
type text struct {
	to    *link
	lines int64 // of the body; everything
	nuls  bool  // may be sent as they are
	eoh   bool  // the empty line after the header must be there

	last   [2]byte // that were sent
	begun  bool
	inBody bool
	n      int64
}

// copy sends r, whose lines end with CRLF, and returns the number of bytes
// without the last line. An error is one of reading.
func (t *text) copy(r io.Reader) (int64, error) {
	buf := pieces.Get().(*[pieceSize]byte)
	defer pieces.Put(buf)
	t.last = [2]byte{'\r', '\n'}
	for done := false; !done && t.to.err == nil; {
		n, err := r.Read(buf[:])
		p := buf[:n]
		if !t.nuls {
			replaceNULs(p)
		}
		if t.lines == everything && !t.eoh {
			t.stuff(p)
		} else {
			done = t.some(p)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return t.n, err
		}
	}
	t.finish()
	return t.n, nil
}

func replaceNULs(p []byte) {
	for {
		at := bytes.IndexByte(p, 0)
		if at < 0 {
			return
		}
		p[at] = 0x80
		p = p[at+1:]
	}
}

// stuff writes p with dots doubled at the start of lines.
func (t *text) stuff(p []byte) {
	if len(p) == 0 {
		return
	}
	if p[0] == '.' && t.last[1] == '\n' {
		t.put([]byte("."))
	}
	t.note(p)
	for {
		at := bytes.Index(p, []byte("\n."))
		if at < 0 {
			t.put(p)
			return
		}
		t.put(p[:at+2])
		p = p[at+1:]
	}
}

func (t *text) put(p []byte) {
	t.to.Write(p)
	t.n += int64(len(p))
}

func (t *text) note(p []byte) {
	if len(p) > 1 {
		t.last = [2]byte{p[len(p)-2], p[len(p)-1]}
		return
	}
	t.last = [2]byte{t.last[1], p[0]}
}

// some writes what is wanted of p line by line, and reports whether that was
// the end.
func (t *text) some(p []byte) (done bool) {
	for len(p) > 0 {
		if t.inBody && t.lines == 0 {
			return true
		}
		end := bytes.IndexByte(p, '\n') + 1
		if end == 0 {
			t.stuff(p)
			t.begun = t.begun || string(p) != "\r"
			return false
		}
		// The line may have begun in the piece before.
		empty := !t.begun && (end == 1 || end == 2 && p[0] == '\r')
		t.stuff(p[:end])
		t.begun = false
		p = p[end:]
		switch {
		case t.inBody && t.lines > 0:
			t.lines--
		case empty:
			t.inBody = true
		}
	}
	return t.inBody && t.lines == 0
}

// finish ends the last line, and the message.
func (t *text) finish() {
	if t.last[1] != '\n' {
		t.put([]byte("\r\n"))
	}
	if t.eoh && !t.inBody {
		t.put([]byte("\r\n"))
	}
	t.to.say(".\r\n")
}
