package message

import (
	"bytes"
	"strings"
)

// header reads the header block of the current part, to its empty line or to a
// boundary.
func (w *walker) header() step {
	w.name, w.inField, w.keeping = w.name[:0], false, false
	newline, done := 0, false
	for line := w.in.line(); line != nil; line = w.in.line() {
		if found := w.match(line); found >= 0 && w.bounds[found].part != w.cur {
			w.giveUp(newline)
			return w.headerDone(found, done)
		}
		if done {
			break
		}
		newline = newlineLen(line)
		if done = newline > 0 && len(line) == newline; done { // but a boundary may take it
			w.skipHeader(line)
			w.settle()
			continue
		}
		w.headerLine(line)
		w.skipHeader(line)
		for newline == 0 { // a line longer than the window
			if line = w.in.line(); line == nil {
				break
			}
			newline = newlineLen(line)
			w.keep(line)
			w.skipHeader(line)
		}
	}
	return w.headerDone(-1, done)
}

// skipHeader counts b to the header and goes behind it.
func (w *walker) skipHeader(b []byte) {
	if w.flat {
		w.in.skip(len(b))
		return
	}
	addExtent(&w.layout[w.cur].Header, b, 0)
	w.in.skip(len(b))
}

// giveUp takes the last line end of a header from it: it is that of the
// boundary which follows.
func (w *walker) giveUp(newline int) {
	if newline == 0 {
		return
	}
	p := &w.layout[w.cur]
	e := Extent{Len: int64(newline), Virt: 2, Lines: 1}
	p.Header.Len -= e.Len
	p.Header.Virt -= e.Virt
	p.Header.Lines -= e.Lines
	up := &w.layout[p.Parent].Body
	up.Len += e.Len
	up.Virt += e.Virt
	up.Lines += e.Lines
}

// headerLine takes the first piece of a line.
func (w *walker) headerLine(line []byte) {
	if isBlank(line[0]) && w.inField {
		w.keep(line)
		return
	}
	w.fieldDone()
	w.inField = true
	w.name = appendLower(w.name[:0], fieldName(line))
	w.raw = w.raw[:0]
	w.wanted = w.v.wants(w.cur, w.name)
	w.keeping = w.wanted || !w.flat && isWalkField(w.name)
	w.keep(line)
}

// fieldName is what stands before the colon; without one there is no name.
func fieldName(line []byte) []byte {
	k := bytes.IndexByte(line, ':')
	if k < 0 {
		return nil
	}
	name := line[:k]
	if k := bytes.IndexByte(name, 0); k >= 0 {
		name = name[:k]
	}
	return bytes.TrimRight(name, " \t")
}

// fieldValue appends what stands after the colon: without the white space
// before it and the last line end, the others as LF.
func fieldValue(dst, raw []byte) []byte {
	_, raw, _ = bytes.Cut(raw, []byte{':'})
	raw = bytes.TrimLeft(raw[:len(raw)-newlineLen(raw)], " \t")
	for {
		k := bytes.IndexByte(raw, '\n')
		if k < 0 {
			return append(dst, raw...)
		}
		line := raw[:k+1]
		dst = append(dst, line[:len(line)-newlineLen(line)]...)
		dst = append(dst, '\n')
		raw = raw[k+1:]
	}
}

// keep adds to the field that is being read, if someone wants it.
func (w *walker) keep(b []byte) {
	if !w.keeping {
		return
	}
	if room := maxField - len(w.raw); len(b) > room {
		b = b[:room]
	}
	w.raw = append(w.raw, b...)
}

// isWalkField reports whether the walk itself must know a field.
func isWalkField(name []byte) bool {
	switch string(name) {
	case "mime-version", "content-type", "content-transfer-encoding":
		return true
	}
	return false
}

// appendLower appends the lower case of a field name.
func appendLower(dst, name []byte) []byte {
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// fieldDone takes the field that was read.
func (w *walker) fieldDone() {
	if !w.keeping {
		return
	}
	w.keeping = false
	w.value = fieldValue(w.value[:0], w.raw)
	switch string(w.name) {
	case "mime-version":
		w.mime = true
	case "content-type":
		w.mime = true
		w.contentType(string(w.value))
	case "content-transfer-encoding":
		w.encoding = parseEncoding(string(w.value))
	}
	if w.wanted {
		w.v.field(w.cur, w.name, w.raw, w.value)
	}
}

// contentType: the first field counts.
func (w *walker) contentType(value string) {
	if w.seenType {
		return
	}
	w.seenType = true
	x := lexer{s: value}
	typ, subtype, ok := x.contentType()
	switch {
	case !ok:
	case strings.EqualFold(typ, "message") && strings.EqualFold(subtype, "rfc822"):
		w.kind = KindMessage
	case strings.EqualFold(typ, "text"):
		w.kind = KindText
	case strings.EqualFold(typ, "multipart") && subtype != "":
		w.kind = KindMultipart
		if strings.EqualFold(subtype, "digest") {
			if w.digest == nil {
				w.digest = make(map[int]bool)
			}
			w.digest[w.cur] = true
		}
		for _, p := range x.params() {
			if strings.EqualFold(p.name, "boundary") {
				w.boundary, w.divided = p.value, true
				break
			}
		}
	}
	if len(w.boundary) > maxBoundary {
		w.boundary = w.boundary[:maxBoundary]
	}
}

// settle decides what kind of part it is, once its fields are known.
func (w *walker) settle() {
	w.fieldDone()
	p := &w.layout[w.cur]
	if !w.mime {
		w.kind = KindOther
	}
	if !w.seenType || !w.mime {
		w.kind = KindText
		if w.digest[p.Parent] {
			w.kind = KindMessage
		}
	}
	if w.depth >= maxNesting && (w.kind == KindMultipart || w.kind == KindMessage) {
		w.kind = KindOther
	}
	p.Kind, p.Encoding = w.kind, w.encoding
	if w.kind == KindMultipart && w.divided && w.room() {
		w.bounds = append(w.bounds, boundary{w.cur, w.boundary})
	}
}

// room reports whether the current part may have parts.
func (w *walker) room() bool { return w.depth < maxNesting && len(w.layout) < maxParts }

// headerDone goes on after the header. found is the boundary that ended it, or
// -1.
func (w *walker) headerDone(found int, settled bool) step {
	if !settled {
		w.settle()
	}
	p := &w.layout[w.cur]
	p.Body.Offset = p.Header.Offset + p.Header.Len
	w.v.headerDone(w.cur, w.mime)
	w.last = '\n'
	switch {
	case found >= 0:
		return func() step { return w.divide(found, w.in.line(), 0) }
	case p.Kind == KindMessage && w.room():
		w.begin()
		return w.header
	}
	return w.body
}
