package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// Delete removes a mailbox and its messages; mailboxes below it stay. RFC 9051
// §6.3.5. Views of it answer ErrNoMailbox from then on.
func (a *Account) Delete(ctx context.Context, name string) error {
	t, err := a.s.tree(a.spec)
	if err != nil {
		return err
	}
	defer t.release()
	b, err := t.box(ctx, name)
	if err != nil {
		return err
	}
	if b.name() == inbox {
		return ErrInbox
	}
	// From the rename on it is gone for everybody; the rest can be done again.
	trash := filepath.Join("tmp", "deleted."+t.s.name.next())
	if err := t.discard(ctx, b, trash); err != nil {
		return err
	}
	return t.do(func(root *os.Root) error { return root.RemoveAll(trash) })
}

func (t *tree) discard(ctx context.Context, b *box, trash string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return ErrNoMailbox
	}
	err := t.do(func(root *os.Root) error {
		if err := root.Rename(b.row.Dir, trash); err != nil {
			return err
		}
		return syncDirs(root, "")
	})
	if err != nil {
		return fmt.Errorf("delete mailbox %s of %s: %w", b.row.Name, t.key.user, err)
	}
	delete(t.boxes, b.row.Name)
	b.gone = true
	b.changed()
	b.t.s.fts.note(b, false)
	t.tell(ctx, News{Kind: Named, Name: b.row.Name})
	return t.dropRow(ctx, b.row)
}

// Rename renames a mailbox with all below it. Of INBOX it moves the messages
// to a new mailbox, RFC 9051 §6.3.6.
func (a *Account) Rename(ctx context.Context, from, to string) error {
	from, err := canonical(from)
	if err != nil {
		return errors.Join(ErrNoMailbox, err)
	}
	if to, err = canonical(to); err != nil {
		return err
	}
	switch {
	case to == inbox:
		return ErrExists
	case below(to, from) && from != inbox:
		return fmt.Errorf("rename %s: %w", from, ErrBelowItself)
	case from == inbox:
		return a.renameInbox(ctx, to)
	}
	t, err := a.s.tree(a.spec)
	if err != nil {
		return err
	}
	defer t.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rename(ctx, from, to)
}

// renaming is one mailbox of a Rename.
type renaming struct {
	b        *box
	to, dir  string
	oldNames place
}

// rename renames directories, then rows. t.mu is held.
func (t *tree) rename(ctx context.Context, from, to string) error {
	list, err := t.renamings(ctx, from, to)
	if err != nil {
		return err
	}
	for _, parent := range parents(to) {
		if _, err := t.create(ctx, parent, ""); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
	}
	for i := range list {
		if err := t.renameOne(ctx, &list[i]); err != nil {
			for _, r := range list[:i] {
				back := renaming{b: r.b, to: r.oldNames.name, dir: r.oldNames.dir}
				err = errors.Join(err, t.renameOne(ctx, &back))
			}
			return err
		}
	}
	t.tell(ctx, News{Kind: Named, Name: to, Old: from})
	return nil
}

// renamings lists what a rename concerns: the mailbox, if it is one, and all
// below it. t.mu is held.
func (t *tree) renamings(ctx context.Context, from, to string) ([]renaming, error) {
	dirs, err := t.directories()
	if err != nil {
		return nil, fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	var list []renaming
	for name := range dirs {
		if name != from && !below(name, from) {
			continue
		}
		r := renaming{to: to + name[len(from):]}
		if _, exists := dirs[r.to]; exists {
			return nil, ErrExists
		}
		if r.dir, err = dirOf(r.to); err != nil || !validName(r.to) {
			return nil, errors.Join(ErrBadName, err)
		}
		if r.b, err = t.find(ctx, name); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	if len(list) == 0 {
		return nil, ErrNoMailbox
	}
	sort.Slice(list, func(i, j int) bool { return list[i].to < list[j].to })
	return list, nil
}

func (t *tree) renameOne(ctx context.Context, r *renaming) error {
	b := r.b
	if err := t.forgetRow(ctx, r.to); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return ErrNoMailbox
	}
	r.oldNames = place{b.row.Name, b.row.Dir}
	err := t.do(func(root *os.Root) error {
		if _, err := root.Lstat(r.dir); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(ErrExists, err)
		}
		if err := root.Rename(b.row.Dir, r.dir); err != nil {
			return err
		}
		return syncDirs(root, "")
	})
	if err == nil {
		next := b.row
		next.Name, next.Dir = r.to, r.dir
		err = b.commit(ctx, next, func(*schema.Tx) error { return nil })
		if err != nil {
			t.do(func(root *os.Root) error { return root.Rename(r.dir, b.row.Dir) })
		}
	}
	if err != nil {
		return fmt.Errorf("rename mailbox %s of %s: %w", b.row.Name, t.key.user, err)
	}
	delete(t.boxes, r.oldNames.name)
	t.boxes[r.to] = b
	b.changed()
	return nil
}

func (a *Account) renameInbox(ctx context.Context, to string) error {
	if _, err := a.Create(ctx, to, nil); err != nil {
		return err
	}
	v, err := a.Select(ctx, inbox, false)
	if err != nil {
		return err
	}
	defer v.Close()
	_, err = v.Move(ctx, imap.SeqSet{{Start: 1, Stop: 0}}, to)
	return err
}
