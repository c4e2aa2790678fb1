package storage

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/sys/unix"

	"mailserver/schema"
)

// The first SELECT of a large mailbox that others have filled is answered when
// the directories are read: that tells how many messages there are, which are
// seen, and their order. Their sizes, dates and rows follow, by a goroutine that
// holds box.mu for writing until all are there, so that whoever wants to know
// more of the mailbox than SELECT tells waits for it. No client learns a UID
// before its row is durable. After a crash before that the mailbox is scanned
// again, as if it had been opened for the first time.

// firstScanFrom is from how many messages on that is done.
const firstScanFrom = 512

// firstScan is one such scan.
type firstScan struct {
	b     *box
	names string // of the files, one after the other
	files []firstFile
	next  schema.IndexMailbox // the row when all are there, but for sizes
	due   [2]bool
	times [2]int64
	start int64
	gone  []int // positions of files that are none, or that are gone again
}

// firstFile is a file of a scan: where its name lies, and what puts it in order.
type firstFile struct {
	time uint64 // of its name, in µs
	from uint32 // in names
	size uint16
	base uint8 // what follows in the name is flags
	new  bool
}

// maxNames bounds the names of one scan; maxTime the seconds in one.
const (
	maxNames = 1<<32 - 1<<16
	maxTime  = 1 << 40
)

// firstScan reads the directories of a mailbox that has never had a message; nil
// when another way of opening it is due, as where another server has left a list
// of UIDs to be kept to. b.mu is held for writing.
func (b *box) firstScan(ctx context.Context) (*firstScan, error) {
	if b.gone || b.row.UIDNext != 1 || b.row.Messages != 0 || b.taking || !b.listIsOurs() && b.hasList() {
		return nil, nil
	}
	s := &firstScan{b: b, start: b.t.s.d.Now().UnixNano()}
	var err error
	if _, s.times, err = b.due(); err != nil {
		return nil, nil // sync knows what to do
	}
	s.due = [2]bool{true, true}
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	if err := b.readKeywordFile(ctx); err != nil {
		return nil, err
	}
	if !s.read() || len(s.files) < firstScanFrom || b.delivered() {
		return nil, nil
	}
	s.sort()
	s.show()
	return s, nil
}

// read takes the names of all files; false if the scan must be done in the other
// way.
func (s *firstScan) read() bool {
	var all strings.Builder
	fits := true
	err := s.b.both(func(dirs [2]*dir) error {
		for which, d := range dirs {
			err := d.entries(func(name []byte, kind byte) {
				if name[0] == '.' {
					return
				}
				fits = fits && kind != unix.DT_UNKNOWN
				if !fits || kind != unix.DT_REG {
					return
				}
				s.files = append(s.files, firstFile{from: uint32(all.Len()), size: uint16(len(name)), new: which == newDir})
				all.Write(name)
				fits = all.Len() <= maxNames
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || !fits {
		return false
	}
	s.names = all.String()
	for i := range s.files {
		if !s.files[i].note(s.names) {
			return false
		}
	}
	return true
}

// delivered reports whether a file of ours may be among those that were read. b.mu is
// held for writing.
func (b *box) delivered() bool {
	b.dirs.Lock() // a file is renamed and put under it
	defer b.dirs.Unlock()
	return b.in.waiting()
}

// note reads the name of a file; false if the scan must be done in the other way.
func (f *firstFile) note(names string) bool {
	base, _ := splitName(names[f.from : f.from+uint32(f.size)])
	sec, usec, ok := nameTime(base)
	if !ok || len(base) > 255 || sec >= maxTime {
		return false
	}
	f.time, f.base = uint64(sec)*1e6+uint64(usec), uint8(len(base))
	return true
}

func (s *firstScan) sort() {
	base := func(f firstFile) string { return s.names[f.from : f.from+uint32(f.base)] }
	slices.SortFunc(s.files, func(a, b firstFile) int {
		if a.time != b.time {
			return cmp.Compare(a.time, b.time)
		}
		return cmp.Compare(base(a), base(b))
	})
}

func (s *firstScan) found(f firstFile) found {
	which := curDir
	if f.new {
		which = newDir
	}
	return found{which: which, file: s.names[f.from : f.from+uint32(f.size)]}
}

// show fills b.msgs with what is known, and next with what that makes of the row.
func (s *firstScan) show() {
	b, m := s.b, newMessages(len(s.files))
	s.next = b.row
	s.next.ModSeq++
	for _, f := range s.files {
		flags, _ := b.flagsOf(s.found(f))
		m.add(&schema.IndexMessage{UID: s.next.UIDNext, ModSeq: s.next.ModSeq, Flags: uint64(flags)})
		s.next.UIDNext++
		tallyAdd(&s.next, 0, flags)
	}
	b.msgs = m
}

// flagsOf is what the name of a new file tells; odd as parseInfo has it.
func (b *box) flagsOf(f found) (flags FlagSet, odd bool) {
	_, info := splitName(f.file)
	flags, odd = parseInfo(info, b.keys.known&onDisk)
	if f.which == newDir {
		flags |= inNew | unclaimed
		odd = info != ""
	}
	if odd {
		flags |= oddInfo
	}
	return flags, odd
}

// run writes the rows, and gives b.mu back. v is the view that waits for its
// messages to be claimed, nil if none does.
func (s *firstScan) run(v *View) {
	b := s.b
	err := s.fill()
	if err == nil && v != nil {
		err = v.claim(context.Background())
	}
	if err != nil {
		if err != errClosing {
			b.t.s.d.Log.Error("cannot write mailbox index; the mailbox is read anew when it is opened again", "user", b.t.key.user,
				"mailbox", b.name(), slog.Any("err", err))
		}
		b.distrust()
		b.gone = true
		b.changed()
	}
	b.mu.Unlock()
	if err != nil {
		b.t.forget(b)
	}
	b.t.release()
}

// forget makes the next who asks for a mailbox read it from the index again.
func (t *tree) forget(b *box) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.boxes[b.name()] == b {
		delete(t.boxes, b.name())
	}
}

// fill writes the rows in steps; while one is written the files of the next are
// looked at.
func (s *firstScan) fill() error {
	b := s.b
	steps := make(chan *firstStep, 1)
	stop := make(chan struct{})
	go s.look(steps, stop) // ends before steps is closed
	defer func() {
		close(stop)
		for range steps {
		}
	}()
	for step := range steps {
		if step.err != nil {
			return step.err
		}
		if step.last {
			b.settled(s.due, s.times, s.start)
		}
		if err := s.write(step); err != nil {
			return err
		}
	}
	if len(s.gone) > 0 {
		b.msgs.remove(s.gone)
		b.cuts++
		b.changed()
	}
	b.t.s.fts.note(b, false)
	return nil
}

// firstStep are the rows of some files in a row.
type firstStep struct {
	from int // position of the first
	rows []schema.IndexMessage
	ok   []bool // the others are no messages
	last bool
	err  error
}

var errClosing = errors.New("the server ends")

// look makes the rows of all files.
func (s *firstScan) look(steps chan<- *firstStep, stop <-chan struct{}) {
	defer close(steps)
	for from := 0; from < len(s.files); from += stepRows {
		step := s.rows(from, min(from+stepRows, len(s.files)))
		select {
		case <-stop:
			return
		case <-s.b.t.s.stop:
			steps <- &firstStep{err: errClosing}
			return
		case steps <- step:
		}
	}
}

func (s *firstScan) rows(from, to int) *firstStep {
	step := &firstStep{from: from, rows: make([]schema.IndexMessage, to-from), ok: make([]bool, to-from), last: to == len(s.files)}
	step.err = s.b.both(func(dirs [2]*dir) error {
		look := &scan{b: s.b, dirs: dirs}
		for i, f := range s.files[from:to] {
			step.rows[i], step.ok[i] = look.row(s.found(f))
		}
		return nil
	})
	return step
}

// write makes rows durable and shows their sizes.
func (s *firstScan) write(step *firstStep) error {
	b := s.b
	next := b.row
	next.ModSeq = s.next.ModSeq
	rows := step.rows[:0]
	for i := range step.rows {
		pos := step.from + i
		next.UIDNext = b.msgs.uid[pos] + 1
		if !step.ok[i] {
			s.gone = append(s.gone, pos)
			continue
		}
		row := step.rows[i]
		row.UID, row.ModSeq = b.msgs.uid[pos], next.ModSeq
		b.msgs.flags[pos], b.msgs.size[pos], b.msgs.date[pos] = FlagSet(row.Flags), clamp32(row.Size), clamp32(row.Date)
		tallyAdd(&next, row.Size, FlagSet(row.Flags))
		rows = append(rows, row)
	}
	err := b.commit(context.Background(), next, func(tx *schema.Tx) error { return tx.AddMessages(b.num, rows) })
	if err == nil && len(rows) > 0 {
		b.record(context.Background(), rows)
	}
	return err
}

// opening is what SELECT tells while firstScan.run goes on.
type opening struct {
	done      chan struct{} // closed when box.mu can be had again
	row       schema.IndexMailbox
	unseen    uint32 // sequence number of the first
	flags     []imap.Flag
	permanent []imap.Flag
}

// openEarly hands b.mu over to a goroutine that fills the mailbox. b.mu is held
// for writing, and given away.
func (v *View) openEarly(s *firstScan) {
	b := v.b
	o := &opening{done: make(chan struct{}), row: s.next, flags: b.keys.list(), permanent: v.permanent()}
	if i := slices.IndexFunc(b.msgs.flags, func(f FlagSet) bool { return f&Seen == 0 }); i >= 0 {
		o.unseen = uint32(i + 1)
	}
	v.validity = b.row.Validity
	v.uids, v.cuts, v.keys = b.msgs.uid, b.cuts, b.keys.known
	v.modSeq, v.told = s.next.ModSeq, s.next.ModSeq
	v.changes = b.changes
	v.opening = o
	claims := v
	if v.readOnly {
		claims = nil
	}
	b.t.hold()
	run := func() {
		defer close(o.done)
		s.run(claims)
	}
	if !b.t.s.background(run) {
		run()
	}
}

// early is what is known of a mailbox that is being filled; nil if it is not.
func (v *View) early() *opening {
	if v.opening == nil {
		return nil
	}
	select {
	case <-v.opening.done:
		v.opening = nil
	default:
	}
	return v.opening
}
