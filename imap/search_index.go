package imap

import (
	"context"

	"mailserver/internal/message"
	"mailserver/internal/textindex"
	"mailserver/storage"
)

// textHits is what the text index tells of the strings of a search.
type textHits struct {
	lookup *storage.TextLookup
	query  []int  // of each string; -1: it was not asked about
	header []bool // the string is looked for in one field: where it is, the index does not tell
	found  []bool // of the message at hand
	known  []bool
}

// askIndex looks the strings of a search up; nil: nothing is known.
func (s *session) askIndex(ctx context.Context, texts []message.Key) *textHits {
	h := &textHits{found: make([]bool, len(texts)), known: make([]bool, len(texts))}
	var queries []textindex.Query
	for _, k := range texts {
		q := textindex.Query{Needle: k.Needle(), Header: k.Scope != message.ScopeBody, Body: k.Scope != message.ScopeHeader}
		h.header = append(h.header, k.Scope == message.ScopeHeader)
		h.query = append(h.query, -1)
		if len(q.Needle) > 0 {
			h.query[len(h.query)-1] = len(queries)
			queries = append(queries, q)
		}
	}
	if h.lookup = s.box.view.Lookup(ctx, queries); h.lookup == nil {
		return nil
	}
	return h
}

// look turns to a message, and tells whether anything is known of it.
func (h *textHits) look(m storage.Msg) bool {
	if h == nil || !h.lookup.Message(m.UID) {
		return false
	}
	any := false
	for i, q := range h.query {
		if h.found[i], h.known[i] = false, false; q < 0 {
			continue
		}
		h.found[i], h.known[i] = h.lookup.Has(q)
		if h.header[i] && h.found[i] {
			h.found[i], h.known[i] = false, false
		}
		any = any || h.known[i]
	}
	return any
}

// fill adds what the index knows to what else is known.
func (h *textHits) fill(found, known []bool) {
	for i := range known {
		if !known[i] && h.known[i] {
			found[i], known[i] = h.found[i], true
		}
	}
}
