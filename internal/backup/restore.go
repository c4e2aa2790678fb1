package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/internal/asuser"
	"mailserver/schema"
)

// Unfinished is the file that a data directory has while it is being restored:
// no server starts on it.
const Unfinished = "restoring"

// Place is where the mail of a user belongs, and to whom.
type Place struct {
	Dir  string
	Home string // what lies above it is nobody's but the system's
	asuser.ID
}

// Data puts the data directory of a backup back, to a directory that has none.
// Mail that waited is put on hold; Data returns how many recipients. Finish
// ends what Data begins.
func Data(ctx context.Context, from, to string) (held int64, err error) {
	m, err := Read(from)
	if err != nil {
		return 0, err
	}
	if _, err := os.Stat(filepath.Join(to, "mail.sqlite")); err == nil {
		if _, err := os.Stat(filepath.Join(to, Unfinished)); err != nil {
			return 0, fmt.Errorf("%s has a mail.sqlite: %w", to, fs.ErrExist)
		}
	}
	if err := os.MkdirAll(filepath.Join(to, "spool", "tmp"), 0o700); err != nil {
		return 0, err
	}
	if err := os.Chmod(to, 0o711); err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(to, Unfinished), []byte("a restore was begun "+time.Now().Format(time.RFC3339)+"\n"), 0o600); err != nil {
		return 0, err
	}
	for name := range m.Files {
		if !filepath.IsLocal(name) {
			return 0, fmt.Errorf("backup %s: file %q lies outside", from, name)
		}
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return 0, err
		}
		if err := gone(os.Remove(path)); err != nil {
			return 0, err
		}
		if sum, err := copyFile(filepath.Join(from, "data", name), path); err != nil {
			return 0, err
		} else if sum != m.Files[name] {
			return 0, fmt.Errorf("backup %s: %s has changed since it was made", from, name)
		}
	}
	return held, fit(ctx, to, &held)
}

// fit makes the copied index fit its new place.
func fit(ctx context.Context, to string, held *int64) error {
	state, err := schema.OpenState(ctx, filepath.Join(to, "state.sqlite"))
	if err != nil {
		return err
	}
	err = state.Write(ctx, func(t *schema.Tx) (err error) {
		*held, err = t.Restored()
		return err
	})
	return errors.Join(err, state.Close())
}

// Finish has everything on disk and lets servers start.
func Finish(to string, places []Place) error {
	for _, dir := range append(places, Place{Dir: to}) {
		if err := gone(syncFS(dir.Dir)); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(to, Unfinished)); err != nil {
		return err
	}
	return syncDir(to)
}

// Mail puts the mail of a user back: each message that is not in the tree
// already, under any flags and in any mailbox. Nothing there is changed. folder
// limits it to one mailbox: a directory of the Maildir, ” for INBOX; "*" is
// all. What is read is compared with the sums of the backup; a message that has
// changed comes back all the same, and bad is told. It returns how many
// messages came back.
func Mail(ctx context.Context, from string, t Tree, to Place, folder string, bad func(what string)) (n int, err error) {
	user := t.User
	root := userDir(from, user)
	if _, err := os.Stat(root); err != nil {
		return 0, fmt.Errorf("mail of %s in backup %s: %w", user, from, err)
	}
	if err := makeHome(to); err != nil {
		return 0, err
	}
	have, err := present(to)
	if err != nil {
		return 0, err
	}
	sums := &restored{comparison: comparison{dir: from, bad: bad}}
	if t.Sums != "" {
		if sums.list = openIndex(from, user, t.Sums, byPath); sums.list == nil {
			bad(sums.name(listOf(from, user)) + ": is missing or has changed since the backup; the mail of " + user + " was not compared")
		}
	}
	defer sums.list.close()
	for _, dir := range mailDirs(root) {
		if folder != "*" && folder != dir {
			continue
		}
		k, err := box(ctx, filepath.Join(root, dir), to, dir, have, sums)
		n += k
		if err != nil {
			return n, fmt.Errorf("restore mail of %s: %w", user, err)
		}
	}
	return n, sums.missing(ctx)
}

// makeHome makes what lies above the Maildir, for the system, and the home, for
// the user.
func makeHome(to Place) error {
	if err := os.MkdirAll(filepath.Dir(to.Home), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(to.Home, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	if os.Geteuid() != 0 || to.UID < 0 {
		return nil
	}
	return os.Chown(to.Home, to.UID, to.GID)
}

// as does something with the rights of the owner of the mail, so that a link
// that the owner has planted leads nowhere else.
func (p Place) as(fn func() error) error {
	if os.Geteuid() != 0 || p.UID < 0 {
		return fn()
	}
	return p.ID.Do(fn)
}

// names is a set of base names: of a number each, to be small for mailboxes of
// a million messages.
type names struct {
	seed maphash.Seed
	set  map[uint64]struct{}
}

func newNames() names { return names{maphash.MakeSeed(), make(map[uint64]struct{})} }

func (n names) has(file string) bool {
	_, ok := n.set[maphash.String(n.seed, baseName(file))]
	return ok
}

// add reports whether the name is new.
func (n names) add(file string) bool {
	if n.has(file) {
		return false
	}
	n.set[maphash.String(n.seed, baseName(file))] = struct{}{}
	return true
}

// present are the base names of all messages in a tree.
func present(to Place) (have names, err error) {
	have = newNames()
	err = to.as(func() error {
		for _, dir := range mailDirs(to.Dir) {
			for _, sub := range []string{"cur", "new"} {
				list, err := os.ReadDir(filepath.Join(to.Dir, dir, sub))
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				for _, e := range list {
					have.add(e.Name())
				}
			}
		}
		return nil
	})
	return have, err
}

// box puts one mailbox back.
func box(ctx context.Context, from string, to Place, dir string, have names, sums *restored) (n int, err error) {
	if err := to.as(func() error { return makeBox(filepath.Join(to.Dir, dir)) }); err != nil {
		return 0, err
	}
	for _, sub := range []string{"cur", "new"} {
		list, err := os.ReadDir(filepath.Join(from, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
		for _, e := range list {
			if ctx.Err() != nil {
				return n, ctx.Err()
			}
			if have.has(e.Name()) {
				continue
			}
			if err := message(filepath.Join(from, sub, e.Name()), to, filepath.Join(to.Dir, dir), sub, sums); err != nil {
				return n, err
			}
			have.add(e.Name())
			n++
		}
	}
	return n, others(from, to, dir, sums)
}

func makeBox(dir string) error {
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

// message copies one message by tmp, as deliveries do, so that nobody sees half
// of it. The file of the backup is opened with our own rights.
func message(from string, to Place, dir, sub string, sums *restored) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	name := filepath.Base(from)
	return to.as(func() error {
		tmp := filepath.Join(dir, "tmp", baseName(name))
		if err := gone(os.Remove(tmp)); err != nil {
			return err
		}
		out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		err = sums.copy(out, in, from)
		if err := errors.Join(err, out.Close(), os.Chtimes(tmp, st.ModTime(), st.ModTime())); err != nil {
			return err
		}
		return os.Rename(tmp, filepath.Join(dir, sub, name))
	})
}

// others copies the small files of a mailbox (subscriptions, keywords) that the
// tree does not have.
func others(from string, to Place, dir string, sums *restored) error {
	list, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range list {
		if !e.Type().IsRegular() || strings.HasSuffix(e.Name(), ".lock") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		sums.compare(filepath.Join(from, e.Name()), sha256.Sum256(text))
		err = to.as(func() error {
			f, err := os.OpenFile(filepath.Join(to.Dir, dir, e.Name()), os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
			if err != nil {
				return err
			}
			_, err = f.Write(text)
			return errors.Join(err, f.Close())
		})
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// restored compares what a restore reads with the sums of the backup.
type restored struct {
	comparison
	list *index // byPath; nil: there are no sums
}

// copy writes a message, and reads it once for both.
func (r *restored) copy(out *os.File, in *os.File, path string) error {
	if r.list == nil {
		_, err := out.ReadFrom(in) // the kernel copies
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, h), in); err != nil {
		return err
	}
	r.compare(path, [sha256.Size]byte(h.Sum(nil)))
	return nil
}

func (r *restored) compare(path string, sum [sha256.Size]byte) {
	if r.list == nil {
		return
	}
	rel := r.name(path)
	e, ok := r.list.find(entry{path: rel})
	switch {
	case !ok || e.path != rel:
		r.bad(shown(rel) + ": is not of this backup")
	case e.sum != hex.EncodeToString(sum[:]):
		r.bad(shown(rel) + ": has changed since the backup")
	}
}

// missing tells of files that the backup had.
func (r *restored) missing(ctx context.Context) error {
	if r.list == nil {
		return nil
	}
	if _, err := r.list.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return readList(r.list.f, func(e entry, _ int64) error {
		if _, err := os.Lstat(filepath.Join(r.dir, e.path)); errors.Is(err, fs.ErrNotExist) {
			r.bad(shown(e.path) + ": " + fault(err))
		}
		return ctx.Err()
	})
}
