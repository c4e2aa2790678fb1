package storage

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Separator stands between the levels of a mailbox name.
const Separator = '.'

// Account is one user's mail. Names are UTF-8, hierarchy by Separator, INBOX
// in any case. Safe for concurrent use; needs no Close.
type Account struct {
	s      *Store
	spec   Spec
	viewer *Account // whose private annotations are meant; nil: the account's own
}

// As is the account as another one's user sees it: private annotations are that
// user's.
func (a *Account) As(viewer *Account) *Account {
	if viewer == nil || viewer.spec.User == a.spec.User {
		return a
	}
	return &Account{s: a.s, spec: a.spec, viewer: viewer}
}

// AppendMeta is what APPEND says of a message.
type AppendMeta struct {
	Flags []imap.Flag
	Time  time.Time // zero: now

	email int64 // of the message that it is a copy of; 0: none
}

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
func (a *Account) Status(ctx context.Context, name string) (Status, error) {
	t, err := a.s.tree(a.spec)
	if err != nil {
		return Status{}, err
	}
	defer t.release()
	b, err := t.box(ctx, name)
	if err != nil {
		return Status{}, err
	}
	if err := b.flush(ctx); err != nil {
		return Status{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refresh(ctx); err != nil {
		return Status{}, err
	}
	return Status{
		Messages: b.row.Messages, Unseen: b.row.Unseen, Deleted: b.row.Deleted, Recent: b.row.Recent,
		UIDNext: b.row.UIDNext, UIDValidity: b.row.Validity, HighestModSeq: b.row.ModSeq,
		Size: b.row.Size, DeletedSize: b.row.DelSize, MailboxID: mailboxID(b.num),
	}, nil
}

// mailboxID is the OBJECTID of a mailbox, RFC 8474 §4.
func mailboxID(num int64) string { return "F" + strconv.FormatInt(num, 36) }

// Quota is what an account uses and may use.
type Quota struct {
	Bytes, Messages int64
	Limit           int64 // bytes; 0 none
	MaxMessages     int64 // 0 none
}

// Quota reads counters. What was delivered before the call is in them.
func (a *Account) Quota(ctx context.Context) (Quota, error) {
	cfg, err := a.s.d.Config(ctx)
	if err != nil {
		return Quota{}, fmt.Errorf("read settings: %w", err)
	}
	t, err := a.s.tree(a.spec)
	if err != nil {
		return Quota{}, err
	}
	defer t.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.count(ctx); err != nil {
		return Quota{}, fmt.Errorf("read quota of %s: %w", t.key.user, err)
	}
	for _, b := range t.boxes {
		if err := b.flush(ctx); err != nil {
			return Quota{}, err
		}
	}
	return Quota{Bytes: t.bytes.Load(), Messages: t.messages.Load(), Limit: a.spec.Quota, MaxMessages: int64(cfg.MaxMessages)}, nil
}
