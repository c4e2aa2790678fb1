package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/schema"
)

// A reconcile makes the index agree with what other programs did to the tree,
// and with what a crash left behind. Directory times say whether one is due.
// One reading of the directories finds, by the part of file names that never
// changes: files moved from new/ to cur/, changed flags, new files, and files
// that are gone.

// stepRows is how many new rows one transaction writes, so that the other
// writers of the index do not wait for long.
const stepRows = 5000

// staleTmp is how long a file in tmp/ may be unfinished:
// https://cr.yp.to/proto/maildir.html.
const staleTmp = 36 * time.Hour

// scan is one reconcile.
type scan struct {
	b     *box
	dirs  [2]*dir
	names *names
	old   int      // messages before the scan
	seen  []uint64 // bits of positions
	where []found  // of what changed, by position; and of new files
	fresh []found
	twice []found
	doubt bool  // look again next time
	hint  int64 // RFC822.SIZE as a list has it; 0 or less: unknown
}

// found is a file in one of the directories.
type found struct {
	which int
	file  string
	pos   int // of the message; in fresh without meaning
}

// sync does a reconcile if one is due. b.mu is held for writing. ErrNoMailbox:
// the directory is gone.
func (b *box) sync(ctx context.Context) error {
	if b.gone {
		return ErrNoMailbox
	}
	due, now, err := b.due()
	if errors.Is(err, fs.ErrNotExist) {
		return b.missing(ctx)
	}
	if err != nil {
		return fmt.Errorf("look at %s of %s: %w", b.row.Name, b.t.key.user, err)
	}
	if !due[curDir] && !due[newDir] {
		return nil
	}
	return b.reconcile(ctx, due, now)
}

// missing is sync for a mailbox whose directory is gone. An INBOX is made, and
// what was in it is expunged.
func (b *box) missing(ctx context.Context) error {
	if b.row.Dir != "" {
		return ErrNoMailbox
	}
	if err := b.t.makeMaildir(""); err != nil {
		return err
	}
	_, now, err := b.due()
	if err != nil {
		return fmt.Errorf("look at %s of %s: %w", b.row.Name, b.t.key.user, err)
	}
	return b.reconcile(ctx, [2]bool{true, true}, now)
}

// due tells which directories must be read, and their times.
func (b *box) due() (due [2]bool, times [2]int64, err error) {
	err = b.t.do(func(root *os.Root) error {
		for which, sub := range subdirs {
			st, err := root.Lstat(filepath.Join(b.dir(), sub))
			if err != nil {
				return err
			}
			times[which] = st.ModTime().UnixNano()
		}
		return nil
	})
	now := b.t.s.d.Now()
	b.dirs.Lock()
	defer b.dirs.Unlock()
	for which, known := range b.times {
		doubt := !known.sure && now.UnixNano()-known.at > int64(tick) && now.After(b.rescan)
		due[which] = times[which] != known.at || doubt
	}
	return due, times, err
}

// reconcile reads the directories that are due. b.mu is held for writing.
func (b *box) reconcile(ctx context.Context, due [2]bool, times [2]int64) error {
	start := b.t.s.d.Now()
	if err := b.load(ctx); err != nil {
		return err
	}
	if err := b.readKeywordFile(ctx); err != nil {
		return err
	}
	if err := b.drain(ctx); err != nil {
		return err
	}
	if err := b.readHashes(ctx); err != nil {
		return err
	}
	s := &scan{b: b, names: b.msgs.byName(), old: len(b.msgs.uid)}
	s.seen = make([]uint64, s.old/64+1)
	var gone []int
	var rows []schema.IndexMessage
	err := b.both(func(dirs [2]*dir) error {
		s.dirs = dirs
		return s.read(&due, &times)
	})
	if err == nil {
		gone = s.missing(due)
		err = s.late(ctx)
	}
	if err == nil && len(s.fresh) > 0 {
		err = b.both(func(dirs [2]*dir) error {
			s.dirs = dirs
			rows = s.stat()
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", b.row.Name, b.t.key.user, err)
	}
	if err := s.apply(ctx, gone, rows); err != nil {
		return err
	}
	b.settled(due, times, start.UnixNano())
	if s.doubt {
		b.distrust()
	}
	if m := b.msgs; m != nil && len(m.uid) > keepHashes {
		m.hash = nil
	}
	b.unload()
	return nil
}

// settled remembers the times that the directories had before they were read.
func (b *box) settled(due [2]bool, times [2]int64, start int64) {
	b.dirs.Lock()
	defer b.dirs.Unlock()
	for which := range due {
		if due[which] {
			b.times[which] = dirTime{times[which], start-times[which] > int64(tick)}
		}
	}
	// Settling a doubt takes at most a hundredth of the time.
	now := b.t.s.d.Now()
	b.rescan = now.Add(100 * time.Duration(now.UnixNano()-start))
}

// read reads the directories that are due; both, if a file that should be in
// one is not.
func (s *scan) read(due *[2]bool, times *[2]int64) error {
	for which := range s.dirs {
		if due[which] {
			if err := s.readDir(which); err != nil {
				return err
			}
		}
	}
	if due[curDir] && due[newDir] || len(s.missing(*due)) == 0 {
		return nil
	}
	for which := range s.dirs {
		if due[which] {
			continue
		}
		at, err := s.dirs[which].mtime()
		if err != nil {
			return err
		}
		due[which], times[which] = true, at
		if err := s.readDir(which); err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) readDir(which int) error {
	return s.dirs[which].names(func(file string) {
		if strings.HasPrefix(file, ".") {
			return
		}
		s.note(found{which: which, file: file})
	})
}

// note takes one file.
func (s *scan) note(f found) {
	base, info := splitName(f.file)
	pos := s.names.find(s.b.t.s.hash(base))
	if pos < 0 {
		s.fresh = append(s.fresh, f)
		return
	}
	f.pos = pos
	if s.seen[pos/64]&(1<<(pos%64)) != 0 {
		s.twice = append(s.twice, f)
		return
	}
	s.seen[pos/64] |= 1 << (pos % 64)
	if s.flags(f, info) != s.b.msgs.flags[pos] {
		s.where = append(s.where, f)
	}
}

// flags is what a message's flags are when its file is f.
func (s *scan) flags(f found, info string) FlagSet {
	old := s.b.msgs.flags[f.pos]
	keys := s.b.keys.known & onDisk
	parsed, odd := parseInfo(info, keys)
	if old&behind != 0 && !odd && f.which == curDir {
		others := (parsed ^ s.b.diskFlags(f.pos)) & (systemFlags | keys)
		return old&^others | parsed&others
	}
	flags := old&^(systemFlags|keys|inNew|oddInfo|behind) | parsed
	if f.which == newDir {
		flags |= inNew
		odd = info != ""
		if old&inNew == 0 {
			flags |= unclaimed
		}
	} else if old&inNew != 0 {
		flags &^= unclaimed // another program has seen it
	}
	if odd {
		flags |= oddInfo
	}
	return flags
}

// late takes deliveries of ours that were made while the directories were read:
// they are no files of others.
func (s *scan) late(ctx context.Context) error {
	b := s.b
	b.dirs.Lock() // a file is renamed and put under it: all that were seen are put
	before := len(b.msgs.uid)
	b.dirs.Unlock()
	if err := b.drain(ctx); err != nil {
		return err
	}
	if len(b.msgs.uid) == before {
		return nil
	}
	ours := make(map[uint64]bool)
	for _, h := range b.msgs.hash[before:] {
		ours[h] = true
	}
	s.fresh = slices.DeleteFunc(s.fresh, func(f found) bool {
		base, _ := splitName(f.file)
		return ours[b.t.s.hash(base)]
	})
	return nil
}

// missing returns the positions of messages that should be in a directory that
// was read, and were not seen.
func (s *scan) missing(due [2]bool) []int {
	var gone []int
	for pos := range s.old {
		if s.seen[pos/64]&(1<<(pos%64)) != 0 {
			continue
		}
		which := curDir
		if s.b.msgs.flags[pos]&inNew != 0 {
			which = newDir
		}
		if due[which] {
			gone = append(gone, pos)
		}
	}
	return gone
}

// stat makes rows of new files, in the order in which they came.
func (s *scan) stat() []schema.IndexMessage {
	type file struct {
		row  schema.IndexMessage
		usec int64
		sec  int64
	}
	var list []file
	for _, f := range s.fresh {
		row, ok := s.row(f)
		if !ok {
			continue
		}
		sec, usec, ok := nameTime(row.Name)
		if !ok {
			sec, usec = row.Date, 0
		}
		list = append(list, file{row, usec, sec})
	}
	slices.SortStableFunc(list, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.sec, b.sec), cmp.Compare(a.usec, b.usec), cmp.Compare(a.row.Name, b.row.Name))
	})
	rows := make([]schema.IndexMessage, len(list))
	for i := range list {
		rows[i] = list[i].row
	}
	return rows
}

// row describes a new file; false if it is no message, or gone again.
func (s *scan) row(f found) (row schema.IndexMessage, ok bool) {
	d := s.dirs[f.which]
	st, err := d.stat(f.file)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return row, false
	}
	base, info := splitName(f.file)
	size, virtual := nameSizes(base)
	if virtual < 0 && s.hint >= st.Size && s.hint <= 2*st.Size {
		virtual = s.hint
	}
	if virtual < 0 || size >= 0 && size != st.Size {
		if virtual, err = d.virtualSize(f.file); err != nil {
			return row, false
		}
	}
	flags, odd := s.b.flagsOf(f)
	row = schema.IndexMessage{Size: virtual, Date: int64(st.Mtim.Sec), Saved: int64(st.Ctim.Sec), Name: base}
	if odd {
		row.Info, row.HasInfo = info, true
	}
	row.Flags = uint64(flags)
	return row, true
}

// apply writes what the scan found.
func (s *scan) apply(ctx context.Context, gone []int, rows []schema.IndexMessage) error {
	b := s.b
	again, gone, err := s.again(gone)
	if err != nil {
		return fmt.Errorf("read %s of %s: %w", b.row.Name, b.t.key.user, err)
	}
	if err := b.refile(ctx, append(s.where, again...)); err != nil {
		return err
	}
	known, rows, next := b.listedUIDs(append(rows, s.duplicates()...))
	if len(rows) > 0 {
		rows[0].UID = next
	}
	for _, list := range [][]schema.IndexMessage{known, rows} {
		for len(list) > 0 {
			n := min(len(list), stepRows)
			if err := b.add(ctx, list[:n], false); err != nil {
				return err
			}
			list = list[n:]
		}
	}
	if len(gone) == 0 {
		return nil
	}
	return b.expunge(ctx, gone)
}
