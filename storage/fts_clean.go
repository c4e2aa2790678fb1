package storage

import (
	"context"

	"mailserver/internal/textindex"
	"mailserver/schema"
)

// merge makes one segment of many small ones, and of those again.
func (x *fulltext) merge(ctx context.Context, f *textFile) error {
	merged := false
	for {
		var list []textindex.Segment
		err := f.Read(ctx, func(t *schema.TextTx) (err error) {
			list, err = t.Segments()
			list = list[len(list)-textindex.ToMerge(list):]
			return err
		})
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		if err := f.Write(ctx, func(t *schema.TextTx) error { return mergeSegments(t, list, nil) }); err != nil {
			return err
		}
		merged = true
	}
	if !merged {
		return nil
	}
	return f.GiveBack(ctx)
}

func mergeSegments(t *schema.TextTx, list []textindex.Segment, keep func(uint32) bool) error {
	return t.AddSegment(list, func(emit func(*textindex.Block) error) (s textindex.Segment, err error) {
		var grams, words []textindex.Cursor
		for i := range list {
			g, w, err := t.Cursors(&list[i])
			if err != nil {
				return s, err
			}
			defer g.Close()
			defer w.Close()
			grams, words = append(grams, g), append(words, w)
		}
		return textindex.Merge(list, grams, words, keep, emit)
	})
}

// bound drops the oldest segments of an index that is too large.
func (x *fulltext) bound(ctx context.Context, cfg *Config, f *textFile) error {
	for cfg.FTSMaxSize > 0 {
		size, err := f.Size(ctx)
		if err != nil || size <= cfg.FTSMaxSize {
			return err
		}
		dropped := false
		err = f.Write(ctx, func(t *schema.TextTx) error {
			list, err := t.Segments()
			if err != nil || len(list) == 0 {
				return err
			}
			dropped = true
			if err := t.DropDocs(list[0].First, list[0].Last, func(uint32) bool { return true }); err != nil {
				return err
			}
			return t.DropSegment(&list[0])
		})
		if err != nil || !dropped {
			return err
		}
		if err := f.GiveBack(ctx); err != nil {
			return err
		}
	}
	return nil
}

// clean takes out of an index what is not needed any more, once it is enough:
// messages that were expunged, and documents that are in no mailbox.
func (x *fulltext) clean(ctx context.Context, account int64, key treeKey) error {
	f, err := x.use(ctx, account, key.user)
	if err != nil {
		return err
	}
	c := &textClean{x: x, account: account, file: f}
	err = c.run(ctx)
	x.end(account, f, err)
	return err
}

type textClean struct {
	x       *fulltext
	account int64
	file    *textFile
}

// worth says whether some of all are so many that a walk through all pays.
func worth(some, all int64) bool { return some > all/10+20 }

func (c *textClean) run(ctx context.Context) error {
	var boxes []schema.TextMailbox
	err := c.file.Read(ctx, func(t *schema.TextTx) (err error) {
		boxes, err = t.Mailboxes()
		return err
	})
	if err != nil {
		return err
	}
	changed := false
	for i := range boxes {
		did, err := c.mailbox(ctx, &boxes[i])
		if err != nil {
			return err
		}
		changed = changed || did
	}
	if !changed {
		return nil
	}
	return c.documents(ctx)
}

// mailbox takes expunged messages out of a mailbox.
func (c *textClean) mailbox(ctx context.Context, m *schema.TextMailbox) (changed bool, err error) {
	state := c.x.s.d.State
	row, found, err := state.IndexMailbox(ctx, m.Num)
	if err != nil {
		return false, err
	}
	if !found || row.Account != c.account || row.Validity != m.Validity {
		return true, c.file.Write(ctx, func(t *schema.TextTx) error { return t.DropMailbox(m.Num) })
	}
	if !worth(m.Count-int64(row.Messages), m.Count) {
		return false, nil
	}
	var live []uint32
	err = state.LoadMessages(ctx, m.Num, 0, m.Next-1, func(msg *schema.IndexMessage) error {
		live = append(live, msg.UID)
		return nil
	})
	if err != nil {
		return false, err
	}
	return true, c.file.Write(ctx, func(t *schema.TextTx) error {
		var keep []schema.TextPlace
		err := t.EachPlace(m.Num, func(p schema.TextPlace) error {
			for len(live) > 0 && live[0] < p.UID {
				live = live[1:]
			}
			if len(live) > 0 && live[0] == p.UID {
				keep = append(keep, p)
			}
			return nil
		})
		if err != nil {
			return err
		}
		m.Count = int64(len(keep))
		if err := t.KeepPlaces(m.Num, keep); err != nil {
			return err
		}
		return t.SetMailbox(m)
	})
}

// documents takes those out that are in no mailbox, segment by segment.
func (c *textClean) documents(ctx context.Context) error {
	var used textindex.Bits
	var list []textindex.Segment
	err := c.file.Read(ctx, func(t *schema.TextTx) error {
		next, err := t.NextDoc()
		if err != nil {
			return err
		}
		used = textindex.NewBits(next)
		boxes, err := t.Mailboxes()
		if err != nil {
			return err
		}
		for _, m := range boxes {
			err := t.EachPlace(m.Num, func(p schema.TextPlace) error {
				if p.Doc >= next {
					return textindex.ErrDamaged
				}
				used.Add(p.Doc)
				return nil
			})
			if err != nil {
				return err
			}
		}
		list, err = t.Segments()
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range list {
		live := int64(0)
		for doc := s.First; doc <= s.Last; doc++ {
			if used.Has(doc) {
				live++
			}
		}
		if gone := int64(s.Docs) - live; gone == 0 || live > 0 && !worth(gone, int64(s.Docs)) {
			continue
		}
		err := c.file.Write(ctx, func(t *schema.TextTx) error {
			if err := t.DropDocs(s.First, s.Last, func(doc uint32) bool { return !used.Has(doc) }); err != nil {
				return err
			}
			return mergeSegments(t, []textindex.Segment{s}, used.Has)
		})
		if err != nil {
			return err
		}
	}
	return c.file.GiveBack(ctx)
}
