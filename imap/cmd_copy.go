package imap

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/acl"
	"mailserver/internal/imapwire"
	"mailserver/storage"
)

type copyArgs struct {
	messages
	to string
}

func parseCopy(s *session, d *imapwire.Decoder) copyArgs { return readCopy(s, d, false) }

func parseUIDCopy(s *session, d *imapwire.Decoder) copyArgs { return readCopy(s, d, true) }

func readCopy(s *session, d *imapwire.Decoder, uid bool) copyArgs {
	a := copyArgs{messages: readMessages(d, uid)}
	d.SP()
	a.to = s.readMailbox(d)
	return a
}

func runCopy(ctx context.Context, s *session, a copyArgs) (reply, error) {
	set, err := s.resolve(a.messages)
	if err != nil {
		return reply{}, err
	}
	if _, lowest := s.limited(set); lowest != 0 {
		return reply{}, s.tooMany(lowest)
	}
	p, err := s.at(ctx, a.to, acl.Insert)
	if err != nil {
		return reply{}, toTarget(err, s.wireName(a.to))
	}
	done, err := s.box.view.CopyTo(ctx, set, p.account, p.name, p.target())
	if err != nil {
		return reply{}, toTarget(err, s.wireName(a.to))
	}
	switch {
	case len(done.Dest) == 0:
		return reply{text: "No messages found."}, nil
	case !p.rights.Has(acl.Read):
		return reply{}, nil
	}
	return reply{code: copyUID(done)}, nil
}

// runMove: RFC 6851 §4.3: COPYUID comes untagged, before the messages go.
func runMove(ctx context.Context, s *session, a copyArgs) (reply, error) {
	set, err := s.resolve(a.messages)
	if err != nil {
		return reply{}, err
	}
	if s.box.view.ReadOnly() {
		return reply{}, storage.ErrReadOnly
	}
	if err := s.mayHere(ctx, acl.WriteDelete|acl.Expunge); err != nil {
		return reply{}, err
	}
	p, err := s.at(ctx, a.to, acl.Insert)
	if err != nil {
		return reply{}, toTarget(err, s.wireName(a.to))
	}
	set, lowest := s.limited(set)
	done, err := s.box.view.MoveTo(ctx, set, p.account, p.name, p.target())
	if err != nil {
		return reply{}, toTarget(err, s.wireName(a.to))
	}
	if len(done.Dest) == 0 {
		return reply{text: "No messages found."}, nil
	}
	if p.rights.Has(acl.Read) {
		s.untaggedOK(copyUID(done), "Moved UIDs.")
	}
	if err := s.tellRemovals(ctx); err != nil {
		return reply{}, err
	}
	if s.on.qresync { // RFC 7162 §3.2.10
		return s.underLimit(reply{code: "HIGHESTMODSEQ " + uitoa(s.box.view.HighestModSeq())}, lowest), nil
	}
	return s.underLimit(reply{}, lowest), nil
}

func copyUID(c storage.Copied) string {
	return "COPYUID " + uitoa(uint64(c.UIDValidity)) + " " + setText(c.Source) + " " + setText(c.Dest)
}

func setText(u imap.UIDSet) string { return fromUIDSet(u).String() }
