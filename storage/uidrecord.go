package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/internal/uidlist"
	"mailserver/schema"
)

// The list of UIDs in the tree is kept as Dovecot keeps it, so that UIDs outlive
// state.sqlite, and Dovecot can go on with the tree: a line is appended for each
// message; what is expunged stays until the file is mostly such lines. It is
// not fsynced, and written some seconds after a delivery: what a crash takes is
// appended again when the mailbox next gets mail.

// ownList is what is known of the list that this process has written.
type ownList struct {
	ino   uint64
	size  int64
	last  uint32 // UID of the last line
	plain bool   // it has no identifiers of POP3
}

// tail reads the end of the list; false if there is none that makes sense.
func (b *box) tail() (h uidlist.Header, last uint32, ok bool) {
	f, err := b.openList(unix.O_RDONLY)
	if err != nil {
		return h, 0, false
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return h, 0, false
	}
	return uidlist.Tail(f, st.Size())
}

func (b *box) openList(flags int) (f *os.File, err error) {
	err = b.t.in(func(home *dir) error {
		d, err := home.sub(filepath.Join(".", b.dir()))
		if err != nil {
			return err
		}
		defer d.close()
		fd, err := retry(func() (int, error) {
			return unix.Openat(d.fd(), uidListFile, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			return d.fail("open", uidListFile, err)
		}
		f = os.NewFile(uintptr(fd), filepath.Join(d.path, uidListFile))
		return nil
	})
	return f, err
}

// seen returns what tells one list from another.
func seen(f *os.File) (ino uint64, size int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, 0, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return st.Ino, st.Size, nil
}

// listIsOurs reports whether the list is as this process left it.
func (b *box) listIsOurs() bool {
	if b.list.ino == 0 {
		return false
	}
	f, err := b.openList(unix.O_RDONLY)
	if err != nil {
		return false
	}
	defer f.Close()
	ino, size, err := seen(f)
	return err == nil && ino == b.list.ino && size == b.list.size
}

// hasList reports whether there is a list, or may be one.
func (b *box) hasList() bool {
	f, err := b.openList(unix.O_RDONLY)
	if err == nil {
		f.Close()
	}
	return !errors.Is(err, fs.ErrNotExist)
}

// record appends messages that were added to the index, and those before them
// that the list lacks. It fails without harm: the index has them, and the next
// call writes what is missing. b.mu is held for writing.
func (b *box) record(ctx context.Context, rows []schema.IndexMessage) {
	err := b.appendList(ctx, rows)
	if errors.Is(err, errRewrite) || errors.Is(err, fs.ErrNotExist) {
		err = b.rewriteList(ctx)
	}
	if err != nil {
		b.list = ownList{}
		b.t.s.d.Log.Debug("cannot write dovecot-uidlist", "user", b.t.key.user, "mailbox", b.row.Name, "err", err)
	}
}

// listPause is how long the list of a mailbox may lack what was delivered into
// it: lines of many deliveries are written at once.
const listPause = 5 * time.Second

// recordLater has the list written within listPause. b.mu is held for writing.
func (b *box) recordLater() {
	if b.recording {
		return
	}
	b.recording = true
	b.t.hold()
	if !b.t.s.later(b) {
		b.recordNow()
	}
}

// recordNow writes what the list lacks. b.mu is held for writing.
func (b *box) recordNow() {
	b.recording = false
	if !b.gone {
		b.record(context.Background(), nil)
	}
	b.t.release()
}

// later keeps boxes whose lists are to be written, and writes them all after
// listPause or when the Store is closing; false after Close.
func (s *Store) later(b *box) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.behind = append(s.behind, b)
	if len(s.behind) == 1 {
		s.work.Go(s.recordAll)
	}
	return true
}

func (s *Store) recordAll() {
	pause := time.NewTimer(listPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-s.stop:
	}
	s.mu.Lock()
	list := s.behind
	s.behind = nil
	s.mu.Unlock()
	for _, b := range list {
		b.mu.Lock()
		b.recordNow()
		b.mu.Unlock()
	}
}

// writeFirst writes the list of a mailbox that has none, so that another server
// finds its UIDVALIDITY. b.mu is held for writing.
func (b *box) writeFirst(ctx context.Context) {
	if err := b.rewriteList(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.t.s.d.Log.Debug("cannot write dovecot-uidlist", "user", b.t.key.user, "mailbox", b.row.Name, "err", err)
	}
}

var errRewrite = errors.New("the list must be written as a whole")

func (b *box) appendList(ctx context.Context, rows []schema.IndexMessage) error {
	f, err := b.openList(unix.O_RDWR | unix.O_APPEND)
	if err != nil {
		return err
	}
	defer f.Close()
	ino, size, err := seen(f)
	if err != nil {
		return err
	}
	list := b.list
	if list.ino != ino || list.size != size {
		h, last, ok := uidlist.Tail(f, size)
		if !ok || h.Validity != b.row.Validity {
			return errRewrite
		}
		list = ownList{ino: ino, size: size, last: last}
	}
	before := b.row.UIDNext
	if len(rows) > 0 {
		before = rows[0].UID
	}
	if err := b.appendMissing(ctx, f, &list, before); err != nil {
		b.list = ownList{}
		return err
	}
	var buf []byte
	for i := range rows {
		if rows[i].UID > list.last {
			buf = uidlist.Append(buf, &uidlist.Entry{UID: rows[i].UID, Name: rows[i].Name})
			list.last = rows[i].UID
		}
	}
	if len(buf) > 0 {
		n, err := f.Write(buf)
		if err != nil {
			return err
		}
		list.size += int64(n)
	}
	b.list = list
	if mostlyGone(list.size, b.row.Messages) {
		return errRewrite
	}
	return nil
}

// mostlyGone says that the list is long for what is there. A line has about 60
// bytes.
func mostlyGone(size int64, messages uint32) bool {
	return size > 64<<10 && size > 240*int64(messages)
}

// appendMissing appends what a crash has taken from the end of the list.
func (b *box) appendMissing(ctx context.Context, f *os.File, list *ownList, before uint32) error {
	if list.last+1 >= before {
		return nil
	}
	var buf []byte
	err := b.t.s.d.State.EachName(ctx, b.num, list.last+1, before-1, func(uid uint32, name []byte) error {
		buf = uidlist.Append(buf, &uidlist.Entry{UID: uid, Name: string(name)})
		list.last = uid
		if len(buf) < 64<<10 {
			return nil
		}
		n, err := f.Write(buf)
		list.size += int64(n)
		buf = buf[:0]
		return err
	})
	if err != nil {
		return fmt.Errorf("read index of %s: %w", b.row.Name, err)
	}
	n, err := f.Write(buf)
	list.size += int64(n)
	return err
}

// rewriteList writes the list from the index. What another server knew of a
// message stays. b.mu is held for writing.
func (b *box) rewriteList(ctx context.Context) error {
	tmpName := b.t.s.name.next()
	var out *os.File
	err := b.t.do(func(root *os.Root) error {
		tmp, err := openDir(root, filepath.Join(b.dir(), "tmp"))
		if err != nil {
			return err
		}
		defer tmp.close()
		out, err = tmp.create(tmpName)
		return err
	})
	if err != nil {
		return err
	}
	defer out.Close()
	list, err := b.writeList(ctx, out)
	if err == nil && b.row.UIDNext > 1 { // an empty list has nothing to lose
		err = out.Sync()
	}
	if err == nil {
		list.ino, list.size, err = seen(out)
	}
	e := b.t.do(func(root *os.Root) error {
		tmp := filepath.Join(b.dir(), "tmp", tmpName)
		if err != nil {
			return root.Remove(tmp)
		}
		return root.Rename(tmp, filepath.Join(b.dir(), uidListFile))
	})
	if err = errors.Join(err, e); err == nil {
		b.list = list
	}
	return err
}

// writeList writes header and lines; UIDs ascend in the index as in the old
// list, so both are read side by side.
func (b *box) writeList(ctx context.Context, out io.Writer) (list ownList, err error) {
	w := bufio.NewWriterSize(out, 32<<10)
	h, next, stop := b.oldList()
	defer stop()
	w.Write(uidlist.AppendHeader(nil, uidlist.Header{Validity: b.row.Validity, Next: b.row.UIDNext, GUID: h.GUID}))
	old, more := next()
	var line []byte
	list.plain = true
	err = b.t.s.d.State.EachName(ctx, b.num, 0, 1<<32-1, func(uid uint32, name []byte) error {
		for more && old.UID < uid {
			old, more = next()
		}
		e := uidlist.Entry{UID: uid, Name: string(name)}
		if more && old.UID == uid && old.Name == e.Name {
			e.Fields = old.Fields
			if _, has := e.Field(uidlist.UIDL); has {
				list.plain = false
			}
		}
		line = uidlist.Append(line[:0], &e)
		list.last = uid
		_, err := w.Write(line)
		return err
	})
	if err != nil {
		return list, fmt.Errorf("write uidlist of %s: %w", b.row.Name, err)
	}
	return list, w.Flush()
}

// oldList gives the lines of the present list one by one, if it is of this
// mailbox.
func (b *box) oldList() (h uidlist.Header, next func() (uidlist.Entry, bool), stop func()) {
	none := func() (uidlist.Entry, bool) { return uidlist.Entry{}, false }
	f, err := b.openList(unix.O_RDONLY)
	if err != nil {
		return h, none, func() {}
	}
	ino, size, err := seen(f)
	if err == nil {
		h, _, _ = uidlist.Tail(f, size)
	}
	if err != nil || ino == 0 || h.Validity != b.row.Validity {
		f.Close()
		return h, none, func() {}
	}
	next, end := iter.Pull(func(yield func(uidlist.Entry) bool) {
		uidlist.Read(f, func(e *uidlist.Entry) error {
			if !yield(*e) {
				return io.EOF
			}
			return nil
		})
	})
	return h, next, func() { end(); f.Close() }
}
