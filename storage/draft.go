package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Draft is a message being written into an account. Used by one goroutine; it
// ends with Deliver, Append or Abort. Abort after those does nothing.
type Draft struct {
	t      *tree
	b      *box
	limits limits
	crlf   bool // the file gets CRLF line ends

	tmp    *dir
	file   *os.File // nil for a link
	from   *Draft   // whose file a link shares
	name   string   // in tmp/, and later before the sizes
	mem    *[]byte  // from bufs
	buf    []byte   // of mem, not yet written
	last   byte     // that was put into buf
	heldCR bool     // a CR that an LF may follow
	in     int64    // bytes given to Write
	size   int64    // bytes for the file
	bare   int64    // LFs in it without CR before
	synced bool     // the bytes are on disk
	named  bool     // its name in new/ is
	over   bool
	err    error // of a write: the draft is lost
}

// bufs are the write buffers of drafts.
var bufs = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// NewDraft opens a file in tmp/ of the mailbox. INBOX is made, with missing
// parents of its directory, if there is none; any other mailbox must exist:
// ErrNoMailbox. size is what the sender announced, 0 if it did not: ErrOverQuota
// comes at once when that is too much already.
func (a *Account) NewDraft(ctx context.Context, mailbox string, size int64) (*Draft, error) {
	d, err := a.newDraft(ctx, mailbox)
	if err != nil {
		return nil, err
	}
	if err = d.t.reserve(size, 1, d.limits); err == nil {
		d.t.reserved.Add(-size)
		err = d.create()
	}
	if err != nil {
		d.t.release()
		return nil, err
	}
	return d, nil
}

// newDraft finds the mailbox and holds its account.
func (a *Account) newDraft(ctx context.Context, mailbox string) (*Draft, error) {
	cfg, err := a.s.d.Config(ctx)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	t, err := a.s.tree(a.spec)
	if err != nil {
		return nil, err
	}
	b, err := t.box(ctx, mailbox)
	if err != nil {
		t.release()
		return nil, err
	}
	return &Draft{t: t, b: b, limits: limits{a.spec.Quota, int64(cfg.MaxMessages)}, crlf: cfg.SaveCRLF, name: a.s.name.next()}, nil
}

// create makes the file.
func (d *Draft) create() error {
	err := d.inTmp(func(tmp *dir) (err error) {
		d.file, err = tmp.create(d.name)
		return err
	})
	if err != nil {
		return spaceError(fmt.Errorf("begin message in %s of %s: %w", d.b.name(), d.t.key.user, err))
	}
	return nil
}

// inTmp opens tmp/ of the mailbox and runs fn, making the directories of INBOX
// if they are missing.
func (d *Draft) inTmp(fn func(tmp *dir) error) error {
	where := d.b.dir()
	open := func(home *dir) error {
		tmp, err := home.sub(filepath.Join(where, "tmp"))
		if err != nil {
			return err
		}
		d.tmp = tmp
		return fn(tmp)
	}
	err := d.t.in(open)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if where != "" {
		d.t.lost(d.b)
		return errors.Join(ErrNoMailbox, err)
	}
	if err := d.t.makeMaildir(where); err != nil {
		return err
	}
	return d.t.in(open)
}

// Write adds to the message; lines end with CRLF, or with LF as an input of
// lesser sort. ErrNoSpace, ErrOverQuota.
func (d *Draft) Write(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	if d.file == nil {
		return 0, errors.New("write to a finished message")
	}
	if d.buf == nil {
		d.mem = bufs.Get().(*[]byte)
		d.buf = (*d.mem)[:0]
	}
	n := len(p)
	d.in += int64(n)
	for len(p) > 0 && d.err == nil {
		p = d.line(p)
	}
	if d.err == nil && d.limits.bytes > 0 && d.size+d.bare > d.limits.bytes {
		d.err = ErrOverQuota
	}
	if d.err != nil {
		return 0, d.err
	}
	return n, nil
}

// line takes the bytes up to and with the next LF, and writes the line end that
// the file is to have. A CR before CRLF stays, so that nothing is lost.
func (d *Draft) line(p []byte) (rest []byte) {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		d.text(p)
		return nil
	}
	d.text(p[:i])
	crs := d.heldCR
	d.heldCR = false
	switch {
	case d.crlf, crs && d.last == '\r':
		d.put('\r')
	default:
		d.bare++
	}
	d.put('\n')
	return p[i+1:]
}

// text takes bytes without LF. A CR at their end waits for what follows.
func (d *Draft) text(p []byte) {
	if len(p) == 0 {
		return
	}
	if d.heldCR {
		d.put('\r')
		d.heldCR = false
	}
	if p[len(p)-1] == '\r' {
		d.heldCR = true
		p = p[:len(p)-1]
	}
	for len(p) > 0 {
		n := min(len(p), cap(d.buf)-len(d.buf))
		d.buf = append(d.buf, p[:n]...)
		d.size += int64(n)
		d.last = p[n-1]
		p = p[n:]
		if len(d.buf) == cap(d.buf) {
			d.flush()
		}
	}
}

func (d *Draft) put(c byte) {
	d.buf = append(d.buf, c)
	d.size++
	d.last = c
	if len(d.buf) == cap(d.buf) {
		d.flush()
	}
}

func (d *Draft) flush() {
	if d.err == nil && len(d.buf) > 0 {
		if _, err := d.file.Write(d.buf); err != nil {
			d.err = spaceError(fmt.Errorf("write message: %w", err))
		}
	}
	d.buf = d.buf[:0]
}

// Size is the number of bytes written.
func (d *Draft) Size() int64 { return d.in }

// virtual is RFC822.SIZE.
func (d *Draft) virtual() int64 { return d.size + d.bare }

func (d *Draft) giveBack() {
	if d.mem != nil {
		bufs.Put(d.mem)
		d.mem, d.buf = nil, nil
	}
}

// settle writes what is left and makes the file's contents durable. With a time
// the file says that it came then.
func (d *Draft) settle(when time.Time) error {
	if d.buf != nil {
		if d.heldCR {
			d.heldCR = false
			d.put('\r')
		}
		d.flush()
		d.giveBack()
	}
	if d.err != nil || d.synced {
		return d.err
	}
	if !when.IsZero() {
		tv := unix.NsecToTimeval(when.UnixNano())
		if err := unix.Futimes(int(d.file.Fd()), []unix.Timeval{tv, tv}); err != nil {
			d.err = fmt.Errorf("set time of message: %w", err)
			return d.err
		}
	}
	if err := d.file.Sync(); err != nil {
		d.err = spaceError(fmt.Errorf("write message: %w", err))
		return d.err
	}
	d.synced = true
	return nil
}

func (d *Draft) closeDir() {
	if d.tmp != nil {
		d.tmp.close()
		d.tmp = nil
	}
}

// Abort removes the file.
func (d *Draft) Abort() {
	if d.t == nil {
		return
	}
	d.giveBack()
	if d.file != nil {
		d.file.Close()
		d.file = nil
	}
	if !d.over && d.tmp != nil {
		d.t.owner.do(func() error { return d.tmp.remove(d.name) })
	}
	d.closeDir()
	d.over = true
	t := d.t
	d.t = nil
	t.release()
}
