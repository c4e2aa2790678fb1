package storage

import (
	"context"
	"log/slog"
	"sort"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/textindex"
	"mailserver/schema"
)

// TextLookup is what the text index knows of the messages of a view, for a few
// strings. For one goroutine.
type TextLookup struct {
	uids, docs []uint32 // messages that it has
	segments   []textindex.Segment
	found      [][]textindex.Found // of each segment, for each string

	doc     uint32 // of the message at hand
	segment int
}

// maxLookups bounds the strings that are looked up for one search: each needs 2
// bits for every document of the account. Others are looked for in the messages.
const maxLookups = 16

// Lookup asks the text index for strings that are not empty; nil: it knows
// nothing.
// What it does not know yet it learns in the background.
func (v *View) Lookup(ctx context.Context, queries []textindex.Query) *TextLookup {
	x := v.b.t.s.fts
	if x.dir == "" || len(queries) == 0 {
		return nil
	}
	if cfg, err := x.s.d.Config(ctx); err != nil || !cfg.FTS {
		return nil
	}
	b := v.b
	b.mu.RLock()
	row := b.row
	b.mu.RUnlock()
	l, next, err := x.lookup(ctx, &row, b.t.key.user, queries)
	if err != nil && ctx.Err() == nil {
		x.s.d.Log.Warn("cannot read text index", "user", b.t.key.user, "mailbox", row.Name, slog.Any("err", err))
	}
	if next < row.UIDNext {
		x.note(b, true)
	}
	return l
}

// lookup also tells up to which UID messages were looked at.
func (x *fulltext) lookup(ctx context.Context, row *schema.IndexMailbox, user string, queries []textindex.Query) (l *TextLookup, next uint32, err error) {
	f, err := x.use(ctx, row.Account, user)
	if err != nil {
		return nil, 0, err
	}
	defer func() { x.end(row.Account, f, err) }()
	l = &TextLookup{}
	err = f.Read(ctx, func(t *schema.TextTx) error {
		m, err := t.Mailbox(row.Num, row.Validity)
		if err != nil {
			return err
		}
		if next = m.Next; m.Next > row.UIDNext {
			next = 0 // the state was set back: these may be other messages
			return nil
		}
		err = t.EachPlace(row.Num, func(p schema.TextPlace) error {
			if p.Doc != 0 {
				l.uids, l.docs = append(l.uids, p.UID), append(l.docs, p.Doc)
			}
			return nil
		})
		if err != nil || len(l.uids) == 0 {
			return err
		}
		if l.segments, err = t.Segments(); err != nil {
			return err
		}
		return l.find(t, queries)
	})
	if err != nil || len(l.uids) == 0 {
		l = nil
	}
	return l, next, err
}

func (l *TextLookup) find(t *schema.TextTx, queries []textindex.Query) error {
	l.found = make([][]textindex.Found, len(l.segments))
	for i := range l.segments {
		for q := range queries[:min(len(queries), maxLookups)] {
			f, err := textindex.Find(t, &l.segments[i], &queries[q])
			if err != nil {
				return err
			}
			l.found[i] = append(l.found[i], f)
		}
	}
	return nil
}

// Message turns to a message; false: the index does not have it.
func (l *TextLookup) Message(uid imap.UID) bool {
	at := lowerBound(l.uids, uint32(uid))
	if at == len(l.uids) || l.uids[at] != uint32(uid) {
		return false
	}
	l.doc = l.docs[at]
	if s := l.segments; l.segment >= len(s) || l.doc < s[l.segment].First || l.doc > s[l.segment].Last {
		l.segment = sort.Search(len(s), func(i int) bool { return s[i].Last >= l.doc })
	}
	return l.segment < len(l.segments) && l.doc >= l.segments[l.segment].First
}

// Has says whether a string is in the message that Message has turned to; where
// known is false, it may be.
func (l *TextLookup) Has(query int) (has, known bool) {
	list := l.found[l.segment]
	if query >= len(list) {
		return false, false
	}
	n := l.doc - l.segments[l.segment].First
	switch f := &list[query]; {
	case f.Maybe == nil || !f.Maybe.Has(n):
		return false, true
	case f.Sure != nil && f.Sure.Has(n):
		return true, true
	}
	return false, false
}
