// Package acl is access control lists of mailboxes: the rights of RFC 4314,
// and the files dovecot-acl in which Dovecot's vfile driver keeps them.
package acl

import (
	"slices"
	"strings"
)

// Rights is a set of rights, RFC 4314 §2.1.
type Rights uint16

// The rights, in the order of RFC 4314.
const (
	Lookup      Rights = 1 << iota // l: the mailbox is seen by LIST
	Read                           // r: SELECT, FETCH, STATUS
	WriteSeen                      // s: \Seen
	Write                          // w: flags but \Seen and \Deleted
	Insert                         // i: APPEND, COPY into it
	Post                           // p: delivery to it
	Create                         // k: mailboxes below it
	Delete                         // x: DELETE and RENAME of it
	WriteDelete                    // t: \Deleted
	Expunge                        // e: EXPUNGE
	Admin                          // a: SETACL and the like

	All Rights = 1<<iota - 1
)

// letters are the rights as Dovecot orders them in MYRIGHTS, with the names of
// its files.
var letters = []struct {
	right  Rights
	letter byte
	name   string
}{
	{Lookup, 'l', "lookup"}, {Read, 'r', "read"}, {Write, 'w', "write"}, {WriteSeen, 's', "write-seen"},
	{WriteDelete, 't', "write-deleted"}, {Insert, 'i', "insert"}, {Post, 'p', "post"}, {Expunge, 'e', "expunge"},
	{Create, 'k', "create"}, {Delete, 'x', "delete"}, {Admin, 'a', "admin"},
}

// byName is the order of lists: Dovecot sorts the names.
var byName = func() []int {
	order := make([]int, len(letters))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(letters[a].name, letters[b].name) })
	return order
}()

// Has says whether all of want are there.
func (r Rights) Has(want Rights) bool { return r&want == want }

// String is the letters, as MYRIGHTS tells them but for c and d.
func (r Rights) String() string {
	var b []byte
	for _, l := range letters {
		if r&l.right != 0 {
			b = append(b, l.letter)
		}
	}
	return string(b)
}

// sorted is the letters in the order of their names, as files have them.
func (r Rights) sorted() string {
	var b []byte
	for _, i := range byName {
		if r&letters[i].right != 0 {
			b = append(b, letters[i].letter)
		}
	}
	return string(b)
}

// old are the letters of RFC 2086 that stand for some of the rights, RFC 4314
// §2.1.1, as Dovecot tells them.
func (r Rights) old() string {
	s := ""
	if r&(Create|Delete) != 0 {
		s = "c"
	}
	if r&(WriteDelete|Expunge) != 0 {
		s += "d"
	}
	return s
}

// Mine is the word that MYRIGHTS tells.
func (r Rights) Mine() string { return r.String() + r.old() }

// Listed is the word that GETACL tells.
func (r Rights) Listed() string { return r.sorted() + r.old() }

// Parse reads letters, those of RFC 2086 among them: c is k and x, d is t, e
// and x, as Dovecot takes them. bad is the first letter that is no right; 0 if
// all are.
func Parse(s string) (r Rights, bad byte) {
	for i := range len(s) {
		right := letter(s[i])
		switch s[i] {
		case 'c':
			right = Create | Delete
		case 'd':
			right = WriteDelete | Expunge | Delete
		}
		if right == 0 {
			return 0, s[i]
		}
		r |= right
	}
	return r, 0
}

func letter(c byte) Rights {
	for _, l := range letters {
		if l.letter == c {
			return l.right
		}
	}
	return 0
}

func named(s string) Rights {
	for _, l := range letters {
		if l.name == s {
			return l.right
		}
	}
	return 0
}

// Named returns the right that Dovecot's files call so.
func Named(name string) (Rights, bool) {
	r := named(name)
	return r, r != 0
}
