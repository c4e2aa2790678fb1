package imap

import (
	"context"
	"errors"
	"slices"
	"strings"

	"mailserver/internal/acl"
	"mailserver/storage"
)

// notify is what NOTIFY has asked for; the zero value: nothing.
type notify struct {
	groups   []eventGroup // names are as otherName has them
	selected *selectedEvents
	follows  []*followed
}

// followed is an account some of whose mailboxes are wanted.
type followed struct {
	account *storage.Account
	prefix  string // of another namespace; empty: the user's own
	feed    *storage.Feed
	// sight is what the user may see of it, by name in the account: of the own
	// one only what differs from inFull.
	sight map[string]sight
}

// sight is what rights let a user see of a mailbox.
type sight uint8

const (
	hiddenBox sight = iota
	namedOnly       // the right to read is missing
	inFull
)

const (
	// maxFollowed bounds the accounts of one session.
	maxFollowed = 50
	// maxSights bounds the mailboxes of others that a session remembers.
	maxSights = 1000
)

var errManyMailboxes = &no{"NOTIFICATIONOVERFLOW", "Too many mailboxes of others."}

func (n *notify) close() {
	for _, f := range n.follows {
		f.feed.Close()
	}
	n.follows = nil
}

func (f *followed) foreign() bool { return f.prefix != "" }

// shown is the name of a mailbox as the user has it.
func (f *followed) shown(name string) string {
	if f.foreign() {
		return otherName(f.prefix, name)
	}
	return name
}

func (f *followed) sees(name string) sight {
	if v, ok := f.sight[name]; ok || f.foreign() {
		return v
	}
	return inFull
}

func (f *followed) note(name string, v sight) {
	if !f.foreign() && v == inFull || v == hiddenBox {
		delete(f.sight, name)
		return
	}
	if f.sight == nil {
		f.sight = make(map[string]sight)
	}
	f.sight[name] = v
}

// follow begins to follow the accounts that the groups are about, as far as it
// is not done yet, and brings names into the form in which they are compared.
func (s *session) follow(ctx context.Context, n *notify) error {
	for _, g := range n.groups {
		var err error
		switch g.filter {
		case personal:
			_, err = s.followOne(ctx, n, place{account: s.account})
		case subscribed:
			err = s.followSubscribed(ctx, n)
		default:
			err = s.followNamed(ctx, n, &g)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *session) followOne(ctx context.Context, n *notify, p place) (*followed, error) {
	for _, f := range n.follows {
		if f.account.User() == p.account.User() && f.prefix == p.prefix {
			return f, nil
		}
	}
	if len(n.follows) >= maxFollowed {
		return nil, errManyMailboxes
	}
	feed, err := p.account.Feed(s.link, s.link.wake)
	if err != nil {
		return nil, err
	}
	f := &followed{account: p.account, prefix: p.prefix, feed: feed}
	n.follows = append(n.follows, f)
	if !f.foreign() {
		return f, nil
	}
	return f, s.firstSight(ctx, n, f)
}

// firstSight notes which mailboxes of others the user sees.
func (s *session) firstSight(ctx context.Context, n *notify, f *followed) error {
	who, err := s.who(ctx, f.account)
	if err != nil {
		return err
	}
	list, err := f.account.Visible(ctx, who)
	if err != nil {
		return s.unavailable("list the mailboxes of "+f.account.User(), err)
	}
	for _, m := range list {
		if !m.Exists {
			continue
		}
		v, err := s.look(ctx, f, m.Name)
		if err != nil {
			return err
		}
		f.note(m.Name, v)
	}
	all := 0
	for _, f := range n.follows {
		all += len(f.sight)
	}
	if all > maxSights {
		return errManyMailboxes
	}
	return nil
}

// look finds what the user may see of a mailbox now; nothing if it is not there.
func (s *session) look(ctx context.Context, f *followed, name string) (sight, error) {
	who, err := s.who(ctx, f.account)
	if err != nil {
		return hiddenBox, err
	}
	r, err := f.account.Rights(ctx, name, who)
	switch {
	case errors.Is(err, storage.ErrNoMailbox):
		return hiddenBox, nil
	case err != nil:
		return hiddenBox, err
	case r.Has(acl.Lookup | acl.Read):
		return inFull, nil
	case r.Has(acl.Lookup):
		return namedOnly, nil
	}
	return hiddenBox, nil
}

// followSubscribed follows whoever has a mailbox that the user subscribes to.
func (s *session) followSubscribed(ctx context.Context, n *notify) error {
	if _, err := s.followOne(ctx, n, place{account: s.account}); err != nil {
		return err
	}
	list, err := s.account.List(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if !strings.ContainsRune(m.Name, otherSeparator) {
			continue
		}
		p, err := s.find(ctx, m.Name)
		if err != nil || !p.foreign || p.prefix == "" {
			continue // nobody's
		}
		if _, err := s.followOne(ctx, n, p); err != nil {
			return err
		}
	}
	return nil
}

// followNamed follows the accounts of mailboxes by name, which need not be there.
func (s *session) followNamed(ctx context.Context, n *notify, g *eventGroup) error {
	for i, name := range g.names {
		if whole, err := s.followNamespace(ctx, n, g, i); whole || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		p, err := s.find(ctx, withoutSeparator(name))
		if err != nil || p.foreign && p.prefix == "" {
			continue // nobody's
		}
		f, err := s.followOne(ctx, n, p)
		if err != nil {
			return err
		}
		g.names[i] = f.shown(storage.Canonical(p.name))
	}
	return nil
}

// followNamespace follows all of a namespace, if the i-th name of a group is its
// top.
func (s *session) followNamespace(ctx context.Context, n *notify, g *eventGroup, i int) (bool, error) {
	list, err := s.namespaces(ctx)
	if err != nil {
		return false, err
	}
	top := strings.TrimSuffix(g.names[i], string(otherSeparator))
	for k := range list {
		if g.filter != subtree || top != strings.TrimSuffix(list[k].fixed(), string(otherSeparator)) {
			continue
		}
		g.names[i] = top
		return true, s.eachAccount(ctx, &list[k], func(a *storage.Account, prefix string) error {
			_, err := s.followOne(ctx, n, place{account: a.As(s.account), prefix: prefix})
			return err
		})
	}
	return false, nil
}

// isSubscribed returns what tells whether the user subscribes to a mailbox.
func (s *session) isSubscribed(ctx context.Context) func(string) bool {
	var names []string
	read := false
	return func(name string) bool {
		if !read {
			list, _ := s.account.List(ctx)
			for _, m := range list {
				if m.Subscribed {
					names = append(names, m.Name)
				}
			}
			read = true
		}
		return slices.Contains(names, name)
	}
}
