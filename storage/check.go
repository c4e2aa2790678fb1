package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"mailserver/schema"
)

// Difference is one way in which index and tree disagree.
type Difference struct {
	Mailbox string // "" for the account as a whole
	UID     uint32 // 0 if it is not about one message
	File    string // in the mailbox, "" if none
	What    string // a sentence
}

func (d Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "mailbox %q", d.Mailbox)
	if d.UID != 0 {
		fmt.Fprintf(&b, " UID %d", d.UID)
	}
	if d.File != "" {
		fmt.Fprintf(&b, " file %s", d.File)
	}
	return b.String() + ": " + d.What
}

// checkTries is how often a mailbox is looked at before a difference counts:
// another process may be in the middle of a change.
const checkTries = 3

// Check compares the index of an account with its tree and names every
// difference. It changes nothing; mail that arrives meanwhile is no
// difference.
func (s *Store) Check(ctx context.Context, spec Spec) ([]Difference, error) {
	t, err := s.tree(spec)
	if err != nil {
		return nil, err
	}
	defer t.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	num, err := t.number(ctx)
	if err != nil {
		return nil, err
	}
	dirs, err := t.directories()
	if err != nil {
		return nil, fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	rows, err := s.d.State.IndexMailboxes(ctx, num)
	if err != nil {
		return nil, fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	var all []Difference
	for _, row := range rows {
		delete(dirs, row.Name)
		found, err := t.check(ctx, row)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	for name, dir := range dirs {
		if _, err := t.inode(dir); err == nil {
			all = append(all, Difference{Mailbox: name, What: "the index has no such mailbox"})
		}
	}
	return append(all, t.checkAccount(ctx, num)...), nil
}

func (t *tree) checkAccount(ctx context.Context, num int64) (all []Difference) {
	if d := t.checkUsage(ctx, num); d != nil {
		all = append(all, *d)
	}
	if n, err := t.s.d.State.StrayRows(ctx); err == nil && n > 0 {
		all = append(all, Difference{What: fmt.Sprintf("%d rows of the index belong to no mailbox or message", n)})
	}
	return all
}

// checkUsage compares what quotas count with the index, without what came
// meanwhile, by this process or another. t.mu is held.
func (t *tree) checkUsage(ctx context.Context, num int64) (d *Difference) {
	for range checkTries {
		bytes, messages, err := t.s.d.State.IndexUsage(ctx, num)
		if err != nil || !t.counted || t.reserved.Load() != 0 || bytes == t.bytes.Load() && messages == t.messages.Load() {
			return nil
		}
		d = &Difference{What: fmt.Sprintf("quota counts %d bytes in %d messages, the index has %d in %d",
			t.bytes.Load(), t.messages.Load(), bytes, messages)}
		for _, b := range t.boxes {
			b.catchRow(ctx)
		}
	}
	return d
}

// catchRow reads the mailbox again if another process has written it. One that
// has gone is found by whoever uses it next.
func (b *box) catchRow(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if row, found, err := b.t.s.d.State.IndexMailbox(ctx, b.num); err == nil && found && row.Gen != b.row.Gen {
		b.reload(ctx)
	}
}

func (t *tree) check(ctx context.Context, row schema.IndexMailbox) (all []Difference, err error) {
	b := t.boxes[row.Name]
	if b == nil || b.num != row.Num {
		b = newBox(t, row)
	}
	for range checkTries {
		all, err = b.check(ctx)
		if err != nil || len(all) == 0 {
			return all, err
		}
	}
	return all, nil
}

// check compares one mailbox. Nothing of ours changes it meanwhile but
// deliveries.
func (b *box) check(ctx context.Context) ([]Difference, error) {
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	row, found, err := b.t.s.d.State.IndexMailbox(ctx, b.num)
	if err != nil || !found {
		return nil, err
	}
	c := &check{b: b, row: row, byName: make(map[string]int)}
	if err := c.readIndex(ctx); err != nil {
		return nil, fmt.Errorf("check %s of %s: %w", row.Name, b.t.key.user, err)
	}
	if err := c.readTree(); err != nil {
		return nil, fmt.Errorf("check %s of %s: %w", row.Name, b.t.key.user, err)
	}
	c.counters()
	c.memory()
	return c.all, c.history(ctx)
}

// check is one look at a mailbox.
type check struct {
	b      *box
	row    schema.IndexMailbox
	rows   []schema.IndexMessage
	byName map[string]int // position in rows
	seen   []bool
	known  FlagSet // keywords with names
	all    []Difference
}

func (c *check) say(uid uint32, file, format string, args ...any) {
	c.all = append(c.all, Difference{c.row.Name, uid, file, fmt.Sprintf(format, args...)})
}

func (c *check) readIndex(ctx context.Context) error {
	names, err := c.b.t.s.d.State.Keywords(ctx, c.b.num)
	if err != nil {
		return err
	}
	for num := range names {
		c.known |= keywordBit(num)
	}
	return c.b.t.s.d.State.EachMessage(ctx, c.b.num, 0, 1<<32-1, func(row *schema.IndexMessage) error {
		if _, twice := c.byName[row.Name]; twice {
			c.say(row.UID, row.Name, "two messages have this name")
		}
		c.byName[row.Name] = len(c.rows)
		c.rows = append(c.rows, *row)
		c.seen = append(c.seen, false)
		return nil
	})
}

func (c *check) readTree() error {
	err := c.b.t.do(func(root *os.Root) error {
		for which := range subdirs {
			d, err := openDir(root, strings.TrimPrefix(c.row.Dir+"/", "/")+subdirs[which])
			if err != nil {
				return err
			}
			err = d.names(func(file string) { c.file(d, which, file) })
			d.close()
			if err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) && c.row.Name == inbox && len(c.rows) == 0 {
		return nil // nothing was delivered yet
	}
	if errors.Is(err, fs.ErrNotExist) {
		c.say(0, "", "the directory %s is missing", c.row.Dir)
		return nil
	}
	for i, seen := range c.seen {
		if !seen {
			c.say(c.rows[i].UID, c.rows[i].Name, "the file is missing")
		}
	}
	return err
}

func (c *check) file(d *dir, which int, file string) {
	if strings.HasPrefix(file, ".") {
		return
	}
	base, info := splitName(file)
	i, ok := c.byName[base]
	if !ok {
		if !c.arriving(base) {
			c.say(0, subdirs[which]+"/"+file, "the index has no such message")
		}
		return
	}
	row := &c.rows[i]
	if c.seen[i] {
		c.say(row.UID, subdirs[which]+"/"+file, "there is another file of this name")
	}
	c.seen[i] = true
	flags, _ := parseInfo(info, c.known&onDisk)
	if which == newDir {
		flags |= inNew
	}
	mask := systemFlags | c.known&onDisk | inNew
	if FlagSet(row.Flags)&behind != 0 {
		mask = inNew // its name follows
		flags &= inNew
	}
	if FlagSet(row.Flags)&mask != flags {
		c.say(row.UID, subdirs[which]+"/"+file, "the file has the flags %s, the index %s", info, letters(FlagSet(row.Flags)))
	}
	st, err := d.stat(file)
	if err != nil {
		return
	}
	size, virtual := nameSizes(base)
	if size >= 0 && size != st.Size || virtual < 0 {
		if virtual, err = d.virtualSize(file); err != nil {
			return
		}
	}
	if virtual != row.Size {
		c.say(row.UID, subdirs[which]+"/"+file, "RFC822.SIZE is %d, the index has %d", virtual, row.Size)
	}
}

func letters(flags FlagSet) string {
	where := "in cur"
	if flags&inNew != 0 {
		where = "in new"
	}
	return string(appendInfo(nil, flags)) + " " + where
}

// arriving says whether a file is a delivery that has no UID yet.
func (c *check) arriving(base string) bool {
	c.b.dirs.Lock()
	c.b.in.mu.Lock()
	defer c.b.dirs.Unlock()
	defer c.b.in.mu.Unlock()
	return slices.ContainsFunc(c.b.in.list, func(a arrival) bool { return a.row.Name == base })
}

func (c *check) counters() {
	var want schema.IndexMailbox
	var lastUID uint32
	for i := range c.rows {
		row := &c.rows[i]
		tallyAdd(&want, row.Size, FlagSet(row.Flags))
		lastUID = max(lastUID, row.UID)
		if row.ModSeq > c.row.ModSeq {
			c.say(row.UID, "", "MODSEQ %d is above the mailbox's %d", row.ModSeq, c.row.ModSeq)
		}
		if stray := FlagSet(row.Flags) &^ (systemFlags | hiddenFlags | c.known); stray != 0 {
			c.say(row.UID, "", "it has keywords without a name: %x", uint64(stray))
		}
	}
	if lastUID >= c.row.UIDNext {
		c.say(lastUID, "", "UIDNEXT is %d", c.row.UIDNext)
	}
	for _, n := range []struct {
		name      string
		want, got int64
	}{
		{"messages", int64(want.Messages), int64(c.row.Messages)},
		{"unseen", int64(want.Unseen), int64(c.row.Unseen)},
		{"deleted", int64(want.Deleted), int64(c.row.Deleted)},
		{"recent", int64(want.Recent), int64(c.row.Recent)},
		{"size", want.Size, c.row.Size},
		{"size of deleted", want.DelSize, c.row.DelSize},
	} {
		if n.want != n.got {
			c.say(0, "", "the counter of %s is %d instead of %d", n.name, n.got, n.want)
		}
	}
}

// memory compares what sessions see with the index.
func (c *check) memory() {
	m := c.b.msgs
	if m == nil || c.row.Gen != c.b.row.Gen {
		return
	}
	if len(m.uid) != len(c.rows) {
		c.say(0, "", "sessions see %d messages, the index has %d", len(m.uid), len(c.rows))
		return
	}
	for i := range c.rows {
		row := &c.rows[i]
		if m.uid[i] != row.UID || m.modSeq[i] != row.ModSeq || m.flags[i] != FlagSet(row.Flags) || m.size[i] != clamp32(row.Size) {
			c.say(row.UID, "", "sessions see UID %d MODSEQ %d flags %x, the index has %d %x", m.uid[i], m.modSeq[i], m.flags[i], row.ModSeq, row.Flags)
		}
	}
}

// history looks for messages that are said to be expunged.
func (c *check) history(ctx context.Context) error {
	list, err := c.b.t.s.d.State.ExpungedSince(ctx, c.b.num, 0)
	if err != nil {
		return err
	}
	list = joinRanges(list)
	for i := range c.rows {
		for len(list) > 0 && list[0].Last < c.rows[i].UID {
			list = list[1:]
		}
		if len(list) > 0 && list[0].First <= c.rows[i].UID {
			c.say(c.rows[i].UID, "", "it is remembered as expunged")
		}
	}
	return nil
}
