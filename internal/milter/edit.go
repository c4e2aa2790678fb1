package milter

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// edits is a message with what filters have changed: the header in memory, the
// body where it was, or in a Spare.
type edits struct {
	text   Text
	head   [][]byte
	own    *byte // first byte of the field that is not shown
	bodyAt int64 // what follows the header in text

	spare Spare // nil: the body of text
	size  int64
	limit int64
	fresh bool // spare belongs to the filter that speaks

	changed bool
	held    bool
	changes Changes
	err     error
}

func (m *edits) drop() {
	if m.spare != nil {
		m.spare.Drop()
	}
}

// maxChanges bounds what one session of filters may do to a message.
const maxChanges = 10000

// take is one change; false: it is none, or none that makes sense.
func (m *edits) take(f *filter, code byte, data []byte) bool {
	if need := needs[code]; need&f.actions != need || need == 0 {
		return false
	}
	ok := false
	switch code {
	case rpAddHeader, rpInsHeader, rpChgHeader:
		ok = m.header(f, code, data)
	case rpReplBody:
		ok = m.replace(f, data)
	case rpQuarantine:
		m.held, ok = true, true
	case rpChgFrom:
		var words []string
		if words, ok = texts(data); ok {
			m.changes.From, m.changes.FromArgs = &words[0], arguments(words[1:])
		}
	case rpAddRcpt, rpAddRcptPar, rpDelRcpt:
		var words []string
		if words, ok = texts(data); ok && len(m.changes.Rcpts) < maxChanges {
			m.changes.Rcpts = append(m.changes.Rcpts, RcptChange{Remove: code == rpDelRcpt, Address: words[0], Args: arguments(words[1:])})
		}
	}
	return ok
}

// needs is the action that a filter must have announced.
var needs = map[byte]uint32{
	rpAddHeader: actAddHeaders, rpInsHeader: actAddHeaders, rpChgHeader: actChgHeaders, rpReplBody: actChgBody,
	rpQuarantine: actQuarantine, rpChgFrom: actChgFrom, rpAddRcpt: actAddRcpt, rpAddRcptPar: actAddRcptPar, rpDelRcpt: actDelRcpt,
}

// texts reads the texts of an answer, at least one.
func texts(data []byte) (words []string, ok bool) {
	for len(data) > 0 {
		var w string
		if w, data, ok = cutText(data); !ok {
			return nil, false
		}
		words = append(words, w)
	}
	return words, len(words) > 0
}

// arguments are the words of ESMTP parameters.
func arguments(words []string) []string { return strings.Fields(strings.Join(words, " ")) }

// header adds, inserts, changes or deletes a field.
func (m *edits) header(f *filter, code byte, data []byte) bool {
	index, ok := uint32(0), true
	if code != rpAddHeader {
		if index, data, ok = cutNumber(data); !ok {
			return false
		}
	}
	name, data, ok := cutText(data)
	value, data, whole := cutText(data)
	if !ok || !whole || len(data) > 0 || !isField([]byte(name+":")) || len(m.head) > maxChanges {
		return false
	}
	field := makeField(name, value, f.steps&leadingSpace != 0)
	m.changed = true
	switch code {
	case rpAddHeader:
		m.head = append(m.head, field)
	case rpInsHeader:
		at := min(int(min(index, 1<<30)), len(m.head))
		m.head = append(m.head, nil)
		copy(m.head[at+1:], m.head[at:])
		m.head[at] = field
	default:
		m.change(int(min(max(index, 1), 1<<30)), name, value, field)
	}
	return true
}

// change replaces or deletes the n-th field of a name, ours not counted. One
// that is not there is added.
func (m *edits) change(n int, name, value string, field []byte) {
	for i, raw := range m.head {
		old, _, _ := bytes.Cut(raw, []byte(":"))
		if &raw[0] == m.own || !strings.EqualFold(string(bytes.TrimRight(old, " \t")), name) {
			continue
		}
		if n--; n > 0 {
			continue
		}
		if value == "" {
			m.head = append(m.head[:i:i], m.head[i+1:]...)
		} else {
			m.head[i] = field
		}
		return
	}
	if value != "" {
		m.head = append(m.head, field)
	}
}

// makeField is a field as it stands in a message. A line end within the value
// may only fold it.
func makeField(name, value string, space bool) []byte {
	if !space {
		name += ": "
	} else {
		name += ":"
	}
	var b bytes.Buffer
	b.WriteString(name)
	lines := strings.Split(strings.ReplaceAll(strings.ReplaceAll(value, "\r\n", "\n"), "\r", "\n"), "\n")
	for i, line := range lines {
		if i > 0 {
			if strings.Trim(line, " \t") == "" { // would end the header
				continue
			}
			b.WriteString("\r\n")
			if line[0] != ' ' && line[0] != '\t' {
				b.WriteByte('\t')
			}
		}
		b.WriteString(line)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// replace is a piece of a new body. The first one of a filter drops what was.
func (m *edits) replace(f *filter, data []byte) bool {
	if !m.fresh || m.spare == nil {
		sp, err := m.text.Spare()
		if err != nil {
			m.err = err
			return false
		}
		m.drop()
		m.spare, m.size, m.fresh, m.changed = sp, 0, true, true
	}
	m.size += int64(len(data))
	if m.limit > 0 && m.size > m.limit {
		m.err = ErrTooBig
		return false
	}
	if _, err := m.spare.Write(data); err != nil {
		m.err = err
		return false
	}
	return true
}

// body reads the present body. shown leaves the empty line before it out.
func (m *edits) body(shown bool) (io.Reader, error) {
	if m.spare != nil {
		if shown {
			return m.spare.Open(), nil
		}
		return io.MultiReader(strings.NewReader("\r\n"), m.spare.Open()), nil
	}
	r := m.text.Open()
	if s, ok := r.(io.Seeker); ok {
		if _, err := s.Seek(m.bodyAt, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read message: %w", err)
		}
	} else if _, err := io.CopyN(io.Discard, r, m.bodyAt); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	br := bufio.NewReader(r)
	start, err := br.Peek(2)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read message: %w", err)
	}
	empty := bytes.Equal(start, []byte("\r\n"))
	switch {
	case shown && empty:
		br.Discard(2)
	case !shown && !empty: // a body right behind the header
		return io.MultiReader(strings.NewReader("\r\n"), br), nil
	}
	return br, nil
}

// write is the message with its changes.
func (m *edits) write(w io.Writer) error {
	for _, field := range m.head {
		if _, err := w.Write(field); err != nil {
			return err
		}
	}
	r, err := m.body(false)
	if err != nil {
		return err
	}
	end := ending{w: w}
	if _, err = io.Copy(&end, r); err == nil && end.last != '\n' { // a message ends in a line end
		_, err = io.WriteString(w, "\r\n")
	}
	return err
}

// ending remembers the last byte that was written.
type ending struct {
	w    io.Writer
	last byte
}

// Write is io.Writer.
func (e *ending) Write(p []byte) (int, error) {
	if len(p) > 0 {
		e.last = p[len(p)-1]
	}
	return e.w.Write(p)
}
