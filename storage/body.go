package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"sync"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// prefetch keeps what a command that opens many messages needs again and again:
// the rows of the next ones, their directory, and a few of their files. It lives
// until the next Poll.
type prefetch struct {
	rows  []schema.IndexMessage
	next  int // in rows: follows the row that was given last
	cur   *dir
	ready []readyFile
}

// readyFile is a file that was opened before it was asked for.
type readyFile struct {
	uid uint32
	f   *file
}

const (
	// prefetchRows is how many rows are read at once: about 12 KB.
	prefetchRows = 64
	// prefetchFiles is how many files are opened at once, since taking the
	// owner's rights costs more than an open.
	prefetchFiles = 8
)

func (p *prefetch) close() {
	if p.cur != nil {
		p.cur.close()
	}
	for _, r := range p.ready {
		r.f.Close()
	}
	*p = prefetch{}
}

// take returns the file of a message that was opened before; nil if it was not.
// Those before it will not be asked for.
func (p *prefetch) take(uid uint32) (f *file) {
	for len(p.ready) > 0 && p.ready[0].uid <= uid {
		if p.ready[0].uid == uid {
			f = p.ready[0].f
		} else {
			p.ready[0].f.Close()
		}
		p.ready = p.ready[1:]
	}
	return f
}

// Open opens a message for reading. ErrExpunged.
func (v *View) Open(ctx context.Context, uid imap.UID) (*Body, error) {
	f, size, err := v.open(ctx, uint32(uid))
	if err != nil && !errors.Is(err, ErrExpunged) {
		return nil, fmt.Errorf("open message %d of %s: %w", uid, v.Name(), err)
	}
	if err != nil {
		return nil, err
	}
	// Not a size that the file can have: it was written to after it came.
	if f.size > size || size > 2*f.size {
		if size, err = v.b.measure(ctx, uint32(uid), f); err != nil {
			f.Close()
			return nil, fmt.Errorf("measure message %d of %s: %w", uid, v.Name(), err)
		}
	}
	return &Body{f: f, size: size, crlf: f.size == size}, nil
}

// measure corrects RFC822.SIZE of a message.
func (b *box) measure(ctx context.Context, uid uint32, f *file) (int64, error) {
	size, err := virtualSize(io.NewSectionReader(f, 0, math.MaxInt64))
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	pos := -1
	if b.msgs != nil {
		pos = b.msgs.find(uid)
	}
	if pos < 0 {
		return size, nil
	}
	next := b.row
	tallyRemove(&next, int64(b.msgs.size[pos]), b.msgs.flags[pos])
	tallyAdd(&next, size, b.msgs.flags[pos])
	if err := b.commit(ctx, next, func(tx *schema.Tx) error { return tx.SetSize(b.num, uid, size) }); err != nil {
		return 0, err
	}
	b.msgs.size[pos] = clamp32(size)
	return size, nil
}

func (v *View) open(ctx context.Context, uid uint32) (f *file, size int64, err error) {
	rows, err := v.nextRows(ctx, uid)
	if err != nil {
		return nil, 0, err
	}
	size = rows[0].Size
	if f := v.files.take(uid); f != nil {
		return f, size, nil
	}
	err = v.b.t.owner.do(func() error {
		if f, err = v.openRow(&rows[0]); err != nil {
			return err
		}
		for i := range rows[1:] {
			row := &rows[1+i]
			if ahead, err := v.openRow(row); err == nil {
				v.files.ready = append(v.files.ready, readyFile{row.UID, ahead})
			}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		f, err = v.search(rows[0].Name)
	}
	return f, size, err
}

// openRow opens the file of a row. The caller has the owner's rights.
func (v *View) openRow(row *schema.IndexMessage) (*file, error) {
	which, name := fileOf(row)
	if which == curDir && v.files.cur != nil {
		return v.files.cur.openMessage(name)
	}
	root, err := v.b.t.root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	d, err := v.b.open(root, which)
	if err != nil {
		return nil, err
	}
	if which == curDir {
		v.files.cur = d
	} else {
		defer d.close()
	}
	return d.openMessage(name)
}

// nextRows returns the index row of a message, with the flags of now, and those
// of messages whose files are to be opened together with it. ErrExpunged.
func (v *View) nextRows(ctx context.Context, uid uint32) ([]schema.IndexMessage, error) {
	b, p := v.b, &v.files
	b.mu.RLock()
	defer b.mu.RUnlock()
	pos := -1
	if b.msgs != nil {
		pos = b.msgs.find(uid)
	}
	if pos < 0 {
		return nil, ErrExpunged
	}
	at := p.find(uid)
	// Who reads one message after the other gets the names of many at once.
	inOrder := at > 0 && at == p.next
	if at < 0 || FlagSet(p.rows[at].Flags)&oddInfo != 0 {
		want := 1
		if n := len(p.rows); n > 0 && p.next == n && pos > 0 && b.msgs.uid[pos-1] == p.rows[n-1].UID {
			want, inOrder = prefetchRows, true
		}
		if err := v.readRows(ctx, pos, want); err != nil {
			return nil, err
		}
		at = 0
	}
	p.next = at + 1
	rows := p.rows[at : at+1]
	if inOrder && len(p.ready) == 0 {
		rows = p.rows[at:min(at+prefetchFiles, len(p.rows))]
	}
	for i := range rows {
		if pos := b.msgs.find(rows[i].UID); pos >= 0 {
			rows[i].Flags = uint64(b.msgs.flags[pos])
		}
	}
	return rows, nil
}

func (p *prefetch) find(uid uint32) int {
	if p.next < len(p.rows) && p.rows[p.next].UID == uid {
		return p.next
	}
	return slices.IndexFunc(p.rows, func(row schema.IndexMessage) bool { return row.UID == uid })
}

// readRows reads the rows of up to want messages from a position on. b.mu is
// held.
func (v *View) readRows(ctx context.Context, pos, want int) error {
	b, p := v.b, &v.files
	uids := b.msgs.uid[pos:min(pos+want, len(b.msgs.uid))]
	p.rows = p.rows[:0]
	err := b.t.s.d.State.EachMessage(ctx, b.num, uids[0], uids[len(uids)-1], func(row *schema.IndexMessage) error {
		p.rows = append(p.rows, *row)
		return nil
	})
	if err == nil && (len(p.rows) == 0 || p.rows[0].UID != uids[0]) {
		p.rows = p.rows[:0]
		err = ErrExpunged
	}
	return err
}

// search opens a message whose file another program has renamed.
func (v *View) search(base string) (f *file, err error) {
	b := v.b
	b.distrust()
	err = b.both(func(dirs [2]*dir) error {
		which, name, found := locate(dirs, base)
		if !found {
			return ErrExpunged
		}
		f, err = dirs[which].openMessage(name)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrExpunged
	}
	return f, err
}

// Body is an open message. As an io.ReadSeeker it has CRLF at the end of every
// line, whatever the file has, and offsets count so; its size is RFC822.SIZE.
// Seek costs nothing in a file with CRLF and a scan in one with LF, unless
// SeekFile says where to begin.
type Body struct {
	f    *file
	size int64
	crlf bool

	pos, file int64   // of the next byte of the reader, and of the file
	mem       *[]byte // from bodyBuffers
	buf       []byte  // of mem, what the file has from file on
	lf        bool    // the CR of a line end was given out, its LF not
	last      byte    // of the file, before buf
}

// bodyBuffer is how much of a file with LF line ends is read at once.
const bodyBuffer = 16 << 10

var bodyBuffers = sync.Pool{New: func() any { b := make([]byte, bodyBuffer); return &b }}

// Close closes the file.
func (b *Body) Close() error {
	if b.mem != nil {
		bodyBuffers.Put(b.mem)
		b.mem, b.buf = nil, nil
	}
	return b.f.Close()
}

// Size is RFC822.SIZE.
func (b *Body) Size() int64 { return b.size }

// File is the file itself. CRLF says that its bytes are those of the reader.
func (b *Body) File() (f io.ReaderAt, crlf bool) { return b.f, b.crlf }

// Pos tells where the next Read begins, as the reader counts and in the file;
// between the CR and the LF of a line end, where that begins.
func (b *Body) Pos() (offset, file int64) {
	if b.lf {
		return b.pos - 1, b.file
	}
	return b.pos, b.file
}

// SeekFile moves to a place that Pos once told, without a scan.
func (b *Body) SeekFile(offset, file int64) {
	b.pos, b.file = offset, file
	b.buf, b.lf, b.last = nil, false, 0
	if file > 0 && !b.crlf {
		var c [1]byte
		if _, err := b.f.ReadAt(c[:], file-1); err == nil {
			b.last = c[0]
		}
	}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if b.crlf {
		n, err := b.f.ReadAt(p, b.pos)
		b.pos += int64(n)
		b.file = b.pos
		if n > 0 && err == io.EOF {
			err = nil
		}
		return n, err
	}
	n := 0
	for n < len(p) {
		if len(b.buf) == 0 {
			if n > 0 {
				break
			}
			if err := b.fill(); err != nil {
				return 0, err
			}
		}
		n += b.expand(p[n:])
	}
	b.pos += int64(n)
	return n, nil
}

func (b *Body) fill() error {
	if b.mem == nil {
		b.mem = bodyBuffers.Get().(*[]byte)
	}
	n, err := b.f.ReadAt(*b.mem, b.file)
	b.buf = (*b.mem)[:n]
	if n > 0 {
		return nil
	}
	return err
}

// expand moves bytes from buf to p, with a CR before each LF that has none.
func (b *Body) expand(p []byte) (n int) {
	for n < len(p) && len(b.buf) > 0 {
		if b.buf[0] == '\n' {
			if b.last != '\r' && !b.lf {
				p[n] = '\r'
				n++
				b.lf = true
				continue
			}
			p[n] = '\n'
			n++
			b.lf = false
			b.eat(1)
			continue
		}
		end := bytes.IndexByte(b.buf, '\n')
		if end < 0 {
			end = len(b.buf)
		}
		m := copy(p[n:], b.buf[:end])
		n += m
		b.eat(m)
	}
	return n
}

func (b *Body) eat(n int) {
	b.last = b.buf[n-1]
	b.buf = b.buf[n:]
	b.file += int64(n)
}

// Seek implements io.Seeker.
func (b *Body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.pos
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return b.pos, errors.New("seek before the start of a message")
	}
	if b.crlf {
		b.pos, b.file = offset, offset
		return offset, nil
	}
	if offset < b.pos {
		b.SeekFile(0, 0)
	}
	_, err := io.CopyN(io.Discard, readerOnly{b}, offset-b.pos)
	if err == io.EOF {
		err = nil // as of a file: reading there is EOF
	}
	return b.pos, err
}

type readerOnly struct{ io.Reader }

// virtualSize is what RFC822.SIZE of a file is.
func (d *dir) virtualSize(name string) (size int64, err error) {
	f, err := d.open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return virtualSize(f)
}

func virtualSize(f io.Reader) (size int64, err error) {
	mem := bodyBuffers.Get().(*[]byte)
	defer bodyBuffers.Put(mem)
	buf := *mem
	var last byte
	for {
		n, err := f.Read(buf)
		p := buf[:n]
		size += int64(n)
		for i := 0; i < len(p); {
			at := bytes.IndexByte(p[i:], '\n')
			if at < 0 {
				break
			}
			at += i
			if at > 0 && p[at-1] != '\r' || at == 0 && last != '\r' {
				size++
			}
			i = at + 1
		}
		if n > 0 {
			last = p[n-1]
		}
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
