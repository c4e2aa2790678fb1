package delivery

import (
	"bytes"
	"io"
	"strings"
)

// dropper passes a message on without the header fields of certain names. It
// works on what it is given, piece by piece, and after the header section it
// only passes on. postconf(5) message_drop_headers
type dropper struct {
	w     io.Writer
	names []string
	most  int // length of the longest name

	state dropState
	colon bool   // keeping: a colon has come, so that it is a field
	name  []byte // what has come of a field name; at most most+2 bytes
}

type dropState int

const (
	atName  dropState = iota // of a field, or the end of the header
	keeping                  // a field that stays
	dropping
	afterKept    // at a line start: the field may go on
	afterDropped // likewise
	inBody
)

func newDropper(w io.Writer, names []string) *dropper {
	d := &dropper{w: w, names: names}
	for _, n := range names {
		d.most = max(d.most, len(n))
	}
	if len(names) == 0 {
		d.state = inBody
	}
	return d
}

// Write passes p on. What it returns counts the bytes of p, dropped or not.
func (d *dropper) Write(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if d.state == inBody {
			n, err := d.w.Write(p[i:])
			return i + n, err
		}
		n, err := d.step(p[i:])
		if i += n; err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// step deals with a part of p that is in one state, and returns its length.
func (d *dropper) step(p []byte) (int, error) {
	switch d.state {
	case afterKept, afterDropped:
		if p[0] == ' ' || p[0] == '\t' {
			d.state = map[dropState]dropState{afterKept: keeping, afterDropped: dropping}[d.state]
		} else {
			d.state = atName
		}
		return 0, nil
	case atName:
		return d.collect(p)
	}
	keep, end := d.state == keeping, len(p)
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		end = i + 1
		d.state = afterDropped
	}
	if !keep {
		return end, nil
	}
	d.colon = d.colon || bytes.IndexByte(p[:end], ':') >= 0
	switch {
	case d.state == keeping:
	case d.colon:
		d.state = afterKept
	default: // a line that is no field ends the header section
		d.state = inBody
	}
	return d.w.Write(p[:end])
}

// collect gathers a field name until it is known whether it stays.
func (d *dropper) collect(p []byte) (int, error) {
	for i, c := range p {
		switch {
		case c == '\n': // an empty line, or no field
			d.state = inBody
		case c == ':' && d.drops():
			d.state = dropping
			d.name = d.name[:0]
			return i + 1, nil
		case c == ':' || len(d.name) > d.most+1:
			d.state, d.colon = keeping, false
		default:
			d.name = append(d.name, c)
			continue
		}
		_, err := d.w.Write(d.name)
		d.name = d.name[:0]
		return i, err
	}
	return len(p), nil
}

// drops reports whether the gathered name is one to drop.
func (d *dropper) drops() bool {
	name := strings.TrimRight(string(d.name), " \t")
	for _, n := range d.names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// end passes on what is held back of a message that ends inside a name.
func (d *dropper) end() error {
	_, err := d.w.Write(d.name)
	d.name = d.name[:0]
	d.state = inBody
	return err
}
