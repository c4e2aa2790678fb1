package storage

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"mailserver/schema"
)

// arrival is a file put in place that the index does not have yet.
type arrival struct {
	row  schema.IndexMessage // without UID and ModSeq
	into *joined             // nil: nobody waits
}

// joined are arrivals that somebody waits for: all or none are in the index.
type joined struct {
	uids     []uint32
	validity uint32
	err      error
	which    int
	files    []string // to be removed if the index cannot take them
}

// incoming holds deliveries until they are in the index. A delivery does not
// wait for that, unless there are very many.
type incoming struct {
	mu      sync.Mutex
	list    []arrival
	running bool
	added   uint64 // how many were ever put
	done    uint64 // how many were taken and dealt with
	step    chan struct{}
	hurry   chan struct{} // while running: closed when somebody waits
	hurried bool
	waiters int // in flush
}

const (
	// maxIncoming bounds what may wait for the index of one mailbox.
	maxIncoming = 1000
	// indexPause is how long the index of a mailbox that nobody looks at waits
	// for more, so that deliveries to many mailboxes share a commit.
	indexPause = 100 * time.Millisecond
)

func (in *incoming) put(list ...arrival) {
	in.mu.Lock()
	in.list = append(in.list, list...)
	in.added += uint64(len(list))
	in.mu.Unlock()
}

func (in *incoming) waiting() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.list) > 0
}

// take returns what waits. Until finish, flush waits for it.
func (in *incoming) take() []arrival {
	in.mu.Lock()
	defer in.mu.Unlock()
	list := in.list
	in.list = nil
	return list
}

func (in *incoming) finish(n int) {
	if n == 0 {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.done += uint64(n)
	close(in.step)
	in.step = make(chan struct{})
}

// index starts the goroutine that brings deliveries into the index, unless it
// runs. It waits only when too many are on their way.
func (b *box) index() {
	in := &b.in
	watched := b.watched()
	in.mu.Lock()
	start := !in.running
	if start {
		in.running, in.hurried, in.hurry = true, false, make(chan struct{})
	}
	if watched || in.waiters > 0 {
		in.goOn()
	}
	crowded := len(in.list) > maxIncoming
	in.mu.Unlock()
	if start {
		b.t.hold()
		if !b.t.s.background(b.indexAll) {
			b.indexAll() // the Store is closing: it waits for us
		}
	}
	if crowded {
		b.flush(context.Background())
	}
}

// indexNow is index for who is going to wait for it.
func (b *box) indexNow() {
	b.index()
	b.in.mu.Lock()
	defer b.in.mu.Unlock()
	b.in.goOn()
}

// watched reports whether sessions have the mailbox open, or may have.
func (b *box) watched() bool {
	if !b.mu.TryRLock() {
		return true
	}
	defer b.mu.RUnlock()
	return b.views > 0
}

// goOn ends the pause of indexAll. in.mu is held.
func (in *incoming) goOn() {
	if in.running && !in.hurried {
		in.hurried = true
		close(in.hurry)
	}
}

// beat returns a channel that is closed after indexPause at most, the same for
// all who ask within that time.
func (s *Store) beat() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nextBeat == nil {
		next := make(chan struct{})
		s.nextBeat = next
		time.AfterFunc(indexPause, func() {
			s.mu.Lock()
			s.nextBeat = nil
			s.mu.Unlock()
			close(next)
		})
	}
	return s.nextBeat
}

// indexAll works until nothing waits.
func (b *box) indexAll() {
	defer b.t.release()
	select {
	case <-b.t.s.beat():
	case <-b.in.hurry:
	case <-b.t.s.stop:
	}
	for {
		b.mu.Lock()
		err := b.drain(context.Background())
		b.mu.Unlock()
		if err != nil {
			b.t.s.d.Log.Error("cannot write mailbox index; it will be read from the tree", "user", b.t.key.user,
				"mailbox", b.name(), slog.Any("err", err))
		}
		b.in.mu.Lock()
		if len(b.in.list) == 0 {
			b.in.running = false
			b.in.mu.Unlock()
			return
		}
		b.in.mu.Unlock()
	}
}

// drain gives UIDs to all deliveries that wait. When it fails they are left to
// the next reconcile. b.mu is held for writing.
func (b *box) drain(ctx context.Context) error {
	list := b.in.take()
	if len(list) == 0 {
		return nil
	}
	defer b.in.finish(len(list))
	var held int64
	rows := make([]schema.IndexMessage, len(list))
	for i := range list {
		rows[i] = list[i].row
		held += rows[i].Size
	}
	defer b.t.reserved.Add(-held)
	defer b.t.coming.Add(-int64(len(list)))
	err := b.add(ctx, rows, !slices.ContainsFunc(list, func(a arrival) bool { return a.into != nil }))
	for i, a := range list {
		if a.into != nil {
			if err != nil {
				a.into.err = err
			}
			a.into.validity = b.row.Validity
			a.into.uids = append(a.into.uids, rows[i].UID)
		}
	}
	return err
}

// add gives rows UIDs, those that they have or the next ones, and one MODSEQ,
// writes them and shows them. mayWait says that the list of UIDs in the tree may
// follow later. b.mu is held for writing.
func (b *box) add(ctx context.Context, rows []schema.IndexMessage, mayWait bool) error {
	if b.gone {
		return ErrNoMailbox
	}
	next := b.row
	next.ModSeq++
	for i := range rows {
		rows[i].UID, rows[i].ModSeq = max(rows[i].UID, next.UIDNext), next.ModSeq
		next.UIDNext = rows[i].UID + 1
		tallyAdd(&next, rows[i].Size, FlagSet(rows[i].Flags))
	}
	if err := b.commit(ctx, next, func(tx *schema.Tx) error { return tx.AddMessages(b.num, rows) }); err != nil {
		return err
	}
	if b.msgs != nil {
		for i := range rows {
			b.msgs.add(&rows[i])
			if b.msgs.hash != nil {
				b.msgs.hash = append(b.msgs.hash, b.t.s.hash(rows[i].Name))
			}
		}
	}
	if mayWait {
		b.recordLater()
	} else {
		b.record(ctx, rows)
	}
	b.changed()
	b.t.s.fts.note(b, false)
	return nil
}

// flush waits until all deliveries made before the call are in the index, or
// left to a reconcile.
func (b *box) flush(ctx context.Context) error {
	in := &b.in
	in.mu.Lock()
	defer in.mu.Unlock()
	in.waiters++
	defer func() { in.waiters-- }()
	want := in.added
	if in.done < want {
		in.goOn()
	}
	for in.done < want {
		step := in.step
		in.mu.Unlock()
		select {
		case <-step:
			in.mu.Lock()
		case <-ctx.Done():
			in.mu.Lock()
			return ctx.Err()
		}
	}
	return nil
}

// place is where a mailbox is; replaced as a whole by a rename, so that nobody
// waits for b.mu to know it.
type place struct{ name, dir string }

func (b *box) name() string { return b.place.Load().name }

func (b *box) dir() string { return b.place.Load().dir }
