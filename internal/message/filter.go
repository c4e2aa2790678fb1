package message

import (
	"bytes"
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// maxMeasured is how much of a filtered header is kept from when it was
// measured to when it is sent; a longer one is read again.
const maxMeasured = 32 << 10

// sizeOf runs a writer to learn how much it writes.
func sizeOf(write func(io.Writer) error) (int64, error) {
	m := &measure{}
	err := write(m)
	return m.n, err
}

type measure struct {
	n    int64
	kept []byte // nil if it is too much
}

func (m *measure) Write(b []byte) (int, error) {
	if m.n += int64(len(b)); m.n <= maxMeasured {
		m.kept = append(m.kept, b...)
	} else {
		m.kept = nil
	}
	return len(b), nil
}

// filteredHeader is HEADER.FIELDS and HEADER.FIELDS.NOT.
func filteredHeader(f io.ReaderAt, e Extent, item *imap.FetchItemBodySection) (*Literal, error) {
	write := func(w io.Writer) error {
		h := headerFilter{w: w, names: item.HeaderFields}
		if h.names == nil {
			h.names, h.not = item.HeaderFieldsNot, true
		}
		in := windows.Get().(*window)
		defer in.free()
		in.reset(io.NewSectionReader(f, e.Offset, e.Len))
		if err := h.run(in); err != nil {
			return err
		}
		if in.off != e.Len {
			return errChanged
		}
		return nil
	}
	m := &measure{}
	if err := write(m); err != nil {
		return nil, err
	}
	if m.n <= maxMeasured {
		write = func(w io.Writer) error {
			_, err := w.Write(m.kept)
			return err
		}
	}
	return &Literal{Size: m.n, write: write}, nil
}

// headerFilter copies a header block without some of its fields, every line
// with CRLF.
type headerFilter struct {
	w     io.Writer
	names []string
	not   bool   // the fields that are not named, and the empty line only if it is there
	last  string // a field to add at the end

	line []byte
}

func (h *headerFilter) run(in *window) error {
	pass, start, first := false, true, true
	prev := byte(0)
	for {
		line := in.line()
		if line == nil {
			break
		}
		nl := newlineLen(line)
		if start && len(line) == nl && nl > 0 {
			in.skip(nl)
			_, err := io.WriteString(h.w, h.last+"\r\n")
			return err
		}
		if start && (first || !isBlank(line[0])) {
			pass, first = named(line, h.names) != h.not, false
		}
		if pass {
			if err := h.put(line, prev); err != nil {
				return err
			}
		}
		prev, start = line[len(line)-1], nl > 0
		in.skip(len(line))
	}
	if err := in.failure(); err != nil || h.not {
		return err
	}
	_, err := h.w.Write(crlf)
	return err
}

func (h *headerFilter) put(line []byte, prev byte) error {
	replaceNUL(line)
	if h.not {
		h.line = slices.Grow(h.line[:0], len(line)+len(crlf))
		return writeCRLF(h.w, line, prev, h.line)
	}
	h.line = appendFieldLine(h.line[:0], line)
	_, err := h.w.Write(h.line)
	return err
}

// named reports whether a header line is one of the fields.
func named(line []byte, names []string) bool {
	name := fieldName(line)
	if name == nil {
		return false
	}
	for _, n := range names {
		if len(n) == len(name) && bytes.EqualFold(name, []byte(n)) {
			return true
		}
	}
	return false
}
