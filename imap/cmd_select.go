package imap

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/acl"
	"mailserver/internal/imapwire"
	"mailserver/storage"
)

type selectArgs struct {
	name      string
	examine   bool
	condstore bool
	qresync   *qresync
}

// qresync is what the client knows of the mailbox, RFC 7162 §3.2.5.
type qresync struct {
	uidValidity uint32
	modSeq      uint64
	known       imapwire.Set // UIDs; nil: all
	seqs, uids  imapwire.Set // sequence match data
}

func parseSelect(s *session, d *imapwire.Decoder) *selectArgs {
	return readSelect(s, d, false)
}

func parseExamine(s *session, d *imapwire.Decoder) *selectArgs {
	return readSelect(s, d, true)
}

func readSelect(s *session, d *imapwire.Decoder, examine bool) *selectArgs {
	a := &selectArgs{name: s.readMailbox(d), examine: examine}
	if d.AtEnd() {
		return a
	}
	d.SP()
	d.List(func() {
		switch d.Keyword() {
		case "CONDSTORE":
			a.condstore = true
		case "QRESYNC":
			d.SP()
			a.qresync = readQresync(s, d)
		default:
			d.Fail("Unknown SELECT parameter.")
		}
	})
	return a
}

func readQresync(s *session, d *imapwire.Decoder) *qresync {
	if !s.on.qresync {
		d.Fail("QRESYNC not enabled.")
		return nil
	}
	q := &qresync{}
	d.Expect('(')
	q.uidValidity = d.Number()
	d.SP()
	q.modSeq = uint64(d.Number63())
	if d.Accept(' ') {
		if d.Peek() != '(' {
			q.known = d.Set()
			d.Accept(' ')
		}
		if d.Accept('(') {
			q.seqs = d.Set()
			d.SP()
			q.uids = d.Set()
			d.Expect(')')
		}
	}
	d.Expect(')')
	return q
}

// runSelect: a SELECT that fails leaves no mailbox selected, RFC 9051 §6.3.2.
func runSelect(ctx context.Context, s *session, a *selectArgs) (reply, error) {
	if s.on.uidOnly && a.qresync != nil && len(a.qresync.seqs) > 0 {
		return reply{}, errUIDRequired
	}
	if s.box != nil {
		s.unselect()
		s.enc.Raw("* OK [CLOSED] Previous mailbox closed.\r\n")
	}
	p, err := s.at(ctx, a.name, acl.Read)
	if err != nil {
		return reply{}, naming(err, s.wireName(a.name))
	}
	view, err := p.account.Select(ctx, p.name, a.examine || p.rights&changing == 0)
	if err != nil {
		return reply{}, naming(err, s.wireName(a.name))
	}
	s.box, s.state = &selection{view: view, place: p}, selected
	if a.condstore || a.qresync != nil {
		s.on.condstore = true
	}
	s.tellSelected()
	if q := a.qresync; q != nil && q.uidValidity == view.UIDValidity() {
		if err := s.resync(ctx, q); err != nil {
			s.unselect()
			return reply{}, err
		}
	}
	if view.ReadOnly() {
		return reply{code: "READ-ONLY"}, nil
	}
	return reply{code: "READ-WRITE"}, nil
}

func (s *session) tellSelected() {
	v := s.box.view
	s.tellFlags()
	s.box.exists = v.Len()
	s.enc.Raw("* ").Number(uint64(v.Len())).Raw(" EXISTS\r\n")
	if !s.on.rev2 {
		s.box.recent = v.Recent()
		s.enc.Raw("* ").Number(uint64(s.box.recent)).Raw(" RECENT\r\n")
		if n := v.FirstUnseen(); n > 0 && !s.on.uidOnly {
			s.untaggedOK("UNSEEN "+uitoa(uint64(n)), "First unseen.")
		}
	}
	s.untaggedOK("UIDVALIDITY "+uitoa(uint64(v.UIDValidity())), "UIDs valid")
	s.untaggedOK("UIDNEXT "+uitoa(uint64(v.UIDNext())), "Predicted next UID")
	s.untaggedOK("MAILBOXID ("+v.MailboxID()+")", "Ok")
	s.untaggedOK("HIGHESTMODSEQ "+uitoa(v.HighestModSeq()), "Highest")
	if s.on.rev2 { // RFC 9051 §6.3.2
		s.enc.Raw("* LIST () \".\" ").Mailbox(s.wireName(v.Name())).CRLF()
	}
}

// resync tells what a client has missed: RFC 7162 §3.2.6.
func (s *session) resync(ctx context.Context, q *qresync) error {
	v := s.box.view
	known := q.known.Resolve(uint32(v.UIDNext()) - 1)
	since := q.modSeq
	var ask imap.UIDSet
	if len(q.known) > 0 {
		ask = toUIDSet(known)
	}
	gone, err := v.Vanished(ctx, since, ask)
	if err != nil {
		return err
	}
	if left := s.afterMatch(q, fromUIDSet(gone)); len(left) > 0 {
		s.enc.Raw("* VANISHED (EARLIER) ").Set(left).CRLF()
	}
	set := imap.UIDSet{{Start: 1, Stop: v.UIDNext()}}
	if len(q.known) > 0 {
		set = toUIDSet(known)
	}
	for seq, m := range v.Messages(set) {
		if m.ModSeq > since {
			s.tellMessageFlags(seq, true)
		}
	}
	return s.enc.Err()
}

// afterMatch leaves out what the sequence match data proves that the client
// knows: pairs that still agree mean that nothing below them was expunged
// unknown to it.
func (s *session) afterMatch(q *qresync, gone imapwire.Set) imapwire.Set {
	var from uint32
	seqs, uids := newCursor(q.seqs), newCursor(q.uids)
	for {
		seq, ok1 := seqs.next()
		uid, ok2 := uids.next()
		if !ok1 || !ok2 || uint32(s.box.view.UID(seq)) != uid {
			break
		}
		from = uid
	}
	var left imapwire.Set
	for _, r := range gone {
		if r.To > from {
			left = append(left, imapwire.Range{From: max(r.From, from+1), To: r.To})
		}
	}
	return left
}

// cursor walks through the numbers of a set as it was written; a bounded number
// of them, since the client chose it.
type cursor struct {
	set  imapwire.Set
	i    int
	at   uint32
	left int
}

func newCursor(set imapwire.Set) *cursor { return &cursor{set: set, left: 100_000} }

func (c *cursor) next() (uint32, bool) {
	for c.i < len(c.set) && c.left > 0 {
		r := c.set[c.i]
		if c.at == 0 {
			c.at = r.From
		}
		if n := c.at; n != 0 && n <= r.To {
			c.at++
			c.left--
			return n, true
		}
		c.i, c.at = c.i+1, 0
	}
	return 0, false
}

// runClose: RFC 9051 §6.4.1. Nothing is expunged from a mailbox of EXAMINE.
func runClose(ctx context.Context, s *session) (reply, error) {
	rights, err := s.here(ctx)
	if err == nil && !s.box.view.ReadOnly() && rights.Has(acl.Expunge) {
		err = s.box.view.Expunge(ctx, nil)
	}
	if err != nil {
		return reply{}, err
	}
	return runUnselect(ctx, s)
}

func runUnselect(_ context.Context, s *session) (reply, error) {
	s.unselect()
	return reply{}, nil
}

func runExpunge(ctx context.Context, s *session) (reply, error) { return s.expunge(ctx, nil) }

func parseUIDExpunge(_ *session, d *imapwire.Decoder) messages { return readMessages(d, true) }

func runUIDExpunge(ctx context.Context, s *session, m messages) (reply, error) {
	set, err := s.resolve(m)
	if err != nil {
		return reply{}, err
	}
	uids := set.(imap.UIDSet)
	if len(uids) == 0 { // not the same as all
		return reply{}, nil
	}
	lowest := uint32(0)
	if s.cfg.MessageLimit > 0 {
		set, lowest = s.limitedOf(uids, func(_ uint32, m storage.Msg) bool { return m.Flags&storage.Deleted != 0 })
		uids = set.(imap.UIDSet)
	}
	r, err := s.expunge(ctx, uids)
	if err != nil {
		return reply{}, err
	}
	return s.underLimit(r, lowest), nil
}

func (s *session) expunge(ctx context.Context, uids imap.UIDSet) (reply, error) {
	v := s.box.view
	if v.ReadOnly() {
		return reply{}, storage.ErrReadOnly
	}
	if err := s.mayHere(ctx, acl.Expunge); err != nil {
		return reply{}, err
	}
	if err := v.Expunge(ctx, uids); err != nil {
		return reply{}, err
	}
	before := v.Len()
	if err := s.tellRemovals(ctx); err != nil {
		return reply{}, err
	}
	if after := v.Len(); after < before {
		s.gone.expunged += int(before - after)
	}
	if s.on.qresync {
		return reply{code: "HIGHESTMODSEQ " + uitoa(v.HighestModSeq())}, nil
	}
	return reply{}, nil
}
