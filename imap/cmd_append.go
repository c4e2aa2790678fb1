package imap

import (
	"context"
	"fmt"
	"io"

	"mailserver/internal/acl"
	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// maxAppend bounds the messages of one APPEND, RFC 3502: each is an open file
// until all are there.
const maxAppend = 100

// parseAppend reads the mailbox only: the messages are streamed by runAppend.
func parseAppend(s *session, d *imapwire.Decoder) string { return s.readMailbox(d) }

// appending is an APPEND on its way.
type appending struct {
	mailbox string
	place   place // of the mailbox, once it was looked for
	drafts  []*storage.Draft
	meta    []storage.AppendMeta
	fault   error // the first fault; the rest is read over
}

// runAppend takes the messages one after the other, RFC 3502 §6.3.11: all or
// none. A refused literal is read over, or not asked for.
func runAppend(ctx context.Context, s *session, mailbox string) (reply, error) {
	if s.dec.Err() != nil {
		return reply{}, s.dec.Err()
	}
	a := &appending{mailbox: mailbox}
	defer a.abort()
	for {
		if err := s.appendOne(ctx, a); err != nil {
			return reply{}, err
		}
		if a.fault != nil {
			break
		}
		if s.dec.AtEnd() {
			break
		}
	}
	if a.fault != nil {
		return reply{}, toTarget(a.fault, s.wireName(mailbox))
	}
	if s.dec.End(); s.dec.Err() != nil {
		return reply{}, s.dec.Err()
	}
	return s.appendAll(ctx, a)
}

func (a *appending) abort() {
	for _, d := range a.drafts {
		d.Abort()
	}
}

// appendOne reads one message. Its error is one of the grammar or of the
// connection; what is wrong with the message or the mailbox goes to a.fault.
func (s *session) appendOne(ctx context.Context, a *appending) error {
	meta, pieces := s.readAppendHead()
	if pieces {
		return s.catenate(ctx, a, meta)
	}
	l, closing := s.readAnnouncement()
	if err := s.dec.Err(); err != nil {
		return err
	}
	draft, err := s.newDraft(ctx, a, l.Size)
	if err != nil {
		a.fault = err
		s.dec.Refuse(l)
		return nil
	}
	a.drafts, a.meta = append(a.drafts, draft), append(a.meta, meta)
	if !s.dec.Go(l) {
		return s.dec.Err()
	}
	if err := s.receive(draft, l.Size); err != nil {
		if s.dec.Err() != nil {
			return s.dec.Err()
		}
		a.fault = err
		return nil
	}
	s.dec.Begin(s.cfg.MaxLineLength) // what follows is bounded anew
	if closing {
		s.dec.Expect(')')
	}
	return s.dec.Err()
}

// receive streams a literal into the draft, and reads over the rest when the
// draft cannot take it.
func (s *session) receive(draft *storage.Draft, size int64) error {
	body := s.dec.Reader(size)
	if _, err := io.Copy(draft, body); err != nil {
		if drain := body.Drain(); drain != nil {
			return drain
		}
		return err
	}
	return nil
}

func (s *session) newDraft(ctx context.Context, a *appending, size int64) (*storage.Draft, error) {
	switch {
	case a.fault != nil:
		return nil, a.fault
	case size == 0:
		return nil, &no{"", "Can't save a zero byte message."}
	case size > s.maxMailSize():
		return nil, &no{"TOOBIG", fmt.Sprintf("Message is larger than the limit of %d bytes.", s.maxMailSize())}
	case s.cfg.MessageLimit > 0 && len(a.drafts) >= s.cfg.MessageLimit:
		return nil, s.tooMany(0)
	case len(a.drafts) >= maxAppend:
		return nil, &no{"LIMIT", "Too many messages in one APPEND."}
	}
	if a.place.account == nil {
		var err error
		if a.place, err = s.at(ctx, a.mailbox, acl.Insert); err != nil {
			return nil, err
		}
	}
	return a.place.account.NewDraft(ctx, a.place.name, size)
}

// readAppendHead reads what stands before a message: [SP flags] [SP date-time] SP;
// and CATENATE SP, if it comes in pieces.
func (s *session) readAppendHead() (meta storage.AppendMeta, pieces bool) {
	d := s.dec
	d.SP()
	if d.Peek() == '(' {
		meta.Flags = readFlags(d)
		d.SP()
	}
	if d.Peek() == '"' {
		meta.Time = d.DateTime()
		d.SP()
	}
	if c := d.Peek(); c != 'C' && c != 'c' {
		return meta, false
	}
	if d.Keyword() != "CATENATE" {
		d.Fail("Invalid arguments.")
	}
	d.SP()
	return meta, d.Err() == nil
}

// readAnnouncement reads literal / UTF8 SP "(" literal8 ")" up to the bytes.
func (s *session) readAnnouncement() (l imapwire.Literal, closing bool) {
	d := s.dec
	if c := d.Peek(); c == 'U' || c == 'u' { // RFC 6855 §4
		if d.Keyword() != "UTF8" {
			d.Fail("Invalid arguments.")
		}
		d.SP()
		d.Expect('(')
		closing = true
	}
	if c := d.Peek(); c != '{' && c != '~' {
		d.Fail("Invalid arguments.")
	}
	return d.Literal(), closing
}

func (s *session) appendAll(ctx context.Context, a *appending) (reply, error) {
	for i := range a.meta {
		a.meta[i].Flags = permitted(a.meta[i].Flags, a.place.rights)
	}
	validity, uids, err := a.place.account.Append(ctx, a.place.name, a.drafts, a.meta)
	if err != nil {
		return reply{}, toTarget(err, s.wireName(a.mailbox))
	}
	if !a.place.rights.Has(acl.Read) {
		return reply{}, nil
	}
	var set imapwire.Set
	for _, u := range uids {
		set.Add(uint32(u))
	}
	return reply{code: "APPENDUID " + uitoa(uint64(validity)) + " " + set.String()}, nil
}
