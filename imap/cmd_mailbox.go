package imap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/acl"
	"mailserver/internal/imapwire"
	"mailserver/internal/maillog"
	"mailserver/internal/mutf7"
	"mailserver/storage"
)

// readMailbox reads a mailbox name into UTF-8, as storage names it. Bytes over
// 127 are taken for UTF-8 from any client; '&' is mUTF-7 unless UTF-8 was
// agreed: RFC 6855 §3, RFC 9051 §5.1.
func (s *session) readMailbox(d *imapwire.Decoder) string {
	name, ok := s.decodeName(d.AString())
	if !ok {
		name = notUTF7 + name
	}
	if len(name) > maxNameLength {
		d.Fail("Mailbox name is too long.")
	}
	return name
}

const maxNameLength = 1024

// notUTF7 stands before a name that could not be decoded: storage refuses it as
// it does every bad name.
const notUTF7 = "\xff"

func (s *session) decodeName(wire string) (string, bool) {
	if s.on.utf8 || s.on.rev2 || !isASCII(wire) {
		return wire, utf8.ValidString(wire)
	}
	name, err := mutf7.Decode(wire)
	if err != nil {
		return wire, false
	}
	return name, true
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// wireName is the name as this client reads it.
func (s *session) wireName(name string) string {
	if s.on.utf8 || s.on.rev2 {
		return name
	}
	wire, err := mutf7.Encode(name)
	if err != nil {
		return name
	}
	return wire
}

func parseMailbox(s *session, d *imapwire.Decoder) string { return s.readMailbox(d) }

type creation struct {
	name    string
	special []imap.MailboxAttr
}

func parseCreate(s *session, d *imapwire.Decoder) creation {
	c := creation{name: s.readMailbox(d)}
	if d.AtEnd() {
		return c
	}
	d.SP()
	d.List(func() { // RFC 6154 §3: CREATE name (USE (\Sent))
		if d.Keyword() != "USE" {
			d.Fail("Unknown CREATE parameter.")
		}
		d.SP()
		d.List(func() { c.special = append(c.special, imap.MailboxAttr(d.Flag())) })
	})
	return c
}

// specialUses: RFC 6154 §2. \All and \Flagged would be virtual mailboxes.
var specialUses = map[string]imap.MailboxAttr{
	`\archive`: imap.MailboxAttrArchive, `\drafts`: imap.MailboxAttrDrafts, `\junk`: imap.MailboxAttrJunk,
	`\sent`: imap.MailboxAttrSent, `\trash`: imap.MailboxAttrTrash,
}

func runCreate(ctx context.Context, s *session, c creation) (reply, error) {
	for i, u := range c.special {
		known, ok := specialUses[strings.ToLower(string(u))]
		if !ok {
			return reply{}, &no{"USEATTR", "Unsupported special-use attribute."}
		}
		c.special[i] = known
	}
	// RFC 9051 §6.3.4: a separator at the end only says that there will be
	// children.
	p, err := s.toMake(ctx, withoutSeparator(c.name))
	if err != nil {
		return reply{}, err
	}
	id, err := p.account.Create(ctx, p.name, c.special)
	if err != nil {
		return reply{}, err
	}
	return reply{code: "MAILBOXID (" + id + ")"}, nil // RFC 8474 §4.1
}

// withoutSeparator takes a separator off the end, of either kind: no name ends
// with one.
func withoutSeparator(name string) string {
	if n := len(name); n > 1 && (name[n-1] == storage.Separator || name[n-1] == otherSeparator && strings.Count(name, "/") > 1) {
		return name[:n-1]
	}
	return name
}

// runDelete: a session that deletes what it has selected goes on without.
func runDelete(ctx context.Context, s *session, name string) (reply, error) {
	p, err := s.at(ctx, name, acl.Delete)
	if err != nil {
		return reply{}, naming(err, s.wireName(name))
	}
	own := s.isSelected(p)
	if err := p.account.Delete(ctx, p.name); err != nil {
		return reply{}, naming(err, s.wireName(name))
	}
	if own {
		s.unselect()
		s.enc.Raw("* OK [CLOSED] Selected mailbox was deleted.\r\n")
	}
	return reply{}, nil
}

type renaming struct{ from, to string }

func parseRename(s *session, d *imapwire.Decoder) renaming {
	var r renaming
	r.from = s.readMailbox(d)
	d.SP()
	r.to = s.readMailbox(d)
	return r
}

func runRename(ctx context.Context, s *session, r renaming) (reply, error) {
	to := withoutSeparator(r.to)
	err := s.rename(ctx, r.from, to)
	switch {
	case errors.Is(err, storage.ErrExists) && r.from == to:
		err = &no{"ALREADYEXISTS", "Can't rename mailbox to itself."}
	case errors.Is(err, storage.ErrExists):
		err = &no{"ALREADYEXISTS", "Target mailbox already exists"}
	case errors.Is(err, storage.ErrBelowItself):
		err = &no{"CANNOT", "Can't rename mailbox under its own child."}
	}
	return reply{}, naming(err, s.wireName(r.from))
}

// rename: RFC 4314 §4: the rights to delete the mailbox and to make the other.
func (s *session) rename(ctx context.Context, from, to string) error {
	p, err := s.at(ctx, from, acl.Delete)
	if err != nil && (p.foreign || p.rights != 0 || !errors.Is(err, storage.ErrNoMailbox)) {
		return err // of the user's own, a level that is no mailbox is renamed too
	}
	q, err := s.toMake(ctx, to)
	if err != nil {
		return err
	}
	if p.account.User() != q.account.User() {
		return &no{"CANNOT", "Can't rename mailboxes across specified storages"}
	}
	return p.account.Rename(ctx, p.name, q.name)
}

// naming says which mailbox it is that does not exist, as Dovecot does.
func naming(err error, wire string) error {
	var bad *storage.NameError
	if errors.As(err, &bad) {
		return bad
	}
	if errors.Is(err, storage.ErrNoMailbox) {
		return &no{"NONEXISTENT", fmt.Sprintf("Mailbox doesn't exist: %s", maillog.OneLine(wire))}
	}
	return err
}

// toTarget is naming for the mailbox that a message was to be put into.
func toTarget(err error, wire string) error {
	var bad *storage.NameError
	if errors.As(err, &bad) {
		return bad
	}
	if errors.Is(err, storage.ErrNoMailbox) {
		return &no{"TRYCREATE", fmt.Sprintf("Mailbox doesn't exist: %s", maillog.OneLine(wire))}
	}
	return err
}

func runSubscribe(ctx context.Context, s *session, name string) (reply, error) {
	if _, err := s.at(ctx, name, acl.Lookup); err != nil {
		return reply{}, naming(err, s.wireName(name))
	}
	return reply{}, s.account.Subscribe(ctx, name, true)
}

func runUnsubscribe(ctx context.Context, s *session, name string) (reply, error) {
	return reply{}, s.account.Subscribe(ctx, name, false)
}
