package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"
)

// copyBatch is how many messages go to another account at once: each is an open
// file until all are there.
const copyBatch = 50

// CopyTo is Copy to a mailbox of an account, without the flags of drop. To
// another account the bytes are written again.
func (v *View) CopyTo(ctx context.Context, set imap.NumSet, to *Account, name string, drop FlagSet) (Copied, error) {
	if v.isOf(to) {
		x := &transfer{v: v, set: set, drop: drop &^ hiddenFlags}
		return x.run(ctx, name)
	}
	c := &crossing{v: v, to: to, name: name, drop: drop}
	return c.run(ctx, set)
}

// MoveTo is Move likewise. To another account each message is written there
// before it is removed here: a crash between leaves it in both.
func (v *View) MoveTo(ctx context.Context, set imap.NumSet, to *Account, name string, drop FlagSet) (Copied, error) {
	switch {
	case v.readOnly:
		return Copied{}, ErrReadOnly
	case v.isOf(to):
		x := &transfer{v: v, set: set, move: true, drop: drop &^ hiddenFlags}
		return x.run(ctx, name)
	}
	c := &crossing{v: v, to: to, name: name, drop: drop, move: true}
	return c.run(ctx, set)
}

// isOf says whether the view is one of an account's.
func (v *View) isOf(a *Account) bool { return v.b.t.key == a.spec.key() }

// crossing is a COPY or MOVE from one account to another.
type crossing struct {
	v    *View
	to   *Account
	name string
	drop FlagSet
	move bool

	drafts []*Draft
	meta   []AppendMeta
	uids   []imap.UID // of drafts
	done   Copied
	put    []imap.UID // in to, for an undo
}

func (c *crossing) run(ctx context.Context, set imap.NumSet) (Copied, error) {
	defer c.abort()
	err := c.all(ctx, set)
	if err != nil {
		if !c.move {
			err = errors.Join(err, c.undo(ctx))
		}
		return Copied{}, spaceError(fmt.Errorf("from %s to %s of %s: %w", c.v.Name(), c.name, c.to.spec.User, err))
	}
	return c.done, nil
}

func (c *crossing) abort() {
	for _, d := range c.drafts {
		d.Abort()
	}
	c.drafts, c.meta, c.uids = nil, nil, nil
}

// all goes through the messages of the set as they were at the beginning.
func (c *crossing) all(ctx context.Context, set imap.NumSet) error {
	v := c.v
	for _, s := range v.spans(set) {
		for i := s.from; i < s.to; i++ {
			if err := c.one(ctx, imap.UID(v.uids[i])); err != nil {
				return err
			}
			if len(c.drafts) == copyBatch {
				if err := c.flush(ctx); err != nil {
					return err
				}
			}
		}
	}
	return c.flush(ctx)
}

// one writes a message into a draft.
func (c *crossing) one(ctx context.Context, uid imap.UID) error {
	m, ok := c.v.Msg(c.v.Seq(uid))
	var body *Body
	err := ErrExpunged
	if ok {
		body, err = c.v.Open(ctx, uid)
	}
	if errors.Is(err, ErrExpunged) && c.move {
		return nil
	}
	if err != nil {
		return err
	}
	defer body.Close()
	email, err := c.v.email(ctx, uid)
	if err != nil {
		return err
	}
	d, err := c.to.NewDraft(ctx, c.name, m.Size)
	if err != nil {
		return err
	}
	c.drafts = append(c.drafts, d)
	c.uids = append(c.uids, uid)
	c.meta = append(c.meta, AppendMeta{Flags: c.v.flagNames(m.Flags &^ c.drop), Time: time.Unix(m.Time, 0), email: email})
	_, err = io.Copy(d, body)
	return err
}

// flagNames are the flags of a set by name.
func (v *View) flagNames(set FlagSet) (list []imap.Flag) {
	for _, f := range v.Flags() {
		if bit, ok := v.Keyword(f); ok && set&bit != 0 {
			list = append(list, f)
		}
	}
	return list
}

// email is the number of the EMAILID of a message.
func (v *View) email(ctx context.Context, uid imap.UID) (int64, error) {
	row, err := v.row(ctx, uint32(uid))
	if err != nil {
		return 0, err
	}
	if row.Email != 0 {
		return row.Email, nil
	}
	return emailID(row.Name), nil
}

// flush puts the drafts in place, and takes moved messages away.
func (c *crossing) flush(ctx context.Context) error {
	if len(c.drafts) == 0 {
		return nil
	}
	validity, uids, err := c.to.Append(ctx, c.name, c.drafts, c.meta)
	if errors.Is(err, ErrKeywords) {
		err = fmt.Errorf("keywords of the messages: %w", err)
	}
	if err != nil {
		return err
	}
	c.put = append(c.put, uids...)
	c.done.UIDValidity = validity
	for i, uid := range uids {
		addUID(&c.done.Source, c.uids[i])
		addUID(&c.done.Dest, uid)
	}
	gone := c.uids
	c.drafts, c.meta, c.uids = nil, nil, nil
	if !c.move {
		return nil
	}
	return c.v.Remove(ctx, gone)
}

// undo removes what was copied before one could not be.
func (c *crossing) undo(ctx context.Context) error {
	if len(c.put) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	dst, err := c.to.Select(ctx, c.name, true)
	if err != nil {
		return err
	}
	defer dst.Close()
	return dst.Remove(ctx, c.put)
}
