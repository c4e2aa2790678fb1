package local

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/internal/asuser"
)

// ErrRefused says that a file is not one that mail may be written to.
var ErrRefused = errors.New("not a file for mail")

// ErrLocked says that another program has had the mailbox locked all the time.
var ErrLocked = errors.New("cannot lock the mailbox")

// File is a file that a message is written to: an mbox file, or with a slash
// at its end a Maildir.
type File struct {
	Path string
	ID   asuser.ID
	// Mailbox is one of a user, which needs its lock file; for others a
	// directory that cannot be written to leaves only the lock of the kernel.
	Mailbox bool
	// Attempts and Delay are how often a lock is tried for, Stale the age at
	// which a lock file counts for nothing. postconf(5) deliver_lock_attempts,
	// deliver_lock_delay, stale_lock_time
	Attempts     int
	Delay, Stale time.Duration
}

// Append writes a message, with CRLF line ends, and returns when it is on disk.
// Of a message that could not be written whole nothing is left. Any error but
// ErrRefused is temporary.
func (f *File) Append(ctx context.Context, form *Form, text io.Reader) error {
	if strings.HasSuffix(f.Path, "/") {
		form.FromLine, form.Quote = false, false
		return f.ID.Do(func() error { return f.maildir(form.Reader(text), form.Time) })
	}
	form.FromLine, form.Quote = true, true
	return f.id().Do(func() error { return f.mbox(ctx, form.Reader(text)) })
}

// id is whose rights the file is written with. A spool directory lets its
// group write the lock files.
func (f *File) id() asuser.ID {
	id := f.ID
	st, err := os.Stat(filepath.Dir(f.Path))
	if f.Mailbox && err == nil && st.Mode().Perm()&0o022 == 0o020 {
		id.GID = int(st.Sys().(*syscall.Stat_t).Gid)
	}
	return id
}

func (f *File) mbox(ctx context.Context, text io.Reader) error {
	st, err := os.Lstat(f.Path)
	if err == nil && st.Mode()&os.ModeSymlink != 0 && f.Mailbox {
		return fmt.Errorf("%s is a symbolic link: %w", f.Path, ErrRefused)
	}
	if st, err = os.Stat(f.Path); err == nil && !st.Mode().IsRegular() {
		return device(f.Path, st, text)
	}
	unlock, err := f.dotlock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	file, made, err := f.open()
	if err != nil {
		return err
	}
	defer file.Close()
	if err := f.lock(ctx, file); err != nil {
		return err
	}
	if err := addTo(file, text); err != nil {
		return err
	}
	if made {
		return syncDir(filepath.Dir(f.Path))
	}
	return nil
}

// device writes to what is no file, such as /dev/null.
func device(path string, st os.FileInfo, text io.Reader) error {
	if st.Mode()&os.ModeCharDevice == 0 {
		return fmt.Errorf("%s is no file: %w", path, ErrRefused)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(onlyWriter{file}, text)
	return err
}

// onlyWriter keeps io.Copy from ways that go round the rights of this thread.
type onlyWriter struct{ io.Writer }

// open opens the mbox file, or makes it.
func (f *File) open() (file *os.File, made bool, err error) {
	file, err = os.OpenFile(f.Path, os.O_RDWR|os.O_APPEND|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		file, err = os.OpenFile(f.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return nil, false, err
	}
	st, err := file.Stat()
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = fmt.Errorf("%s is no file: %w", f.Path, ErrRefused)
	case st.Mode().Perm()&0o111 != 0:
		err = fmt.Errorf("%s is executable: %w", f.Path, ErrRefused)
	case st.Sys().(*syscall.Stat_t).Nlink > 1:
		err = fmt.Errorf("%s has several names: %w", f.Path, ErrRefused)
	}
	if err != nil {
		file.Close()
		return nil, false, err
	}
	return file, made, nil
}

// dotlock makes the lock file beside the mailbox.
func (f *File) dotlock(ctx context.Context) (unlock func(), err error) {
	name := f.Path + ".lock"
	for try := 0; ; try++ {
		lock, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			fmt.Fprintf(lock, "%d\n", os.Getpid())
			lock.Close()
			return func() { os.Remove(name) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			if !f.Mailbox && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)) {
				return func() {}, nil
			}
			return nil, fmt.Errorf("lock %s: %w", f.Path, err)
		}
		if st, err := os.Lstat(name); err == nil && f.Stale > 0 && time.Since(st.ModTime()) > f.Stale {
			os.Remove(name)
			continue
		}
		if err := f.again(ctx, try); err != nil {
			return nil, err
		}
	}
}

// again waits for the next attempt to lock.
func (f *File) again(ctx context.Context, try int) error {
	if try+1 >= f.Attempts {
		return fmt.Errorf("%s: %w", f.Path, ErrLocked)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(f.Delay):
		return nil
	}
}

// lock takes the lock of the kernel, fcntl(2). It belongs to the open file, not
// to the process: another delivery of ours must wait too.
func (f *File) lock(ctx context.Context, file *os.File) error {
	for try := 0; ; try++ {
		err := unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", f.Path, err)
		}
		if err := f.again(ctx, try); err != nil {
			return err
		}
	}
}

// addTo appends, durably, or leaves the file as it was.
func addTo(file *os.File, text io.Reader) error {
	st, err := file.Stat()
	if err != nil {
		return err
	}
	if _, err = io.Copy(onlyWriter{file}, text); err == nil {
		err = file.Sync()
	}
	if err != nil {
		if back := file.Truncate(st.Size()); back != nil {
			err = errors.Join(err, back)
		}
	}
	return err
}

// maildir delivers into a Maildir that no mailbox of ours need be.
func (f *File) maildir(text io.Reader, now time.Time) error {
	dir := filepath.Clean(f.Path)
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	var unique [8]byte
	rand.Read(unique[:])
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	name := fmt.Sprintf("%d.P%dR%s.%s", now.Unix(), os.Getpid(), hex.EncodeToString(unique[:]),
		strings.NewReplacer("/", `\057`, ":", `\072`).Replace(host))
	tmp, final := filepath.Join(dir, "tmp", name), filepath.Join(dir, "new", name)
	if err := writeNew(tmp, text); err != nil {
		os.Remove(tmp)
		return err
	}
	if err := os.Rename(tmp, final); err != nil {
		os.Remove(tmp)
		return err
	}
	return errors.Join(syncDir(filepath.Join(dir, "new")), syncDir(dir))
}

func writeNew(name string, text io.Reader) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(onlyWriter{file}, text); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Close()
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
