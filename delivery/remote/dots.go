package remote

import (
	"bufio"
	"io"
)

// pieceSize is how much of a message is in memory.
const pieceSize = 16 << 10

// binary sends the text as it is, for BDAT.
func binary(w *bufio.Writer, r io.Reader, progress func()) error {
	piece := pieceBuffers.Get().(*[pieceSize]byte)
	defer pieceBuffers.Put(piece)
	buf := piece[:]
	for {
		n, err := r.Read(buf)
		progress()
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return w.Flush()
		}
		if err != nil {
			return err
		}
	}
}

// stuffed sends the text for DATA with its end: dots doubled, RFC 5321
// §4.5.2. All else stays, but for a CR or LF on its own: a remote that takes
// it for a line end could be made to see the end of the message there. LF
// becomes CRLF, CR a space.
func stuffed(w *bufio.Writer, r io.Reader, progress func()) error {
	return send(w, r, progress, func(to io.Writer) io.WriteCloser { return asItIs{to} })
}

// recoded is the same in 7 bits.
func recoded(w *bufio.Writer, r io.Reader, progress func()) error {
	return send(w, r, progress, func(to io.Writer) io.WriteCloser { return newSevenBit(to) })
}

type asItIs struct{ io.Writer }

// Close is io.Closer.
func (asItIs) Close() error { return nil }

// Write is io.Writer.
func (d *dots) Write(p []byte) (int, error) {
	d.write(p)
	return len(p), d.err
}

func send(w *bufio.Writer, r io.Reader, progress func(), through func(io.Writer) io.WriteCloser) error {
	piece := pieceBuffers.Get().(*[pieceSize]byte)
	defer pieceBuffers.Put(piece)
	buf := piece[:]
	d := dots{w: w, start: true}
	out := through(&d)
	for {
		n, err := r.Read(buf)
		progress()
		if _, werr := out.Write(buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			if err := out.Close(); err != nil {
				return err
			}
			return d.end()
		}
		if err != nil {
			return err
		}
	}
}

// dots is the state between two pieceBuffers.
type dots struct {
	w     *bufio.Writer
	start bool // at the start of a line
	cr    bool // a CR is held back
	err   error
}

func (d *dots) write(p []byte) {
	from := 0 // p[from:i] goes out as it is
	for i, c := range p {
		switch {
		case d.cr && c == '\n':
			d.put("\r\n")
			d.cr, d.start, from = false, true, i+1
			continue
		case d.cr:
			d.put(" ")
			d.cr = false
			d.start = false
		}
		switch {
		case c == '\r':
			d.puts(p[from:i])
			d.cr, from = true, i+1
		case c == '\n':
			d.puts(p[from:i])
			d.put("\r\n")
			d.start, from = true, i+1
		case d.start:
			if c == '.' {
				d.put(".")
			}
			d.start = false
		}
	}
	d.puts(p[from:])
}

func (d *dots) put(s string) {
	if _, err := d.w.WriteString(s); err != nil && d.err == nil {
		d.err = err
	}
}

func (d *dots) puts(p []byte) {
	if _, err := d.w.Write(p); err != nil && d.err == nil {
		d.err = err
	}
}

// end writes the last line end, if there is none, and the dot.
func (d *dots) end() error {
	if d.cr {
		d.put(" ")
		d.start = false
	}
	if !d.start {
		d.put("\r\n")
	}
	d.put(".\r\n")
	if d.err != nil {
		return d.err
	}
	return d.w.Flush()
}
