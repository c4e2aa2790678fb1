package imap

import (
	"context"
	"errors"
	"maps"
	"slices"

	"mailserver/storage"
)

// tellMail tells the state of a mailbox that is not selected.
func (t *notified) tellMail(ctx context.Context, f *followed, name string, c storage.Change) error {
	s, shown := t.s, f.shown(name)
	if s.isSelected(place{account: f.account, name: name}) {
		return nil
	}
	items := s.statusOf(c, t.n.wants(shown, f.foreign(), t.isSubscribed))
	if len(items) == 0 {
		return nil
	}
	if v, err := s.look(ctx, f, name); err != nil || v != inFull {
		return err
	}
	st, err := f.account.Status(ctx, name)
	if errors.Is(err, storage.ErrNoMailbox) {
		return nil
	}
	if err != nil {
		return err
	}
	s.writeStatus(shown, st, items)
	return s.enc.Err()
}

// statusOf are the items that tell of a change, as far as it is wanted: RFC 5465
// §5.1 to §5.3, and UNSEEN as Dovecot has it.
func (s *session) statusOf(c storage.Change, wanted event) []*statusItem {
	const comes = storage.Arrived | storage.Removed | storage.Revalidated
	var names []string
	switch {
	case wanted&comesAndGoes != 0 && c&comes != 0:
		names = []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN"}
	case wanted&flagChange != 0 && c&storage.SeenChanged != 0:
		names = []string{"UIDVALIDITY", "UNSEEN"}
	case wanted&flagChange != 0 && s.on.condstore:
		names = []string{"UIDVALIDITY"}
	default:
		return nil
	}
	if s.on.condstore {
		names = append(names, "HIGHESTMODSEQ")
	}
	return statusNamed(names)
}

func statusNamed(names []string) []*statusItem {
	items := make([]*statusItem, len(names))
	for i, name := range names {
		items[i] = findStatusItem(name)
	}
	return items
}

// tellStatuses is the STATUS of NOTIFY: how all mailboxes are whose messages are
// wanted, RFC 5465 §3.1.
func (s *session) tellStatuses(ctx context.Context) error {
	names := []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN"}
	flags := s.wanted()&flagChange != 0 || slices.ContainsFunc(s.notify.groups, func(g eventGroup) bool { return g.events&flagChange != 0 })
	if flags {
		names = append(names, "HIGHESTMODSEQ")
	}
	items := statusNamed(names)
	isSubscribed := s.isSubscribed(ctx)
	for _, f := range s.notify.follows {
		list, err := s.mailboxesOf(ctx, f)
		if err != nil {
			return err
		}
		for _, m := range list {
			shown := f.shown(m.Name)
			wanted := s.notify.wants(shown, f.foreign(), isSubscribed)&messageEvents != 0
			if !m.Exists || !wanted || s.isSelected(place{account: f.account, name: m.Name}) {
				continue
			}
			if err := s.tellFirstStatus(ctx, f, m.Name, items); err != nil {
				return err
			}
		}
	}
	return s.enc.Err()
}

func (s *session) mailboxesOf(ctx context.Context, f *followed) ([]storage.MailboxInfo, error) {
	if !f.foreign() {
		return f.account.List(ctx)
	}
	who, err := s.who(ctx, f.account)
	if err != nil {
		return nil, err
	}
	return f.account.Visible(ctx, who)
}

// tellDenied tells which mailboxes of others are wanted that may not be read,
// RFC 5465 §3.1.
func (s *session) tellDenied(ctx context.Context) {
	isSubscribed := s.isSubscribed(ctx)
	for _, f := range s.notify.follows {
		for _, name := range slices.Sorted(maps.Keys(f.sight)) {
			if f.foreign() && f.sight[name] == namedOnly && s.notify.wants(f.shown(name), true, isSubscribed) != 0 {
				s.tellNoAccess(f, name)
			}
		}
	}
}

func (s *session) tellNoAccess(f *followed, name string) {
	line := listLine{listed: listed{storage.MailboxInfo{Name: f.shown(name), Exists: true}, f.foreign()}}
	s.tellListNews(&listArgs{extended: true}, line, listNews{name: f.shown(name), foreign: f.foreign(), denied: true})
}

// tellFirstStatus tells how a mailbox is, or that it may not be read.
func (s *session) tellFirstStatus(ctx context.Context, f *followed, name string, items []*statusItem) error {
	v, err := s.look(ctx, f, name)
	if err != nil {
		return err
	}
	f.note(name, v)
	if v == namedOnly && !f.foreign() {
		s.tellNoAccess(f, name)
	}
	if v != inFull {
		return nil
	}
	st, err := f.account.Status(ctx, name)
	if errors.Is(err, storage.ErrNoMailbox) {
		return nil
	}
	if err != nil {
		return err
	}
	s.impliedBy(items)
	s.writeStatus(f.shown(name), st, items)
	return nil
}
