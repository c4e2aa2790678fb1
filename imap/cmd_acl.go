package imap

import (
	"context"
	"errors"
	"strings"

	"mailserver/internal/acl"
	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// RFC 4314: who may do what with a mailbox. Texts are Dovecot's.

var errNotAdmin = &no{"NOPERM", "You lack administrator privileges on this mailbox"}

// administer finds a mailbox whose list the user may see and change.
func (s *session) administer(ctx context.Context, name string) (place, error) {
	p, err := s.at(ctx, name, 0)
	if err == nil && !p.rights.Has(acl.Admin) {
		if err = p.need(acl.Admin); err == errNoPerm {
			err = errNotAdmin
		}
	}
	return p, naming(err, s.wireName(name))
}

func runGetACL(ctx context.Context, s *session, name string) (reply, error) {
	p, err := s.administer(ctx, name)
	if err != nil {
		return reply{}, err
	}
	list, err := p.account.ACL(ctx, p.name)
	if err != nil {
		return reply{}, aclFault(err)
	}
	s.enc.Raw("* ACL ").Mailbox(s.wireName(name))
	said := list.Entry(acl.ID{Kind: acl.Owner})
	owner := said.IMAP()
	if own := list.Entry(acl.ID{Kind: acl.User, Name: p.account.User()}); !own.HasYes && !own.HasNo && !p.account.Public() {
		owner = p.account.User() // RFC 4314 §2: a name, where nothing else is meant by it
	}
	for _, e := range list {
		id := e.IMAP()
		if e.Kind == acl.Owner {
			id = owner
		}
		if e.HasYes {
			s.tellEntry(id, e.Yes.Listed())
		}
		if e.HasNo {
			s.tellEntry("-"+id, e.No.Listed())
		}
	}
	if !said.HasYes && !p.account.Public() {
		s.tellEntry(owner, acl.All.Mine())
	}
	s.enc.CRLF()
	return reply{}, nil
}

func (s *session) tellEntry(id, rights string) {
	s.enc.Raw(" ").Mailbox(id).Raw(" ").Mailbox(rights)
}

// aclFault tells the owner which line it is.
func aclFault(err error) error {
	if errors.Is(err, storage.ErrACL) {
		return &no{"SERVERBUG", "ACL file of the mailbox cannot be understood; the server's log says why."}
	}
	return err
}

const enoughForMine = acl.Lookup | acl.Read | acl.Insert | acl.Create | acl.Delete | acl.Admin

// runMyRights: RFC 4314 §4: l, r, i, k, x or a is enough to be told.
func runMyRights(ctx context.Context, s *session, name string) (reply, error) {
	p, err := s.at(ctx, name, 0)
	if err == nil && p.rights&enoughForMine == 0 {
		err = storage.ErrNoMailbox
	}
	if err != nil {
		return reply{}, naming(err, s.wireName(name))
	}
	s.enc.Raw("* MYRIGHTS ").Mailbox(s.wireName(name)).Raw(" ").Raw(p.rights.Mine()).CRLF()
	return reply{}, nil
}

type aclChange struct {
	mailbox string
	id      string
	rights  string
}

func parseACLName(s *session, d *imapwire.Decoder) aclChange {
	a := aclChange{mailbox: s.readMailbox(d)}
	d.SP()
	a.id = d.AString()
	return a
}

func parseSetACL(s *session, d *imapwire.Decoder) aclChange {
	a := parseACLName(s, d)
	d.SP()
	a.rights = d.AString()
	return a
}

const maxIdentifier = 256

// identifier reads who is meant; negative: of what they may not do.
func (a *aclChange) identifier() (id acl.ID, negative bool, err error) {
	name, negative := strings.CutPrefix(a.id, "-")
	id, err = acl.IMAPID(name)
	switch {
	case errors.Is(err, acl.ErrGlobal):
		err = &refusal{"Global ACLs can't be modified: " + a.id}
	case err != nil || len(name) > maxIdentifier:
		err = &refusal{"Invalid identifier."}
	}
	return id, negative, err
}

func runListRights(ctx context.Context, s *session, a aclChange) (reply, error) {
	if _, _, err := a.identifier(); err != nil {
		return reply{}, err
	}
	if _, err := s.administer(ctx, a.mailbox); err != nil {
		return reply{}, err
	}
	s.enc.Raw("* LISTRIGHTS ").Mailbox(s.wireName(a.mailbox)).Raw(" ").Mailbox(a.id).Raw(` "" l r w s t p i e k x a c d`).CRLF()
	return reply{}, nil
}

// change is what SETACL makes of what was there.
type rightsChange struct {
	op     byte // '+', '-', 0: in place of it
	rights acl.Rights
}

func readRights(text string) (c rightsChange, err error) {
	if text != "" && (text[0] == '+' || text[0] == '-') {
		c.op, text = text[0], text[1:]
	}
	r, bad := acl.Parse(text)
	if bad != 0 {
		return c, &refusal{"Invalid ACL right: " + text[strings.IndexByte(text, bad):][:1]}
	}
	c.rights = r
	return c, nil
}

func (c rightsChange) of(r acl.Rights) acl.Rights {
	switch c.op {
	case '+':
		return r | c.rights
	case '-':
		return r &^ c.rights
	}
	return c.rights
}

// apply changes one line of an entry; no rights are no line.
func (c rightsChange) apply(e acl.Entry, negative bool) acl.Entry {
	if negative {
		e.No = c.of(e.No)
		e.HasNo = e.No != 0
		return e
	}
	e.Yes = c.of(e.Yes)
	e.HasYes = e.Yes != 0
	return e
}

func runSetACL(ctx context.Context, s *session, a aclChange) (reply, error) {
	id, negative, err := a.identifier()
	if err != nil {
		return reply{}, err
	}
	c, err := readRights(a.rights)
	if err != nil {
		return reply{}, err
	}
	if s.cfg.ACLAnyone != "allow" && !negative && (id.Kind == acl.Anyone || id.Kind == acl.Authenticated) {
		return reply{}, &no{"NOPERM", "'" + a.id + "' identifier is disallowed"}
	}
	return reply{}, s.changeACL(ctx, a.mailbox, id, func(e acl.Entry) acl.Entry { return c.apply(e, negative) })
}

func runDeleteACL(ctx context.Context, s *session, a aclChange) (reply, error) {
	id, negative, err := a.identifier()
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.changeACL(ctx, a.mailbox, id, func(e acl.Entry) acl.Entry {
		return rightsChange{}.apply(e, negative)
	})
}

// changeACL changes the entry of an identifier. What the owner has by default is
// what is changed, where the list does not tell.
func (s *session) changeACL(ctx context.Context, mailbox string, id acl.ID, change func(acl.Entry) acl.Entry) error {
	p, err := s.administer(ctx, mailbox)
	if err != nil {
		return err
	}
	err = p.account.ChangeACL(ctx, p.name, func(list acl.List) acl.List {
		e := list.Entry(id)
		if id.Kind == acl.Owner && !e.HasYes && !p.account.Public() {
			e.Yes, e.HasYes = acl.All, true
		}
		return list.Set(change(e))
	})
	return aclFault(naming(err, s.wireName(mailbox)))
}
