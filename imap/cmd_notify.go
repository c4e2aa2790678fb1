package imap

import (
	"context"
	"slices"
	"strings"

	"mailserver/internal/imapwire"
)

// RFC 5465: a client says which events of which mailboxes it wants to be told.

// event is a set of kinds of events, RFC 5465 §5.
type event uint8

const (
	messageNew event = 1 << iota
	messageExpunge
	flagChange
	mailboxName
	subscriptionChange
	mailboxMetadataChange
	serverMetadataChange

	messageEvents = messageNew | messageExpunge | flagChange
	comesAndGoes  = messageNew | messageExpunge
)

var eventNames = []struct {
	name string
	event
}{
	{"MessageNew", messageNew}, {"MessageExpunge", messageExpunge}, {"FlagChange", flagChange},
	{"MailboxName", mailboxName}, {"SubscriptionChange", subscriptionChange},
	{"MailboxMetadataChange", mailboxMetadataChange}, {"ServerMetadataChange", serverMetadataChange},
}

// filter says which mailboxes a group of events is about, RFC 5465 §6.
type filter uint8

const (
	personal filter = iota // and inboxes: any mailbox may get mail
	subscribed
	subtree
	mailboxes
)

var filters = map[string]filter{
	"PERSONAL": personal, "INBOXES": personal, "SUBSCRIBED": subscribed, "SUBTREE": subtree, "MAILBOXES": mailboxes,
}

// eventGroup is what is wanted of the mailboxes that a filter lets through.
type eventGroup struct {
	filter filter
	names  []string
	events event
}

// selectedEvents is what is wanted of the selected mailbox.
type selectedEvents struct {
	events  event
	delayed bool       // removals wait for a command that may tell them
	fetch   *fetchArgs // what is told of new messages; nil: EXISTS
}

type notifyArgs struct {
	status      bool
	groups      []eventGroup
	selected    *selectedEvents // nil: nothing
	hasSelected bool
	unsupported bool // an event that there is not
	names       int
	bytes       int // of names
}

// Bounds of what a session keeps.
const (
	maxNotifyGroups = 100
	maxNotifyNames  = 100
	maxNotifyBytes  = 8 << 10
)

func (a *notifyArgs) tooMuch() bool {
	return len(a.groups) > maxNotifyGroups || a.names > maxNotifyNames || a.bytes > maxNotifyBytes
}

func parseNotify(s *session, d *imapwire.Decoder) *notifyArgs {
	a := &notifyArgs{}
	switch d.Keyword() {
	case "NONE":
		return a
	case "SET":
	default:
		d.Fail("Invalid arguments.")
	}
	d.SP()
	if d.Peek() != '(' {
		if d.Keyword() != "STATUS" {
			d.Fail("Invalid arguments.")
		}
		a.status = true
		d.SP()
	}
	for a.readGroup(s, d); d.Err() == nil && !d.AtEnd(); a.readGroup(s, d) {
		d.SP()
	}
	return a
}

// readGroup reads event-group, RFC 5465 §8.
func (a *notifyArgs) readGroup(s *session, d *imapwire.Decoder) {
	d.Expect('(')
	word := d.Keyword()
	d.SP()
	if word == "SELECTED" || word == "SELECTED-DELAYED" {
		a.readSelected(d, word == "SELECTED-DELAYED")
		d.Expect(')')
		return
	}
	kind, ok := filters[word]
	if !ok {
		d.Fail("Unknown mailbox filter.")
	}
	g := eventGroup{filter: kind}
	if kind == subtree || kind == mailboxes {
		g.names = a.readNames(s, d)
		d.SP()
	}
	g.events = a.readEvents(d, nil)
	d.Expect(')')
	if g.events != 0 && !a.tooMuch() {
		a.groups = append(a.groups, g)
	}
}

// readNames reads one-or-more-mailbox.
func (a *notifyArgs) readNames(s *session, d *imapwire.Decoder) (names []string) {
	add := func() {
		name := s.readMailbox(d)
		a.names++
		if a.bytes += len(name); !a.tooMuch() {
			names = append(names, name)
		}
	}
	if d.Peek() != '(' {
		add()
		return names
	}
	before := a.names
	d.List(add)
	if a.names == before {
		d.Fail("Invalid arguments.")
	}
	return names
}

func (a *notifyArgs) readSelected(d *imapwire.Decoder, delayed bool) {
	if a.hasSelected {
		d.Fail("Duplicate selected filter")
	}
	a.hasSelected = true
	sel := &selectedEvents{delayed: delayed}
	sel.events = a.readEvents(d, sel)
	switch {
	case sel.events&^messageEvents != 0:
		d.Fail("Only message events are for the selected mailbox.")
	case sel.events != 0:
		a.selected = sel
	}
}

// readEvents reads events. What FETCH of new messages shall tell is for the
// selected mailbox only.
func (a *notifyArgs) readEvents(d *imapwire.Decoder, sel *selectedEvents) (set event) {
	if d.Peek() != '(' {
		if d.Keyword() != "NONE" {
			d.Fail("Invalid arguments.")
		}
		return 0
	}
	last, any, marks := "", false, false
	d.List(func() {
		any = true
		if d.Peek() == '(' {
			sel.readFetch(d, last)
			return
		}
		last = d.Keyword()
		e := eventNamed(last)
		a.unsupported = a.unsupported || e == 0
		marks = marks || last == "ANNOTATIONCHANGE" || e == flagChange
		set |= e
	})
	switch {
	case !any:
		d.Fail("Invalid arguments.")
	case set&comesAndGoes != 0 && set&comesAndGoes != comesAndGoes:
		d.Fail("MessageNew and MessageExpunge must be together")
	case marks && set&comesAndGoes == 0:
		d.Fail("FlagChange requires MessageNew and MessageExpunge")
	}
	return set
}

func eventNamed(word string) event {
	for _, e := range eventNames {
		if strings.EqualFold(e.name, word) {
			return e.event
		}
	}
	return 0
}

// readFetch reads what stands behind MessageNew.
func (sel *selectedEvents) readFetch(d *imapwire.Decoder, after string) {
	if sel == nil || after != "MESSAGENEW" || sel.fetch != nil {
		d.Fail("Invalid arguments.")
		return
	}
	sel.fetch = &fetchArgs{}
	d.List(func() { sel.fetch.readItem(d) })
	if len(sel.fetch.items) == 0 {
		d.Fail("FETCH list is empty.")
	}
	for _, item := range sel.fetch.items {
		sel.fetch.opens = sel.fetch.opens || item.ready != nil
	}
}

// badEvent lists the events that there are, RFC 5465 §5.
func badEvent() error {
	names := make([]string, len(eventNames))
	for i, e := range eventNames {
		names[i] = e.name
	}
	return &no{"BADEVENT (" + strings.Join(names, " ") + ")", "Unsupported NOTIFY events."}
}

var errTooManyNames = &no{"NOTIFICATIONOVERFLOW", "Too many mailbox names"}

// runNotify: one that fails leaves the one before in effect.
func runNotify(ctx context.Context, s *session, a *notifyArgs) (reply, error) {
	switch {
	case a.unsupported:
		return reply{}, badEvent()
	case a.tooMuch():
		return reply{}, errTooManyNames
	}
	n := &notify{groups: a.groups, selected: a.selected}
	if err := s.follow(ctx, n); err != nil {
		n.close()
		return reply{}, err
	}
	s.unnotify()
	s.notify = n
	if a.selected != nil && a.selected.fetch != nil && a.selected.fetch.modSeq {
		s.turnOnCondstore()
	}
	s.tellDenied(ctx)
	if a.status {
		return reply{}, s.tellStatuses(ctx)
	}
	return reply{}, s.enc.Err()
}

// unnotify ends what NOTIFY has begun.
func (s *session) unnotify() {
	if s.notify != nil {
		s.notify.close()
		s.notify = nil
	}
}

// wanted are the events of the selected mailbox that the client is told of.
func (s *session) wanted() event {
	switch {
	case s.notify == nil:
		return messageEvents
	case s.notify.selected == nil:
		return 0
	}
	return s.notify.selected.events
}

// wants are the events that are wanted of a mailbox, by its name as the user
// has it. subscribed is asked when it matters.
func (n *notify) wants(name string, foreign bool, isSubscribed func(string) bool) (set event) {
	for _, g := range n.groups {
		if g.events&^set != 0 && g.passes(name, foreign, isSubscribed) {
			set |= g.events
		}
	}
	return set
}

func (g *eventGroup) passes(name string, foreign bool, isSubscribed func(string) bool) bool {
	switch g.filter {
	case personal:
		return !foreign
	case subscribed:
		return isSubscribed(name)
	case subtree:
		return slices.ContainsFunc(g.names, func(top string) bool {
			rest, ok := strings.CutPrefix(name, top)
			return ok && (rest == "" || rest[0] == separatorOf(foreign)[0])
		})
	}
	return slices.Contains(g.names, name)
}
