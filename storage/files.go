package storage

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"mailserver/schema"
)

// stepFiles is how many rows are read before their files are touched. The index
// is not read with the rights of a mailbox's owner, nor its files with ours.
const stepFiles = 1000

// fileOp is one file that eachFile has found.
type fileOp struct {
	pos   int // of the message
	row   *schema.IndexMessage
	dirs  [2]*dir
	to    *dir // cur/ of the mailbox that eachFile was given
	which int
	file  string
}

// eachFile calls fn for the files of messages at positions, which ascend, as a
// change of its mailbox and of dst. One that is not where the index says is
// looked for; when it is nowhere, lost is called. b.mu is held.
func (b *box) eachFile(ctx context.Context, at []int, dst *box, fn func(*fileOp) error, lost func(pos int) error) error {
	for len(at) > 0 {
		n := min(len(at), stepFiles)
		rows, err := b.rows(ctx, at[:n])
		if err != nil {
			return err
		}
		err = b.withFiles(dst, func(op *fileOp) error {
			for i := range rows {
				op.row, op.pos = &rows[i], b.msgs.find(rows[i].UID)
				op.row.Flags = uint64(b.diskFlags(op.pos))
				if err := b.oneFile(op, fn, lost); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		at = at[n:]
	}
	return nil
}

func (b *box) oneFile(op *fileOp, fn func(*fileOp) error, lost func(pos int) error) error {
	op.which, op.file = fileOf(op.row)
	err := fn(op)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b.astray = true
	found := false
	if op.which, op.file, found = locate(op.dirs, op.row.Name); found {
		err = fn(op)
	}
	if !found || errors.Is(err, fs.ErrNotExist) {
		return lost(op.pos)
	}
	return err
}

// withFiles opens the directories of a mailbox, and of another one, for a
// change.
func (b *box) withFiles(dst *box, fn func(*fileOp) error) error {
	return b.t.do(func(root *os.Root) error {
		op := &fileOp{}
		var list []touched
		for which := range op.dirs {
			d, err := b.open(root, which)
			if err != nil {
				return err
			}
			defer d.close()
			op.dirs[which] = d
			list = append(list, touched{b, which, d})
		}
		op.to = op.dirs[curDir]
		if dst != b {
			d, err := dst.open(root, curDir)
			if err != nil {
				return err
			}
			defer d.close()
			op.to = d
			list = append(list, touched{dst, curDir, d})
		}
		return change(list, func() error { return fn(op) })
	})
}

// locate finds a message's file by its name without flags: another program may
// have changed the rest.
func locate(dirs [2]*dir, base string) (which int, file string, found bool) {
	for w, d := range dirs {
		d.names(func(name string) {
			if b, _ := splitName(name); b == base && !found {
				which, file, found = w, name, true
			}
		})
	}
	return which, file, found
}

// rows reads the index rows of messages at positions, which ascend. b.mu is
// held.
func (b *box) rows(ctx context.Context, at []int) ([]schema.IndexMessage, error) {
	list := make([]schema.IndexMessage, 0, len(at))
	for len(at) > 0 {
		n := 1
		// A gap costs as many rows as it has.
		for n < len(at) && at[n]-at[n-1] <= 16 {
			n++
		}
		i := 0
		first, last := b.msgs.uid[at[0]], b.msgs.uid[at[n-1]]
		err := b.t.s.d.State.EachMessage(ctx, b.num, first, last, func(row *schema.IndexMessage) error {
			for i < n && b.msgs.uid[at[i]] < row.UID {
				i++
			}
			if i < n && b.msgs.uid[at[i]] == row.UID {
				list = append(list, *row)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		at = at[n:]
	}
	return list, nil
}

// toCur moves files of messages from new/ to cur/ and returns those that did not
// go. b.mu is held for writing.
func (b *box) toCur(ctx context.Context, at []int) (stay []int) {
	var inside []int
	for _, pos := range at {
		if b.msgs.flags[pos]&inNew != 0 {
			inside = append(inside, pos)
		}
	}
	if len(inside) == 0 {
		return nil
	}
	done := make(map[int]bool)
	err := b.eachFile(ctx, inside, b, func(op *fileOp) error {
		to := op.file
		if !op.row.HasInfo {
			to = op.row.Name + info(FlagSet(op.row.Flags)&^inNew)
		}
		err := op.dirs[op.which].rename(op.file, op.to, to)
		done[op.pos] = err == nil
		return err
	}, func(int) error { return nil })
	if err != nil {
		b.distrust()
	}
	for _, pos := range inside {
		if !done[pos] {
			stay = append(stay, pos)
		}
	}
	return stay
}
