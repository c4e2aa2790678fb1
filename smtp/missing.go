package smtp

import (
	"bytes"
	"fmt"
	"strings"
)

// missing adds the fields that a message lacks at the end of its header, as
// cleanup(8) does for postconf(5) always_add_missing_headers.
type missing struct {
	fields []field // those not seen yet, in the order in which they are added

	done   bool
	within bool   // of a line whose beginning has been judged
	held   []byte // the beginning of a line
}

type field struct{ name, line string }

// missingFields are those that every message needs, RFC 5322 §3.6, and the
// Message-ID.
func (s *session) missingFields(id string) *missing {
	now := s.srv.d.Now()
	list := []field{
		{"message-id", fmt.Sprintf("Message-Id: <%s.%s@%s>\r\n", now.UTC().Format("20060102150405"), id, s.hostname())},
		{"date", "Date: " + now.Format(mailDate) + "\r\n"},
	}
	if from := s.tx.env.From; !from.IsNull() {
		list = append(list, field{"from", "From: " + from.String() + "\r\n"})
	}
	return &missing{fields: list}
}

// maxFieldName bounds what is held of a line until it is known what it is.
const maxFieldName = 80

// feed passes p to out.
func (m *missing) feed(p []byte, out func([]byte)) {
	for !m.done && len(p) > 0 {
		line, whole := p, false
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			line, whole = p[:i+1], true
		}
		p = p[len(line):]
		if m.within {
			out(line)
		} else {
			m.held = append(m.held, line...)
			if whole || len(m.held) >= maxFieldName {
				m.judge(out)
			}
		}
		m.within = !whole && len(m.held) == 0
	}
	if len(p) > 0 {
		out(p)
	}
}

// judge looks at a line's beginning and passes it on.
func (m *missing) judge(out func([]byte)) {
	name, _, found := strings.Cut(string(m.held), ":")
	name = strings.ToLower(strings.TrimRight(name, " \t"))
	switch {
	case m.held[0] == ' ' || m.held[0] == '\t': // goes on with the field before
	case len(bytes.TrimRight(m.held, "\r\n")) == 0:
		m.add(out)
	case !found || strings.ContainsAny(name, " \t"): // a body without a header
		m.add(out)
		out([]byte("\r\n"))
	case strings.HasPrefix(name, "resent-"): // its first sender answers for it
		m.fields = nil
	default:
		m.saw(name)
	}
	out(m.held)
	m.held = m.held[:0]
}

func (m *missing) saw(name string) {
	for i, f := range m.fields {
		if f.name == name {
			m.fields = append(m.fields[:i], m.fields[i+1:]...)
			return
		}
	}
}

func (m *missing) add(out func([]byte)) {
	m.done = true
	for _, f := range m.fields {
		out([]byte(f.line))
	}
}

// close ends a message that was a header only.
func (m *missing) close(out func([]byte)) {
	if len(m.held) > 0 {
		m.judge(out)
	}
	if !m.done {
		m.add(out)
	}
}
