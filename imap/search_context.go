package imap

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// searchContext is a result that is kept up to date, RFC 5267 §4.
type searchContext struct {
	tag  string
	args *searchArgs
	uids []uint32 // in the order of the result
	set  imapwire.Set
}

// maxContexts bounds the results of a session that are kept up to date.
const maxContexts = 10

// keepContext begins to keep a result up to date; where it cannot, it tells so and
// the search goes on without, RFC 5267 §4.3.1.
func (s *session) keepContext(a *searchArgs, uids []uint32) {
	if len(s.box.contexts) >= maxContexts {
		s.noUpdate("Too many contexts.")
		return
	}
	if len(s.box.contexts) == 0 {
		s.box.contextModSeq = s.box.view.HighestModSeq()
	}
	kept := *a
	kept.key, kept.limit = s.frozen(a.key), limitNone
	c := &searchContext{tag: s.tag, args: &kept, uids: uids}
	c.set = setOf(uids)
	s.box.contexts = append(s.box.contexts, c)
}

func (s *session) noUpdate(text string) {
	s.enc.Raw("* NO [NOUPDATE ").String(s.tag).Raw("] ").Raw(text).CRLF()
}

// frozen is a key whose sequence numbers, and "$", are the messages that they were
// for the command: RFC 5267 §4.3.
func (s *session) frozen(k *searchKey) *searchKey {
	f := *k
	if k.op == opSet && (k.set.saved || !k.set.uid) {
		f.set = messages{set: k.in, uid: true}
		if !k.set.saved {
			f.set.set = s.uidsOf(toSeqSet(k.in))
		}
		return &f
	}
	f.sub = nil
	for _, sub := range k.sub {
		f.sub = append(f.sub, s.frozen(sub))
	}
	return &f
}

func setOf(uids []uint32) (set imapwire.Set) {
	sorted := slices.Clone(uids)
	slices.Sort(sorted)
	for _, u := range sorted {
		set.Add(u)
	}
	return set
}

func (s *session) hasContext(tag string) bool {
	return s.box != nil && slices.ContainsFunc(s.box.contexts, func(c *searchContext) bool { return c.tag == tag })
}

// contextChange is what a change of the mailbox means for a context.
type contextChange struct {
	c     *searchContext
	after []uint32
}

// changedContexts evaluates the contexts after a Poll. Nothing is told yet.
func (s *session) changedContexts(ctx context.Context, c *storage.Changes) (list []contextChange) {
	box := s.box
	high := box.view.HighestModSeq()
	if len(box.contexts) == 0 || high == box.contextModSeq && len(c.Vanished) == 0 {
		return nil
	}
	touched := s.touched(box.contextModSeq)
	box.contextModSeq = high
	gone := fromUIDSet(c.Vanished)
	for _, x := range box.contexts {
		after, err := s.reevaluate(ctx, x, touched, gone)
		if err != nil {
			s.srv.d.Log.Warn("update of a search failed", "conn", s.id, "user", s.user, "err", err)
			continue
		}
		if !slices.Equal(after, x.uids) {
			list = append(list, contextChange{x, after})
		}
	}
	return list
}

// touched are the messages with a MODSEQ above one.
func (s *session) touched(modSeq uint64) (uids imapwire.Set) {
	for _, m := range s.box.view.Messages(toSeqSet(imapwire.Set{{From: 1, To: max(1, s.box.view.Len())}})) {
		if m.ModSeq > modSeq {
			uids.Add(uint32(m.UID))
		}
	}
	return uids
}

// reevaluate gives the result of a context as it is now.
func (s *session) reevaluate(ctx context.Context, x *searchContext, touched, gone imapwire.Set) ([]uint32, error) {
	a := *x.args
	a.uid, a.save, a.charset = true, false, ""
	if a.sort != nil {
		_, list, err := s.sorted(ctx, &a)
		if err != nil {
			return nil, err
		}
		uids := make([]uint32, len(list))
		for i := range list {
			uids[i] = list[i].uid
		}
		return uids, nil
	}
	var now imapwire.Set
	if len(touched) > 0 {
		a.key = &searchKey{op: opAnd, sub: []*searchKey{{op: opSet, set: messages{set: touched, uid: true}}, x.args.key}}
		found, err := s.search(ctx, &a)
		if err != nil {
			return nil, err
		}
		now = found.nums
	}
	uids := slices.DeleteFunc(slices.Clone(x.uids), func(u uint32) bool { return touched.Contains(u) || gone.Contains(u) })
	for _, r := range now {
		for u := uint64(r.From); u <= uint64(r.To); u++ {
			uids = append(uids, uint32(u))
		}
	}
	slices.Sort(uids)
	return uids, nil
}

// tellRemoved tells what has left the contexts, before EXPUNGE does: sequence
// numbers are those of before.
func (s *session) tellRemoved(list []contextChange, c *storage.Changes) {
	gone := fromUIDSet(c.Vanished)
	for _, x := range list {
		after := setOf(x.after)
		var places []contextPlace
		for i := len(x.c.uids) - 1; i >= 0; i-- { // from the end: places before stay
			if u := x.c.uids[i]; !after.Contains(u) {
				places = append(places, contextPlace{uint32(i + 1), s.numberBefore(x.c, u, gone)})
			}
		}
		s.tellPlaces(x.c, "REMOVEFROM", places)
	}
}

// tellAdded tells what has come to the contexts, after EXISTS.
func (s *session) tellAdded(list []contextChange) {
	for _, x := range list {
		var places []contextPlace
		for i, u := range x.after {
			if x.c.set.Contains(u) {
				continue
			}
			n := u
			if !x.c.args.uid {
				n = s.box.view.Seq(imap.UID(u))
			}
			places = append(places, contextPlace{uint32(i + 1), n})
		}
		s.tellPlaces(x.c, "ADDTO", places)
		x.c.uids, x.c.set = x.after, setOf(x.after)
	}
}

// numberBefore is what the client calls a message that may be gone since.
func (s *session) numberBefore(x *searchContext, uid uint32, gone imapwire.Set) uint32 {
	if x.args.uid {
		return uid
	}
	v := s.box.view
	before := uint32(0) // messages with lower UIDs that are still there
	for n := v.Len(); before < n; {
		if mid := (before + n) / 2; uint32(v.UID(mid+1)) < uid {
			before = mid + 1
		} else {
			n = mid
		}
	}
	for _, r := range gone {
		if r.From < uid {
			before += min(r.To, uid-1) - r.From + 1
		}
	}
	return before + 1
}

// contextPlace is a message and its place in a result.
type contextPlace struct{ place, number uint32 }

// tellPlaces: RFC 5267 §4.3.2. Results without an order have the place 0.
func (s *session) tellPlaces(x *searchContext, what string, places []contextPlace) {
	if len(places) == 0 {
		return
	}
	s.enc.Raw("* ESEARCH (TAG ").String(x.tag).Raw(")")
	if x.args.uid {
		s.enc.Raw(" UID")
	}
	s.enc.Raw(" " + what + " (")
	if x.args.sort == nil {
		var set imapwire.Set
		slices.SortFunc(places, func(a, b contextPlace) int { return int(int64(a.number) - int64(b.number)) })
		for _, p := range places {
			set.Add(p.number)
		}
		s.enc.Raw("0 ").Set(set)
	}
	for i, p := range places {
		if x.args.sort == nil {
			break
		}
		if i > 0 {
			s.enc.Raw(" ")
		}
		s.enc.Number(uint64(p.place)).Raw(" ").Number(uint64(p.number))
	}
	s.enc.Raw(")").CRLF()
}

func parseCancelUpdate(_ *session, d *imapwire.Decoder) (tags []string) {
	for {
		tags = append(tags, d.String())
		if d.Err() != nil || d.Peek() != ' ' || len(tags) > maxContexts {
			return tags
		}
		d.SP()
	}
}

// runCancelUpdate: RFC 5267 §4.3.5.
func runCancelUpdate(_ context.Context, s *session, tags []string) (reply, error) {
	for _, tag := range tags {
		if !s.hasContext(tag) {
			return reply{}, &no{"", "Unknown tag."}
		}
		s.box.contexts = slices.DeleteFunc(s.box.contexts, func(c *searchContext) bool { return c.tag == tag })
	}
	return reply{}, nil
}
