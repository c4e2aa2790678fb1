package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maildirFolder marks a directory as part of a Maildir++.
const maildirFolder = "maildirfolder"

// makeMaildir makes the directories of a mailbox and, if need be, those above
// the Maildir. cur/ comes last: with it the mailbox exists.
func (t *tree) makeMaildir(dir string) error {
	if err := t.makeRoot(); err != nil {
		return spaceError(err)
	}
	err := t.do(func(root *os.Root) error {
		if dir != "" {
			if err := root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			f, err := root.OpenFile(filepath.Join(dir, maildirFolder), os.O_WRONLY|os.O_CREATE, fileMode)
			if err != nil {
				return err
			}
			f.Close()
		}
		for _, sub := range []string{"tmp", "new", "cur"} {
			if err := root.Mkdir(filepath.Join(dir, sub), dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		return syncDirs(root, dir)
	})
	if err != nil {
		return spaceError(fmt.Errorf("make mailbox in %s: %w", filepath.Join(t.key.dir, dir), err))
	}
	return nil
}

// syncDirs makes the names in a mailbox's directory and in the Maildir durable.
func syncDirs(root *os.Root, dir string) error {
	for _, name := range []string{filepath.Join(".", dir), "."} {
		d, err := openDir(root, name)
		if err != nil {
			return err
		}
		err = d.sync()
		d.close()
		if err != nil || dir == "" {
			return err
		}
	}
	return nil
}

// makeRoot makes the Maildir's own directory and what is missing above it.
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
		if err := t.owner.makeDir(missing[i]); err != nil {
			return fmt.Errorf("make %s: %w", missing[i], err)
		}
	}
	return nil
}

// makeDir makes a directory that belongs to the owner. Where the owner may not
// (/home), nobody but us can, so that giving it away afterwards is no race.
func (o owner) makeDir(path string) error {
	err := o.do(func() error { return os.Mkdir(path, dirMode) })
	if o.change && errors.Is(err, fs.ErrPermission) {
		err = o.makeAndGive(path)
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

// makeAndGive makes a directory as root and gives it away before it has its
// name: another delivery must never find it without being able to enter.
func (o owner) makeAndGive(path string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	if err = o.give(tmp); err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

func (o owner) give(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Chown(o.uid, o.gid)
}

// readFile reads a small file in a mailbox's directory; "" if there is none.
func (t *tree) readFile(dir, name string, limit int64) (text string, err error) {
	err = t.do(func(root *os.Root) error {
		d, err := openDir(root, filepath.Join(".", dir))
		if err != nil {
			return err
		}
		defer d.close()
		text, err = d.readFile(name, limit)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return text, err
}

// writeFile replaces a small file in a mailbox's directory, durably.
func (t *tree) writeFile(dir, name, text string) error {
	return t.do(func(root *os.Root) error {
		d, err := openDir(root, filepath.Join(".", dir))
		if err != nil {
			return err
		}
		defer d.close()
		tmp, err := openDir(root, filepath.Join(dir, "tmp"))
		if err != nil {
			return err
		}
		defer tmp.close()
		return d.writeFile(name, tmp, t.s.name.next(), text)
	})
}
