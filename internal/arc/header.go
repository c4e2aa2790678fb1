package arc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// field is a header field: its lines, each with CRLF.
type field struct {
	name string // in lower case
	raw  string
}

func (f *field) value() string {
	_, v, _ := strings.Cut(f.raw, ":")
	return v
}

// relaxed is the form of RFC 6376 §3.4.2, with CRLF.
func (f *field) relaxed() string { return relaxed(f.raw) }

func relaxed(raw string) string {
	name, value, _ := strings.Cut(raw, ":")
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + strings.Join(strings.FieldsFunc(value, isWhite), " ") + "\r\n"
}

func isWhite(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }

// headerMost bounds the bytes of a header section.
const headerMost = 1 << 20

var errHeader = errors.New("header section is too large")

// readHeader returns the fields of a message, the first one first, and a reader
// of its body. What is no field is one without name.
func readHeader(r io.Reader) ([]field, *bufio.Reader, error) {
	br := bufio.NewReaderSize(r, 4096)
	var list []field
	var b strings.Builder
	done := func() {
		if raw := b.String(); raw != "" {
			name, _, ok := strings.Cut(raw, ":")
			if !ok {
				name = ""
			}
			list = append(list, field{strings.ToLower(strings.TrimRight(name, " \t")), raw})
		}
		b.Reset()
	}
	size, start := 0, true
	for {
		line, err := br.ReadSlice('\n')
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return nil, nil, err
		}
		text := string(line)
		if size += len(text); size > headerMost {
			return nil, nil, fmt.Errorf("%w: more than %d bytes", errHeader, headerMost)
		}
		if err != bufio.ErrBufferFull {
			text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
		}
		if start && (text == "" || text[0] != ' ' && text[0] != '\t') {
			done()
			if text == "" {
				return list, br, nil
			}
		}
		b.WriteString(text)
		if start = err != bufio.ErrBufferFull; start && (text != "" || len(line) > 0) {
			b.WriteString("\r\n")
		}
		if err == io.EOF {
			done()
			return list, br, nil
		}
	}
}

// picker finds the fields that h= names: the last one first, RFC 6376 §5.4.2.
type picker struct {
	byName map[string][]*field // those that are left
}

func newPicker(head []field, but *field) *picker {
	p := &picker{byName: make(map[string][]*field)}
	for i := range head {
		if f := &head[i]; f != but && f.name != "" {
			p.byName[f.name] = append(p.byName[f.name], f)
		}
	}
	return p
}

func (p *picker) pick(name string) *field {
	list := p.byName[name]
	if len(list) == 0 {
		return nil
	}
	p.byName[name] = list[:len(list)-1]
	return list[len(list)-1]
}

// tags is a tag list, RFC 6376 §3.2, with values unfolded and trimmed.
type tags map[string]string

// mostTags bounds a tag list.
const mostTags = 50

func parseTags(s string) (tags, error) {
	list := make(tags)
	s = strings.TrimRightFunc(s, isWhite)
	s = strings.TrimSuffix(s, ";")
	for part := range strings.SplitSeq(s, ";") {
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimFunc(name, isWhite)
		_, twice := list[name]
		switch {
		case !ok || !isTagName(name):
			return nil, errors.New("malformed tag list")
		case twice:
			return nil, fmt.Errorf("tag %.20q twice", name)
		case len(list) >= mostTags:
			return nil, errors.New("too many tags")
		}
		list[name] = strings.TrimFunc(value, isWhite)
	}
	return list, nil
}

func isTagName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if letter := 'a' <= c && c <= 'z'; !letter && (i == 0 || s[i] != '_' && (s[i] < '0' || s[i] > '9')) {
			return false
		}
	}
	return s != ""
}

// withoutSignature empties b= in a field, with the white space around its
// value, RFC 6376 §3.7.
func withoutSignature(raw string) string {
	colon := strings.IndexByte(raw, ':')
	for from := colon + 1; from > 0 && from < len(raw); {
		end := len(raw)
		if i := strings.IndexByte(raw[from:], ';'); i >= 0 {
			end = from + i
		}
		if eq := strings.IndexByte(raw[from:end], '='); eq >= 0 && strings.TrimFunc(raw[from:from+eq], isWhite) == "b" {
			return raw[:from+eq+1] + raw[end:]
		}
		from = end + 1
	}
	return raw
}

func unspaced(s string) string { return strings.Join(strings.FieldsFunc(s, isWhite), "") }
