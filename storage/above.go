package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// aboveMode is the mode of directories above a home: owners of all mailboxes
// pass through, and read no names.
const aboveMode = 0o711

// makeRoot makes the Maildir's own directory and what is missing above it. The
// home and what is in it belong to the mailbox's owner, what is above to us:
// homes of several owners may lie there.
func (t *tree) makeRoot() error {
	var missing []string
	for p := t.key.dir; ; p = filepath.Dir(p) {
		_, err := os.Stat(p)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || p == filepath.Dir(p) {
			return fmt.Errorf("make %s: %w", t.key.dir, err)
		}
		missing = append(missing, p)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		p := missing[i]
		if err := t.owner.makeDir(p, p != t.key.home && beneath(t.key.home, p)); err != nil {
			return fmt.Errorf("make %s: %w", p, err)
		}
	}
	return nil
}

// beneath reports whether path is dir or lies in it. Both are clean.
func beneath(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// makeDir makes a directory durably: the owner's, or, above the home and not
// in a directory of the owner's, ours. Where the owner may not make one, we do.
func (o owner) makeDir(path string, above bool) error {
	own := func() error { return makeHere(path, dirMode) }
	switch {
	case above && !o.changes():
		return makeHere(path, aboveMode)
	case !above:
		if err := o.do(own); !o.changes() || !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	parent, err := openAbove(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer parent.close()
	var st unix.Stat_t
	if err := unix.Fstat(parent.fd(), &st); err != nil {
		return parent.fail("stat", "", err)
	}
	switch {
	case above && int(st.Uid) == o.uid:
		return o.do(own)
	case above:
		err = parent.mkdir(filepath.Base(path), aboveMode, -1, -1)
	default:
		err = parent.mkdir(filepath.Base(path), dirMode, o.uid, o.gid)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return parent.sync()
}

// makeHere makes a directory, durably, with the rights that the thread has.
func makeHere(path string, mode fs.FileMode) error {
	err := os.Mkdir(path, dirMode)
	if err == nil && mode != dirMode {
		err = os.Chmod(path, mode)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	parent, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil // not ours to read: its owner cares for it
	}
	defer parent.Close()
	return parent.Sync()
}

// mkdir makes a directory with our rights, and gives it away before it has its
// name: another delivery must never find it without being able to enter.
func (d *dir) mkdir(name string, mode uint32, uid, gid int) error {
	tmp, err := d.tempDir()
	if err != nil {
		return err
	}
	made, err := d.openIn(tmp, unix.O_RDONLY)
	if err == nil {
		err = errors.Join(unix.Fchmod(made.fd(), mode), unix.Fchown(made.fd(), uid, gid), made.sync())
		made.close()
	}
	if err == nil {
		err = d.rename(tmp, d, name)
	}
	if err != nil {
		unix.Unlinkat(d.fd(), tmp, unix.AT_REMOVEDIR)
	}
	return err
}

// tempDir makes a directory that nobody else uses, for mkdir.
func (d *dir) tempDir() (string, error) {
	for i := 0; ; i++ {
		name := fmt.Sprintf(".new-%d-%d", os.Getpid(), i)
		err := unix.Mkdirat(d.fd(), name, dirMode)
		if err == nil {
			return name, nil
		}
		if err != unix.EEXIST || i == 1000 {
			return "", d.fail("mkdir", name, err)
		}
	}
}

// maxLinks bounds the links of a path, as path_resolution(7) does.
const maxLinks = 40

// openAbove opens a directory, step by step, with our rights. We may pass
// everywhere, so a link must not lead us: only those that the administrator has
// made are followed.
func openAbove(path string) (*dir, error) {
	at, err := openPath(unix.AT_FDCWD, "/", "/")
	if err != nil {
		return nil, err
	}
	rest := path
	for links := 0; rest != ""; {
		name, after, _ := strings.Cut(rest, "/")
		rest = after
		if name == "" || name == "." {
			continue
		}
		next, err := openPath(at.fd(), name, filepath.Join(at.path, name))
		if errors.Is(err, unix.ENOTDIR) && links < maxLinks {
			links++
			if rest, err = at.follow(name, rest); err == nil && strings.HasPrefix(rest, "/") {
				next, err = openPath(unix.AT_FDCWD, "/", "/")
			} else if err == nil {
				continue
			}
		}
		at.close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	defer at.close()
	return at.openIn(".", unix.O_RDONLY)
}

func openPath(fd int, name, path string) (*dir, error) {
	got, err := retry(func() (int, error) {
		return unix.Openat(fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &dir{num: got, path: path}, nil
}

func (d *dir) openIn(name string, flags int) (*dir, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd(), name, flags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	path := filepath.Join(d.path, name)
	return &dir{num: fd, path: path}, nil
}

// follow puts the target of a link in front of the rest of a path. The link
// must be root's or ours, in a directory of such an owner.
func (d *dir) follow(name, rest string) (string, error) {
	link, err := d.stat(name)
	if err != nil {
		return "", err
	}
	var in unix.Stat_t
	if err := unix.Fstat(d.fd(), &in); err != nil {
		return "", d.fail("stat", "", err)
	}
	ours := uint32(os.Geteuid())
	if link.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", d.fail("open", name, unix.ENOTDIR)
	}
	if link.Uid != 0 && link.Uid != ours || in.Uid != 0 && in.Uid != ours {
		return "", d.fail("follow link", name, fs.ErrPermission)
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(d.fd(), name, buf)
	if err != nil {
		return "", d.fail("read link", name, err)
	}
	return string(buf[:n]) + "/" + rest, nil
}
