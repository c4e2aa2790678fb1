package storage

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// View is one session's picture of a mailbox: sequence numbers and the set of
// messages stay as they are until Poll. Used by one goroutine.
// Flags are always those of now.
type View struct {
	b        *box
	readOnly bool
	limits   limits
	validity uint32

	uids    []uint32 // what the session's sequence numbers mean
	cuts    uint64   // box.cuts that uids agree with
	modSeq  uint64   // changes up to here were told
	told    uint64   // HighestModSeq
	keys    FlagSet  // keywords that were told
	keep    FlagSet  // flags that Store leaves
	own     []uint64 // MODSEQs after modSeq that this view made itself
	recent  []schema.UIDRange
	recents uint32

	changes  uint64 // box.changes at the last Poll
	files    prefetch
	ahead    ahead
	opened   int      // in uids: follows the message that was opened last
	expected bool     // the reading ahead is of what Expect named
	until    uint32   // what may be asked for in a row ends with it; 0: nobody said
	opening  *opening // nil: all of the mailbox is known
	done     bool
}

// Msg is what the index knows of a message.
type Msg struct {
	UID    imap.UID
	ModSeq uint64
	Flags  FlagSet
	Size   int64 // RFC822.SIZE
	Time   int64 // INTERNALDATE, seconds of Unix time
	Recent bool  // \Recent in this session
}

// Select opens a mailbox for a session: SELECT, or EXAMINE with readOnly.
func (a *Account) Select(ctx context.Context, name string, readOnly bool) (*View, error) {
	cfg, err := a.s.d.Config(ctx)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	t, err := a.s.tree(a.spec)
	if err != nil {
		return nil, err
	}
	v, err := t.view(ctx, name, readOnly)
	if errors.Is(err, ErrNoMailbox) {
		// Its directory may have gone since it was found, and come again.
		v, err = t.view(ctx, name, readOnly)
	}
	if err != nil {
		t.release()
		return nil, err
	}
	v.limits = limits{a.spec.Quota, int64(cfg.MaxMessages)}
	return v, nil
}

func (t *tree) view(ctx context.Context, name string, readOnly bool) (*View, error) {
	b, err := t.box(ctx, name)
	if err != nil {
		return nil, err
	}
	v := &View{b: b, readOnly: readOnly}
	b.mu.Lock()
	b.views++
	first, err := b.firstScan(ctx)
	if first != nil {
		v.openEarly(first)
		b.cleanTmp()
		return v, nil
	}
	if err == nil {
		err = v.begin(ctx)
	}
	if err != nil {
		b.views--
		b.unload()
	}
	b.mu.Unlock()
	if errors.Is(err, ErrNoMailbox) {
		t.lost(b)
	}
	if err != nil {
		return nil, err
	}
	b.cleanTmp()
	return v, nil
}

// begin takes the first picture. b.mu is held for writing.
func (v *View) begin(ctx context.Context) error {
	b := v.b
	if err := b.refresh(ctx); err != nil {
		return err
	}
	if err := b.load(ctx); err != nil {
		return err
	}
	if b.msgs.disk != nil {
		b.follow() // unless it does: the last time has failed
	}
	v.validity = b.row.Validity
	if !v.readOnly {
		if err := v.claim(ctx); err != nil {
			return err
		}
	}
	v.uids, v.cuts, v.keys = b.msgs.uid, b.cuts, b.keys.known
	v.modSeq, v.told = b.row.ModSeq, b.row.ModSeq
	v.changes = b.changes
	return nil
}

// Close ends the view.
func (v *View) Close() {
	if v.done {
		return
	}
	v.done = true
	if o := v.early(); o != nil { // its messages are nobody's business any more
		if v.b.t.s.background(func() { <-o.done; v.close() }) {
			return
		}
		<-o.done
	}
	v.close()
}

func (v *View) close() {
	v.closeFiles()
	b := v.b
	b.flushCache()
	b.mu.Lock()
	b.unwatch(v)
	b.views--
	if b.views == 0 && b.watches != [2]int32{} {
		b.t.s.news.remove(b.watches)
		b.watches = [2]int32{}
	}
	b.unload()
	b.mu.Unlock()
	b.t.release()
}

// ReadOnly says whether it is one of EXAMINE.
func (v *View) ReadOnly() bool { return v.readOnly }

// Keep makes Store leave these flags as they are, whatever it is asked.
func (v *View) Keep(flags FlagSet) { v.keep = flags &^ hiddenFlags }

// Name is the mailbox's present name.
func (v *View) Name() string { return v.b.name() }

// MailboxID is Status.MailboxID.
func (v *View) MailboxID() string { return mailboxID(v.b.num) }

// Len is the number of messages, EXISTS.
func (v *View) Len() uint32 { return uint32(len(v.uids)) }

// Recent is the number of messages that are \Recent in this session.
func (v *View) Recent() uint32 {
	if o := v.early(); o != nil {
		return o.row.Recent
	}
	if !v.readOnly {
		return v.recents
	}
	v.b.mu.RLock()
	defer v.b.mu.RUnlock()
	return v.b.row.Recent
}

// UIDValidity never changes while the view is open.
func (v *View) UIDValidity() uint32 { return v.validity }

// UIDNext is above every UID of the view.
func (v *View) UIDNext() imap.UID {
	if o := v.early(); o != nil {
		return imap.UID(o.row.UIDNext)
	}
	v.b.mu.RLock()
	defer v.b.mu.RUnlock()
	return imap.UID(v.b.row.UIDNext)
}

// HighestModSeq covers all changes that the view has told, those of the last
// Poll among them.
func (v *View) HighestModSeq() uint64 { return v.told }

// FirstUnseen is the first sequence number without \Seen, 0 if there is none.
func (v *View) FirstUnseen() uint32 {
	if o := v.early(); o != nil {
		return o.unseen
	}
	b := v.b
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.msgs == nil || b.row.Unseen == 0 {
		return 0
	}
	for i, flags := range b.msgs.flags {
		if flags&Seen == 0 {
			return v.Seq(imap.UID(b.msgs.uid[i]))
		}
	}
	return 0
}

// UID of a sequence number; 0 outside 1 to Len.
func (v *View) UID(seq uint32) imap.UID {
	if seq == 0 || seq > v.Len() {
		return 0
	}
	return imap.UID(v.uids[seq-1])
}

// Seq is the sequence number of a UID, 0 if the view has it not.
func (v *View) Seq(uid imap.UID) uint32 {
	if i := lowerBound(v.uids, uint32(uid)); i < len(v.uids) && v.uids[i] == uint32(uid) {
		return uint32(i + 1)
	}
	return 0
}

// Msg returns what is known of a sequence number; false outside 1 to Len and
// for a message that is gone but not yet told by Poll.
func (v *View) Msg(seq uint32) (m Msg, ok bool) {
	if seq == 0 || seq > v.Len() {
		return m, false
	}
	v.b.mu.RLock()
	defer v.b.mu.RUnlock()
	return v.msg(int(seq - 1))
}

// msg is Msg for a position in v.uids. b.mu is held.
func (v *View) msg(i int) (m Msg, ok bool) {
	pos := v.position(i)
	if pos < 0 {
		return m, false
	}
	all := v.b.msgs
	flags := all.flags[pos]
	m = Msg{
		UID:    imap.UID(all.uid[pos]),
		ModSeq: all.modSeq[pos],
		Flags:  flags &^ hiddenFlags,
		Size:   int64(all.size[pos]),
		Time:   int64(all.date[pos]),
		Recent: v.readOnly && flags&unclaimed != 0,
	}
	if len(v.recent) > 0 {
		m.Recent = v.isRecent(all.uid[pos])
	}
	return m, true
}

// position is where the box has a message of the view; -1 if it is gone. b.mu
// is held.
func (v *View) position(i int) int {
	all := v.b.msgs
	if all == nil {
		return -1
	}
	if v.cuts == v.b.cuts {
		return i
	}
	return all.find(v.uids[i])
}

func (v *View) isRecent(uid uint32) bool {
	i := sort.Search(len(v.recent), func(i int) bool { return v.recent[i].Last >= uid })
	return i < len(v.recent) && v.recent[i].First <= uid
}

// Keyword returns the bit of a flag or keyword, in any case; false if no
// message of this mailbox ever had it.
func (v *View) Keyword(f imap.Flag) (FlagSet, bool) {
	v.b.mu.RLock()
	defer v.b.mu.RUnlock()
	return v.b.keys.bit(f)
}

// AppendFlags writes flags and keywords to buf, with spaces between. \Recent is
// not among them.
func (v *View) AppendFlags(buf []byte, set FlagSet) []byte {
	v.b.mu.RLock()
	defer v.b.mu.RUnlock()
	return v.b.keys.append(buf, set)
}

// Flags returns all flags and keywords in use, what FLAGS tells.
func (v *View) Flags() []imap.Flag {
	if o := v.early(); o != nil {
		return o.flags
	}
	v.b.mu.RLock()
	defer v.b.mu.RUnlock()
	return v.b.keys.list()
}

// PermanentFlags is the same with \* while there is room for new keywords;
// empty for a read-only view.
func (v *View) PermanentFlags() []imap.Flag {
	if o := v.early(); o != nil {
		return o.permanent
	}
	v.b.mu.RLock()
	defer v.b.mu.RUnlock()
	return v.permanent()
}

// permanent is PermanentFlags with b.mu held.
func (v *View) permanent() []imap.Flag {
	if v.readOnly {
		return nil
	}
	list := v.b.keys.list()
	if v.b.keys.free() >= 0 {
		list = append(list, imap.FlagWildcard)
	}
	return list
}
