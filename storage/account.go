package storage

import (
	"context"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Separator stands between the levels of a mailbox name.
const Separator = '.'

// Account is one user's mail. Names are UTF-8, hierarchy by Separator, INBOX
// in any case. Safe for concurrent use; needs no Close.
type Account struct{}

// MailboxInfo is a line of List.
type MailboxInfo struct {
	Name       string
	Exists     bool // false: a parent that only has children, or subscribed only
	Children   bool
	Subscribed bool
	Attrs      []imap.MailboxAttr // special use: \Sent ...
}

// List returns all mailboxes, parents and subscriptions, by name, INBOX first.
func (a *Account) List(ctx context.Context) ([]MailboxInfo, error) { panic("not yet") }

// Create makes a mailbox and its parents; ErrExists, ErrBadName. special is
// what CREATE-SPECIAL-USE asks for, mostly nil. The id is Status.MailboxID.
func (a *Account) Create(ctx context.Context, name string, special []imap.MailboxAttr) (id string, err error) {
	panic("not yet")
}

// Delete removes a mailbox and its messages; mailboxes below it stay. RFC 9051
// §6.3.5. Views of it answer ErrNoMailbox from then on.
func (a *Account) Delete(ctx context.Context, name string) error { panic("not yet") }

// Rename renames a mailbox with all below it. Of INBOX it moves the messages
// to a new mailbox, RFC 9051 §6.3.6.
func (a *Account) Rename(ctx context.Context, from, to string) error { panic("not yet") }

// Subscribe sets or clears a subscription, whether or not the mailbox exists.
func (a *Account) Subscribe(ctx context.Context, name string, on bool) error { panic("not yet") }

// Status is what STATUS tells.
type Status struct {
	Messages, Unseen, Deleted, Recent uint32
	UIDNext, UIDValidity              uint32
	HighestModSeq                     uint64
	Size                              int64  // sum of RFC822.SIZE
	DeletedSize                       int64  // of those with \Deleted
	MailboxID                         string // OBJECTID, stays through Rename
}

// Status reads counters; it opens no message. What was delivered before the
// call is in it.
func (a *Account) Status(ctx context.Context, name string) (Status, error) { panic("not yet") }

// Quota is what an account uses and may use.
type Quota struct {
	Bytes, Messages int64
	Limit           int64 // bytes; 0 none
}

// Quota reads counters.
func (a *Account) Quota(ctx context.Context) (Quota, error) { panic("not yet") }

// AppendMeta is what APPEND says of a message.
type AppendMeta struct {
	Flags []imap.Flag
	Time  time.Time // zero: now
}

// Append puts several drafts of one mailbox in place, all or none, and returns
// their UIDs in order. The drafts are used up, whatever the outcome.
func (a *Account) Append(ctx context.Context, mailbox string, drafts []*Draft, meta []AppendMeta) (uidValidity uint32, uids []imap.UID, err error) {
	panic("not yet")
}

// Select opens a mailbox for a session: SELECT, or EXAMINE with readOnly.
func (a *Account) Select(ctx context.Context, name string, readOnly bool) (*View, error) {
	panic("not yet")
}
