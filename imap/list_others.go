package imap

import (
	"context"
	"slices"
	"strings"

	"mailserver/storage"
)

// maxSharers bounds the users whose mailboxes one LIST looks at.
const maxSharers = 1000

// withOthers adds to the user's own mailboxes those of other namespaces that a
// LIST can tell.
func (s *session) withOthers(ctx context.Context, a *listArgs, own []storage.MailboxInfo) ([]listed, error) {
	all := make([]listed, 0, len(own))
	subscribed := map[string]bool{} // names of other namespaces
	for _, m := range own {
		if strings.ContainsRune(m.Name, otherSeparator) {
			subscribed[m.Name] = true
			continue
		}
		all = append(all, listed{MailboxInfo: m})
	}
	list, err := s.namespaces(ctx)
	if err != nil {
		return nil, err
	}
	o := others{s: s, a: a, found: map[string]*listed{}}
	for i := range list {
		if err := o.add(ctx, &list[i]); err != nil {
			return nil, err
		}
	}
	for name := range subscribed {
		o.get(name).Subscribed = true
	}
	for _, m := range o.found {
		all = append(all, *m)
	}
	return all, nil
}

// others are the mailboxes of other namespaces that a LIST has found.
type others struct {
	s     *session
	a     *listArgs
	found map[string]*listed
}

func (o *others) get(name string) *listed {
	if o.found[name] == nil {
		o.found[name] = &listed{MailboxInfo: storage.MailboxInfo{Name: name}, foreign: true}
	}
	return o.found[name]
}

// wanted says whether a name that begins so can match.
func (o *others) wanted(begin string) bool {
	return slices.ContainsFunc(o.a.patterns, func(p string) bool { return mayMatch(p, begin, otherSeparator) })
}

// add adds what a namespace has.
func (o *others) add(ctx context.Context, n *Namespace) error {
	fixed := n.fixed()
	if n.List == "no" || !o.wanted(strings.TrimSuffix(fixed, string(otherSeparator))) && !o.wanted(fixed) {
		return nil
	}
	if n.List == "yes" {
		o.above(fixed)
	}
	return o.s.eachAccount(ctx, n, func(account *storage.Account, prefix string) error {
		return o.account(ctx, account, prefix)
	})
}

// eachAccount calls fn for the accounts of a namespace whose owners share with
// the user.
func (s *session) eachAccount(ctx context.Context, n *Namespace, fn func(account *storage.Account, prefix string) error) error {
	if n.Public != nil {
		return fn(n.Public, n.Prefix)
	}
	who, err := s.who(ctx, s.account)
	if err != nil {
		return err
	}
	sharers, err := s.srv.d.Sharing.Sharers(ctx, who, maxSharers)
	if err != nil {
		return err
	}
	for _, user := range sharers {
		prefix := n.of(user)
		if prefix == "" || strings.EqualFold(user, s.user) || !s.sameDomain(n, user) {
			continue
		}
		account, err := s.srv.d.Account(ctx, user)
		if err != nil {
			return s.unavailable("find the mail of "+user, err)
		}
		if account == nil {
			continue
		}
		if err := fn(account, prefix); err != nil {
			return err
		}
	}
	return nil
}

// sameDomain: %n names users of the same domain only.
func (s *session) sameDomain(n *Namespace, user string) bool {
	_, theirs, _ := strings.Cut(user, "@")
	_, ours, _ := strings.Cut(s.user, "@")
	return !strings.Contains(n.Prefix, "%n") || strings.EqualFold(theirs, ours)
}

// account adds what the user may see of an account, and the levels above.
func (o *others) account(ctx context.Context, account *storage.Account, prefix string) error {
	who, err := o.s.who(ctx, account)
	if err != nil {
		return err
	}
	list, err := account.Visible(ctx, who)
	if err != nil {
		// One tree that cannot be read hides no other.
		o.s.srv.d.Log.Warn("cannot list mailboxes of another namespace", "conn", o.s.id, "user", o.s.user, "owner", account.User(), "err", err)
		return nil
	}
	for _, m := range list {
		if !m.Exists {
			continue
		}
		name := otherName(prefix, m.Name)
		o.get(name).Exists = true
		o.above(name)
	}
	return nil
}

// above notes the levels above a name.
func (o *others) above(name string) {
	for {
		i := strings.LastIndexByte(name, otherSeparator)
		if i <= 0 {
			return
		}
		name = name[:i]
		o.get(name).Children = true
	}
}

// root is the answer to an empty pattern: up to the first separator of the
// reference, and that separator.
func (s *session) root(ctx context.Context, a *listArgs) (root, separator string) {
	list, err := s.namespaces(ctx)
	for i := range list {
		if fixed := list[i].fixed(); err == nil && strings.HasPrefix(a.patterns[0], fixed) {
			return fixed, string(otherSeparator)
		}
	}
	return a.root(), string(storage.Separator)
}
