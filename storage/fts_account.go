package storage

import (
	"context"
	"errors"
	"fmt"
	"os"

	"mailserver/schema"
)

// TextStatus is what the text index of an account is.
type TextStatus struct {
	Messages int64 // in all mailboxes
	Indexed  int64 // of them; those that were expunged since may be among them
	Docs     int64 // different messages
	Segments int
	Bytes    int64
}

// errNoText says that the Store has no place for text indexes.
var errNoText = errors.New("no text indexes here")

// withText runs fn on the index of the account, which is made if it is not there.
func (a *Account) withText(ctx context.Context, fn func(f *textFile, account int64) error) error {
	x := a.s.fts
	if x.dir == "" {
		return errNoText
	}
	account, err := a.s.d.State.IndexAccount(ctx, a.spec.User)
	if err != nil || account == 0 {
		return err
	}
	f, err := x.use(ctx, account, a.spec.User)
	if err != nil {
		return err
	}
	err = fn(f, account)
	x.end(account, f, err)
	return err
}

// TextStatus tells how far the text index is. It makes none.
func (a *Account) TextStatus(ctx context.Context) (st TextStatus, err error) {
	account, err := a.s.d.State.IndexAccount(ctx, a.spec.User)
	if err != nil || account == 0 || a.s.fts.dir == "" {
		return st, err
	}
	if _, st.Messages, err = a.s.d.State.IndexUsage(ctx, account); err != nil {
		return st, err
	}
	if _, err := os.Stat(a.s.fts.path(account)); errors.Is(err, os.ErrNotExist) {
		return st, nil
	}
	err = a.withText(ctx, func(f *textFile, _ int64) error {
		if st.Bytes, err = f.Size(ctx); err != nil {
			return err
		}
		return f.Read(ctx, func(t *schema.TextTx) error { return st.read(t) })
	})
	return st, err
}

func (st *TextStatus) read(t *schema.TextTx) (err error) {
	if st.Docs, err = t.Docs(); err != nil {
		return err
	}
	list, err := t.Segments()
	if err != nil {
		return err
	}
	st.Segments = len(list)
	boxes, err := t.Mailboxes()
	for _, m := range boxes {
		if err == nil {
			err = t.EachPlace(m.Num, func(p schema.TextPlace) error {
				for i := range list {
					if p.Doc >= list[i].First && p.Doc <= list[i].Last {
						st.Indexed++
						break
					}
				}
				return nil
			})
		}
	}
	return err
}

// IndexText brings all mailboxes into the text index, whether searches use it or
// not, and takes out what is not needed. With anew it begins with an empty one.
func (a *Account) IndexText(ctx context.Context, anew bool) error {
	x := a.s.fts
	if x.dir == "" {
		return errNoText
	}
	if anew {
		if err := a.DropText(ctx); err != nil {
			return err
		}
	}
	cfg, err := a.s.d.Config(ctx)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	list, err := a.List(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if !m.Exists {
			continue
		}
		err := x.indexBeside(ctx, cfg, textJob{a.spec.key(), m.Name})
		if err != nil && !errors.Is(err, ErrNoMailbox) {
			return fmt.Errorf("index %s of %s: %w", m.Name, a.spec.User, err)
		}
	}
	return a.withText(ctx, func(_ *textFile, account int64) error { return x.clean(ctx, account, a.spec.key()) })
}

// indexBeside is index for a command, while the server may index as well: what
// the other has written is there, and the rest follows.
func (x *fulltext) indexBeside(ctx context.Context, cfg *Config, job textJob) (err error) {
	for range 20 {
		if _, err = x.index(ctx, cfg, job, false); !errors.Is(err, errTextOther) {
			return err
		}
	}
	return err
}

// DropText empties the text index; the next search makes it anew, if it is on.
func (a *Account) DropText(ctx context.Context) error {
	return a.withText(ctx, func(f *textFile, _ int64) error {
		if err := f.Write(ctx, func(t *schema.TextTx) error { return t.Clear() }); err != nil {
			return err
		}
		return f.GiveBack(ctx)
	})
}
