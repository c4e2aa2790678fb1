package storage

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/schema"
)

// Who opens one message after the other gets many at once: the rights of the
// mailbox's owner, and the rows of the index, are asked for a step of files.
// While all is in memory, whoever asks reads the step; where the disk must be
// waited for, a goroutine does, while the messages before are being sent.
const (
	aheadFirst = 4         // files in the first step; each step has twice as many as the one before
	aheadFiles = 64        // at most
	aheadSpan  = 4         // UIDs from the first to the last, for each file, up to which all rows between are read
	aheadBytes = 128 << 10 // held of a step
	aheadHead  = 64 << 10  // held of one file; the rest of a longer one is read when asked for
	aheadViews = 8         // views that read ahead at a time, so that memory is bounded
	aheadIdle  = time.Second
	// aheadSlow is how many steps a goroutine reads after one that had to wait
	// for the disk.
	aheadSlow = 4
)

// ahead is the reading ahead of one view.
type ahead struct {
	mu     sync.Mutex // guards what follows; the goroutine does not need it
	b      *box       // nil: nothing is read ahead
	uids   []uint32   // what may be asked for, in order
	rows   aheadRows  // of the first of them
	size   int        // how many are looked up at once
	slow   int        // steps that a goroutine is to read
	step   *step      // that is handed out
	next   chan *step // the one after it; nil: nobody reads it yet
	used   time.Time
	expire *time.Timer
}

// aheadRows are rows of the index.
type aheadRows struct {
	uids  []uint32 // that were looked up; empty: none were
	list  []aheadRow
	names []byte
}

// aheadRow is where a file is. Its name is in aheadRows.names; info begins where
// flags do not tell the end of it.
type aheadRow struct {
	uid            uint32
	from, info, to int
	hasInfo        bool
	size           int64   // RFC822.SIZE
	flags          FlagSet // that the name tells
	gone           bool
}

// step is some files in a row.
type step struct {
	ready  []readyFile
	at     int // in ready: the next that was not asked for
	n      int // UIDs that it went on
	rows   aheadRows
	waited bool // for the disk
	mem    *aheadBuffer
	refs   atomic.Int32 // files that are open, and the reader
}

// aheadBuffer is the memory of a step.
type aheadBuffer struct {
	bytes [aheadBytes]byte
	ready [aheadFiles]readyFile
}

// readyFile is a file that was opened before it was asked for.
type readyFile struct {
	uid uint32
	file
	rfcSize int64 // RFC822.SIZE
}

var aheadBuffers = sync.Pool{New: func() any { return new(aheadBuffer) }}

func (s *step) release() {
	if s.refs.Add(-1) == 0 && s.mem != nil {
		clear(s.ready)
		aheadBuffers.Put(s.mem)
	}
}

// take returns the file of a message; nil if it was not read. Those before it
// will not be asked for.
func (s *step) take(uid uint32) (r *readyFile) {
	for ; s.at < len(s.ready) && s.ready[s.at].uid <= uid; s.at++ {
		if s.ready[s.at].uid == uid {
			r = &s.ready[s.at]
		} else {
			s.ready[s.at].Close()
		}
	}
	return r
}

func (s *step) drop() {
	for ; s.at < len(s.ready); s.at++ {
		s.ready[s.at].Close()
	}
	s.release()
}

// mayReadAhead takes one of the places that there are for views.
func (s *Store) mayReadAhead() bool {
	if s.readers.Add(1) <= aheadViews {
		return true
	}
	s.readers.Add(-1)
	return false
}

// begin reads ahead the messages uids of a mailbox, unless too many do.
func (a *ahead) begin(b *box, uids []uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.b != nil || len(uids) == 0 || !b.t.s.mayReadAhead() {
		return
	}
	a.b, a.uids, a.size, a.used = b, uids, aheadFirst, b.t.s.d.Now()
	a.expire = time.AfterFunc(aheadIdle, a.idle)
}

// ask is what the next step is about. a.mu is held.
func (a *ahead) ask() aheadRows {
	if len(a.rows.uids) > 0 {
		return a.rows
	}
	n := min(a.size, len(a.uids))
	a.size = min(2*a.size, aheadFiles)
	return aheadRows{uids: a.uids[:n]}
}

// take returns the file of a message if it was read ahead, else nil.
func (a *ahead) take(uid uint32) *readyFile {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.b == nil {
		return nil
	}
	for {
		if a.step != nil {
			if r := a.step.take(uid); r != nil || a.step.at < len(a.step.ready) {
				return r
			}
			a.step.drop()
			a.step = nil
		}
		if !a.advance() {
			a.end()
			return nil
		}
	}
}

// advance makes the next step the one that is handed out; false: there are no
// more. a.mu is held.
func (a *ahead) advance() bool {
	a.used = a.b.t.s.d.Now()
	switch {
	case a.next != nil:
		a.step = <-a.next
		a.next = nil
	case len(a.uids) == 0:
		return false
	default:
		a.step = a.b.readStep(a.ask(), false)
	}
	a.uids, a.rows = a.uids[a.step.n:], a.step.rows
	if a.slow = max(0, a.slow-1); a.step.waited {
		a.slow = aheadSlow
	}
	if a.slow > 0 && len(a.uids) > 0 {
		next, b, rows := make(chan *step, 1), a.b, a.ask()
		a.next = next
		go func() { next <- b.readStep(rows, true) }() // end waits for it
	}
	return true
}

// close ends it. It may begin again.
func (a *ahead) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end()
}

// end is close. a.mu is held.
func (a *ahead) end() {
	if a.b == nil {
		return
	}
	a.expire.Stop()
	if a.step != nil {
		a.step.drop()
	}
	if a.next != nil {
		(<-a.next).drop()
	}
	a.b.t.s.readers.Add(-1)
	a.b, a.uids, a.rows, a.step, a.next, a.slow = nil, nil, aheadRows{}, nil, nil, 0
}

// idle gives back what nobody has asked for.
func (a *ahead) idle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.b == nil {
		return
	}
	if left := aheadIdle - a.b.t.s.d.Now().Sub(a.used); left > 0 {
		a.expire.Reset(left)
		return
	}
	a.end()
}

// readStep opens the files of messages, and reads what there is room for. A
// file that cannot be had is left out. Who is not patient gets those before the
// first that the disk must be waited for.
func (b *box) readStep(rows aheadRows, patient bool) *step {
	s := &step{rows: rows}
	s.refs.Store(1)
	if err := b.lookUp(&s.rows); err != nil || len(s.rows.list) == 0 {
		s.n, s.rows = len(rows.uids), aheadRows{}
		return s
	}
	s.mem = aheadBuffers.Get().(*aheadBuffer)
	s.ready = s.mem.ready[:0]
	done := 0
	b.t.do(func(root *os.Root) error {
		cur, err := b.open(root, curDir)
		if err != nil {
			return err
		}
		defer cur.close()
		done = s.readFiles(cur, patient)
		return nil
	})
	s.passed(done, patient)
	return s
}

// passed counts the UIDs that a step went on, and keeps the rows of the others.
func (s *step) passed(done int, patient bool) {
	uids, list := s.rows.uids, s.rows.list
	if done == 0 && s.waited && !patient {
		return // all are left to the goroutine
	}
	for s.n < len(uids) && (done == 0 || done == len(list) || uids[s.n] < list[done].uid) {
		s.n++
	}
	s.rows.uids, s.rows.list = uids[s.n:], list[done:]
	if done == 0 || len(s.rows.uids) == 0 {
		s.rows = aheadRows{}
	}
}

// readFiles reads the files of rows, and returns of how many.
func (s *step) readFiles(cur *dir, patient bool) (done int) {
	room := s.mem.bytes[:]
	var name [nameMost]byte
	for ; done < len(s.rows.list); done++ {
		row := &s.rows.list[done]
		need := min(row.size+1, aheadHead)
		if need > int64(len(room)) {
			break
		}
		if row.gone || row.flags&inNew != 0 {
			continue
		}
		s.ready = append(s.ready, readyFile{uid: row.uid, rfcSize: row.size})
		f := &s.ready[len(s.ready)-1].file
		f.fd, f.path, f.step = -1, cur.path, s
		waits, err := f.openHead(cur, s.rows.fileName(name[:0], row), room[:need], patient)
		s.waited = s.waited || waits
		if err != nil {
			s.ready = s.ready[:len(s.ready)-1]
			if waits && !patient {
				return done
			}
			continue
		}
		room = room[len(f.head):]
		s.refs.Add(1)
	}
	return done
}

// nameMost is room for the name of most files.
const nameMost = 256

// fileName makes the name of a file, as fileOf does.
func (r *aheadRows) fileName(buf []byte, row *aheadRow) []byte {
	if row.hasInfo {
		return append(buf, r.names[row.from:row.to]...)
	}
	return appendInfo(append(buf, r.names[row.from:row.info]...), row.flags)
}

// lookUp reads where the files of messages are, unless that was done, and their
// flags of now.
func (b *box) lookUp(r *aheadRows) error {
	if r.list == nil {
		if err := b.readNames(r); err != nil {
			return err
		}
	}
	b.asked.Add(1)
	b.mu.RLock()
	defer b.mu.RUnlock()
	for i := range r.list {
		row, pos := &r.list[i], -1
		if b.msgs != nil {
			pos = b.msgs.find(row.uid)
		}
		if row.gone = pos < 0; !row.gone {
			row.flags = b.diskFlags(pos)
		}
	}
	return nil
}

func (b *box) readNames(r *aheadRows) error {
	uids := r.uids
	r.list = make([]aheadRow, 0, len(uids))
	take := func(f *schema.FileRow) error {
		for len(uids) > 0 && uids[0] < f.UID {
			uids = uids[1:]
		}
		if len(uids) == 0 || uids[0] != f.UID {
			return nil
		}
		row := aheadRow{uid: f.UID, size: f.Size, hasInfo: f.HasInfo, from: len(r.names)}
		r.names = append(r.names, f.Name...)
		row.info = len(r.names)
		r.names = append(r.names, f.Info...)
		row.to = len(r.names)
		r.list = append(r.list, row)
		return nil
	}
	ctx, state := context.Background(), b.t.s.d.State
	if first, last := uids[0], uids[len(uids)-1]; int(last-first) <= aheadSpan*len(uids) {
		return state.EachFile(ctx, b.num, first, last, take)
	}
	return state.EachFileOf(ctx, b.num, r.uids, take)
}

// openHead opens a file and reads its beginning into room. Of a file that is
// shorter nothing needs to stay open. waits says that the disk is waited for; who
// is not patient gets no file then.
func (f *file) openHead(d *dir, name, room []byte, patient bool) (waits bool, err error) {
	if f.fd, err = d.openFast(name); err != nil {
		return false, d.fail("open", string(name), err)
	}
	n, err := readCached(f.fd, room)
	if waits = err != nil; waits && patient {
		n, err = retry(func() (int, error) { return unix.Pread(f.fd, room, 0) })
	}
	if err == nil {
		f.head = room[:n:n]
		f.size = int64(n)
		if n == len(room) {
			f.size, err = regularSize(f.fd)
		}
	}
	if err != nil || f.size == int64(n) {
		unix.Close(f.fd)
		f.fd = -1
	}
	if err != nil {
		return waits, d.fail("read", string(name), err)
	}
	return waits, nil
}

func regularSize(fd int) (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, ErrExpunged
	}
	return st.Size, nil
}
