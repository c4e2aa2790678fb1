package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"mailserver/schema"
)

// Repair reads the whole tree of an account again and makes the index agree:
// counters counted anew, rows of lost files dropped, files without a row given
// UIDs. Sessions may be open.
func (s *Store) Repair(ctx context.Context, spec Spec) error {
	t, err := s.tree(spec)
	if err != nil {
		return err
	}
	defer t.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	dirs, err := t.directories()
	if err != nil {
		return fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	for name := range dirs {
		b, err := t.find(ctx, name)
		if err != nil {
			return err
		}
		if err := b.repair(ctx); err != nil {
			return fmt.Errorf("repair %s of %s: %w", name, t.key.user, err)
		}
	}
	if err := t.dropLost(ctx, dirs); err != nil {
		return err
	}
	t.counted = false
	return t.count(ctx)
}

// dropLost drops rows of mailboxes that have no directory. t.mu is held.
func (t *tree) dropLost(ctx context.Context, dirs map[string]string) error {
	num, err := t.number(ctx)
	if err != nil {
		return err
	}
	rows, err := t.s.d.State.IndexMailboxes(ctx, num)
	if err != nil {
		return fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	for _, row := range rows {
		if _, ok := dirs[row.Name]; ok {
			continue
		}
		if b := t.boxes[row.Name]; b != nil {
			delete(t.boxes, row.Name)
			b.drop()
		}
		if err := t.dropRow(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

func (b *box) repair(ctx context.Context) error {
	if err := b.flush(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.unload()
	b.distrust()
	err := b.sync(ctx)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNoMailbox) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.recount(ctx)
}

// recount counts rows and measures files whose size is in doubt. b.mu is held
// for writing.
func (b *box) recount(ctx context.Context) error {
	if err := b.load(ctx); err != nil {
		return err
	}
	all := make([]int, len(b.msgs.uid))
	for i := range all {
		all[i] = i
	}
	sizes := make(map[int]int64)
	err := b.eachFile(ctx, all, b, func(op *fileOp) error {
		st, err := op.dirs[op.which].stat(op.file)
		if err != nil {
			return err
		}
		size, virtual := nameSizes(op.row.Name)
		if size != st.Size || virtual < 0 {
			if virtual, err = op.dirs[op.which].virtualSize(op.file); err != nil {
				return err
			}
		}
		if virtual != op.row.Size {
			sizes[op.pos] = virtual
		}
		return nil
	}, func(int) error { return nil })
	if err != nil {
		return err
	}
	next := b.row
	next.Messages, next.Unseen, next.Deleted, next.Recent, next.Size, next.DelSize = 0, 0, 0, 0, 0, 0
	for pos, flags := range b.msgs.flags {
		size, ok := sizes[pos]
		if !ok {
			size = int64(b.msgs.size[pos])
		}
		tallyAdd(&next, size, flags)
		next.UIDNext = max(next.UIDNext, b.msgs.uid[pos]+1)
		next.ModSeq = max(next.ModSeq, b.msgs.modSeq[pos])
	}
	err = b.commit(ctx, next, func(tx *schema.Tx) error {
		for pos, size := range sizes {
			if err := tx.SetSize(b.num, b.msgs.uid[pos], size); err != nil {
				return err
			}
		}
		return nil
	})
	for pos, size := range sizes {
		if err == nil {
			b.msgs.size[pos] = clamp32(size)
		}
	}
	return err
}

// Forget drops the index of an account whose tree is gone, or is to be taken
// over anew. Sessions that are open find their mailboxes gone.
func (s *Store) Forget(ctx context.Context, user string) error {
	err := s.d.State.Write(ctx, func(tx *schema.Tx) error { return tx.ForgetAccount(user) })
	if err != nil {
		return fmt.Errorf("forget %s: %w", user, err)
	}
	s.mu.Lock()
	var gone []*tree
	for key, t := range s.trees {
		if key.user == user {
			delete(s.trees, key)
			gone = append(gone, t)
		}
	}
	s.mu.Unlock()
	for _, t := range gone {
		t.mu.Lock()
		for _, b := range t.boxes {
			b.drop()
		}
		t.mu.Unlock()
	}
	s.background(s.purge)
	account, err := s.d.State.IndexAccount(ctx, user)
	if err == nil {
		err = s.fts.forget(account)
	}
	return err
}
