package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
	"mailserver/internal/message"
	"mailserver/storage"
)

// seenBatch is how many messages are marked \Seen at once, before they are
// sent: one commit for them, and little marked in vain if the client goes away.
const seenBatch = 64

func runFetch(ctx context.Context, s *session, a *fetchArgs) (reply, error) {
	set, err := s.resolve(a.messages)
	if err != nil {
		return reply{}, err
	}
	lowest := uint32(0)
	if a.partial != nil {
		if limit := s.cfg.MessageLimit; limit > 0 && a.partial.size() > int64(limit) {
			return reply{}, s.tooMany(0)
		}
		set = s.partOf(set, a.partial)
	} else {
		set, lowest = s.limited(set)
	}
	if a.modified || a.modSeq {
		s.turnOnCondstore()
	}
	if a.vanished {
		if err := s.tellVanished(ctx, a, set); err != nil {
			return reply{}, err
		}
	}
	f := s.fetching(ctx, a)
	marks := a.marksSeen && s.marksSeen(ctx)
	switch {
	case lowest != 0:
		err = f.downwards(ctx, s.uidsOf(set), marks)
	case marks:
		err = f.marking(ctx, set)
	default:
		err = f.all(ctx, set)
	}
	if err != nil {
		return reply{}, err
	}
	if f.failed != nil {
		return reply{}, f.failed
	}
	if f.gone {
		return s.underLimit(reply{code: "EXPUNGEISSUED", text: "Some messages were already expunged."}, lowest), nil
	}
	return s.underLimit(reply{}, lowest), nil
}

// partOf is the part of a set of messages that a range names.
func (s *session) partOf(set imap.NumSet, p *partialRange) imap.UIDSet {
	uids := s.uidsOf(set)
	count := uint64(0)
	for _, r := range uids {
		count += uint64(r.To-r.From) + 1
	}
	return toUIDSet(imapwire.Set(p.cut(inOrder(uids), count)))
}

// tellVanished: RFC 7162 §3.2.6.
func (s *session) tellVanished(ctx context.Context, a *fetchArgs, set imap.NumSet) error {
	uids, ok := set.(imap.UIDSet)
	if !ok || len(uids) == 0 {
		return nil
	}
	gone, err := s.box.view.Vanished(ctx, a.changedSince, uids)
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		s.enc.Raw("* VANISHED (EARLIER) ").Set(fromUIDSet(gone)).CRLF()
	}
	return nil
}

// fetching is a FETCH on its way.
type fetching struct {
	s       *session
	a       *fetchArgs
	values  []value
	message openMessage    // that is being sent
	uid     imap.UID       // of it
	record  message.Record // of it
	marked  imapwire.Set   // UIDs that this command has marked \Seen
	gone    bool           // a message could not be opened any more
	failed  error          // what to answer at the end
}

// marking goes through the set in batches: mark, then send.
func (f *fetching) marking(ctx context.Context, set imap.NumSet) error {
	uids := f.s.uidsOf(set)
	for len(uids) > 0 {
		var batch imapwire.Set
		batch, uids = cut(uids, seenBatch)
		if err := f.mark(ctx, batch); err != nil {
			return err
		}
		if err := f.all(ctx, toUIDSet(batch)); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetching) mark(ctx context.Context, batch imapwire.Set) error {
	r, err := f.s.box.view.Store(ctx, toUIDSet(batch), imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen}, nil)
	f.marked = fromUIDSet(r.Changed)
	return err
}

// downwards goes through a set from the highest UID on, as RFC 9738 §3.1 asks
// for where not all are sent.
func (f *fetching) downwards(ctx context.Context, uids imapwire.Set, marks bool) error {
	for len(uids) > 0 {
		batch := uids
		if n := uint32(uids.Count()); n > seenBatch {
			uids, batch = cut(uids, n-seenBatch)
		} else {
			uids = nil
		}
		if marks {
			if err := f.mark(ctx, batch); err != nil {
				return err
			}
		}
		for _, r := range slices.Backward(batch) {
			for uid := r.To; uid >= r.From; uid-- {
				if err := f.all(ctx, imap.UIDSetNum(imap.UID(uid))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// cut splits off the first n numbers of a set.
func cut(s imapwire.Set, n uint32) (first, rest imapwire.Set) {
	for i, r := range s {
		size := r.To - r.From + 1
		if size < n {
			n -= size
			continue
		}
		first = append(append(imapwire.Set{}, s[:i]...), imapwire.Range{From: r.From, To: r.From + n - 1})
		if size > n {
			rest = append(rest, imapwire.Range{From: r.From + n, To: r.To})
		}
		return first, append(rest, s[i+1:]...)
	}
	return s, nil
}

// all sends every message of a set.
func (f *fetching) all(ctx context.Context, set imap.NumSet) error {
	v := f.s.box.view
	if f.a.opens {
		return v.Cached(ctx, f.a.needs, set, func(seq uint32, m storage.Msg, data *storage.Columns) error {
			return f.one(ctx, seq, m, data)
		})
	}
	for seq, m := range v.Messages(set) {
		if err := f.one(ctx, seq, m, nil); err != nil {
			return err
		}
	}
	return nil
}

// one sends a message, unless it has not changed since.
func (f *fetching) one(ctx context.Context, seq uint32, m storage.Msg, data *storage.Columns) error {
	if f.a.modified && m.ModSeq <= f.a.changedSince {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(errBroken, err)
	}
	if !f.a.opens {
		return f.write(seq, m)
	}
	o := f.opened(m, data)
	defer o.close()
	for i, item := range f.a.items {
		if item.ready == nil {
			continue
		}
		v, err := item.ready(o)
		if err != nil {
			return f.without(m, err)
		}
		f.values[i] = v
	}
	return f.write(seq, m)
}

// fetching says how messages are opened, one after the other.
func (s *session) fetching(ctx context.Context, a *fetchArgs) *fetching {
	f, v := &fetching{s: s, a: a, values: make([]value, len(a.items))}, s.box.view
	f.message = openMessage{
		open:   func() (*storage.Body, error) { return v.Open(ctx, f.uid) },
		keep:   func(record storage.Columns) { v.PutCache(f.uid, record) },
		facts:  func() (storage.Facts, error) { return v.Facts(ctx, f.uid) },
		record: &f.record,
		brief:  f.a.needs&^needHeader == needEnvelope,
	}
	if f.a.needs&needStructure == 0 {
		f.message.recall = func() message.Layout { return f.layout(ctx, f.uid) }
	}
	return f
}

func (f *fetching) opened(m storage.Msg, data *storage.Columns) *openMessage {
	if f.record.Read(message.Pieces(*data)) != nil {
		f.record = message.Record{}
	}
	f.uid = m.UID
	o := &f.message
	o.parsed, o.layout, o.body = nil, nil, nil
	return o
}

// layout reads where the parts of one message are; nil if nobody knows.
func (f *fetching) layout(ctx context.Context, uid imap.UID) (layout message.Layout) {
	f.s.box.view.Cached(ctx, needStructure, imap.UIDSetNum(uid), func(_ uint32, _ storage.Msg, data *storage.Columns) error {
		if r, err := message.OpenRecord(message.Pieces(*data)); err == nil {
			layout = r.Layout()
		}
		return nil
	})
	return layout
}

// without leaves a message out; the answer to the command says so.
func (f *fetching) without(m storage.Msg, err error) error {
	var n *no
	switch {
	case errors.Is(err, storage.ErrExpunged):
		f.gone = true
	case errors.As(err, &n):
		f.failed = err
	default:
		f.failed = fmt.Errorf("fetch UID %d: %w", m.UID, err)
	}
	return nil
}

// write sends the response. An error within a literal ends the connection.
func (f *fetching) write(seq uint32, m storage.Msg) error {
	enc := f.s.enc
	f.s.beginFetch(seq, m.UID)
	if !f.a.flags && f.marked.Contains(uint32(m.UID)) {
		f.s.writeFlags(m)
		enc.Raw(" ")
		if f.s.on.condstore && !f.a.modSeq {
			enc.Raw("MODSEQ (").Number(m.ModSeq).Raw(") ")
		}
	}
	for i := range f.a.items {
		item := &f.a.items[i]
		if i > 0 {
			enc.Raw(" ")
		}
		enc.Raw(item.name).Raw(" ")
		if item.say != nil {
			item.say(f.s, m)
		} else if err := f.s.writeValue(f.values[i]); err != nil {
			return errors.Join(errBroken, fmt.Errorf("fetch UID %d: %w", m.UID, err))
		}
	}
	enc.Raw(")\r\n")
	return enc.Err()
}

func (s *session) writeValue(v value) error {
	if v.lines != nil {
		_, err := s.enc.Raw("{").Number(uint64(v.size)).Raw("}\r\n").Lines(v.lines, 0)
		return err
	}
	if v.literal == nil {
		s.enc.Write(v.text)
		return s.enc.Err()
	}
	if v.literal.Eight {
		s.enc.Raw("~")
	}
	s.enc.Raw("{").Number(uint64(v.literal.Size)).Raw("}\r\n")
	_, err := v.literal.WriteTo(s.enc)
	return err
}
