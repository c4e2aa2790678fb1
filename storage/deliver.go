package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/schema"
)

// Deliver puts the message in place, durably, as new mail: fsync, rename, fsync
// of the directory. It does not wait for the index. On an error nothing is
// left, unless the disk fails at the very end; ErrOverQuota, ErrNoSpace,
// ErrNoMailbox.
func (d *Draft) Deliver(ctx context.Context) error {
	to, err := d.enter()
	return d.stay(to, err)
}

// enter renames the message into new/, which it returns, to be synced. Without
// a directory it is not there.
func (d *Draft) enter() (to *dir, err error) {
	if d.over {
		return nil, errors.New("message is delivered already")
	}
	if err := d.settle(time.Time{}); err != nil {
		return nil, err
	}
	if err := d.t.reserve(d.virtual(), 1, d.limits); err != nil {
		return nil, err
	}
	to, placed, err := d.b.put(newDir, []*Draft{d}, d.newMail)
	if errors.Is(err, fs.ErrNotExist) && d.b.dir() == "" {
		if err = d.t.makeMaildir(""); err == nil {
			to, placed, err = d.b.put(newDir, []*Draft{d}, d.newMail)
		}
	}
	if placed {
		return to, err
	}
	d.t.reserved.Add(-d.virtual())
	if errors.Is(err, fs.ErrNotExist) {
		d.t.lost(d.b)
		err = errors.Join(ErrNoMailbox, err)
	}
	return nil, d.failed(err)
}

// stay makes durable what enter has done, tells the index, and ends the draft.
func (d *Draft) stay(to *dir, err error) error {
	defer d.Abort()
	if to == nil {
		return err
	}
	defer to.close()
	if err == nil && !d.named {
		err = to.sync()
	}
	d.b.index()
	return d.failed(err)
}

func (d *Draft) failed(err error) error {
	if err == nil {
		return nil
	}
	return spaceError(fmt.Errorf("deliver to %s of %s: %w", d.b.name(), d.t.key.user, err))
}

func (d *Draft) newMail(int) arrival {
	now := d.t.s.d.Now().Unix()
	return arrival{row: schema.IndexMessage{Flags: uint64(inNew | unclaimed), Date: now, Saved: now}}
}

// put renames drafts into a directory, all or none, and tells the index, as
// one step for whoever reads the directory: files that are seen there are
// known. describe makes the row of each, but for name and size. placed says
// that they are there; to is the directory, if it could be opened.
func (b *box) put(which int, drafts []*Draft, describe func(int) arrival) (to *dir, placed bool, err error) {
	list := make([]arrival, len(drafts))
	files := make([]string, len(drafts))
	for i, d := range drafts {
		list[i] = describe(i)
		list[i].row.Name = withSizes(d.name, d.size, d.virtual())
		list[i].row.Size = d.virtual()
		_, files[i] = fileOf(&list[i].row)
	}
	err = b.t.in(func(home *dir) error {
		if to, err = home.sub(filepath.Join(b.dir(), subdirs[which])); err != nil {
			return err
		}
		return change([]touched{{b, which, to}}, func() error {
			for i, d := range drafts {
				if err := d.place(to, files[i]); err != nil {
					takeBack(to, files[:i])
					return err
				}
			}
			if into := list[0].into; into != nil {
				into.which, into.files = which, files
			}
			b.in.put(list...)
			b.t.coming.Add(int64(len(list)))
			placed = true
			return nil
		})
	})
	if placed {
		for _, d := range drafts {
			d.over = true
		}
	}
	if !placed && to != nil {
		to.close()
		to = nil
	}
	return to, placed, err
}

// takeBack removes files that were put in place before one could not be.
func takeBack(d *dir, files []string) {
	for _, file := range files {
		d.remove(file)
	}
}

// place gives the message its name in to.
func (d *Draft) place(to *dir, file string) error {
	switch {
	case d.from == nil:
		return d.tmp.rename(d.name, to, file)
	case d.from.over:
		return ErrNoLink
	}
	return linkError(d.from.tmp.link(d.from.name, to, file))
}

// Link makes a draft of the same bytes in another mailbox of the same owner
// and file system, without writing them again; nothing may be written after.
// It is delivered before d is, which must not have ended; until then nothing of
// it is on disk. ErrNoLink, also of the delivery, says that a copy is needed.
func (d *Draft) Link(ctx context.Context, to *Account, mailbox string) (*Draft, error) {
	if d.over {
		return nil, ErrNoLink
	}
	if err := d.settle(time.Time{}); err != nil {
		return nil, err
	}
	n, err := to.newDraft(ctx, mailbox)
	if err != nil {
		return nil, err
	}
	if n.t.owner != d.t.owner || n.crlf != d.crlf {
		n.t.release()
		return nil, ErrNoLink
	}
	n.from, n.in, n.size, n.bare, n.synced = d, d.in, d.size, d.bare, true
	return n, nil
}

// linkError tells what a copy can mend from what it cannot.
func linkError(err error) error {
	for _, e := range []error{unix.EXDEV, unix.EPERM, unix.EMLINK, unix.EOPNOTSUPP, unix.ENOSYS} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrNoLink, err)
		}
	}
	return spaceError(err)
}
