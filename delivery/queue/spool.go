package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"mailserver/schema"
)

// What stays of messages in memory before a file is begun. Most mail for
// mailboxes here needs no file.
const (
	memoryLimit = 64 << 10  // of each
	memoryMost  = 512 << 10 // of one while there is room
	memoryRoom  = 4 << 20   // what all have above memoryLimit, together
)

// Text is a message coming in. One goroutine writes it; then any number may
// read, until Drop.
type Text struct {
	q    *Queue
	id   string
	buf  *[]byte  // until the file takes over; from buffers
	file *os.File // nil while in memory
	held int      // bytes taken of memoryRoom
	size int64
	err  error // of a Write; sticks
	kept bool  // the file is spool/queue/ID now

	queued bool // and has its rows

	envelope []byte // what stands behind the message, once kept
}

// buffers holds what messages in memory grew to.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

// Begin makes a queue ID and room for a message.
func (q *Queue) Begin() (*Text, error) {
	id, err := q.ids.next(q.d.Now())
	if err != nil {
		return nil, err
	}
	return &Text{q: q, id: id, buf: buffers.Get().(*[]byte)}, nil
}

// ID is the queue ID.
func (t *Text) ID() string { return t.id }

// Size is the number of bytes written.
func (t *Text) Size() int64 { return t.size }

// Err is the error of a Write, if there was one.
func (t *Text) Err() error { return t.err }

// Write adds to the message. After an error every further Write fails.
func (t *Text) Write(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	if t.file == nil && t.fits(len(*t.buf)+len(p)) {
		*t.buf = append(*t.buf, p...)
		t.size += int64(len(p))
		return len(p), nil
	}
	if t.file == nil {
		if t.err = t.spill(); t.err != nil {
			return 0, t.err
		}
	}
	n, err := t.file.Write(p)
	t.size += int64(n)
	if err != nil {
		t.err = fmt.Errorf("write spool %s: %w", t.id, err)
	}
	return n, t.err
}

// fits reports whether a message of n bytes may stay in memory.
func (t *Text) fits(n int) bool {
	more := n - memoryLimit - t.held
	switch {
	case more <= 0:
		return true
	case n > memoryMost:
		return false
	}
	more = (more + memoryLimit - 1) / memoryLimit * memoryLimit
	if t.q.inMemory.Add(int64(more)) > memoryRoom {
		t.q.inMemory.Add(int64(-more))
		return false
	}
	t.held += more
	return true
}

// spill moves the message from memory to a file.
func (t *Text) spill() error {
	f, err := os.OpenFile(t.q.tmpFile(t.id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create spool %s: %w", t.id, err)
	}
	if _, err := f.Write(*t.buf); err != nil {
		f.Close()
		os.Remove(t.q.tmpFile(t.id))
		return fmt.Errorf("write spool %s: %w", t.id, err)
	}
	t.file = f
	t.free()
	return nil
}

func (t *Text) free() {
	if t.buf != nil {
		*t.buf = (*t.buf)[:0]
		buffers.Put(t.buf)
		t.buf = nil
	}
	t.q.inMemory.Add(int64(-t.held))
	t.held = 0
}

// Open returns a reader of the whole message; readers do not disturb each other.
func (t *Text) Open() io.Reader {
	if t.file != nil {
		return io.NewSectionReader(t.file, 0, t.size)
	}
	return bytes.NewReader(*t.buf)
}

// Drop ends the use of the message; a file that was not queued is removed.
func (t *Text) Drop() {
	t.free()
	if t.file == nil {
		return
	}
	t.file.Close()
	t.file = nil
	switch {
	case t.queued:
	case t.kept:
		os.Remove(t.q.file(t.id))
	default:
		os.Remove(t.q.tmpFile(t.id))
	}
}

// Keep makes the message spool/queue/ID, durably, with its envelope: m and what
// is known of rcpts. Add does it too; called before, it tells early whether the
// disk has room. Drop undoes it unless Add has queued the message.
func (t *Text) Keep(m *Message, rcpts []Recipient) error {
	if t.err != nil {
		return t.err
	}
	m.ID, m.Size = t.id, t.size
	envelope, err := seal(m, rcpts)
	if err != nil || t.kept && bytes.Equal(envelope, t.envelope) {
		return err
	}
	if t.file == nil {
		if err := t.spill(); err != nil {
			return err
		}
	}
	if _, err := t.file.WriteAt(envelope, t.size+int64(len(t.envelope))); err != nil {
		return fmt.Errorf("write spool %s: %w", t.id, err)
	}
	t.envelope = append(t.envelope, envelope...)
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("sync spool %s: %w", t.id, err)
	}
	if t.kept {
		return nil
	}
	if err := os.Rename(t.q.tmpFile(t.id), t.q.file(t.id)); err != nil {
		return fmt.Errorf("queue spool %s: %w", t.id, err)
	}
	t.kept = true
	return t.q.dirs.sync()
}

// Add queues the message for rcpts; it is on disk, file and rows, when Add
// returns nil. A recipient in state QueueActive is tried at once.
func (q *Queue) Add(ctx context.Context, t *Text, m *Message, rcpts []Recipient) error {
	if err := t.Keep(m, rcpts); err != nil {
		return err
	}
	q.sched.admit(rcpts)
	err := q.d.State.Write(ctx, func(tx *schema.Tx) error { return tx.QueueAdd(m, rcpts) })
	if err != nil {
		q.sched.dismiss(rcpts)
		return err
	}
	t.queued = true
	q.sched.start(m, rcpts)
	return nil
}

// clean removes what a server that died left in spool/tmp, which nobody was
// promised, and sets aside files of spool/queue without a row: all that is
// older than this Queue. What is newer may be a message that is being taken now.
//
// A file without a row is most often mail that was not promised, or that is
// done, when the server died. But state.sqlite may be lost, or older than the
// spool, and then it is the only copy of mail that was.
func (q *Queue) clean(ctx context.Context) error {
	err := eachName(filepath.Dir(q.tmpFile("x")), func(name string) error {
		if !older(name, q.opened) {
			return nil
		}
		return os.Remove(q.tmpFile(name))
	})
	if err != nil {
		return err
	}
	n := 0
	var names []string
	err = eachName(q.dirs.path, func(name string) error {
		if older(name, q.opened) {
			names = append(names, name)
		}
		if len(names) < listPage {
			return nil
		}
		defer func() { names = names[:0] }()
		return q.setAside(ctx, names, &n)
	})
	if err == nil && len(names) > 0 {
		err = q.setAside(ctx, names, &n)
	}
	if n > maxTold {
		q.logOrphans(n)
	}
	return err
}

// setAside moves those of names that have no row, and counts them in n.
func (q *Queue) setAside(ctx context.Context, names []string, n *int) error {
	strangers, err := q.d.State.QueueStrangers(ctx, names)
	for _, name := range strangers {
		if err := os.Rename(q.file(name), q.orphan(name)); err != nil {
			return fmt.Errorf("set aside %s: %w", name, err)
		}
		if *n++; *n <= maxTold {
			q.logOrphan(name)
		}
	}
	return err
}

// maxTold bounds the lines about files that were set aside.
const maxTold = 100

// orphan is where a file of spool/queue without a row is set aside.
func (q *Queue) orphan(id string) string { return filepath.Join(q.d.Dir, "spool", "orphan", id) }

// Orphans calls fn for each file that was set aside because no row tells whose
// mail it is.
func (q *Queue) Orphans(fn func(path string) error) error {
	return eachName(filepath.Dir(q.orphan("x")), func(name string) error { return fn(q.orphan(name)) })
}

// Lost calls fn for each message in the queue whose file is gone.
func (q *Queue) Lost(ctx context.Context, fn func(*Message) error) error {
	after := ""
	for {
		page, err := q.d.State.QueuePage(ctx, after, listPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, m := range page {
			after = m.ID
			if _, err := os.Lstat(q.file(m.ID)); err == nil {
				continue
			} else if !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("look at spool %s: %w", m.ID, err)
			}
			// A server may have finished it between the page and the look.
			if m, err = q.d.State.QueueMessage(ctx, m.ID); err == nil && m != nil {
				err = fn(m)
			}
			if err != nil {
				return err
			}
		}
	}
}

// older reports whether a file of the spool was made before start; a name that
// is no queue ID was not made by us and stays.
func older(name string, start time.Time) bool {
	at, ok := Arrival(name)
	return ok && at.Before(start)
}

// eachName reads a directory in pieces: it may hold 100,000 names.
func eachName(dir string, fn func(string) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("scan spool: %w", err)
	}
	defer d.Close()
	for {
		list, err := d.ReadDir(256)
		for _, e := range list {
			if err := fn(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("scan spool: %w", err)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("scan spool: %w", err)
		}
	}
}

// dirSync makes the names in one directory durable. Calls that arrive while a
// sync is on its way share the next one.
type dirSync struct {
	path string

	turn sync.Mutex // held during a sync
	dir  *os.File   // kept open; guarded by turn

	mu   sync.Mutex
	next *syncRound // what has not begun; nil if nobody waits. Guarded by mu
}

// syncRound is one sync; its fields are guarded by dirSync.turn.
type syncRound struct {
	done bool
	err  error
}

func (d *dirSync) sync() error {
	d.mu.Lock()
	if d.next == nil {
		d.next = new(syncRound)
	}
	r := d.next
	d.mu.Unlock()

	d.turn.Lock()
	defer d.turn.Unlock()
	if r.done {
		return r.err
	}
	d.mu.Lock()
	d.next = nil // r: every earlier round is done
	d.mu.Unlock()
	r.done, r.err = true, d.run()
	return r.err
}

// run does one sync. The caller holds d.turn.
func (d *dirSync) run() error {
	if d.dir == nil {
		f, err := os.Open(d.path)
		if err != nil {
			return fmt.Errorf("sync %s: %w", d.path, err)
		}
		d.dir = f
	}
	if err := d.dir.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", d.path, err)
	}
	return nil
}
