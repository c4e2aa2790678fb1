package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// prefetch keeps what a command that opens many messages needs again and again:
// the rows of the next ones, and the directory. It lives until the next Poll.
type prefetch struct {
	rows []schema.IndexMessage
	cur  *dir
}

// prefetchRows is how many rows are read at once: about 12 KB.
const prefetchRows = 64

func (p *prefetch) close() {
	if p.cur != nil {
		p.cur.close()
	}
	*p = prefetch{}
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
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = ErrExpunged
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open message %d of %s: %w", uid, v.Name(), err)
	}
	// Not a size that the file can have: it was written to after it came.
	if len := st.Size(); len > size || size > 2*len {
		if size, err = v.b.measure(ctx, uint32(uid), f); err != nil {
			f.Close()
			return nil, fmt.Errorf("measure message %d of %s: %w", uid, v.Name(), err)
		}
	}
	return &Body{f: f, size: size, crlf: st.Size() == size}, nil
}

// measure corrects RFC822.SIZE of a message.
func (b *box) measure(ctx context.Context, uid uint32, f *os.File) (int64, error) {
	size, err := virtualSize(f)
	if err != nil {
		return 0, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
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

func (v *View) open(ctx context.Context, uid uint32) (f *os.File, size int64, err error) {
	row, err := v.row(ctx, uid)
	if err != nil {
		return nil, 0, err
	}
	b := v.b
	which, file := fileOf(row)
	err = b.t.owner.do(func() error {
		if which == curDir && v.files.cur != nil {
			f, err = v.files.cur.open(file)
			return err
		}
		root, err := b.t.root()
		if err != nil {
			return err
		}
		defer root.Close()
		d, err := b.open(root, which)
		if err != nil {
			return err
		}
		if which == curDir {
			v.files.cur = d
		} else {
			defer d.close()
		}
		f, err = d.open(file)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		f, err = v.search(row.Name)
	}
	return f, row.Size, err
}

// row returns the index row of a message, with the flags of now.
func (v *View) row(ctx context.Context, uid uint32) (*schema.IndexMessage, error) {
	b := v.b
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.msgs == nil {
		return nil, ErrExpunged
	}
	pos := b.msgs.find(uid)
	if pos < 0 {
		return nil, ErrExpunged
	}
	for i := range v.files.rows {
		if row := &v.files.rows[i]; row.UID == uid && FlagSet(row.Flags)&oddInfo == 0 {
			row.Flags = uint64(b.msgs.flags[pos])
			return row, nil
		}
	}
	// Who reads one message after the other gets the names of many at once.
	want := 1
	if n := len(v.files.rows); n > 0 && pos > 0 && b.msgs.uid[pos-1] == v.files.rows[n-1].UID {
		want = prefetchRows
	}
	last := min(pos+want, len(b.msgs.uid)) - 1
	v.files.rows = v.files.rows[:0]
	err := b.t.s.d.State.EachMessage(ctx, b.num, uid, b.msgs.uid[last], func(row *schema.IndexMessage) error {
		v.files.rows = append(v.files.rows, *row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(v.files.rows) == 0 || v.files.rows[0].UID != uid {
		return nil, ErrExpunged
	}
	return &v.files.rows[0], nil
}

// search opens a message whose file another program has renamed.
func (v *View) search(base string) (f *os.File, err error) {
	b := v.b
	b.distrust()
	err = b.both(func(dirs [2]*dir) error {
		which, file, found := locate(dirs, base)
		if !found {
			return ErrExpunged
		}
		f, err = dirs[which].open(file)
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
	f    *os.File
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
func (b *Body) File() (f *os.File, crlf bool) { return b.f, b.crlf }

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

func virtualSize(f *os.File) (size int64, err error) {
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
