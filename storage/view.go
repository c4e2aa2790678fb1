package storage

import (
	"context"
	"io"
	"iter"
	"os"

	"github.com/emersion/go-imap/v2"
)

// View is one session's picture of a mailbox: sequence numbers and the set of
// messages stay as they are until Poll. Used by one goroutine, but for Changed.
// Flags are always those of now.
type View struct{}

// FlagSet is a message's flags as bits. The named ones mean the same in every
// mailbox; keywords are told apart by View.Keyword and View.AppendFlags.
type FlagSet uint64

const (
	Seen FlagSet = 1 << iota
	Answered
	Flagged
	Deleted
	DraftFlag
)

// Msg is what the index knows of a message.
type Msg struct {
	UID    imap.UID
	ModSeq uint64
	Flags  FlagSet
	Size   int64 // RFC822.SIZE
	Time   int64 // INTERNALDATE, seconds of Unix time
	Recent bool  // \Recent in this session
}

// Close ends the view.
func (v *View) Close() { panic("not yet") }

// ReadOnly says whether it is one of EXAMINE.
func (v *View) ReadOnly() bool { panic("not yet") }

// Name is the mailbox's present name.
func (v *View) Name() string { panic("not yet") }

// MailboxID is Status.MailboxID.
func (v *View) MailboxID() string { panic("not yet") }

// Len is the number of messages, EXISTS.
func (v *View) Len() uint32 { panic("not yet") }

// Recent is the number of messages that are \Recent in this session.
func (v *View) Recent() uint32 { panic("not yet") }

// UIDValidity never changes while the view is open.
func (v *View) UIDValidity() uint32 { panic("not yet") }

// UIDNext is above every UID of the view.
func (v *View) UIDNext() imap.UID { panic("not yet") }

// HighestModSeq covers all changes that the view has told, those of the last
// Poll among them.
func (v *View) HighestModSeq() uint64 { panic("not yet") }

// FirstUnseen is the first sequence number without \Seen, 0 if there is none.
func (v *View) FirstUnseen() uint32 { panic("not yet") }

// UID of a sequence number; 0 outside 1 to Len.
func (v *View) UID(seq uint32) imap.UID { panic("not yet") }

// Seq is the sequence number of a UID, 0 if the view has it not.
func (v *View) Seq(uid imap.UID) uint32 { panic("not yet") }

// Msg returns what is known of a sequence number; false outside 1 to Len and
// for a message that is gone but not yet told by Poll.
func (v *View) Msg(seq uint32) (Msg, bool) { panic("not yet") }

// Messages walks through the messages of a set of UIDs or of sequence numbers,
// in order; "*" is the last of the view. Those that are gone are left out.
// Nothing is locked between two steps.
func (v *View) Messages(set imap.NumSet) iter.Seq2[uint32, Msg] { panic("not yet") }

// Keyword returns the bit of a flag or keyword, in any case; false if no
// message of this mailbox ever had it.
func (v *View) Keyword(f imap.Flag) (FlagSet, bool) { panic("not yet") }

// AppendFlags writes flags and keywords to buf, with spaces between. \Recent is
// not among them.
func (v *View) AppendFlags(buf []byte, set FlagSet) []byte { panic("not yet") }

// Flags returns all flags and keywords in use, what FLAGS tells.
func (v *View) Flags() []imap.Flag { panic("not yet") }

// PermanentFlags is the same with \* while there is room for new keywords;
// empty for a read-only view.
func (v *View) PermanentFlags() []imap.Flag { panic("not yet") }

// Changes is what a Poll found, in the order in which a client must be told.
type Changes struct {
	// Expunged are sequence numbers, highest first, so that each is right
	// when it is told.
	Expunged []uint32
	// Vanished are the same as UIDs.
	Vanished imap.UIDSet
	// Exists is the number of messages now; Grown says that some are new.
	Exists uint32
	Grown  bool
	// Recent is the number of \Recent messages now; it matters when Grown.
	Recent uint32
	// Keywords says that Flags and PermanentFlags have grown.
	Keywords bool
	// Flags are sequence numbers, as they are now, of messages whose flags or
	// MODSEQ have changed, but for what this view stored itself. New messages
	// are not among them.
	Flags []uint32
}

// Poll brings the view up to date and tells the difference. Without
// allowExpunge messages that are gone stay in the view, to be told later. A
// view that may write takes \Recent of new messages. ErrNoMailbox: deleted.
func (v *View) Poll(ctx context.Context, allowExpunge bool) (Changes, error) { panic("not yet") }

// Changed returns a channel that is closed when there may be something to
// Poll; ask again after each Poll. May be called from any goroutine.
func (v *View) Changed() <-chan struct{} { panic("not yet") }

// StoreResult is the outcome of Store. All messages changed have the same new
// ModSeq; those that had the flags already keep theirs.
type StoreResult struct {
	ModSeq   uint64      // 0 if nothing changed
	Changed  imap.UIDSet // messages that were changed
	Modified imap.UIDSet // not touched, because of UNCHANGEDSINCE
	Gone     bool        // some of the set were expunged by others
	Keywords bool        // Flags and PermanentFlags have grown: tell before FETCH
}

// Store sets, adds or removes flags of a set of messages. With unchangedSince,
// RFC 7162 §3.1.3, messages of a higher MODSEQ are left alone and told in
// Modified. \Recent among the flags is left out. ErrReadOnly, ErrKeywords.
func (v *View) Store(ctx context.Context, set imap.NumSet, op imap.StoreFlagsOp, flags []imap.Flag, unchangedSince *uint64) (StoreResult, error) {
	panic("not yet")
}

// Expunge removes all messages with \Deleted, or those of uids that have it.
// Poll tells the view which were removed.
func (v *View) Expunge(ctx context.Context, uids imap.UIDSet) error { panic("not yet") }

// Copied says which messages became which: both sets ascending, of one length.
type Copied struct {
	UIDValidity uint32
	Source      imap.UIDSet
	Dest        imap.UIDSet
}

// Copy copies messages to another mailbox of the account, all or none, by hard
// links where the file system can. ErrNoMailbox, ErrOverQuota, ErrNoSpace; and
// ErrExpunged if one of the set is gone.
func (v *View) Copy(ctx context.Context, set imap.NumSet, to string) (Copied, error) {
	panic("not yet")
}

// Move moves messages likewise, by rename; those that are gone are left out.
// RFC 6851.
func (v *View) Move(ctx context.Context, set imap.NumSet, to string) (Copied, error) {
	panic("not yet")
}

// Vanished returns the UIDs among set that were expunged after modSeq; all of
// the mailbox if set is nil. When the history does not go back so far, it is
// all UIDs of the set that do not exist, as RFC 7162 §3.2.5.1 allows.
func (v *View) Vanished(ctx context.Context, modSeq uint64, set imap.UIDSet) (imap.UIDSet, error) {
	panic("not yet")
}

// Open opens a message for reading. ErrExpunged.
func (v *View) Open(ctx context.Context, uid imap.UID) (*Body, error) { panic("not yet") }

// Body is an open message. As an io.ReadSeeker it has CRLF at the end of every
// line, whatever the file has, and offsets count so; its size is RFC822.SIZE.
// Seek from the start costs nothing in a file with CRLF and a scan in one with
// LF, unless SeekFile says where to begin.
type Body struct{}

func (b *Body) Read(p []byte) (int, error)                   { panic("not yet") }
func (b *Body) Seek(offset int64, whence int) (int64, error) { panic("not yet") }
func (b *Body) WriteTo(w io.Writer) (int64, error)           { panic("not yet") }

// Close closes the file.
func (b *Body) Close() error { panic("not yet") }

// Size is RFC822.SIZE.
func (b *Body) Size() int64 { panic("not yet") }

// Pos tells where the next Read begins: as the reader counts, and in the file.
func (b *Body) Pos() (offset, file int64) { panic("not yet") }

// SeekFile moves to a place that Pos once told, without a scan.
func (b *Body) SeekFile(offset, file int64) { panic("not yet") }

// File is the file itself. CRLF says that its bytes are those of the reader.
func (b *Body) File() (f *os.File, crlf bool) { panic("not yet") }

// Cached walks through the messages of a set like Messages, with what PutCache
// kept for each under the same version; data is nil if there is none, and valid
// until the next step only. Many are read at a time; no database lock is held
// between two steps.
func (v *View) Cached(ctx context.Context, version uint8, set imap.NumSet, fn func(seq uint32, m Msg, data []byte) error) error {
	panic("not yet")
}

// PutCache keeps derived data of a message (envelope, body structure, offsets)
// until it is expunged. It is written later, many at a time, and may be lost.
// data is copied; at most 64 KiB, more is not kept.
func (v *View) PutCache(uid imap.UID, version uint8, data []byte) { panic("not yet") }
