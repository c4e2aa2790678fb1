// Package storage is what a mailbox is: a Maildir++ tree whose files are the
// truth, UIDs, flags, MODSEQ, quota, and the feed of changes.
package storage

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// Config is storage's part of the settings.
type Config struct {
	Separator string `setting:"maildir_separator" default:"."`
}

// Deps is what a Store needs.
type Deps struct {
	State  *schema.State
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger
	Now    func() time.Time
	Rand   io.Reader
}

// Store holds all accounts. Safe for concurrent use.
type Store struct{ d Deps }

// Open returns a Store.
func Open(d Deps) (*Store, error) { return &Store{d}, nil }

// Spec says whose mail it is and where it lies.
type Spec struct {
	User  string // log-in name; the key of its index
	Dir   string // absolute path of the Maildir
	UID   int    // owner of files; below 0 or without the right to change: ours
	GID   int
	Quota int64 // bytes; 0 none
}

// Account is one user's mail. Names are UTF-8, hierarchy by '.', INBOX in any
// case.
type Account struct{}

// Account returns the account, without touching the disk.
func (s *Store) Account(spec Spec) *Account { panic("not yet") }

// MailboxInfo is a line of List.
type MailboxInfo struct {
	Name       string
	Exists     bool // false: a parent that only has children, or subscribed only
	Children   bool
	Subscribed bool
	Attrs      []imap.MailboxAttr // \Sent ...
}

// List returns all mailboxes and subscriptions, by name.
func (a *Account) List(ctx context.Context) ([]MailboxInfo, error) { panic("not yet") }

// Create makes a mailbox and its parents; ErrExists.
func (a *Account) Create(ctx context.Context, name string, special []imap.MailboxAttr) error {
	panic("not yet")
}

// Delete, Rename: RFC 9051 §6.3.5, §6.3.6.
func (a *Account) Delete(ctx context.Context, name string) error     { panic("not yet") }
func (a *Account) Rename(ctx context.Context, from, to string) error { panic("not yet") }

// Subscribe sets or clears a subscription, whether or not the mailbox exists.
func (a *Account) Subscribe(ctx context.Context, name string, on bool) error { panic("not yet") }

// Status is what STATUS tells.
type Status struct {
	Messages, Unseen, Deleted, Recent uint32
	UIDNext, UIDValidity              uint32
	HighestModSeq                     uint64
	Size                              int64
	MailboxID                         string
}

// Status reads counters; it opens no message.
func (a *Account) Status(ctx context.Context, name string) (Status, error) { panic("not yet") }

// Draft is a message being written into the account.
type Draft struct{}

// NewDraft opens a file in tmp/ of the mailbox.
func (a *Account) NewDraft(ctx context.Context, mailbox string, size int64) (*Draft, error) {
	panic("not yet")
}

func (d *Draft) Write(p []byte) (int, error) { panic("not yet") }

// Deliver puts the message in place, durably, as new mail: fsync, rename, fsync
// of the directory.
func (d *Draft) Deliver(ctx context.Context) error { panic("not yet") }

// Append puts several drafts of one mailbox in place, all or none, and returns
// their UIDs in order.
func (a *Account) Append(ctx context.Context, mailbox string, drafts []*Draft, meta []AppendMeta) (uidValidity uint32, uids []imap.UID, err error) {
	panic("not yet")
}

// AppendMeta is what APPEND says of a message.
type AppendMeta struct {
	Flags []imap.Flag
	Time  time.Time // zero: now
}

// Link delivers the same file to another account with the same owner and file
// system; ErrNoLink says that a copy is needed.
func (d *Draft) Link(ctx context.Context, to *Account, mailbox string) (*Draft, error) {
	panic("not yet")
}

// Abort removes the file.
func (d *Draft) Abort() { panic("not yet") }

// Select opens a mailbox for a session.
func (a *Account) Select(ctx context.Context, name string, readOnly bool) (*View, error) {
	panic("not yet")
}

// View is one session's picture of a mailbox: sequence numbers stay as they
// are until Poll. Used by one goroutine.
type View struct{}

// Msg is what the index knows of a message.
type Msg struct {
	UID    imap.UID
	ModSeq uint64
	Flags  []imap.Flag
	Size   int64     // RFC822.SIZE
	Time   time.Time // INTERNALDATE
	Recent bool
}

// Open opens the message file for reading.
func (v *View) Open(ctx context.Context, uid imap.UID) (*os.File, error) { panic("not yet") }
