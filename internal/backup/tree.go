package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/schema"
)

// userDir is where the mail of a user lies in a backup. A user name holds no
// slash: it is the local part and domain of an address, or a name of the system.
func userDir(backup, user string) string {
	return filepath.Join(backup, "mail", strings.ReplaceAll(user, "/", "%2F"))
}

// mail copies every tree a first time. This is the long step.
func (b *maker) mail(ctx context.Context) error {
	for _, t := range b.src.Trees {
		if err := b.tree(ctx, t); err != nil {
			return fmt.Errorf("back up mail of %s: %w", t.User, err)
		}
	}
	return nil
}

func (b *maker) tree(ctx context.Context, t Tree) error {
	return filepath.WalkDir(t.Dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		}
		rel, err := filepath.Rel(t.Dir, path)
		if err != nil {
			return err
		}
		to := filepath.Join(userDir(b.to, t.User), rel)
		switch {
		case e.IsDir() && e.Name() == "tmp" && rel != ".":
			if err := b.dir(path, to); err != nil {
				return err
			}
			return fs.SkipDir
		case e.IsDir():
			return b.dir(path, to)
		case !e.Type().IsRegular():
			return nil // links and pipes are not mail
		case inMailbox(rel):
			return gone(b.message(t, path, rel, to))
		}
		_, err = copyFile(path, to)
		return gone(err)
	})
}

// gone: a file that went away while we looked is none of our business.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// inMailbox reports whether a path is that of a message.
func inMailbox(rel string) bool {
	dir := filepath.Base(filepath.Dir(rel))
	return dir == "cur" || dir == "new"
}

func (b *maker) dir(from, to string) error {
	st, err := os.Lstat(from)
	if err != nil {
		return gone(err)
	}
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		return os.Chown(to, int(sys.Uid), int(sys.Gid))
	}
	return nil
}

// message takes one message: a hard link to the file, which never changes; to
// the same file in the backup before, on another file system; or a copy.
func (b *maker) message(t Tree, from, rel, to string) error {
	st, err := os.Lstat(from)
	if err != nil {
		return err
	}
	b.m.Messages++
	b.m.Bytes += st.Size()
	if os.Link(from, to) == nil {
		b.m.Linked++
		return nil
	}
	if b.last != "" {
		old := filepath.Join(userDir(b.last, t.User), rel)
		if was, err := os.Lstat(old); err == nil && was.Mode().IsRegular() && was.Size() == st.Size() && os.Link(old, to) == nil {
			b.m.Linked++
			return nil
		}
	}
	_, err = copyFile(from, to)
	return err
}

// later looks at every mailbox that has changed since the first look, and makes
// the copy what the index says: a message under its flags of now, none twice,
// none that came after the beginning.
func (b *maker) later(ctx context.Context) error {
	state, err := openCopy(ctx, filepath.Join(b.to, "data", "state.sqlite"))
	if err != nil {
		return err
	}
	defer state.close()
	for _, t := range b.src.Trees {
		if err := b.again(ctx, t, state.State); err != nil {
			return fmt.Errorf("back up mail of %s: %w", t.User, err)
		}
	}
	return nil
}

func (b *maker) again(ctx context.Context, t Tree, state *schema.State) error {
	boxes, err := mailboxes(ctx, state, t.User)
	if err != nil {
		return err
	}
	for _, dir := range mailDirs(t.Dir) {
		if !changedSince(filepath.Join(t.Dir, dir), b.m.Started) {
			continue
		}
		if err := b.settle(ctx, t, dir, state, boxes[dir]); err != nil {
			return err
		}
	}
	return nil
}

// mailboxes are the numbers of a user's mailboxes by directory.
func mailboxes(ctx context.Context, state *schema.State, user string) (map[string]int64, error) {
	account, err := state.IndexAccount(ctx, user)
	if err != nil || account == 0 {
		return nil, err
	}
	list, err := state.IndexMailboxes(ctx, account)
	boxes := make(map[string]int64, len(list))
	for _, m := range list {
		boxes[m.Dir] = m.Num
	}
	return boxes, err
}

// mailDirs are the mailboxes of a Maildir++: itself, and directories with a dot.
func mailDirs(dir string) []string {
	list := []string{""}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), ".") {
			list = append(list, e.Name())
		}
	}
	return list
}

// slack is how much the clocks of file system and program may differ.
const slack = 2 * time.Second

func changedSince(dir string, start time.Time) bool {
	for _, sub := range []string{"cur", "new"} {
		st, err := os.Stat(filepath.Join(dir, sub))
		if err == nil && !st.ModTime().Before(start.Add(-slack)) {
			return true
		}
	}
	return false
}

// settle makes the copy of one mailbox right.
func (b *maker) settle(ctx context.Context, t Tree, dir string, state *schema.State, mailbox int64) error {
	known, err := b.knownOf(ctx, state, mailbox)
	if err != nil {
		return err
	}
	live := make(map[string]string) // base name → cur/name
	for _, sub := range []string{"cur", "new"} {
		if err := b.liveNames(filepath.Join(t.Dir, dir), sub, known, live); err != nil {
			return err
		}
	}
	have, err := b.prune(filepath.Join(userDir(b.to, t.User), dir), live)
	if err != nil {
		return err
	}
	for base, rel := range live {
		if have[base] {
			continue
		}
		rel = filepath.Join(dir, rel)
		to := filepath.Join(userDir(b.to, t.User), rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := gone(b.message(t, filepath.Join(t.Dir, rel), rel, to)); err != nil {
			return err
		}
	}
	return nil
}

// knownOf are the base names of the messages that the copied index has.
func (b *maker) knownOf(ctx context.Context, state *schema.State, mailbox int64) (map[string]bool, error) {
	known := make(map[string]bool)
	if mailbox == 0 {
		return known, nil
	}
	err := state.EachName(ctx, mailbox, 1, ^uint32(0), func(_ uint32, name []byte) error {
		known[string(name)] = true
		return nil
	})
	return known, err
}

// liveNames adds the messages of now that belong to the backup: those the index
// has, and those that were there when it began.
func (b *maker) liveNames(dir, sub string, known map[string]bool, live map[string]string) error {
	list, err := os.ReadDir(filepath.Join(dir, sub))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range list {
		base := baseName(e.Name())
		if !known[base] {
			if born, err := birth(filepath.Join(dir, sub, e.Name())); err != nil || born.After(b.m.Started) {
				continue
			}
		}
		live[base] = filepath.Join(sub, e.Name())
	}
	return err
}

// birth is when a file was made; where the file system does not know, when it
// was written.
func birth(path string) (time.Time, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME|unix.STATX_MTIME, &st); err != nil {
		return time.Time{}, err
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec)), nil
	}
	return time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec)), nil
}

// baseName is a file name without flags.
func baseName(name string) string {
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		return name[:i]
	}
	return name
}

// prune takes copies away that are not of now, and returns the names that stay.
func (b *maker) prune(dir string, live map[string]string) (map[string]bool, error) {
	have := make(map[string]bool)
	for _, sub := range []string{"cur", "new"} {
		list, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range list {
			rel := filepath.Join(sub, e.Name())
			if base := baseName(e.Name()); live[base] == rel {
				have[base] = true
				continue
			}
			if err := b.drop(filepath.Join(dir, rel)); err != nil {
				return nil, err
			}
		}
	}
	return have, nil
}

func (b *maker) drop(path string) error {
	if st, err := os.Lstat(path); err == nil {
		b.m.Messages--
		b.m.Bytes -= st.Size()
	}
	return gone(os.Remove(path))
}

// copied is a state.sqlite opened from a copy of a copy: opening may migrate it,
// and a backup is not to change.
type copied struct {
	*schema.State
	dir string
}

func openCopy(ctx context.Context, path string) (*copied, error) {
	dir, err := os.MkdirTemp(filepath.Dir(filepath.Dir(path)), ".state")
	if err != nil {
		return nil, err
	}
	c := &copied{dir: dir}
	to := filepath.Join(dir, "state.sqlite")
	if _, err = copyFile(path, to); err == nil {
		c.State, err = schema.OpenState(ctx, to)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return c, nil
}

func (c *copied) close() error { return errors.Join(c.State.Close(), os.RemoveAll(c.dir)) }
