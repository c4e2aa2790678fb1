package imap

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mailserver/internal/acl"
	"mailserver/storage"
)

// otherSeparator divides the levels of names in the namespaces of others. It
// can be in no name of a user's own mailboxes, so that neither hides the other,
// and the dots of an address divide nothing.
const otherSeparator = '/'

// Namespace is one beside that of the user's own mailboxes, RFC 2342.
type Namespace struct {
	Prefix string           // "Public/"; "shared/%u/": %u is the owner's log-in name, %n its local part
	Public *storage.Account // nil: mailboxes of other users
	List   string           // yes, children: when there is something in it, no
}

// fixed is the prefix up to the name of an owner.
func (n *Namespace) fixed() string {
	before, _, _ := strings.Cut(n.Prefix, "%")
	return before
}

// of is the prefix of a user's mailboxes; "" if the user cannot be named so.
func (n *Namespace) of(user string) string {
	local, _, _ := strings.Cut(user, "@")
	if strings.ContainsAny(user, "/%*") {
		return ""
	}
	return strings.NewReplacer("%u", user, "%n", local).Replace(n.Prefix)
}

// Sharing is who lets whom see what; the zero value: there are no other
// namespaces.
type Sharing struct {
	// Namespaces returns those that there are now.
	Namespaces func(ctx context.Context) ([]Namespace, error)
	// Groups returns the groups of a user.
	Groups func(ctx context.Context, user string) ([]string, error)
	// Sharers returns users who share with who, at most limit.
	Sharers func(ctx context.Context, who acl.Who, limit int) ([]string, error)
}

// place is a mailbox that a command names.
type place struct {
	account *storage.Account
	name    string // in the account
	asked   string // as the user names it
	rights  acl.Rights
	foreign bool   // not in the namespace of the user's own mailboxes
	prefix  string // of names in the account, if it is foreign
}

// errNoPerm is what a user is told of a mailbox that may be seen; of any other
// that it is not there.
var errNoPerm = &no{"NOPERM", "Permission denied"}

// namespaces returns those beside the user's own.
func (s *session) namespaces(ctx context.Context) ([]Namespace, error) {
	f := s.srv.d.Sharing.Namespaces
	if f == nil {
		return nil, nil
	}
	list, err := f(ctx)
	if err != nil {
		return nil, s.unavailable("read the namespaces", err)
	}
	return list, nil
}

// who is the user as lists see one, towards mailboxes of an account.
func (s *session) who(ctx context.Context, of *storage.Account) (acl.Who, error) {
	w := acl.Who{User: s.user, Owner: !of.Public() && strings.EqualFold(of.User(), s.user)}
	if f := s.srv.d.Sharing.Groups; f != nil {
		groups, err := f(ctx, s.user)
		if err != nil {
			return w, s.unavailable("read the groups of "+s.user, err)
		}
		w.Groups = groups
	}
	return w, nil
}

// find finds what a name means, whether or not it is there. ErrNoMailbox: it
// can mean nothing.
func (s *session) find(ctx context.Context, name string) (place, error) {
	p := place{account: s.account, name: name, asked: name}
	if !strings.ContainsRune(name, otherSeparator) {
		return p, nil
	}
	list, err := s.namespaces(ctx)
	if err != nil {
		return p, err
	}
	for i := range list {
		if rest, ok := strings.CutPrefix(name, list[i].fixed()); ok {
			p.foreign = true
			return p, s.findOther(ctx, &list[i], rest, &p)
		}
	}
	return p, nil
}

// findOther finds what the rest of a name means after the fixed prefix.
func (s *session) findOther(ctx context.Context, n *Namespace, rest string, p *place) error {
	p.account = n.Public
	if n.Public == nil {
		user, below, err := s.ownerIn(ctx, n, rest)
		if err != nil {
			return err
		}
		if p.account, err = s.srv.d.Account(ctx, user); err != nil {
			return s.unavailable("find the mail of "+user, err)
		}
		rest = below
	}
	if p.account == nil {
		return storage.ErrNoMailbox
	}
	p.account = p.account.As(s.account)
	if n.Public == nil && rest == "" {
		rest = "INBOX"
	}
	if rest == "" || strings.ContainsRune(rest, storage.Separator) {
		return storage.ErrNoMailbox // a dot would divide levels there
	}
	p.name = strings.ReplaceAll(rest, string(otherSeparator), string(storage.Separator))
	p.prefix = n.Prefix
	if n.Public == nil {
		p.prefix = n.of(p.account.User())
	}
	return nil
}

// ownerIn takes the owner's name off: what stands for %u or %n, up to the next
// separator.
func (s *session) ownerIn(ctx context.Context, n *Namespace, rest string) (user, below string, err error) {
	user, below, _ = strings.Cut(rest, string(otherSeparator))
	if user == "" {
		return "", "", storage.ErrNoMailbox
	}
	if strings.Contains(n.Prefix, "%n") {
		if _, domain, ok := strings.Cut(s.user, "@"); ok {
			user += "@" + domain
		}
	}
	return user, below, nil
}

// at finds a mailbox that is there, and on which the user has the rights that
// are needed.
func (s *session) at(ctx context.Context, name string, need acl.Rights) (place, error) {
	p, err := s.find(ctx, name)
	if err != nil {
		return p, err
	}
	who, err := s.who(ctx, p.account)
	if err != nil {
		return p, err
	}
	if p.rights, err = p.account.Rights(ctx, p.name, who); err != nil {
		return p, hidden(p, err)
	}
	return p, p.need(need)
}

// hidden keeps the names that others cannot have from being told.
func hidden(p place, err error) error {
	if p.foreign && errors.Is(err, storage.ErrBadName) {
		return storage.ErrNoMailbox
	}
	return err
}

// need says what the user is told when rights are missing.
func (p place) need(want acl.Rights) error {
	switch {
	case p.rights.Has(want):
		return nil
	case p.rights.Has(acl.Lookup):
		return errNoPerm
	}
	return storage.ErrNoMailbox
}

// toMake finds where a mailbox is to be made: the right to create on the one
// above it is needed. Whether it is there already is not told without it.
func (s *session) toMake(ctx context.Context, name string) (place, error) {
	p, err := s.find(ctx, name)
	if errors.Is(err, storage.ErrNoMailbox) && p.foreign {
		return p, errNoPerm
	}
	if err != nil {
		return p, err
	}
	who, err := s.who(ctx, p.account)
	if err != nil {
		return p, err
	}
	above, err := p.account.RightsAbove(ctx, p.name, who)
	if err == nil && !above.Has(acl.Create) {
		err = errNoPerm
	}
	return p, err
}

// here are the rights on the selected mailbox as they are now.
func (s *session) here(ctx context.Context) (acl.Rights, error) {
	p := s.box.place
	who, err := s.who(ctx, p.account)
	if err != nil {
		return 0, err
	}
	return p.account.Rights(ctx, s.box.view.Name(), who)
}

// mayHere is nil if the user has the rights on the selected mailbox.
func (s *session) mayHere(ctx context.Context, need acl.Rights) error {
	r, err := s.here(ctx)
	if err == nil && !r.Has(need) {
		err = errNoPerm
	}
	return err
}

// target is what may be set on messages that are copied there.
func (p place) target() storage.FlagSet { return kept(p.rights) }

// isSelected says whether a place is the selected mailbox.
func (s *session) isSelected(p place) bool {
	return s.box != nil && s.box.place.account.User() == p.account.User() && s.box.view.Name() == p.name
}

// separatorOf is what divides the levels of a name.
func separatorOf(foreign bool) string {
	if foreign {
		return string(otherSeparator)
	}
	return string(storage.Separator)
}

// otherName is the name of a mailbox of a namespace's account.
func otherName(prefix, name string) string {
	if name == "INBOX" {
		return strings.TrimSuffix(prefix, string(otherSeparator))
	}
	return prefix + strings.ReplaceAll(name, string(storage.Separator), string(otherSeparator))
}

// runNamespace: RFC 2342, in Dovecot's order: the user's own, those of other
// users, public ones.
func runNamespace(ctx context.Context, s *session) (reply, error) {
	list, err := s.namespaces(ctx)
	if err != nil {
		return reply{}, err
	}
	s.enc.Raw("* NAMESPACE ((\"\" \".\"))")
	for _, public := range []bool{false, true} {
		open := " ("
		for i := range list {
			if (list[i].Public != nil) == public {
				name := list[i].fixed()
				s.enc.Raw(open).Raw("(").String(s.wireName(name)).Raw(fmt.Sprintf(" \"%c\")", otherSeparator))
				open = ""
			}
		}
		if open != "" {
			s.enc.Raw(" NIL")
			continue
		}
		s.enc.Raw(")")
	}
	s.enc.CRLF()
	return reply{}, nil
}
