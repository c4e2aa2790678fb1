package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// Append puts several drafts of one mailbox in place, all or none, and returns
// their UIDs in order. The drafts are used up, whatever the outcome.
func (a *Account) Append(ctx context.Context, mailbox string, drafts []*Draft, meta []AppendMeta) (uidValidity uint32, uids []imap.UID, err error) {
	defer func() {
		for _, d := range drafts {
			d.Abort()
		}
	}()
	if len(drafts) == 0 || len(drafts) != len(meta) {
		return 0, nil, errors.New("append: as many drafts as descriptions are needed")
	}
	b := drafts[0].b
	for _, d := range drafts {
		if d.b != b || d.over {
			return 0, nil, errors.New("append: drafts of one mailbox are needed")
		}
	}
	uidValidity, uids, err = b.append(ctx, drafts, meta)
	if err != nil {
		return 0, nil, spaceError(fmt.Errorf("append to %s of %s: %w", b.name(), b.t.key.user, err))
	}
	return uidValidity, uids, nil
}

func (b *box) append(ctx context.Context, drafts []*Draft, meta []AppendMeta) (uint32, []imap.UID, error) {
	var size int64
	for i, d := range drafts {
		if err := d.settle(meta[i].Time); err != nil {
			return 0, nil, err
		}
		size += d.virtual()
	}
	flags, err := b.appendFlags(ctx, meta)
	if err != nil {
		return 0, nil, err
	}
	if err := b.t.reserve(size, int64(len(drafts)), drafts[0].limits); err != nil {
		return 0, nil, err
	}
	res := &joined{}
	now := b.t.s.d.Now()
	to, placed, err := b.put(curDir, drafts, func(i int) arrival {
		date := meta[i].Time
		if date.IsZero() {
			date = now
		}
		return arrival{into: res, row: schema.IndexMessage{Flags: uint64(flags[i]), Date: date.Unix(), Saved: now.Unix(), Email: meta[i].email}}
	})
	if !placed {
		b.t.reserved.Add(-size)
	}
	if to != nil {
		defer to.close()
	}
	if err == nil {
		// Two waits for the disk are one: what the index has without a name that
		// is durable is not told to the client, and a power failure takes it back.
		b.indexNow()
		err = to.sync()
	}
	if errors.Is(err, fs.ErrNotExist) {
		b.t.lost(b)
		err = errors.Join(ErrNoMailbox, err)
	}
	if err != nil {
		return 0, nil, err
	}
	return b.join(res)
}

func (b *box) appendFlags(ctx context.Context, meta []AppendMeta) ([]FlagSet, error) {
	list := make([]FlagSet, len(meta))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range meta {
		set, grown, err := b.bits(ctx, meta[i].Flags)
		if err != nil {
			return nil, err
		}
		if grown {
			b.changed()
		}
		list[i] = set | unclaimed
	}
	return list, nil
}

// join waits until arrivals have their UIDs. It does not give up on the way:
// they are in place, and their sender must learn the outcome.
func (b *box) join(res *joined) (uint32, []imap.UID, error) {
	b.indexNow()
	if err := b.flush(context.Background()); err != nil {
		return 0, nil, err
	}
	if res.err != nil {
		b.t.do(func(root *os.Root) error {
			d, err := b.open(root, res.which)
			if err != nil {
				return err
			}
			defer d.close()
			takeBack(d, res.files)
			return nil
		})
		return 0, nil, res.err
	}
	uids := make([]imap.UID, len(res.uids))
	for i, uid := range res.uids {
		uids[i] = imap.UID(uid)
	}
	return res.validity, uids, nil
}
