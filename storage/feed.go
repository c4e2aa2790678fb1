package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"mailserver/schema"
)

// Change is a set of what has happened to the messages of a mailbox.
type Change uint8

// The changes.
const (
	Arrived     Change = 1 << iota // messages have come
	Removed                        // messages have gone
	Reflagged                      // MODSEQ has grown without either
	SeenChanged                    // another number is without \Seen
	Revalidated                    // another UIDVALIDITY
)

// NewsKind says what has happened to a mailbox.
type NewsKind uint8

// The kinds.
const (
	Named      NewsKind = iota // made, deleted, or with Old renamed
	Subscribed                 // or not any more
	Permitted                  // its access control list has changed
	Annotated                  // Entries have changed; without Name those of the account
)

// News is something that has happened to a mailbox, but for its messages.
type News struct {
	Kind    NewsKind
	Name    string   // of the mailbox in the account
	Old     string   // its name before
	Entries []string // of METADATA
	Private string   // the user who alone sees Entries; empty: all do
	Own     bool     // it was done in a context of CausedBy with the Feed's own who
}

// maxNews bounds what a Feed keeps, together: about 100 KB in the worst case,
// for as long as its session is busy.
const maxNews = 1000

// Feed is what happens in an account, for one who wants to be told. It costs no
// goroutine, and holds nothing once Take was called.
type Feed struct {
	t    *tree
	who  any
	wake func()

	mu   sync.Mutex // guards what follows; taken after any other lock
	mail map[string]Change
	news []News
	over bool
	done bool
}

// Feed begins to collect what happens. wake is called when there is something
// to Take; it must not block, nor call the Account. Close ends it.
func (a *Account) Feed(who any, wake func()) (*Feed, error) {
	t, err := a.s.tree(a.spec)
	if err != nil {
		return nil, err
	}
	f := &Feed{t: t, who: who, wake: wake}
	t.feeds.mu.Lock()
	defer t.feeds.mu.Unlock()
	if t.feeds.list == nil {
		t.feeds.list = make(map[*Feed]bool)
	}
	t.feeds.list[f] = true
	return f, nil
}

// Close ends the feed: wake is not called any more.
func (f *Feed) Close() {
	f.mu.Lock()
	done := f.done
	f.done = true
	f.mu.Unlock()
	if done {
		return
	}
	f.t.feeds.mu.Lock()
	delete(f.t.feeds.list, f)
	if len(f.t.feeds.list) == 0 {
		f.t.feeds.names = nil
	}
	f.t.feeds.mu.Unlock()
	f.t.release()
}

// Take returns what has happened since it was last called: changes of messages
// by mailbox, and other news in their order. over says that there was more than
// is kept.
func (f *Feed) Take() (mail map[string]Change, news []News, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	mail, news, over = f.mail, f.news, f.over
	f.mail, f.news, f.over = nil, nil, false
	return mail, news, over
}

// Waiting says whether there is something to Take.
func (f *Feed) Waiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over || len(f.mail) > 0 || len(f.news) > 0
}

// room says whether one more can be kept. f.mu is held.
func (f *Feed) room() bool {
	if !f.over && len(f.mail)+len(f.news) >= maxNews {
		f.over, f.mail, f.news = true, nil, nil
	}
	return !f.over && !f.done
}

// add keeps news, and calls a renamed mailbox by its new name.
func (f *Feed) add(n News) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.room() {
		return
	}
	f.news = append(f.news, n)
	if n.Old == "" {
		return
	}
	for name, c := range f.mail {
		if name == n.Old || below(name, n.Old) {
			delete(f.mail, name)
			f.mail[n.Name+name[len(n.Old):]] |= c
		}
	}
}

func (f *Feed) addMail(name string, c Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.room() {
		return
	}
	if f.mail == nil {
		f.mail = make(map[string]Change)
	}
	f.mail[name] |= c
}

// feeds are those of an account.
type feeds struct {
	mu    sync.Mutex
	list  map[*Feed]bool
	names map[string]string // directories at the last look, while there are feeds
}

// fed says whether anybody is to be told.
func (t *tree) fed() bool {
	t.feeds.mu.Lock()
	defer t.feeds.mu.Unlock()
	return len(t.feeds.list) > 0
}

// lookNames tells of mailboxes that another program has made or removed since
// the last look, and knows all of them from then on, so that what comes into
// them is seen. t.mu is held.
func (t *tree) lookNames(ctx context.Context) error {
	now, err := t.directories()
	if err != nil {
		return fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	t.feeds.mu.Lock()
	before := t.feeds.names
	t.feeds.names = nil // what is told here is in now
	t.feeds.mu.Unlock()
	for name := range now {
		if _, known := before[name]; !known && before != nil {
			t.tell(ctx, News{Kind: Named, Name: name})
		}
		if _, err := t.find(ctx, name); err != nil && !errors.Is(err, ErrNoMailbox) {
			return err
		}
	}
	for name := range before {
		if _, still := now[name]; !still && t.boxes[name] == nil { // else lost tells it
			t.tell(ctx, News{Kind: Named, Name: name})
		}
	}
	t.feeds.mu.Lock()
	t.feeds.names = now
	t.feeds.mu.Unlock()
	return nil
}

// seen keeps what this process makes or removes from being told again by the
// next look. t.feeds.mu is held, and for what is Named t.mu.
func (t *tree) seen(n News) {
	f := &t.feeds
	switch {
	case f.names == nil || n.Kind != Named:
	case n.Old != "":
		f.names = nil // what is below has another name too: begin anew
	case t.boxes[n.Name] != nil:
		f.names[n.Name] = ""
	default:
		delete(f.names, n.Name)
	}
}

// causer is the key of CausedBy.
type causer struct{}

// CausedBy says on whose behalf something is done, for Feed.
func CausedBy(ctx context.Context, who any) context.Context {
	return context.WithValue(ctx, causer{}, who)
}

// tell gives news to all feeds. Whoever caused them is not woken.
func (t *tree) tell(ctx context.Context, n News) {
	by := ctx.Value(causer{})
	if name, err := canonical(n.Name); err == nil {
		n.Name = name // not one of another namespace, that is subscribed to
	}
	t.feeds.mu.Lock()
	defer t.feeds.mu.Unlock()
	t.seen(n)
	for f := range t.feeds.list {
		n.Own = by != nil && f.who == by
		f.add(n)
		if !n.Own {
			f.wake()
		}
	}
}

// tellMail tells feeds of a change that a commit makes. b.mu is held.
func (t *tree) tellMail(old, next *schema.IndexMailbox) {
	t.feeds.mu.Lock()
	defer t.feeds.mu.Unlock()
	if len(t.feeds.list) == 0 {
		return
	}
	c := changeOf(old, next)
	if c == 0 {
		return
	}
	for f := range t.feeds.list {
		f.addMail(next.Name, c)
		f.wake()
	}
}

// changeOf compares the counters of a mailbox.
func changeOf(old, next *schema.IndexMailbox) (c Change) {
	if old.Validity != next.Validity {
		c |= Revalidated
	}
	if next.UIDNext > old.UIDNext {
		c |= Arrived
	}
	if next.Messages < old.Messages || c&Arrived != 0 && next.Messages == old.Messages {
		c |= Removed
	}
	if next.ModSeq != old.ModSeq && c == 0 {
		c |= Reflagged
	}
	if next.Unseen != old.Unseen {
		c |= SeenChanged
	}
	return c
}
