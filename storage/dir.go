package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// dir is an open directory. Names given to its methods are those of files in
// it, without slashes; links are not followed.
type dir struct {
	f    *os.File // nil: num is the descriptor
	num  int
	path string // for messages
}

// openDir opens a directory beneath root, which no link leads out of.
func openDir(root *os.Root, name string) (*dir, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &dir{f: f, path: filepath.Join(root.Name(), name)}, nil
}

// openHome opens a directory by its path, to open others beneath it.
func openHome(path string) (*dir, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &dir{num: fd, path: path}, nil
}

// sub opens a directory beneath d, which no link leads out of. It does what
// openDir does, with one system call, openat2(2).
func (d *dir) sub(name string) (*dir, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := retry(func() (int, error) { return unix.Openat2(d.fd(), name, &how) })
	switch err {
	case nil:
		return &dir{num: fd, path: filepath.Join(d.path, name)}, nil
	case unix.ENOSYS, unix.EPERM, unix.EAGAIN:
		// An old kernel, a filter of system calls that does not know it, or a
		// directory that is just being moved.
		root, err := os.OpenRoot(d.path)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		return openDir(root, name)
	}
	return nil, d.fail("open", name, err)
}

func (d *dir) close() {
	if d.f == nil {
		unix.Close(d.num)
		return
	}
	d.f.Close()
}

func (d *dir) fd() int {
	if d.f == nil {
		return d.num
	}
	return int(d.f.Fd())
}

// procPath names the open directory to the kernel.
func (d *dir) procPath() string { return "/proc/self/fd/" + strconv.Itoa(d.fd()) }

func (d *dir) fail(op, name string, err error) error {
	return &os.PathError{Op: op, Path: filepath.Join(d.path, name), Err: err}
}

// create makes a file that was not there.
func (d *dir) create(name string) (*os.File, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd(), name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, fileMode)
	})
	if err != nil {
		return nil, d.fail("create", name, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.path, name)), nil
}

// open opens a file for reading.
func (d *dir) open(name string) (*os.File, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(d.path, name)), nil
}

// file is an open message. It is no os.File, which asks the kernel again what
// it is and whether it can be waited for.
type file struct {
	fd   int   // -1: all of it is in head
	size int64 // when it was opened
	path string
	head []byte // its beginning, in the buffer of step
	step *step
}

// openMessage opens a file for reading. ErrExpunged: it is no regular file.
func (d *dir) openMessage(name string) (*file, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd(), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	f := &file{fd: fd, path: d.path}
	if f.size, err = regularSize(fd); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, off int64) (total int, err error) {
	if off < int64(len(f.head)) {
		total = copy(p, f.head[off:])
	}
	if f.fd < 0 && total < len(p) {
		return total, io.EOF
	}
	for total < len(p) {
		n, err := retry(func() (int, error) { return unix.Pread(f.fd, p[total:], off+int64(total)) })
		if err != nil {
			return total, &os.PathError{Op: "read", Path: f.path, Err: err}
		}
		if n == 0 {
			return total, io.EOF
		}
		total += n
		if total < len(p) && off+int64(total) >= f.size {
			return total, io.EOF // without asking once more
		}
	}
	return total, nil
}

// Close implements io.Closer; once only.
func (f *file) Close() (err error) {
	if f.fd >= 0 {
		err = unix.Close(f.fd)
	}
	if f.step != nil {
		f.step.release()
	}
	return err
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// rename fails with ErrExist when newName is there, so that no message is ever
// lost below another.
func (d *dir) rename(name string, to *dir, newName string) error {
	err := unix.Renameat2(d.fd(), name, to.fd(), newName, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		// NFS and others cannot; names of ours are new all the same.
		if _, e := to.stat(newName); e == nil {
			err = unix.EEXIST
		} else {
			err = unix.Renameat(d.fd(), name, to.fd(), newName)
		}
	}
	if err != nil {
		return d.fail("rename", name, err)
	}
	return nil
}

// replace is rename over whatever is there.
func (d *dir) replace(name string, to *dir, newName string) error {
	if err := unix.Renameat(d.fd(), name, to.fd(), newName); err != nil {
		return d.fail("rename", name, err)
	}
	return nil
}

func (d *dir) link(name string, to *dir, newName string) error {
	if err := unix.Linkat(d.fd(), name, to.fd(), newName, 0); err != nil {
		return d.fail("link", name, err)
	}
	return nil
}

// copy makes another file with the same bytes and time, where no link can be.
func (d *dir) copy(name string, to *dir, newName string) error {
	in, err := d.open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	fd, err := unix.Openat(to.fd(), "../tmp", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return to.fail("open", "../tmp", err)
	}
	tmp := &dir{num: fd, path: filepath.Join(filepath.Dir(to.path), "tmp")}
	defer tmp.close()
	base, _ := splitName(newName)
	out, err := tmp.create(base)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		tv := unix.NsecToTimeval(st.ModTime().UnixNano())
		err = unix.Futimes(int(out.Fd()), []unix.Timeval{tv, tv})
	}
	if err == nil {
		err = out.Sync()
	}
	if e := out.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = tmp.rename(base, to, newName)
	}
	if err != nil {
		tmp.remove(base)
	}
	return err
}

func (d *dir) remove(name string) error {
	if err := unix.Unlinkat(d.fd(), name, 0); err != nil {
		return d.fail("remove", name, err)
	}
	return nil
}

func (d *dir) stat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return st, d.fail("stat", name, err)
	}
	return st, nil
}

// mtime is when the directory last changed, in ns.
func (d *dir) mtime() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd(), &st); err != nil {
		return 0, d.fail("stat", "", err)
	}
	return st.Mtim.Nano(), nil
}

// sync makes names in it durable.
func (d *dir) sync() error {
	if d.f != nil {
		return d.f.Sync()
	}
	if _, err := retry(func() (int, error) { return 0, unix.Fsync(d.num) }); err != nil {
		return d.fail("sync", "", err)
	}
	return nil
}

// names calls fn for every name but . and .., in the order of the file system.
func (d *dir) names(fn func(string)) error {
	return d.entries(func(name []byte, _ byte) { fn(string(name)) })
}

// entries calls fn for every name but . and .., in the order of the file system,
// with the kind of the file, DT_UNKNOWN where the file system does not tell. name
// is valid until fn returns.
func (d *dir) entries(fn func(name []byte, kind byte)) error {
	if _, err := unix.Seek(d.fd(), 0, io.SeekStart); err != nil {
		return d.fail("read", "", err)
	}
	mem := bodyBuffers.Get().(*[]byte)
	defer bodyBuffers.Put(mem)
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(d.fd(), *mem) })
		if err != nil {
			return d.fail("read", "", err)
		}
		if n == 0 {
			return nil
		}
		eachEntry((*mem)[:n], fn)
	}
}

// eachEntry reads what getdents64(2) has written: inode (8 bytes), offset (8),
// length of the entry (2), kind (1), the name and a zero byte.
func eachEntry(buf []byte, fn func(name []byte, kind byte)) {
	const head = 8 + 8 + 2 + 1
	for len(buf) > head {
		size := int(binary.NativeEndian.Uint16(buf[16:]))
		if size <= head || size > len(buf) {
			return
		}
		name, _, _ := bytes.Cut(buf[head:size], []byte{0})
		if len(name) > 0 && string(name) != "." && string(name) != ".." {
			fn(name, buf[18])
		}
		buf = buf[size:]
	}
}

// writeFile replaces a small file as a whole, by way of another in tmp: readers
// see the old or the new.
func (d *dir) writeFile(name string, tmp *dir, tmpName, text string) error {
	f, err := tmp.create(tmpName)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = tmp.replace(tmpName, d, name)
	}
	if err != nil {
		tmp.remove(tmpName)
		return err
	}
	return d.sync()
}

// readFile reads a small file; "" if there is none.
func (d *dir) readFile(name string, limit int64) (string, error) {
	f, err := d.open(name)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s is over %d bytes", f.Name(), limit)
	}
	return string(text), err
}

// removeOld removes files that nobody has written to since before, and those
// whose names begin with waste.
func (d *dir) removeOld(before time.Time, waste string) {
	d.names(func(name string) {
		if strings.HasPrefix(name, waste) {
			d.remove(name)
			return
		}
		st, err := d.stat(name)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mtim.Nano() < before.UnixNano() {
			d.remove(name)
		}
	})
}

// spaceError makes the errors of a full disk one.
func spaceError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}
