package smtp

import (
	"bytes"
	"strings"
)

// ownResults takes out of a stranger's message the fields that say in our name
// what we have found: Authentication-Results with our authserv-id,
// RFC 8601 §5. It holds no more than one such field back, up to maxResults.
type ownResults struct {
	host string // authserv-id, ours

	state   resultsState
	dropped bool   // the line before, which this one may fold
	held    []byte // of a field that is not judged yet
}

type resultsState int

const (
	fieldStart  resultsState = iota // at the beginning of a line
	fieldName                       // within what may be the name
	fieldValue                      // of Authentication-Results: held until its id is known
	fieldPass                       // a line that stays
	fieldDrop                       // a line that goes
	resultsDone                     // behind the header section
)

// maxResults bounds what is held. An id that is not within is nobody's we know
// of; such a field goes.
const maxResults = 1024

const resultsName = "authentication-results"

// feed passes p to out.
func (o *ownResults) feed(p []byte, out func([]byte)) {
	for len(p) > 0 {
		n := len(p)
		switch o.state {
		case resultsDone:
			out(p)
		case fieldPass, fieldDrop:
			if i := bytes.IndexByte(p, '\n'); i >= 0 {
				n = i + 1
			}
			o.line(p[:n], out)
		default:
			n = 1
			o.held = append(o.held, p[0])
			o.judge(p[0], out)
		}
		p = p[n:]
	}
}

// line is a piece of a line whose fate is known.
func (o *ownResults) line(p []byte, out func([]byte)) {
	if o.state == fieldPass {
		out(p)
	}
	if p[len(p)-1] == '\n' {
		o.dropped, o.state = o.state == fieldDrop, fieldStart
	}
}

// judge looks at the byte that was held last.
func (o *ownResults) judge(c byte, out func([]byte)) {
	switch o.state {
	case fieldStart:
		o.start(c, out)
	case fieldName:
		name := strings.ToLower(strings.TrimRight(string(o.held[:len(o.held)-1]), " \t"))
		switch {
		case c == ':' && name == resultsName:
			o.state = fieldValue
		case c == ':' || c == '\n' || len(o.held) > len(resultsName)+8:
			o.settle(fieldPass, out)
		}
	case fieldValue:
		_, value, _ := bytes.Cut(o.held, []byte(":"))
		if id, whole := authservID(value); whole {
			o.decide(id, out)
		} else if len(o.held) > maxResults {
			o.settle(fieldDrop, out)
		}
	}
}

// start is the first byte of a line.
func (o *ownResults) start(c byte, out func([]byte)) {
	folds := c == ' ' || c == '\t'
	switch {
	case folds && o.dropped:
		o.settle(fieldDrop, out)
	case folds:
		o.settle(fieldPass, out)
	case c == '\r' || c == '\n':
		o.settle(resultsDone, out)
	default:
		o.state = fieldName
	}
}

func (o *ownResults) decide(id string, out func([]byte)) {
	if strings.EqualFold(id, o.host) {
		o.settle(fieldDrop, out)
		return
	}
	o.settle(fieldPass, out)
}

// settle gives the held bytes the fate of state.
func (o *ownResults) settle(state resultsState, out func([]byte)) {
	o.state = state
	p := o.held
	o.held = nil
	if state == resultsDone {
		out(p)
		return
	}
	o.line(p, out)
}

// close passes on what is held of a message that has ended in its header.
func (o *ownResults) close(out func([]byte)) {
	if len(o.held) > 0 && o.state == fieldName {
		out(o.held)
	}
	o.held = nil
}

// authservID is the first word of a field, RFC 8601 §2.2; whole is false when
// more of it may follow.
func authservID(v []byte) (id string, whole bool) {
	depth, quoted := 0, false
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case c == '\\' && (depth > 0 || quoted):
			if i++; quoted && i < len(v) {
				b.WriteByte(v[i])
			}
		case quoted && c != '"':
			b.WriteByte(c)
		case c == '"' && depth == 0:
			quoted = !quoted
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth > 0 || b.Len() == 0 && strings.IndexByte(" \t\r\n", c) >= 0:
		case strings.IndexByte(" \t\r\n;", c) >= 0:
			return b.String(), true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), false
}
