package imap

import (
	"context"
	"errors"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// errSelectedGone: the selected mailbox was deleted by another session.
var errSelectedGone = errors.New("selected mailbox was deleted")

// tellChanges brings the session's picture of the mailbox up to date and tells
// the client the difference, RFC 9051 §7, as far as NOTIFY leaves it.
func (s *session) tellChanges(ctx context.Context, allowExpunge bool) error {
	return s.tell(ctx, allowExpunge, s.wanted())
}

// tellRemovals is tellChanges for a command that has removed messages: those
// that stay have other numbers, which the client must learn whatever it asked
// for.
func (s *session) tellRemovals(ctx context.Context) error {
	return s.tell(ctx, true, s.wanted()|messageNew|messageExpunge)
}

func (s *session) tell(ctx context.Context, allowExpunge bool, wanted event) error {
	if wanted&messageNew != 0 && s.box.exists != s.box.view.Len() {
		s.tellExists(s.box.view.Len())
	}
	last, high := s.box.view.UID(s.box.view.Len()), s.box.view.HighestModSeq()
	c, err := s.box.view.Poll(ctx, allowExpunge && wanted&messageExpunge != 0)
	s.box.words = flagWords{}
	if errors.Is(err, storage.ErrNoMailbox) {
		return errSelectedGone
	}
	if err != nil {
		// The mailbox cannot be read now; the next command may find it again.
		s.srv.d.Log.Warn("poll of mailbox failed", "conn", s.id, "user", s.user, "err", err)
		return nil
	}
	var contexts []contextChange
	if wanted&messageNew != 0 {
		contexts = s.changedContexts(ctx, &c)
	}
	s.tellRemoved(contexts, &c)
	s.tellExpunged(c)
	if wanted&flagChange != 0 {
		s.tellReflagged(c)
	} else if s.box.quiet == 0 {
		s.box.quiet = high
	}
	if wanted&messageNew != 0 {
		s.tellArrived(c)
	}
	s.tellAdded(contexts)
	if wanted&messageNew != 0 && c.Grown {
		err = s.fetchArrived(ctx, last)
	}
	return errors.Join(err, s.enc.Err())
}

// tellReflagged tells flags that have changed, and all that have while the
// client did not want to know.
func (s *session) tellReflagged(c storage.Changes) {
	if c.Keywords || s.box.quiet != 0 {
		s.tellFlags()
	}
	withUID := s.on.qresync || s.on.rev2 || s.notify != nil // RFC 5465 §5.1
	if s.box.quiet == 0 {
		for _, seq := range c.Flags {
			s.tellMessageFlags(seq, withUID)
		}
		return
	}
	known := imap.SeqSet{{Start: 1, Stop: max(1, s.box.exists)}}
	for seq, m := range s.box.view.Messages(known) {
		if m.ModSeq > s.box.quiet {
			s.tellFlagsOf(seq, m, withUID)
		}
	}
	s.box.quiet = 0
}

// tellArrived tells of new messages.
func (s *session) tellArrived(c storage.Changes) {
	if c.Exists != s.box.exists {
		s.tellExists(c.Exists)
	}
	if !s.on.rev2 && c.Recent != s.box.recent {
		s.box.recent = c.Recent
		s.enc.Raw("* ").Number(uint64(c.Recent)).Raw(" RECENT\r\n")
	}
}

func (s *session) tellExists(n uint32) {
	s.box.exists = n
	s.enc.Raw("* ").Number(uint64(n)).Raw(" EXISTS\r\n")
}

func (s *session) tellExpunged(c storage.Changes) {
	s.box.exists -= uint32(len(c.Expunged))
	if s.on.qresync || s.on.uidOnly {
		if len(c.Vanished) > 0 {
			s.enc.Raw("* VANISHED ").Set(fromUIDSet(c.Vanished)).CRLF()
		}
		return
	}
	for _, seq := range c.Expunged {
		s.enc.Raw("* ").Number(uint64(seq)).Raw(" EXPUNGE\r\n")
	}
}

// tellFlags tells the flags that exist in the mailbox, if the client does not
// know them yet.
func (s *session) tellFlags() {
	v := s.box.view
	flags := joinFlags(v.Flags())
	if flags == s.box.flags {
		return
	}
	s.box.flags = flags
	s.enc.Raw("* FLAGS (").Raw(flags).Raw(")\r\n")
	text := "Flags permitted."
	if v.ReadOnly() {
		text = "Read-only mailbox."
	}
	s.untaggedOK("PERMANENTFLAGS ("+joinFlags(s.permanent())+")", text)
}

func joinFlags(flags []imap.Flag) string {
	var b []byte
	for i, f := range flags {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, f...)
	}
	return string(b)
}

// tellMessageFlags writes "* n FETCH (FLAGS ...)", or UIDFETCH.
func (s *session) tellMessageFlags(seq uint32, withUID bool) {
	if m, ok := s.box.view.Msg(seq); ok {
		s.tellFlagsOf(seq, m, withUID)
	}
}

func (s *session) tellFlagsOf(seq uint32, m storage.Msg, withUID bool) {
	s.beginFetch(seq, m.UID)
	if withUID && !s.on.uidOnly {
		s.enc.Raw("UID ").Number(uint64(m.UID)).Raw(" ")
	}
	if s.on.condstore {
		s.enc.Raw("MODSEQ (").Number(m.ModSeq).Raw(") ")
	}
	s.writeFlags(m)
	s.enc.Raw(")\r\n")
}

// writeFlags writes "FLAGS (...)".
func (s *session) writeFlags(m storage.Msg) {
	s.enc.Raw("FLAGS ")
	s.writeFlagList(m)
}

// writeFlagList writes "(...)", \Recent before the keywords, as Dovecot does. A
// message after the other mostly has the same flags: they are put into words
// once.
func (s *session) writeFlagList(m storage.Msg) {
	w := &s.box.words
	if w.text == nil || w.flags != m.Flags || w.recent != m.Recent {
		w.text = s.inWords(w.text[:0], m)
		w.flags, w.recent = m.Flags, m.Recent
	}
	s.enc.Text(w.text)
}

func (s *session) inWords(buf []byte, m storage.Msg) []byte {
	const system = storage.Seen | storage.Answered | storage.Flagged | storage.Deleted | storage.DraftFlag
	v := s.box.view
	buf = v.AppendFlags(append(buf, '('), m.Flags&system)
	if m.Recent && !s.on.rev2 {
		buf = append(spaced(buf), `\Recent`...)
	}
	if words := m.Flags &^ system; words != 0 {
		buf = v.AppendFlags(spaced(buf), words)
	}
	return append(buf, ')')
}

func spaced(b []byte) []byte {
	if b[len(b)-1] == '(' {
		return b
	}
	return append(b, ' ')
}

func fromUIDSet(u imap.UIDSet) imapwire.Set {
	s := make(imapwire.Set, 0, len(u))
	for _, r := range u {
		s = append(s, imapwire.Range{From: uint32(r.Start), To: uint32(r.Stop)})
	}
	return s
}

func fromSeqSet(q imap.SeqSet) imapwire.Set {
	s := make(imapwire.Set, 0, len(q))
	for _, r := range q {
		s = append(s, imapwire.Range{From: r.Start, To: r.Stop})
	}
	return s
}

func toUIDSet(s imapwire.Set) imap.UIDSet {
	u := make(imap.UIDSet, 0, len(s))
	for _, r := range s {
		u = append(u, imap.UIDRange{Start: imap.UID(r.From), Stop: imap.UID(r.To)})
	}
	return u
}

func toSeqSet(s imapwire.Set) imap.SeqSet {
	q := make(imap.SeqSet, 0, len(s))
	for _, r := range s {
		q = append(q, imap.SeqRange{Start: r.From, Stop: r.To})
	}
	return q
}
