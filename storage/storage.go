// Package storage is what a mailbox is: a Maildir++ tree whose files are the
// truth, and an index of UIDs, flags, MODSEQ and quota beside it, with a feed
// of changes.
//
// On disk, below Spec.Dir:
//
//	cur/ new/ tmp/           INBOX
//	.Sent/{cur,new,tmp}      the mailbox Sent
//	.Lists.go/{cur,new,tmp}  the mailbox go below Lists
//	subscriptions            as Dovecot writes it
//	dovecot-keywords         in each mailbox: names of the letters a to z
//	dovecot-uidlist          in each mailbox: UIDs, as Dovecot reads and writes them
//
// What holds at every moment:
//   - A message whose delivery or append has returned is on disk, under its
//     final name. Its row in the index may follow; a file without a row gets
//     the next UID at the next look.
//   - A UID is on disk before any session sees it, and is never given twice.
//   - Rows follow files: after a crash the tree says what is there, and the
//     index says which UID it has.
package storage

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"mailserver/schema"
)

var (
	// ErrNoMailbox says that there is no such mailbox (TRYCREATE,
	// NONEXISTENT), or that the selected one was deleted.
	ErrNoMailbox = errors.New("mailbox does not exist")
	// ErrExists says that the mailbox is there already (ALREADYEXISTS).
	ErrExists = errors.New("mailbox already exists")
	// ErrBadName says that no mailbox can have this name (CANNOT).
	ErrBadName = errors.New("invalid mailbox name")
	// ErrBelowItself says that a mailbox cannot be renamed to one below it
	// (CANNOT).
	ErrBelowItself = errors.New("mailbox cannot be below itself")
	// ErrInbox says that INBOX cannot be deleted (CANNOT).
	ErrInbox = errors.New("INBOX cannot be deleted")
	// ErrOverQuota says that the message does not fit into Spec.Quota.
	ErrOverQuota = errors.New("mailbox is full")
	// ErrNoSpace says that the disk, or the file system's quota, is full.
	// Nothing of the message is left.
	ErrNoSpace = errors.New("no space left on device")
	// ErrNoLink says that Link cannot share the file: another owner or
	// another file system. The message must be written again.
	ErrNoLink = errors.New("message cannot be linked there")
	// ErrReadOnly says that the view is one of EXAMINE.
	ErrReadOnly = errors.New("mailbox is selected read-only")
	// ErrExpunged says that the message is gone (EXPUNGEISSUED).
	ErrExpunged = errors.New("message was expunged")
	// ErrKeywords says that the mailbox has no room for another keyword (LIMIT).
	ErrKeywords = errors.New("too many keywords")
	// ErrBadKeyword says that the name of a keyword is too long (CANNOT).
	ErrBadKeyword = errors.New("keyword is too long")
	// ErrClosed says that the Store is shutting down.
	ErrClosed = errors.New("storage is closed")
)

// Config is storage's part of the settings.
type Config struct {
	// SaveCRLF writes CRLF into files. With no, the default, lines end with
	// LF there, as other programs on the same tree expect; IMAP sees CRLF
	// either way.
	SaveCRLF bool `setting:"mail_save_crlf" default:"no"`
	// IdleCheck is how often open mailboxes are looked at for changes by other
	// programs.
	IdleCheck time.Duration `setting:"mailbox_idle_check_interval" default:"30s"`
	// ACLFromInbox: a mailbox without an ACL has that of INBOX.
	ACLFromInbox bool `setting:"acl_defaults_from_inbox" default:"no"`
	// MaxMessages bounds the messages of an account; 0: no bound.
	MaxMessages int `setting:"quota_message_count" default:"0"`
	// FTS keeps an index of what messages hold, so that SEARCH of texts opens few
	// of them. It is made in the background.
	FTS bool `setting:"fts" default:"no"`
	// FTSAutoindex takes new messages into it at once; else a search does.
	FTSAutoindex bool `setting:"fts_autoindex" default:"yes"`
	// FTSMessageMaxSize leaves out larger messages, in bytes; 0: none.
	FTSMessageMaxSize int64 `setting:"fts_message_max_size" default:"20M"`
	// FTSMaxSize bounds the index of an account, in bytes: the oldest messages go
	// out of it; 0: no bound.
	FTSMaxSize int64 `setting:"fts_max_size" default:"1G"`
}

// Deps is what a Store needs.
type Deps struct {
	State  *schema.State
	Config func(context.Context) (*Config, error) // nil: the defaults
	Log    *slog.Logger                           // nil: nothing is logged
	Now    func() time.Time                       // nil: time.Now
	Rand   io.Reader                              // nil: crypto/rand
	// TextDir is where text indexes lie; empty: there are none, whatever Config
	// says.
	TextDir string
}

// Store holds all accounts. Safe for concurrent use.
type Store struct {
	d    Deps
	seed maphash.Seed
	name *namer
	idle idleBoxes
	news notifier
	own  *rights // of this process
	fts  *fulltext

	readers atomic.Int32 // views that read ahead

	mu     sync.Mutex // guards what follows
	trees  map[treeKey]*tree
	closed bool
	work   sync.WaitGroup // goroutines that write the index, and the watch
	stop   chan struct{}  // closed by Close

	nextBeat chan struct{} // nil: nobody waits for it
	behind   []*box        // whose lists of UIDs are to be written
}

// maxTrees bounds the accounts kept in memory while nobody uses them: about
// 1 KB each.
const maxTrees = 512

// Open returns a Store.
func Open(d Deps) (*Store, error) {
	if d.State == nil {
		return nil, errors.New("storage needs a State")
	}
	if d.Config == nil {
		d.Config = func(context.Context) (*Config, error) {
			return &Config{IdleCheck: 30 * time.Second}, nil
		}
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	own, err := ownRights()
	if err != nil {
		return nil, err
	}
	s := &Store{
		d:     d,
		own:   own,
		seed:  maphash.MakeSeed(),
		name:  newNamer(d.Now),
		trees: make(map[treeKey]*tree),
		stop:  make(chan struct{}),
	}
	s.fts = newFulltext(s)
	if err := s.takeBackCopies(context.Background()); err != nil {
		return nil, err
	}
	s.work.Go(s.watch)
	s.work.Go(s.purge)
	return s, nil
}

// Close waits until what was delivered is in the index. Calls after it answer
// ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.stop)
	s.mu.Unlock()
	s.news.close()
	s.work.Wait()
	s.fts.close()
	s.lastSizes()
	return nil
}

// background runs fn in a goroutine that Close waits for; false after Close.
func (s *Store) background(fn func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.work.Go(fn)
	return true
}

// Spec says whose mail it is and where it lies.
type Spec struct {
	User  string // log-in name; the key of its index
	Dir   string // absolute path of the Maildir
	Home  string // what lies above it is not the owner's; empty: the directory that Dir is in
	UID   int    // owner of files; below 0 or without the right to change: ours
	GID   int
	Quota int64 // bytes; 0 none

	Public bool // of a public namespace: nobody is the owner, and there is no INBOX
}
