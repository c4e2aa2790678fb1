package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"mailserver/schema"
)

// Verify compares a backup with its manifest, and each file of the mail with its
// sum, and calls bad for each fault. With quick no mail is read: names and sizes
// are compared. It changes nothing.
func Verify(ctx context.Context, dir string, quick bool, bad func(what string)) (*Manifest, error) {
	m, err := Read(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		sum, err := sumOf(filepath.Join(dir, "data", name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			bad(name + " is missing")
		case err != nil:
			return nil, err
		case sum != m.Files[name]:
			bad(name + " has changed since the backup")
		}
	}
	if err := verifyDatabases(ctx, dir, bad); err != nil {
		return nil, err
	}
	if err := verifyMail(ctx, dir, m, bad); err != nil {
		return nil, err
	}
	c := comparison{dir: dir, quick: quick, bad: bad}
	for _, t := range m.Trees {
		if err := c.tree(ctx, t); err != nil {
			return nil, err
		}
	}
	return m, c.strangers(m)
}

func verifyDatabases(ctx context.Context, dir string, bad func(string)) error {
	for _, name := range []string{"mail.sqlite", "state.sqlite"} {
		tmp, err := os.MkdirTemp("", "mailserver-verify")
		if err != nil {
			return err
		}
		_, err = copyFile(filepath.Join(dir, "data", name), filepath.Join(tmp, name))
		if err == nil {
			err = schema.CheckDatabase(ctx, filepath.Join(tmp, name))
		}
		if err != nil {
			bad(err.Error())
		}
		if err := os.RemoveAll(tmp); err != nil {
			return err
		}
	}
	return nil
}

// verifyMail: no message is there twice, and their number and size are those of
// the manifest.
func verifyMail(ctx context.Context, dir string, m *Manifest, bad func(string)) error {
	var messages, bytes int64
	for _, t := range m.Trees {
		root := userDir(dir, t.User)
		for _, sub := range mailDirs(root) {
			n, size, err := verifyBox(filepath.Join(root, sub), t.User+" "+sub, bad)
			if err = errors.Join(err, ctx.Err()); err != nil {
				return err
			}
			messages, bytes = messages+n, bytes+size
		}
	}
	if messages != m.Messages || bytes != m.Bytes {
		bad(fmt.Sprintf("mail: %d messages of %d bytes, the manifest says %d of %d", messages, bytes, m.Messages, m.Bytes))
	}
	return nil
}

func verifyBox(dir, name string, bad func(string)) (n, size int64, err error) {
	have := newNames()
	for _, sub := range []string{"cur", "new"} {
		list, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, 0, err
		}
		for _, e := range list {
			st, err := e.Info()
			if err != nil {
				return 0, 0, err
			}
			if !have.add(e.Name()) {
				bad(name + ": twice: " + baseName(e.Name()))
			}
			n, size = n+1, size+st.Size()
		}
	}
	return n, size, nil
}
