package imap

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/acl"
	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// replacing is REPLACE, RFC 8508: an APPEND that takes the place of a message.
type replacing struct {
	messages
	mailbox string
}

func parseReplace(s *session, d *imapwire.Decoder) replacing { return readReplace(s, d, false) }

func parseUIDReplace(s *session, d *imapwire.Decoder) replacing { return readReplace(s, d, true) }

func readReplace(s *session, d *imapwire.Decoder, uid bool) replacing {
	r := replacing{messages: readMessages(d, uid)}
	d.SP()
	r.mailbox = s.readMailbox(d)
	return r
}

// runReplace puts the new message in place first: at no moment is neither there.
func runReplace(ctx context.Context, s *session, r replacing) (reply, error) {
	if s.dec.Err() != nil {
		return reply{}, s.dec.Err()
	}
	a := &appending{mailbox: r.mailbox}
	defer a.abort()
	old, err := s.replaced(ctx, r.messages)
	a.fault = err // the literal is read over
	if err := s.appendOne(ctx, a); err != nil {
		return reply{}, err
	}
	if a.fault != nil {
		return reply{}, toTarget(a.fault, s.wireName(r.mailbox))
	}
	if s.dec.End(); s.dec.Err() != nil {
		return reply{}, s.dec.Err()
	}
	done, err := s.appendAll(ctx, a)
	if err != nil {
		return reply{}, err
	}
	s.untaggedOK(done.code, "Replacement Message ready")
	v := s.box.view
	v.Keep(0)
	if _, err := v.Store(ctx, old, imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted}, nil); err != nil {
		return reply{}, err
	}
	return s.expunge(ctx, old)
}

// replaced is the one message that is to go.
func (s *session) replaced(ctx context.Context, m messages) (imap.UIDSet, error) {
	set, err := s.resolve(m)
	if err != nil {
		return nil, err
	}
	if s.box.view.ReadOnly() {
		return nil, storage.ErrReadOnly
	}
	if err := s.mayHere(ctx, acl.WriteDelete|acl.Expunge); err != nil {
		return nil, err
	}
	uids := s.uidsOf(set)
	switch {
	case len(uids) == 0:
		return nil, storage.ErrExpunged
	case len(uids) > 1 || uids[0].From != uids[0].To:
		return nil, &refusal{"REPLACE takes one message."}
	}
	return toUIDSet(uids), nil
}
