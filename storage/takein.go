package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/internal/courier"
)

// Taken is what TakeIn has done.
type Taken struct {
	Mailboxes []TakenBox `json:"mailboxes"`
	Left      []string   `json:"not_taken"` // a sentence about each thing that was left
}

// TakenBox is a mailbox that was taken over.
type TakenBox struct {
	Name        string `json:"mailbox"`
	Messages    uint32 `json:"messages"`
	UIDValidity uint32 `json:"uidvalidity"`
	UIDNext     uint32 `json:"uidnext"`
}

// TakeIn takes over a tree that Dovecot or Courier has served: the account's
// own, where it is, or another one, of which everything is linked or copied into
// the account's, which must be empty. A tree of the layout fs gets that of
// Maildir++, in place by renaming directories.
func (s *Store) TakeIn(ctx context.Context, spec Spec, from string) (taken Taken, err error) {
	src := &source{dir: filepath.Clean(from)}
	if err := src.look(); err != nil {
		return taken, err
	}
	account := s.Account(spec)
	inPlace := src.dir == filepath.Clean(spec.Dir)
	if !inPlace {
		if err := account.mustBeEmpty(ctx); err != nil {
			return taken, err
		}
		if err := s.takeAll(spec, src); err != nil {
			return taken, err
		}
	} else if err := src.renameToMaildir(); err != nil {
		return taken, err
	}
	if err := s.Forget(ctx, spec.User); err != nil {
		return taken, err
	}
	taken.Left = src.left
	list, err := account.List(ctx)
	if err != nil {
		return taken, err
	}
	for _, m := range list {
		if !m.Exists {
			continue
		}
		st, err := account.Status(ctx, m.Name)
		if err != nil {
			return taken, err
		}
		taken.Mailboxes = append(taken.Mailboxes, TakenBox{m.Name, st.Messages, st.UIDValidity, st.UIDNext})
	}
	rights, err := account.takeACLs(ctx, src)
	taken.Left = append(taken.Left, rights...)
	return taken, err
}

func (a *Account) mustBeEmpty(ctx context.Context) error {
	list, err := a.List(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if !m.Exists {
			continue
		}
		st, err := a.Status(ctx, m.Name)
		if err != nil && !errors.Is(err, ErrNoMailbox) {
			return err
		}
		if st.Messages > 0 {
			return fmt.Errorf("%s of %s holds %d messages already: %w", m.Name, a.spec.User, st.Messages, ErrExists)
		}
	}
	return nil
}

// source is a tree of another server.
type source struct {
	dir   string
	boxes map[string]string // directory here: directory there, both relative
	left  []string
}

// leftFiles are files of others that mean something, and that are not read.
var leftFiles = map[string]string{
	"dovecot-shared":      "\\\\Seen was kept for each user of a shared mailbox",
	"dovecot-virtual":     "a virtual mailbox",
	".dovecot.sieve":      "a filter",
	"sieve":               "filters",
	"dovecot-attributes":  "annotations",
	".dovecot-attributes": "annotations",
	"mailfilter":          "a filter of maildrop",
}

// look finds the mailboxes of a tree, of either layout.
func (src *source) look() error {
	if st, err := os.Stat(filepath.Join(src.dir, "cur")); err != nil || !st.IsDir() {
		for _, dbox := range []string{"mailboxes", "storage"} {
			if st, err := os.Stat(filepath.Join(src.dir, dbox)); err == nil && st.IsDir() {
				return fmt.Errorf("%s is dbox: let the Dovecot run that wrote it, and use import imap", src.dir)
			}
		}
		return fmt.Errorf("%s is no Maildir: it has no cur: %w", src.dir, fs.ErrNotExist)
	}
	src.boxes = map[string]string{"": ""}
	return src.walk("", 0)
}

func (src *source) walk(rel string, depth int) error {
	entries, err := os.ReadDir(filepath.Join(src.dir, rel))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(rel, e.Name())
		if why := leftFiles[e.Name()]; why != "" {
			src.left = append(src.left, name+": "+why)
			continue
		}
		if !e.IsDir() || rel == "" && slices.Contains([]string{"cur", "new", "tmp"}, e.Name()) || strings.HasPrefix(e.Name(), "courier") {
			continue
		}
		src.box(name, depth)
		if e.Name()[0] != '.' && depth < maxLevels && e.Name() != "cur" && e.Name() != "new" && e.Name() != "tmp" {
			if err := src.walk(name, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// box notes a directory, if it is a mailbox.
func (src *source) box(name string, depth int) {
	base := filepath.Base(name)
	if base == "cur" || base == "new" || base == "tmp" {
		return
	}
	_, err := os.Stat(filepath.Join(src.dir, name, "cur"))
	if err != nil {
		if base[0] == '.' || depth == 0 && !src.hasBoxes(name) {
			src.left = append(src.left, name+": a directory that is no mailbox")
		}
		return
	}
	dir := name
	if name[0] != '.' {
		dir = "." + strings.ReplaceAll(name, "/", string(Separator))
	}
	for other := range src.boxes {
		if other == dir {
			src.left = append(src.left, fmt.Sprintf("%s: there is another mailbox that is called %s here", name, dir[1:]))
			return
		}
	}
	if _, ok := nameOf(dir); !ok || len(dir) > maxDirName {
		src.left = append(src.left, name+": no mailbox can have this name")
		return
	}
	if dir != name && strings.Contains(name, string(Separator)) {
		src.left = append(src.left, fmt.Sprintf("%s: its name is %s here, where a dot divides levels", name, dir[1:]))
	}
	src.boxes[dir] = name
}

func (src *source) hasBoxes(name string) bool {
	list, _ := filepath.Glob(filepath.Join(src.dir, name, "*", "cur"))
	return len(list) > 0
}

// renameToMaildir gives the directories of the layout fs the names of Maildir++,
// the deepest first.
func (src *source) renameToMaildir() error {
	var list []string
	for dir, name := range src.boxes {
		if dir != name {
			list = append(list, dir)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return strings.Count(src.boxes[b], "/") - strings.Count(src.boxes[a], "/") })
	for _, dir := range list {
		to := filepath.Join(src.dir, dir)
		if _, err := os.Lstat(to); err == nil {
			return fmt.Errorf("rename %s: %s is there", src.boxes[dir], dir)
		}
		if err := os.Rename(filepath.Join(src.dir, src.boxes[dir]), to); err != nil {
			return err
		}
	}
	return nil
}

// knownFiles come with a mailbox.
var knownFiles = []string{uidListFile, keywordFile, aclFile, courier.UIDs, courier.Sizes, courier.Keywords}

// takeAll links or copies all mailboxes into the account's tree.
func (s *Store) takeAll(spec Spec, src *source) error {
	t, err := s.tree(spec)
	if err != nil {
		return err
	}
	defer t.release()
	for dir, name := range src.boxes {
		if err := t.makeMaildir(dir); err != nil {
			return err
		}
		from := filepath.Join(src.dir, name)
		for _, sub := range []string{"cur", "new"} {
			if err := t.takeDir(filepath.Join(from, sub), filepath.Join(dir, sub), dir); err != nil {
				return err
			}
		}
		files := knownFiles
		if dir == "" {
			files = append(slices.Clone(files), subscriptionFile, sizeFile, courier.Subscriptions)
		}
		for _, file := range files {
			if err := t.takeFile(filepath.Join(from, file), dir, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeFile copies a file of a mailbox's directory, if it is there.
func (t *tree) takeFile(from, dir, file string) error {
	text, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if sub := filepath.Dir(file); sub != "." {
		err := t.do(func(root *os.Root) error { return root.Mkdir(filepath.Join(dir, sub), dirMode) })
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return t.writeFileAt(dir, sub, filepath.Base(file), string(text))
	}
	return t.writeFile(dir, file, string(text))
}

// writeFileAt is writeFile for a directory within that of a mailbox.
func (t *tree) writeFileAt(dir, sub, name, text string) error {
	return t.do(func(root *os.Root) error {
		d, err := openDir(root, filepath.Join(dir, sub))
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

// takeDir links the messages of a directory, with the owner's rights; what cannot
// be linked is copied.
func (t *tree) takeDir(from, to, box string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var rest []string
	err = t.do(func(root *os.Root) error {
		d, err := openDir(root, to)
		if err != nil {
			return err
		}
		defer d.close()
		for _, e := range entries {
			if !e.Type().IsRegular() || e.Name()[0] == '.' {
				continue
			}
			err := unix.Linkat(unix.AT_FDCWD, filepath.Join(from, e.Name()), d.fd(), e.Name(), 0)
			if err != nil && err != unix.EEXIST {
				rest = append(rest, e.Name())
			}
		}
		return d.sync()
	})
	for _, name := range rest {
		if err == nil {
			err = t.takeMessage(filepath.Join(from, name), to, box, name)
		}
	}
	return err
}

// takeMessage copies a file with its time.
func (t *tree) takeMessage(from, to, box, name string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	tmpName := t.s.name.next()
	var out *os.File
	err = t.do(func(root *os.Root) error {
		tmp, err := openDir(root, filepath.Join(box, "tmp"))
		if err != nil {
			return err
		}
		defer tmp.close()
		out, err = tmp.create(tmpName)
		return err
	})
	if err != nil {
		return spaceError(err)
	}
	defer out.Close()
	_, err = io.Copy(out, in)
	if err == nil {
		err = setTime(out, st.ModTime())
	}
	if err == nil {
		err = out.Sync()
	}
	e := t.do(func(root *os.Root) error {
		tmp := filepath.Join(box, "tmp", tmpName)
		if err != nil {
			return root.Remove(tmp)
		}
		return root.Rename(tmp, filepath.Join(to, name))
	})
	return spaceError(errors.Join(err, e))
}

func setTime(f *os.File, at time.Time) error {
	tv := unix.NsecToTimeval(at.UnixNano())
	return unix.Futimes(int(f.Fd()), []unix.Timeval{tv, tv})
}
