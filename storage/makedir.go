package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
