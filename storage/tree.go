package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"

	"mailserver/schema"
)

// tree is what the process knows of an account in use: which mailboxes it has,
// how much they hold. Locks are taken in the order tree.mu, box.mu (of two
// boxes the lower number first), box.dirs.
type tree struct {
	s     *Store
	key   treeKey
	owner owner

	refs int // guarded by Store.mu

	acls   acls
	feeds  feeds
	sizes  sizes
	public bool // has no owner

	mu      sync.Mutex // guards what follows, and changes of the set of mailboxes
	account int64      // 0: not known yet
	boxes   map[string]*box
	counted bool // bytes and messages were read

	// What the index has, and what is on its way there.
	bytes, messages, reserved atomic.Int64
	coming                    atomic.Int64 // messages
}

type treeKey struct {
	user, dir, home string
	uid, gid        int
}

func (s Spec) key() treeKey {
	if s.Home == "" {
		s.Home = filepath.Dir(s.Dir)
	}
	return treeKey{s.User, filepath.Clean(s.Dir), filepath.Clean(s.Home), s.UID, s.GID}
}

// Account returns the account, without touching the disk.
func (s *Store) Account(spec Spec) *Account { return &Account{s: s, spec: spec} }

// tree returns the state of the account and holds it until release.
func (s *Store) tree(spec Spec) (*tree, error) {
	key := spec.key()
	if !filepath.IsAbs(spec.Dir) || spec.User == "" {
		return nil, fmt.Errorf("mailbox of %q in %q: no user or no absolute path", spec.User, spec.Dir)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	t := s.trees[key]
	if t == nil {
		s.makeRoom()
		t = &tree{s: s, key: key, public: spec.Public, owner: ownerOf(spec.UID, spec.GID, s.own), boxes: make(map[string]*box)}
		s.trees[key] = t
	}
	t.refs++
	return t, nil
}

// makeRoom forgets accounts that nobody uses. s.mu is held.
func (s *Store) makeRoom() {
	if len(s.trees) < maxTrees {
		return
	}
	for key, t := range s.trees {
		if t.refs == 0 {
			delete(s.trees, key)
		}
	}
}

func (t *tree) hold() {
	t.s.mu.Lock()
	t.refs++
	t.s.mu.Unlock()
}

func (t *tree) release() {
	t.s.mu.Lock()
	t.refs--
	t.s.mu.Unlock()
}

// root opens the Maildir. The caller has the owner's rights and closes it.
func (t *tree) root() (*os.Root, error) { return os.OpenRoot(t.key.dir) }

// do runs fn with the owner's rights and the open Maildir; see owner.do.
func (t *tree) do(fn func(*os.Root) error) error {
	return t.owner.do(func() error {
		root, err := t.root()
		if err != nil {
			return err
		}
		defer root.Close()
		return fn(root)
	})
}

// in is do for who only opens directories beneath the Maildir.
func (t *tree) in(fn func(home *dir) error) error {
	return t.owner.do(func() error {
		home, err := openHome(t.key.dir)
		if err != nil {
			return err
		}
		defer home.close()
		return fn(home)
	})
}

// inode returns the inode of a mailbox's directory; ErrNotExist if it is no
// Maildir.
func (t *tree) inode(dir string) (ino int64, err error) {
	err = t.do(func(root *os.Root) error {
		if _, err := root.Lstat(filepath.Join(dir, "cur")); err != nil {
			return err
		}
		st, err := root.Lstat(filepath.Join(".", dir))
		if err == nil {
			ino = int64(st.Sys().(*syscall.Stat_t).Ino)
		}
		return err
	})
	return ino, err
}

// number returns the account's number in the index, 0 if it has none. t.mu is
// held.
func (t *tree) number(ctx context.Context) (int64, error) {
	if t.account != 0 {
		return t.account, nil
	}
	num, err := t.s.d.State.IndexAccount(ctx, t.key.user)
	t.account = num
	return num, err
}

// count reads what the account holds, once. t.mu is held.
func (t *tree) count(ctx context.Context) error {
	if t.counted {
		return nil
	}
	num, err := t.number(ctx)
	if err != nil {
		return err
	}
	bytes, messages, err := t.s.d.State.IndexUsage(ctx, num)
	if err != nil {
		return err
	}
	t.bytes.Store(bytes)
	t.messages.Store(messages)
	t.counted = true
	return nil
}

// limits are what an account may hold; 0: no limit.
type limits struct{ bytes, messages int64 }

// reserve takes room for count messages of n bytes together; ErrOverQuota when
// that is more than the limits allow.
func (t *tree) reserve(n, count int64, l limits) error {
	held := t.reserved.Add(n)
	if l.bytes > 0 && t.bytes.Load()+held > l.bytes || l.messages > 0 && t.messages.Load()+t.coming.Load()+count > l.messages {
		t.reserved.Add(-n)
		return ErrOverQuota
	}
	return nil
}

// box returns a mailbox of the account, by any form of its name. ErrNoMailbox,
// ErrBadName.
func (t *tree) box(ctx context.Context, name string) (*box, error) {
	name, err := canonical(name)
	if err != nil {
		return nil, errors.Join(err, ErrNoMailbox)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.count(ctx); err != nil {
		return nil, fmt.Errorf("read index of %s: %w", t.key.user, err)
	}
	return t.find(ctx, name)
}

// find is box with t.mu held.
func (t *tree) find(ctx context.Context, name string) (*box, error) {
	if b := t.boxes[name]; b != nil {
		return b, nil
	}
	row, err := t.row(ctx, name)
	if err != nil {
		return nil, err
	}
	b := newBox(t, row)
	if err := b.meet(ctx); errors.Is(err, errOtherList) {
		b, err = t.anew(ctx, row)
		if err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	t.boxes[name] = b
	return b, nil
}

// row finds a mailbox in index and tree, and makes the row if only the tree has
// it. t.mu is held.
func (t *tree) row(ctx context.Context, name string) (row schema.IndexMailbox, err error) {
	num, err := t.number(ctx)
	if err != nil {
		return row, fmt.Errorf("find account %s: %w", t.key.user, err)
	}
	row, found, err := t.s.d.State.IndexMailboxNamed(ctx, num, name)
	if err != nil {
		return row, fmt.Errorf("find mailbox %s of %s: %w", name, t.key.user, err)
	}
	if !found {
		row.Name = name
		if row.Dir, err = dirOf(name); err != nil {
			return row, errors.Join(err, ErrNoMailbox)
		}
	}
	ino, err := t.inode(row.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && name != inbox && !found:
		// Other programs may have written the name in UTF-8.
		if raw := "." + name; raw != row.Dir {
			if ino, err = t.inode(raw); err == nil {
				row.Dir = raw
				break
			}
		}
		return row, ErrNoMailbox
	case errors.Is(err, fs.ErrNotExist) && name != inbox:
		return row, ErrNoMailbox
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return row, fmt.Errorf("look for mailbox %s of %s: %w", name, t.key.user, err)
	}
	if found {
		row.Inode = ino
		return row, nil
	}
	return t.adopt(ctx, row, ino)
}

// adopt gives a directory without a row its row: that of the mailbox that was
// renamed to it by another program, or a new one. t.mu is held.
func (t *tree) adopt(ctx context.Context, row schema.IndexMailbox, ino int64) (schema.IndexMailbox, error) {
	old, err := t.renamed(ctx, ino)
	if err != nil {
		return row, err
	}
	if old != nil {
		was := old.Name
		old.Name, old.Dir = row.Name, row.Dir
		if err := t.s.d.State.Write(ctx, func(tx *schema.Tx) error { return tx.SaveMailbox(old) }); err != nil {
			return row, fmt.Errorf("rename mailbox %s: %w", was, err)
		}
		if b := t.boxes[was]; b != nil {
			delete(t.boxes, was)
			b.drop()
		}
		return *old, nil
	}
	row.Inode = ino
	if err := t.adoptList(&row); err != nil {
		return row, err
	}
	return row, t.addRow(ctx, &row)
}

// anew takes a mailbox over as its list has it, in place of what row knew of
// it. t.mu is held.
func (t *tree) anew(ctx context.Context, row schema.IndexMailbox) (*box, error) {
	t.s.d.Log.Warn("mailbox has another UIDVALIDITY in its dovecot-uidlist; it is taken over anew", "user", t.key.user, "mailbox", row.Name)
	if err := t.dropRow(ctx, row); err != nil {
		return nil, err
	}
	row = schema.IndexMailbox{Name: row.Name, Dir: row.Dir, Inode: row.Inode, Special: row.Special}
	if err := t.adoptList(&row); err != nil {
		return nil, err
	}
	if err := t.addRow(ctx, &row); err != nil {
		return nil, err
	}
	b := newBox(t, row)
	return b, b.meet(ctx)
}

// renamed returns the row of a mailbox with this inode whose own directory is
// gone; nil if there is none.
func (t *tree) renamed(ctx context.Context, ino int64) (*schema.IndexMailbox, error) {
	if t.account == 0 || ino == 0 {
		return nil, nil
	}
	list, err := t.s.d.State.IndexMailboxes(ctx, t.account)
	if err != nil {
		return nil, fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	for i := range list {
		if list[i].Inode != ino || list[i].Name == inbox {
			continue
		}
		if _, err := t.inode(list[i].Dir); errors.Is(err, fs.ErrNotExist) {
			return &list[i], nil
		}
	}
	return nil, nil
}

// addRow makes the account and the mailbox known. t.mu is held.
func (t *tree) addRow(ctx context.Context, row *schema.IndexMailbox) error {
	now := uint32(t.s.d.Now().Unix())
	err := t.s.d.State.Write(ctx, func(tx *schema.Tx) error {
		num, err := tx.AddAccount(t.key.user)
		if err != nil {
			return err
		}
		row.Account = num
		if row.Validity != 0 {
			return tx.AdoptMailbox(row)
		}
		return tx.AddMailbox(row, now)
	})
	if err != nil {
		return fmt.Errorf("add mailbox %s of %s: %w", row.Name, t.key.user, err)
	}
	t.account = row.Account
	return nil
}

// lost forgets a mailbox whose directory another program has taken away.
func (t *tree) lost(b *box) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := t.inode(b.dir()); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	b.drop()
	if t.boxes[b.name()] == b {
		delete(t.boxes, b.name())
		t.tell(context.Background(), News{Kind: Named, Name: b.name()})
	}
}
