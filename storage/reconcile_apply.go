package storage

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"mailserver/schema"
)

// again looks once more for files that were not seen: one that is renamed while
// a directory is read may be missed. A file that another message has is not
// theirs.
func (s *scan) again(gone []int) (back []found, stay []int, err error) {
	if len(gone) == 0 {
		return nil, nil, nil
	}
	want := make(map[uint64]int, len(gone))
	for _, pos := range gone {
		want[s.b.msgs.hash[pos]] = pos
	}
	err = s.b.both(func(dirs [2]*dir) error {
		for which, d := range dirs {
			err := d.names(func(file string) {
				base, info := splitName(file)
				h := s.b.t.s.hash(base)
				pos, ok := want[h]
				if !ok || s.names.find(h) != pos {
					return
				}
				delete(want, h)
				f := found{which, file, pos}
				if s.flags(f, info) != s.b.msgs.flags[pos] {
					back = append(back, f)
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, pos := range want {
		stay = append(stay, pos)
	}
	slices.Sort(stay)
	return back, stay, err
}

// refile writes the flags that files have now. Only flags that a session can
// see change MODSEQ. b.mu is held for writing.
func (b *box) refile(ctx context.Context, list []found) error {
	if len(list) == 0 {
		return nil
	}
	next := b.row
	rows := make([]schema.IndexMessage, 0, len(list))
	s := &scan{b: b}
	for _, f := range list {
		_, info := splitName(f.file)
		before, after := b.msgs.flags[f.pos], s.flags(f, info)
		row := schema.IndexMessage{UID: b.msgs.uid[f.pos], ModSeq: b.msgs.modSeq[f.pos], Flags: uint64(after)}
		if after&oddInfo != 0 {
			row.Info, row.HasInfo = info, true
		}
		if (before^after)&^hiddenFlags != 0 {
			next.ModSeq = b.row.ModSeq + 1
			row.ModSeq = next.ModSeq
		}
		tally(&next, int64(b.msgs.size[f.pos]), before, after)
		rows = append(rows, row)
	}
	err := b.commit(ctx, next, func(tx *schema.Tx) error {
		for i := range rows {
			if err := tx.SetFile(b.num, &rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, f := range list {
		b.msgs.flags[f.pos], b.msgs.modSeq[f.pos] = FlagSet(rows[i].Flags), rows[i].ModSeq
		if b.msgs.disk != nil {
			_, info := splitName(f.file)
			b.msgs.disk[f.pos], _ = parseInfo(info, onDisk)
		}
	}
	b.changed()
	return nil
}

// duplicates deals with a name that was seen twice: mostly a file renamed while
// the directories were read. Of two links to one file one is removed; another
// file with the same name gets a name of its own and is new.
func (s *scan) duplicates() (rows []schema.IndexMessage) {
	if len(s.twice) == 0 {
		return nil
	}
	s.doubt = true // what is decided here is looked at again
	s.b.both(func(dirs [2]*dir) error {
		s.dirs = dirs
		for _, f := range s.twice {
			if row, ok := s.duplicate(f); ok {
				rows = append(rows, row)
			}
		}
		return nil
	})
	return rows
}

func (s *scan) duplicate(f found) (row schema.IndexMessage, ok bool) {
	other, known := s.other(f)
	mine, err := s.dirs[f.which].stat(f.file)
	if err != nil || !known {
		return row, false
	}
	if mine.Ino == other.Ino && mine.Dev == other.Dev {
		s.dirs[f.which].remove(f.file)
		return row, false
	}
	_, info := splitName(f.file)
	name := s.b.t.s.name.next() + info
	if s.dirs[f.which].rename(f.file, s.dirs[f.which], name) != nil {
		return row, false
	}
	f.file = name
	return s.row(f)
}

// other finds another file of the same message.
func (s *scan) other(f found) (st unix.Stat_t, ok bool) {
	base, _ := splitName(f.file)
	for which, d := range s.dirs {
		d.names(func(file string) {
			if b, _ := splitName(file); b != base || ok || which == f.which && file == f.file {
				return
			}
			var err error
			st, err = d.stat(file)
			ok = err == nil
		})
	}
	return st, ok
}

// cleanTmp removes what crashed deliveries and expunges left.
func (b *box) cleanTmp() {
	b.t.do(func(root *os.Root) error {
		d, err := openDir(root, filepath.Join(b.dir(), "tmp"))
		if err != nil {
			return err
		}
		defer d.close()
		d.removeOld(b.t.s.d.Now().Add(-staleTmp), discarded)
		return nil
	})
}
