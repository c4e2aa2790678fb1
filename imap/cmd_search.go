package imap

import (
	"context"
	"errors"
	"io"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
	"mailserver/internal/message"
	"mailserver/storage"
)

func runSearch(ctx context.Context, s *session, a *searchArgs) (reply, error) {
	hits, err := s.search(ctx, a)
	if err != nil {
		if a.save { // RFC 5182 §2.1
			s.box.saved = nil
		}
		return reply{}, err
	}
	if a.save {
		s.box.saved = a.kept(hits)
	}
	if a.modSeq {
		s.turnOnCondstore()
	}
	switch {
	case a.update && hits.lowest != 0: // RFC 5267 §4.3.1
		s.noUpdate("Not all messages were looked at.")
	case a.update:
		s.keepContext(a, hits.found())
	}
	if a.extended {
		s.tellESearch(a, hits, inOrder(hits.nums))
	} else {
		s.tellSearch(a, hits)
	}
	return s.underLimit(reply{}, hits.lowest), nil
}

// hits is what a search has found.
type hits struct {
	nums   imapwire.Set // as asked for, sequence numbers or UIDs
	uids   imapwire.Set // filled where the result is saved
	count  uint64
	modSeq uint64 // the highest among them
	lowest uint32 // UID that was looked at, if not all were
	scores []int  // with RELEVANCY: of each, in the order of the result
}

// found lists the UIDs.
func (h *hits) found() (uids []uint32) {
	for _, r := range h.uids {
		for u := uint64(r.From); u <= uint64(r.To); u++ {
			uids = append(uids, uint32(u))
		}
	}
	return uids
}

// search finds the messages that match.
func (s *session) search(ctx context.Context, a *searchArgs) (*hits, error) {
	if err := a.toUTF8(); err != nil {
		return nil, err
	}
	if err := a.key.bind(s); err != nil {
		return nil, err
	}
	r := &searching{s: s, a: a, now: s.srv.d.Now().Unix()}
	a.charset = "" // the strings are in UTF-8 now
	r.all = a.update || a.relevant
	if len(a.texts) > 0 {
		r.text = message.NewSearch(a.texts)
		r.needs = storage.ColumnSet(r.text.Pieces())
		r.index = s.askIndex(ctx, a.texts)
	}
	if a.key.sent() {
		r.needs |= needSearch
	}
	if a.byThread {
		r.columns = needHeader
	}
	set, narrow := a.key.narrowed()
	if !narrow {
		set = imap.SeqSet{{Start: 1, Stop: max(1, s.box.view.Len())}}
	}
	set, lowest, err := s.limitedSearch(a, set)
	if err == nil {
		err = r.walk(ctx, set)
	}
	r.lowest = lowest
	if err == nil && a.relevant && a.sort == nil {
		r.scores, err = s.relevancy(ctx, a, r.found())
	}
	return &r.hits, err
}

// toUTF8 converts the strings from the charset of the command.
func (a *searchArgs) toUTF8() error {
	if a.charset == "" {
		return nil
	}
	if _, err := message.ToUTF8(a.charset, ""); err != nil {
		return &no{"BADCHARSET (US-ASCII UTF-8)", "Unknown charset."}
	}
	for i := range a.texts {
		text, err := message.ToUTF8(a.charset, a.texts[i].Value)
		if err != nil {
			return &no{"BADCHARSET (US-ASCII UTF-8)", "String is not of this charset."}
		}
		a.texts[i].Value = text
	}
	return nil
}

// searching is a SEARCH on its way.
type searching struct {
	hits
	s    *session
	a    *searchArgs
	text *message.Search
	now  int64

	index *textHits // nil: nothing is known
	all   bool      // the UIDs of all hits are wanted

	needs   storage.ColumnSet // pieces of the cache record that help
	columns storage.ColumnSet // and those that THREADID is read from
	record  message.Record
	one     candidate // the message that is looked at
}

// walk goes through the index, and reads records and files only for messages
// on which the index leaves the matter open.
func (r *searching) walk(ctx context.Context, set imap.NumSet) error {
	v := r.s.box.view
	var open imapwire.Set
	mask, want := r.a.key.flags()
	for seq, m := range v.MessagesWith(set, mask, want) {
		r.one = candidate{seq: seq, m: m, now: r.now}
		if r.index.look(m) {
			r.one.found, r.one.known = r.index.found, r.index.known
		}
		switch r.a.key.match(&r.one) {
		case yes3:
			r.add(seq, m)
		case unknown:
			open.Add(seq)
		}
	}
	if len(open) == 0 {
		return ctx.Err()
	}
	return r.walkOpen(ctx, open)
}

// walkOpen settles the open ones. Those that matched before are found again in
// order.
func (r *searching) walkOpen(ctx context.Context, open imapwire.Set) error {
	if r.index != nil && r.needs == 0 {
		r.s.box.view.Expect(r.uidsOf(open))
		defer r.s.box.view.Expect(nil)
	}
	settled := r.hits
	r.hits = hits{}
	var extra hits
	at := r.s.progress(open.Count())
	err := r.s.box.view.Cached(ctx, r.needs|r.columns, toSeqSet(open), func(seq uint32, m storage.Msg, data *storage.Columns) error {
		if err := errors.Join(ctx.Err(), at.step()); err != nil {
			return err
		}
		ok, err := r.read(ctx, seq, m, data)
		if ok {
			r.add(seq, m)
		}
		return err
	})
	extra = r.hits
	r.hits = merge(settled, extra)
	return err
}

func (r *searching) uidsOf(seqs imapwire.Set) (uids []uint32) {
	for _, x := range seqs {
		for seq := x.From; seq <= x.To; seq++ {
			uids = append(uids, uint32(r.s.box.view.UID(seq)))
		}
	}
	return uids
}

func merge(a, b hits) hits {
	return hits{
		nums: append(a.nums, b.nums...).Resolve(0), uids: append(a.uids, b.uids...).Resolve(0),
		count: a.count + b.count, modSeq: max(a.modSeq, b.modSeq),
	}
}

// read matches with the cache record, and if need be with the file.
func (r *searching) read(ctx context.Context, seq uint32, m storage.Msg, data *storage.Columns) (bool, error) {
	c := &r.one
	*c = candidate{seq: seq, m: m, now: r.now}
	indexed := r.index.look(m)
	if indexed {
		c.found, c.known = r.index.found, r.index.known
	}
	if r.a.bySaved || r.a.byThread {
		err := r.identify(ctx, c, data)
		if errors.Is(err, storage.ErrExpunged) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if t := r.a.key.match(c); t != unknown {
			return t == yes3, nil
		}
	}
	if r.needs != 0 {
		err := r.readRecord(ctx, m, data)
		if errors.Is(err, storage.ErrExpunged) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		c.record = &r.record
		if len(r.a.texts) > 0 {
			c.found, c.known = r.text.MatchRecord(c.record)
			if indexed {
				r.index.fill(c.found, c.known)
			}
		}
		if t := r.a.key.match(c); t != unknown {
			return t == yes3, nil
		}
	}
	return r.readFile(ctx, m, c)
}

// identify reads what SAVEDATE, EMAILID and THREADID are asked about.
func (r *searching) identify(ctx context.Context, c *candidate, data *storage.Columns) (err error) {
	if r.a.bySaved {
		facts, err := r.s.box.view.Facts(ctx, c.m.UID)
		if err != nil {
			return err
		}
		c.facts = &facts
	}
	if r.a.byThread {
		c.thread, err = r.threadOf(ctx, c.m, data)
	}
	return err
}

func (r *searching) readFile(ctx context.Context, m storage.Msg, c *candidate) (bool, error) {
	if r.text == nil {
		return false, nil
	}
	body, err := r.s.box.view.Open(ctx, m.UID)
	if errors.Is(err, storage.ErrExpunged) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer body.Close()
	f, _ := body.File()
	if c.found, err = r.text.Match(io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return false, err
	}
	c.known = allKnown(len(c.found))
	return r.a.key.match(c) == yes3, nil
}

func allKnown(n int) []bool {
	known := make([]bool, n)
	for i := range known {
		known[i] = true
	}
	return known
}

// readRecord reads the cache record of a message; where a piece is missing the
// file is parsed, and the record kept for the next time.
func (r *searching) readRecord(ctx context.Context, m storage.Msg, data *storage.Columns) error {
	there := true
	for i := range data {
		there = there && (data[i] != nil || r.needs>>i&1 == 0)
	}
	if there && r.record.Read(message.Pieces(*data)) == nil {
		return nil
	}
	v := r.s.box.view
	o := &openMessage{
		open: func() (*storage.Body, error) { return v.Open(ctx, m.UID) },
		keep: func(record storage.Columns) { v.PutCache(m.UID, record) },
	}
	defer o.close()
	if err := o.parse(); err != nil {
		return err
	}
	return r.record.Read(o.parsed.Record())
}

func (r *searching) add(seq uint32, m storage.Msg) {
	if r.a.uid {
		r.nums.Add(uint32(m.UID))
	} else {
		r.nums.Add(seq)
	}
	if r.a.save || r.all {
		r.uids.Add(uint32(m.UID))
	}
	r.count++
	r.modSeq = max(r.modSeq, m.ModSeq)
}

// kept is what "$" will mean: RFC 5182 §2.1: with MIN or MAX, and neither ALL
// nor COUNT, only those.
func (a *searchArgs) kept(h *hits) imapwire.Set {
	if a.all || a.count || !a.min && !a.max || len(h.uids) == 0 {
		return h.uids
	}
	var s imapwire.Set
	first, last := h.uids[0].From, h.uids[len(h.uids)-1].To
	if a.min {
		s.Add(first)
	}
	if a.max && !(a.min && first == last) {
		s.Add(last)
	}
	return s
}

func (s *session) tellSearch(a *searchArgs, h *hits) {
	s.enc.Raw("* SEARCH")
	for _, r := range h.nums {
		for n := uint64(r.From); n <= uint64(r.To); n++ {
			s.enc.Raw(" ").Number(n)
		}
	}
	if a.modSeq && h.count > 0 {
		s.enc.Raw(" (MODSEQ ").Number(h.modSeq).Raw(")")
	}
	s.enc.CRLF()
}

// tellESearch: RFC 4731. With SAVE alone nothing is told, RFC 5182 §2.1.
func (s *session) tellESearch(a *searchArgs, h *hits, found order) {
	s.tellESearchOf(a, h, found, func() { s.enc.Raw("(TAG ").String(s.tag).Raw(")") })
}

// tellESearchOf is tellESearch with what the response is about.
func (s *session) tellESearchOf(a *searchArgs, h *hits, found order, of func()) {
	if a.save && !a.min && !a.max && !a.all && !a.count && !a.relevant && a.partial == nil {
		return
	}
	s.enc.Raw("* ESEARCH ")
	of()
	if a.uid {
		s.enc.Raw(" UID")
	}
	if h.count > 0 {
		if a.min {
			s.enc.Raw(" MIN ").Number(uint64(found[0].From))
		}
		if a.max {
			s.enc.Raw(" MAX ").Number(uint64(found[len(found)-1].To))
		}
		if a.all {
			s.enc.Raw(" ALL ").Set(imapwire.Set(found))
		}
	}
	if a.count {
		s.enc.Raw(" COUNT ").Number(h.count)
	}
	if a.partial != nil {
		s.tellPartial(a.partial, found, h.count)
	}
	if a.relevant && h.count > 0 {
		s.tellRelevancy(h.scores)
	}
	if a.modSeq && h.count > 0 {
		s.enc.Raw(" MODSEQ ").Number(h.modSeq)
	}
	s.enc.CRLF()
}
