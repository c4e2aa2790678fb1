package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// comparison is of the files of a backup with its lists of sums.
type comparison struct {
	dir   string
	quick bool
	bad   func(string)
}

// tree compares the files of a user. It holds a number for each.
func (c *comparison) tree(ctx context.Context, t Tree) error {
	if t.Sums == "" {
		return nil // made by a program that kept none: number and size must do
	}
	list := listOf(c.dir, t.User)
	if sum, err := sumOf(list); err != nil || sum != t.Sums {
		c.bad(c.name(list) + ": " + cmp.Or(fault(err), "has changed since the backup") + "; the mail of " + t.User + " was not compared")
		return nil
	}
	f, err := os.Open(list)
	if err != nil {
		return err
	}
	defer f.Close()
	seed := maphash.MakeSeed()
	var listed []uint64
	err = readList(f, func(e entry, _ int64) error {
		listed = append(listed, maphash.String(seed, e.path))
		c.file(e)
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	slices.Sort(listed)
	return eachFile(ctx, userDir(c.dir, t.User), func(path string, _ fs.FileInfo) error {
		rel, err := filepath.Rel(c.dir, path)
		if _, found := slices.BinarySearch(listed, maphash.String(seed, rel)); err == nil && !found {
			c.bad(shown(rel) + ": is not of this backup")
		}
		return err
	})
}

// file compares one file with its entry. A disk that cannot read it is a fault
// of the backup, and no reason to stop.
func (c *comparison) file(e entry) {
	path := filepath.Join(c.dir, e.path)
	st, err := os.Lstat(path)
	switch {
	case err != nil:
		c.bad(shown(e.path) + ": " + fault(err))
	case !st.Mode().IsRegular():
		c.bad(shown(e.path) + ": is no file")
	case st.Size() != e.size:
		c.bad(fmt.Sprintf("%s: has %d bytes, had %d", shown(e.path), st.Size(), e.size))
	case c.quick:
	default:
		if sum, err := sumOf(path); err != nil || sum != e.sum {
			c.bad(shown(e.path) + ": " + cmp.Or(fault(err), "has changed since the backup"))
		}
	}
}

func fault(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "is missing"
	}
	return "cannot be read: " + err.Error()
}

// strangers are trees that the manifest does not name.
func (c *comparison) strangers(m *Manifest) error {
	known := make(map[string]bool)
	for _, t := range m.Trees {
		known[filepath.Base(userDir(c.dir, t.User))] = true
	}
	list, err := os.ReadDir(filepath.Join(c.dir, "mail"))
	for _, e := range list {
		if !known[e.Name()] {
			c.bad(shown(filepath.Join("mail", e.Name())) + ": is not of this backup")
		}
	}
	return gone(err)
}

func (c *comparison) name(path string) string {
	rel, err := filepath.Rel(c.dir, path)
	if err != nil {
		return path
	}
	return rel
}

// shown is a path for a terminal: quoted where it has what does not print.
func shown(path string) string {
	if q := strconv.Quote(path); q[1:len(q)-1] != path {
		return q
	}
	return path
}
