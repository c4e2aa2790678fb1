package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"mailserver/internal/acl"
	"mailserver/schema"
)

// aclFile is in the directory of a mailbox; Dovecot's plugin acl writes and
// reads it there.
const aclFile = "dovecot-acl"

// ErrACL says that the ACL file of a mailbox cannot be understood. Nobody but
// its owner has rights then.
var ErrACL = errors.New("ACL file cannot be understood")

const (
	// ownACLTime is for how long the owner of a mailbox goes by what its file
	// said; others have it looked at each time.
	ownACLTime = time.Second
	// maxACLs bounds the lists kept for an account.
	maxACLs = 500
)

// acls are the lists of an account's mailboxes, by directory.
type acls struct {
	mu   sync.Mutex
	list map[string]knownACL
}

// knownACL is a file as it was read. The zero time: there is none.
type knownACL struct {
	list   acl.List
	err    error
	ino    uint64
	size   int64
	mtime  time.Time
	looked time.Time
}

// acl returns the list in the file of a directory, nil if there is none; as it
// was within the last time old. With an error it gives no rights.
func (t *tree) acl(dir string, old time.Duration) (acl.List, error) {
	now := t.s.d.Now()
	t.acls.mu.Lock()
	defer t.acls.mu.Unlock()
	k, known := t.acls.list[dir]
	if known && old > 0 && now.Sub(k.looked) < old && !now.Before(k.looked) {
		return k.list, k.err
	}
	fresh, err := t.lookACL(dir, k, known)
	if err != nil {
		return nil, fmt.Errorf("read ACL of %s in %s: %w", t.key.user, filepath.Join(t.key.dir, dir), err)
	}
	fresh.looked = now
	if len(t.acls.list) >= maxACLs && !known {
		clear(t.acls.list)
	}
	if t.acls.list == nil {
		t.acls.list = make(map[string]knownACL)
	}
	t.acls.list[dir] = fresh
	return fresh.list, fresh.err
}

// lookACL reads the file if it is another than k.
func (t *tree) lookACL(dir string, k knownACL, known bool) (fresh knownACL, err error) {
	var text string
	err = t.do(func(root *os.Root) error {
		st, err := root.Lstat(filepath.Join(dir, aclFile))
		if err != nil {
			return err
		}
		fresh = knownACL{ino: inodeOf(st), size: st.Size(), mtime: st.ModTime()}
		if known && fresh.ino == k.ino && fresh.size == k.size && fresh.mtime.Equal(k.mtime) && time.Since(k.mtime) > tick {
			fresh = k
			return nil
		}
		d, err := openDir(root, filepath.Join(".", dir))
		if err != nil {
			return err
		}
		defer d.close()
		text, err = d.readFile(aclFile, acl.MaxFile)
		if err == nil {
			fresh.list, fresh.err = acl.ParseFile(text)
		}
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return knownACL{}, nil
	case err == nil && fresh.err != nil && !errors.Is(fresh.err, ErrACL):
		fresh.err = fmt.Errorf("%w: %s, %w", ErrACL, filepath.Join(t.key.dir, dir, aclFile), fresh.err)
		t.s.d.Log.Warn("ACL file cannot be understood; nobody but the owner has rights", "user", t.key.user, "err", fresh.err)
	}
	return fresh, err
}

func (t *tree) forgetACL(dir string) {
	t.acls.mu.Lock()
	delete(t.acls.list, dir)
	t.acls.mu.Unlock()
}

// rights computes what who may in a directory's mailbox.
func (t *tree) rights(dir string, who acl.Who, cfg *Config) (acl.Rights, error) {
	var old time.Duration
	if who.Owner {
		old = ownACLTime
	}
	list, err := t.acl(dir, old)
	if list == nil && err == nil && cfg.ACLFromInbox && dir != "" && !t.public {
		list, err = t.acl("", old)
	}
	if errors.Is(err, ErrACL) {
		list, err = nil, nil
	}
	if err != nil {
		return 0, err
	}
	if list == nil {
		if who.Owner && !t.public {
			return acl.All, nil
		}
		return 0, nil
	}
	return list.WithOwner(!t.public).Rights(who), nil
}

// Rights returns what who may do with a mailbox. ErrNoMailbox.
func (a *Account) Rights(ctx context.Context, name string, who acl.Who) (r acl.Rights, err error) {
	err = a.withDir(ctx, name, func(t *tree, dir string, cfg *Config) error {
		r, err = t.rights(dir, who, cfg)
		return err
	})
	return r, err
}

// withDir finds the directory of a mailbox.
func (a *Account) withDir(ctx context.Context, name string, fn func(t *tree, dir string, cfg *Config) error) error {
	cfg, err := a.s.d.Config(ctx)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	t, err := a.s.tree(a.spec)
	if err != nil {
		return err
	}
	defer t.release()
	b, err := t.box(ctx, name)
	if err != nil {
		return err
	}
	if t.public && b.dir() == "" {
		return ErrNoMailbox
	}
	return fn(t, b.dir(), cfg)
}

// RightsAbove returns what who may do with the nearest mailbox above a name that
// is there, by which mailboxes are made: the right to create. Above the first
// level stands INBOX, whose file is that of the whole tree.
func (a *Account) RightsAbove(ctx context.Context, name string, who acl.Who) (acl.Rights, error) {
	name, err := canonical(name)
	if err != nil {
		return 0, err
	}
	cfg, err := a.s.d.Config(ctx)
	if err != nil {
		return 0, fmt.Errorf("read settings: %w", err)
	}
	t, err := a.s.tree(a.spec)
	if err != nil {
		return 0, err
	}
	defer t.release()
	above := parents(name)
	for _, p := range slices.Backward(above) {
		b, err := t.box(ctx, p)
		if errors.Is(err, ErrNoMailbox) {
			continue
		}
		if err != nil {
			return 0, err
		}
		return t.rights(b.dir(), who, cfg)
	}
	return t.rights("", who, cfg)
}

// ACL returns the list of a mailbox, without what the owner has by default.
// ErrNoMailbox, ErrACL.
func (a *Account) ACL(ctx context.Context, name string) (list acl.List, err error) {
	err = a.withDir(ctx, name, func(t *tree, dir string, cfg *Config) error {
		list, err = t.acl(dir, 0)
		if list == nil && err == nil && cfg.ACLFromInbox && dir != "" && !t.public {
			list, err = t.acl("", 0)
		}
		return err
	})
	return list, err
}

// Public says that the mailboxes have no owner.
func (a *Account) Public() bool { return a.spec.Public }

// User is the log-in name of the owner.
func (a *Account) User() string { return a.spec.User }

// ChangeACL writes the list that change makes of the present one, durably, and
// notes with whom the account shares. ErrNoMailbox, ErrACL.
func (a *Account) ChangeACL(ctx context.Context, name string, change func(acl.List) acl.List) error {
	err := a.withDir(ctx, name, func(t *tree, dir string, _ *Config) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		old, err := t.acl(dir, 0)
		if err != nil {
			return err
		}
		if err := t.writeACL(dir, change(old)); err != nil {
			return err
		}
		t.tell(ctx, News{Kind: Permitted, Name: name})
		return nil
	})
	if err != nil {
		return err
	}
	return a.NoteSharing(ctx)
}

// writeACL writes a list; an empty one is no file.
func (t *tree) writeACL(dir string, list acl.List) error {
	defer t.forgetACL(dir)
	var err error
	if len(list) > 0 {
		if dir == "" {
			err = t.makeMaildir("") // nothing may have come to it yet
		}
		if err == nil {
			err = t.writeFile(dir, aclFile, list.Format())
		}
	} else {
		err = t.do(func(root *os.Root) error {
			if err := root.Remove(filepath.Join(dir, aclFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return syncDirs(root, dir)
		})
	}
	if err != nil {
		return spaceError(fmt.Errorf("write ACL of %s in %s: %w", t.key.user, filepath.Join(t.key.dir, dir), err))
	}
	return nil
}

// inheritACL gives a new mailbox the list of the one above it, as Dovecot does.
// t.mu is held.
func (t *tree) inheritACL(ctx context.Context, name, dir string) error {
	for _, p := range slices.Backward(parents(name)) {
		b, err := t.find(ctx, p)
		if errors.Is(err, ErrNoMailbox) {
			continue
		}
		if err != nil {
			return err
		}
		list, err := t.acl(b.dir(), 0)
		if errors.Is(err, ErrACL) || err == nil && len(list) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		return t.writeACL(dir, list)
	}
	return nil
}

// NoteSharing makes the record of with whom the account shares agree with the
// files.
func (a *Account) NoteSharing(ctx context.Context) error {
	if a.spec.Public {
		return nil
	}
	t, err := a.s.tree(a.spec)
	if err != nil {
		return err
	}
	defer t.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.noteSharing(ctx)
}

// noteSharing is NoteSharing with t.mu held.
func (t *tree) noteSharing(ctx context.Context) error {
	dirs, err := t.directories()
	if err != nil {
		return fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	var to []string
	for _, dir := range dirs {
		list, err := t.acl(dir, 0)
		if err != nil && !errors.Is(err, ErrACL) {
			return err
		}
		for _, e := range list {
			if e.HasYes && e.Kind != acl.Owner && e.Yes.Has(acl.Lookup) {
				to = append(to, e.ID.String())
			}
		}
	}
	slices.Sort(to)
	to = slices.Compact(to)
	have, err := t.s.d.State.SharedWith(ctx, t.key.user)
	if err == nil && !slices.Equal(have, to) {
		err = t.s.d.State.Write(context.WithoutCancel(ctx), func(tx *schema.Tx) error { return tx.SetSharing(t.key.user, to) })
	}
	if err != nil {
		return fmt.Errorf("note with whom %s shares: %w", t.key.user, err)
	}
	return nil
}

// Sharers returns users who share with who, in order, at most limit.
func (s *Store) Sharers(ctx context.Context, who acl.Who, limit int) ([]string, error) {
	ids := []acl.ID{{Kind: acl.Anyone}, {Kind: acl.Authenticated}, {Kind: acl.User, Name: who.User}}
	for _, g := range who.Groups {
		ids = append(ids, acl.ID{Kind: acl.Group, Name: g}, acl.ID{Kind: acl.GroupOverride, Name: g})
	}
	var all []string
	for _, id := range ids {
		list, err := s.d.State.Sharers(ctx, id.String(), "", limit)
		if err != nil {
			return nil, fmt.Errorf("look who shares with %s: %w", who.User, err)
		}
		all = append(all, list...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), limit)], nil
}

// Visible returns the mailboxes that who may see, as List does.
func (a *Account) Visible(ctx context.Context, who acl.Who) ([]MailboxInfo, error) {
	cfg, err := a.s.d.Config(ctx)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	t, err := a.s.tree(a.spec)
	if err != nil {
		return nil, err
	}
	defer t.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	dirs, err := t.directories()
	if err != nil {
		return nil, fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	for name, dir := range dirs {
		r, err := t.rights(dir, who, cfg)
		if err != nil {
			return nil, err
		}
		if !r.Has(acl.Lookup) || t.public && dir == "" {
			delete(dirs, name)
		}
	}
	return list(dirs, nil, nil), nil
}

func inodeOf(st fs.FileInfo) uint64 { return st.Sys().(*syscall.Stat_t).Ino }
