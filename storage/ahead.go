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

// Who opens one message after the other gets the next files from a goroutine
// that reads ahead: the disk, and the rights of the mailbox's owner, are asked
// while the messages before are being sent.
const (
	aheadFirst = 4         // files in the first step; each step has twice as many as the one before
	aheadFiles = 64        // at most
	aheadSpan  = 4         // UIDs from the first to the last, for each file, up to which all rows between are read
	aheadBytes = 128 << 10 // held of a step
	aheadHead  = 32 << 10  // held of one file; the rest of a longer one is read when asked for
	aheadViews = 8         // views that read ahead at a time, so that memory is bounded
	aheadIdle  = time.Second
)

// ahead is the reading ahead of one view.
type ahead struct {
	mu     sync.Mutex // guards what follows; the goroutine does not need it
	b      *box       // nil: nothing is read ahead
	uids   []uint32   // what may be asked for, in order
	size   int        // files in the next step
	step   *step      // that is handed out
	next   chan *step // the one after it; nil at the end
	used   time.Time
	expire *time.Timer
}

// step is some files in a row.
type step struct {
	ready []readyFile
	n     int // UIDs that it went on
	buf   []byte
	refs  atomic.Int32 // files that are open, and the reader
}

// readyFile is a file that was opened before it was asked for.
type readyFile struct {
	uid  uint32
	f    *file
	size int64 // RFC822.SIZE
}

var aheadBuffers = sync.Pool{New: func() any { b := make([]byte, aheadBytes); return &b }}

func (s *step) release() {
	if s.refs.Add(-1) == 0 && s.buf != nil {
		aheadBuffers.Put(&s.buf)
	}
}

// take returns the file of a message; none if it was not read. Those before it
// will not be asked for.
func (s *step) take(uid uint32) (r readyFile) {
	for len(s.ready) > 0 && s.ready[0].uid <= uid {
		if s.ready[0].uid == uid {
			r = s.ready[0]
		} else {
			s.ready[0].f.Close()
		}
		s.ready = s.ready[1:]
	}
	return r
}

func (s *step) drop() {
	for _, r := range s.ready {
		r.f.Close()
	}
	s.ready = nil
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
	a.read()
}

// read starts the next step. a.mu is held.
func (a *ahead) read() {
	a.next = nil
	if len(a.uids) == 0 {
		return
	}
	n := min(a.size, len(a.uids))
	next, b, uids := make(chan *step, 1), a.b, a.uids[:n]
	a.size = min(2*a.size, aheadFiles)
	a.next = next
	go func() { next <- b.readStep(uids) }() // close waits for it
}

// take returns the file of a message if it was read ahead.
func (a *ahead) take(uid uint32) (none readyFile) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.b == nil {
		return none
	}
	a.used = a.b.t.s.d.Now()
	for {
		if a.step != nil {
			if r := a.step.take(uid); r.f != nil || len(a.step.ready) > 0 {
				return r
			}
			a.step.drop()
			a.step = nil
		}
		if a.next == nil {
			a.end()
			return none
		}
		a.step = <-a.next
		a.uids = a.uids[a.step.n:]
		a.read()
	}
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
	a.b, a.uids, a.step, a.next = nil, nil, nil, nil
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
// file that cannot be had is left out.
func (b *box) readStep(uids []uint32) *step {
	s := &step{}
	s.refs.Store(1)
	rows, err := b.filesNow(uids)
	if err != nil || len(rows) == 0 {
		s.n = len(uids)
		return s
	}
	s.buf = *aheadBuffers.Get().(*[]byte)
	done := 0
	b.t.do(func(root *os.Root) error {
		cur, err := b.open(root, curDir)
		if err != nil {
			return err
		}
		defer cur.close()
		room := s.buf
		for ; done < len(rows) && len(room) >= aheadHead; done++ {
			which, name := fileOf(&rows[done])
			if which != curDir {
				continue
			}
			f, err := cur.openHead(name, room[:min(rows[done].Size+1, aheadHead)])
			if err != nil {
				continue
			}
			room = room[len(f.head):]
			f.step = s
			s.refs.Add(1)
			s.ready = append(s.ready, readyFile{rows[done].UID, f, rows[done].Size})
		}
		return nil
	})
	for s.n < len(uids) && (done == 0 || done == len(rows) || uids[s.n] < rows[done].UID) {
		s.n++
	}
	return s
}

// filesNow reads where the files of messages are, with the flags of now.
func (b *box) filesNow(uids []uint32) (rows []schema.IndexMessage, err error) {
	rows = make([]schema.IndexMessage, 0, len(uids))
	take := func(f *schema.FileRow) error {
		rows = append(rows, schema.IndexMessage{UID: f.UID, Size: f.Size, Name: string(f.Name), Info: string(f.Info), HasInfo: f.HasInfo})
		return nil
	}
	if first, last := uids[0], uids[len(uids)-1]; int(last-first) <= aheadSpan*len(uids) {
		err = b.t.s.d.State.EachFile(context.Background(), b.num, first, last, take)
	} else {
		err = b.t.s.d.State.EachFileOf(context.Background(), b.num, uids, take)
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.msgs == nil {
		return nil, err
	}
	there := rows[:0]
	for _, row := range rows {
		for len(uids) > 0 && uids[0] < row.UID {
			uids = uids[1:]
		}
		if len(uids) == 0 || uids[0] != row.UID {
			continue
		}
		if pos := b.msgs.find(row.UID); pos >= 0 {
			row.Flags = uint64(b.diskFlags(pos))
			there = append(there, row)
		}
	}
	return there, err
}

// openHead opens a file and reads its beginning into room. Of a file that is
// shorter nothing needs to stay open.
func (d *dir) openHead(name string, room []byte) (*file, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	f := &file{fd: fd, path: d.path}
	n, err := retry(func() (int, error) { return unix.Pread(fd, room, 0) })
	if err == nil {
		f.head = room[:n:n]
		f.size = int64(n)
		if n == len(room) {
			f.size, err = regularSize(fd)
		}
	}
	if err != nil || f.size == int64(n) {
		unix.Close(fd)
		f.fd = -1
	}
	if err != nil {
		return nil, d.fail("read", name, err)
	}
	return f, nil
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
