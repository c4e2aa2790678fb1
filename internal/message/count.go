package message

import (
	"bytes"
	"strings"
)

// Counter is a TextSink that counts how often each key is in a message.
type Counter struct {
	keys    []Key
	needles [][]byte
	fields  [][]byte // as they begin, folded; nil: any
	longest int

	Counts []int // of each key
	Size   int   // of all texts, in bytes
	hay    []byte
}

// NewCounter prepares keys, of which none may be empty.
func NewCounter(keys []Key) *Counter {
	c := &Counter{keys: keys, Counts: make([]int, len(keys))}
	for _, k := range keys {
		n := k.Needle()
		c.needles = append(c.needles, n)
		c.longest = max(c.longest, len(n))
		var field []byte
		if k.Scope == ScopeHeader {
			field = append(appendFolded(nil, []byte(strings.TrimSpace(k.Field))), ": "...)
		}
		c.fields = append(c.fields, field)
	}
	return c
}

// Reset forgets what was counted.
func (c *Counter) Reset() {
	clear(c.Counts)
	c.Size, c.hay = 0, c.hay[:0]
}

// Header implements TextSink.
func (c *Counter) Header(folded []byte) {
	c.Size += len(folded)
	for i, n := range c.needles {
		field := c.fields[i]
		switch {
		case len(n) == 0 || c.keys[i].Scope == ScopeBody:
		case field == nil:
			c.Counts[i] += bytes.Count(folded, n)
		case bytes.HasPrefix(folded, field):
			c.Counts[i] += bytes.Count(folded[len(field):], n)
		}
	}
}

// Text implements TextSink.
func (c *Counter) Text(folded []byte) {
	c.Size += len(folded)
	before := len(c.hay)
	c.hay = append(c.hay, folded...)
	for i, n := range c.needles {
		if len(n) > 0 && c.keys[i].Scope != ScopeHeader {
			c.Counts[i] += bytes.Count(c.hay[max(0, before-len(n)+1):], n)
		}
	}
	if keep := max(0, c.longest-1); keep < len(c.hay) {
		c.hay = c.hay[:copy(c.hay, c.hay[len(c.hay)-keep:])]
	}
}

// EndText implements TextSink.
func (c *Counter) EndText() { c.hay = c.hay[:0] }
