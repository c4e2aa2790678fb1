package imap

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailserver/storage"
)

// tellBetween tells between two commands what NOTIFY has asked for. woken: the
// selected mailbox may have changed, too.
func (s *session) tellBetween(ctx context.Context, woken bool) error {
	if s.notify == nil {
		return nil
	}
	if woken && s.box != nil && s.wanted() != 0 {
		if err := s.tellChanges(ctx, !s.notify.selected.delayed); err != nil {
			return err
		}
	}
	return s.tellNotified(ctx)
}

// fetchArrived tells what NOTIFY wants to know of new messages: those above last.
func (s *session) fetchArrived(ctx context.Context, last imap.UID) error {
	if s.notify == nil || s.notify.selected == nil || s.notify.selected.fetch == nil {
		return nil
	}
	a := s.notify.selected.fetch
	f := s.fetching(ctx, a)
	set := imap.UIDSet{{Start: last + 1, Stop: max(last+1, s.box.view.UID(s.box.view.Len()))}}
	if a.marksSeen && s.marksSeen(ctx) {
		return f.marking(ctx, set)
	}
	return f.all(ctx, set)
}

// notified is what one call of tellNotified has to tell, and what it finds out
// for it once.
type notified struct {
	s            *session
	n            *notify
	isSubscribed func(string) bool
	lines        []listNews
	again        bool // subscriptions have changed
}

// listNews is a LIST response that is owed.
type listNews struct {
	name, old string
	foreign   bool
	gone      bool
	denied    bool
}

// tellNotified tells what has happened in the accounts that are followed.
func (s *session) tellNotified(ctx context.Context) error {
	if s.notify == nil {
		return nil
	}
	for _, f := range s.notify.follows {
		if !f.feed.Waiting() {
			continue
		}
		mail, news, over := f.feed.Take()
		if over {
			s.overflow("Too much has happened.")
			break
		}
		t := &notified{s: s, n: s.notify, isSubscribed: s.isSubscribed(ctx)}
		err := t.tell(ctx, f, mail, news)
		if errors.Is(err, errManyMailboxes) {
			s.overflow(errManyMailboxes.text)
			break
		}
		if err != nil {
			s.srv.d.Log.Warn("NOTIFY failed", "conn", s.id, "user", s.user, "err", err)
			s.enc.Raw("* NO NOTIFY error, some events may have got lost\r\n")
		}
	}
	return s.enc.Err()
}

// overflow: RFC 5465 §3.1: the client is told, and NOTIFY NONE is in effect.
func (s *session) overflow(why string) {
	s.untaggedOK("NOTIFICATIONOVERFLOW", why)
	s.notify.close()
	s.notify = &notify{}
}

func (t *notified) tell(ctx context.Context, f *followed, mail map[string]storage.Change, news []storage.News) error {
	for _, n := range news {
		if err := t.take(ctx, f, n); err != nil {
			return err
		}
	}
	if err := t.tellLists(ctx); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(mail)) {
		if err := t.tellMail(ctx, f, name, mail[name]); err != nil {
			return err
		}
	}
	if t.again {
		return t.s.follow(ctx, t.n)
	}
	return nil
}

func (t *notified) take(ctx context.Context, f *followed, n storage.News) error {
	switch n.Kind {
	case storage.Annotated:
		return t.annotated(ctx, f, n)
	case storage.Subscribed:
		t.subscribed(n)
		return nil
	}
	return t.named(ctx, f, n)
}

func (t *notified) wants(name string, foreign bool, e event) bool {
	return t.n.wants(name, foreign, t.isSubscribed)&e != 0
}

// subscribed: RFC 5465 §5.5. One that is not subscribed any more passes the
// filter a last time.
func (t *notified) subscribed(n storage.News) {
	t.again = t.again || slices.ContainsFunc(t.n.groups, func(g eventGroup) bool { return g.filter == subscribed })
	foreign := strings.ContainsRune(n.Name, otherSeparator)
	wanted := t.n.wants(n.Name, foreign, func(string) bool { return true })
	if !n.Own && wanted&subscriptionChange != 0 {
		t.owe(listNews{name: n.Name, foreign: foreign})
	}
}

// owe notes a LIST response; the last one of a name stands.
func (t *notified) owe(l listNews) {
	for i := range t.lines {
		if t.lines[i].name == l.name {
			if l.old == "" {
				l.old = t.lines[i].old
			}
			t.lines = slices.Delete(t.lines, i, i+1)
			break
		}
	}
	t.lines = append(t.lines, l)
}

// named: RFC 5465 §5.4. Who may not see a mailbox does not learn of it; who
// could, learns that it is gone.
func (t *notified) named(ctx context.Context, f *followed, n storage.News) error {
	before := f.sees(n.Name)
	now, err := t.s.look(ctx, f, n.Name)
	if err != nil {
		return err
	}
	old := t.moved(f, n)
	f.note(n.Name, now)
	if len(f.sight) > maxSights {
		return errManyMailboxes
	}
	known := before != hiddenBox || now != hiddenBox
	if n.Own || !known && old == "" || n.Kind == storage.Permitted && before == now {
		return nil
	}
	if n.Kind == storage.Named && n.Old == "" {
		t.above(f, n.Name)
	}
	if now == hiddenBox && old != "" { // renamed to where it is not seen
		t.oweIfWanted(f, listNews{name: old, gone: true})
		return nil
	}
	t.oweIfWanted(f, listNews{name: f.shown(n.Name), old: old, gone: now == hiddenBox, denied: now == namedOnly})
	if old != "" {
		t.children(f, n)
	}
	return nil
}

// moved takes what is known of a renamed mailbox, and of those below it, along.
// It returns the old name as the user had it; empty if it was not seen.
func (t *notified) moved(f *followed, n storage.News) (old string) {
	if n.Old == "" {
		return ""
	}
	if f.sees(n.Old) != hiddenBox {
		old = f.shown(n.Old)
	}
	for name, v := range maps.Clone(f.sight) {
		if rest, ok := strings.CutPrefix(name, n.Old); ok && (rest == "" || rest[0] == storage.Separator) {
			delete(f.sight, name)
			f.note(n.Name+rest, v)
		}
	}
	return old
}

// above: the mailbox above one that was made or deleted may have children now,
// or none.
func (t *notified) above(f *followed, name string) {
	i := strings.LastIndexByte(name, storage.Separator)
	if i > 0 && f.sees(name[:i]) != hiddenBox {
		t.oweIfWanted(f, listNews{name: f.shown(name[:i]), denied: f.sees(name[:i]) == namedOnly})
	}
}

// children tells of mailboxes below a renamed one that were named by themselves,
// while the one above was not.
func (t *notified) children(f *followed, n storage.News) {
	from, to := f.shown(n.Old), f.shown(n.Name)
	if t.wants(from, f.foreign(), mailboxName) || t.wants(to, f.foreign(), mailboxName) {
		return
	}
	for _, g := range t.n.groups {
		for _, name := range g.names {
			rest, ok := strings.CutPrefix(name, from)
			if ok && g.events&mailboxName != 0 && strings.HasPrefix(rest, separatorOf(f.foreign())) {
				t.owe(listNews{name: to + rest, old: name, foreign: f.foreign()})
			}
		}
	}
}

func (t *notified) oweIfWanted(f *followed, l listNews) {
	l.foreign = f.foreign()
	if t.wants(l.name, l.foreign, mailboxName) || l.old != "" && t.wants(l.old, l.foreign, mailboxName) {
		t.owe(l)
	}
}

// tellLists tells what is owed as it is now.
func (t *notified) tellLists(ctx context.Context) error {
	if len(t.lines) == 0 {
		return nil
	}
	s, a := t.s, &listArgs{extended: true, children: true, subscribed: true}
	for _, l := range t.lines {
		a.patterns = append(a.patterns, l.name)
	}
	own, err := s.account.List(ctx)
	if err != nil {
		return err
	}
	all, err := s.withOthers(ctx, a, own)
	if err != nil {
		return err
	}
	for _, l := range t.lines {
		m := listed{storage.MailboxInfo{Name: l.name}, l.foreign}
		if i := slices.IndexFunc(all, func(m listed) bool { return m.Name == l.name }); i >= 0 {
			m = all[i]
		}
		s.tellListNews(a, listLine{listed: m}, l)
	}
	return s.enc.Err()
}

func (s *session) tellListNews(a *listArgs, line listLine, l listNews) {
	attrs := a.attributes(line)
	if l.denied {
		attrs = append(attrs, `\NoAccess`)
	}
	s.enc.Raw("* LIST (").Raw(strings.Join(attrs, " ")).Raw(") \"").Raw(separatorOf(l.foreign)).Raw("\" ").Mailbox(s.wireName(l.name))
	if l.old != "" && line.Exists {
		s.enc.Raw(` ("OLDNAME" (`).Mailbox(s.wireName(l.old)).Raw("))")
	}
	s.enc.CRLF()
}

// annotated: RFC 5465 §5.6 and §5.7; METADATA without values is RFC 5464 §4.4.2.
func (t *notified) annotated(ctx context.Context, f *followed, n storage.News) error {
	s, name := t.s, ""
	switch {
	case n.Own || n.Private != "" && n.Private != s.user:
		return nil
	case n.Name == "":
		any := slices.ContainsFunc(t.n.groups, func(g eventGroup) bool { return g.events&serverMetadataChange != 0 })
		if f.foreign() || !any {
			return nil
		}
	default:
		name = f.shown(n.Name)
		v, err := s.look(ctx, f, n.Name)
		if err != nil || v != inFull || !t.wants(name, f.foreign(), mailboxMetadataChange) {
			return err
		}
	}
	s.enc.Raw("* METADATA ").Mailbox(s.wireName(name))
	for _, e := range n.Entries {
		s.enc.Raw(" ").Mailbox(e)
	}
	s.enc.CRLF()
	return s.enc.Err()
}
