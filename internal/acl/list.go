package acl

import (
	"cmp"
	"slices"
	"strings"
)

// Kind is a kind of identifiers. Kinds ascend as they override each other.
type Kind uint8

// The kinds, in Dovecot's order.
const (
	Anyone Kind = iota
	Authenticated
	Group
	Owner
	User
	GroupOverride
)

// ID says to whom rights are given.
type ID struct {
	Kind Kind
	Name string // of User, Group and GroupOverride
}

// Entry is what one identifier may, and what it may not.
type Entry struct {
	ID
	Yes, No       Rights
	HasYes, HasNo bool // there is a line of the kind; it may give nothing
}

// Set makes r the rights that the entry gives, or takes where it is negative.
func (e *Entry) Set(r Rights, negative bool) {
	if negative {
		e.No, e.HasNo = r, true
	} else {
		e.Yes, e.HasYes = r, true
	}
}

// List is the access control list of a mailbox, sorted by identifier.
type List []Entry

// Who is a user who asks.
type Who struct {
	User   string
	Groups []string
	Owner  bool // of the mailbox
}

func (i ID) compare(j ID) int {
	return cmp.Or(cmp.Compare(i.Kind, j.Kind), strings.Compare(i.Name, j.Name))
}

// is says whether an identifier means who.
func (i ID) is(who Who) bool {
	switch i.Kind {
	case Anyone, Authenticated:
		return true
	case Owner:
		return who.Owner
	case User:
		return strings.EqualFold(i.Name, who.User)
	}
	return slices.Contains(who.Groups, i.Name)
}

// find returns where an identifier is, or belongs.
func (l List) find(id ID) (int, bool) {
	return slices.BinarySearchFunc(l, id, func(e Entry, id ID) int { return e.compare(id) })
}

// Entry returns what the list says of an identifier.
func (l List) Entry(id ID) Entry {
	if at, ok := l.find(id); ok {
		return l[at]
	}
	return Entry{ID: id}
}

// Set returns a list in which an entry stands in place of that of the same
// identifier. An entry without lines is removed.
func (l List) Set(e Entry) List {
	l = slices.Clone(l)
	at, found := l.find(e.ID)
	switch {
	case !e.HasYes && !e.HasNo:
		if found {
			l = slices.Delete(l, at, at+1)
		}
	case found:
		l[at] = e
	default:
		l = slices.Insert(l, at, e)
	}
	return l
}

// hasOwner says whether the list tells what the owner may.
func (l List) hasOwner() bool {
	e := l.Entry(ID{Kind: Owner})
	return e.HasYes
}

// WithOwner is the list with the owner's rights where it does not tell them:
// all, as Dovecot's default. private says that the mailbox has an owner.
func (l List) WithOwner(private bool) List {
	if !private || l.hasOwner() {
		return l
	}
	e := l.Entry(ID{Kind: Owner})
	e.Yes, e.HasYes = All, true
	return l.Set(e)
}

// Rights returns what who may. Each kind replaces what those before it gave,
// several groups together; what is forbidden stays so until a later kind
// forbids something else: the order of Dovecot's vfile.
func (l List) Rights(who Who) Rights {
	var yes, no Rights
	yesKind, noKind := -1, -1
	for _, e := range l {
		if !e.is(who) {
			continue
		}
		if e.HasYes {
			if yesKind != int(e.Kind) {
				yes = 0
			}
			yes, yesKind = yes|e.Yes, int(e.Kind)
		}
		if e.HasNo {
			if noKind != int(e.Kind) {
				no = 0
			}
			no, noKind = no|e.No, int(e.Kind)
		}
	}
	return yes &^ no
}
