package storage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// model is what mailboxes should hold.
type model struct {
	w     *world
	r     *rand.Rand
	boxes map[string][]modelMsg
	next  map[string]imap.UID
	n     int // bodies made
	log   []string
}

type modelMsg struct {
	uid   imap.UID
	id    int
	flags []string // sorted
}

var modelFlags = []imap.Flag{imap.FlagSeen, imap.FlagFlagged, imap.FlagAnswered, "work", "$Later"}

func (m *model) text(id int) string { return fmt.Sprintf("Subject: %d\r\n\r\nbody %d\r\n", id, id) }

func (m *model) add(box string, id int, flags []string) {
	m.boxes[box] = append(m.boxes[box], modelMsg{m.next[box], id, flags})
	m.next[box]++
}

func (m *model) someFlags() (list []imap.Flag, names []string) {
	for _, f := range modelFlags {
		if m.r.IntN(3) == 0 {
			list = append(list, f)
			names = append(names, string(f))
		}
	}
	slices.Sort(names)
	return list, names
}

// pick returns positions of messages in the mailbox, and their UIDs.
func (m *model) pick(box string) (at []int, set imap.UIDSet) {
	for i, msg := range m.boxes[box] {
		if m.r.IntN(4) == 0 {
			at = append(at, i)
			set.AddNum(msg.uid)
		}
	}
	return at, set
}

// step does one random thing to a mailbox that v has open.
func (m *model) step(box, other string, v *View) {
	ctx := context.Background()
	op := m.r.IntN(12)
	m.log = append(m.log, fmt.Sprint(op, " ", box))
	fail := func(err error) {
		if err != nil {
			m.w.t.Fatalf("%v: %v", m.log, err)
		}
	}
	_, err := v.Poll(ctx, true) // what the other mailbox sent here
	fail(err)
	at, set := m.pick(box)
	switch op {
	case 0, 1:
		m.n++
		m.w.deliver(box, m.text(m.n))
		m.add(box, m.n, nil)
	case 2:
		m.n++
		list, names := m.someFlags()
		m.w.append(box, m.text(m.n), list...)
		m.add(box, m.n, names)
	case 3, 4, 5:
		list, names := m.someFlags()
		how := imap.StoreFlagsOp(m.r.IntN(3))
		_, err := v.Store(ctx, set, how, list, nil)
		fail(err)
		for _, i := range at {
			m.store(&m.boxes[box][i], how, names)
		}
	case 6:
		_, err := v.Store(ctx, set, imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted}, nil)
		fail(err)
		fail(v.Expunge(ctx, nil))
		m.remove(box, at)
	case 7:
		_, err := v.Copy(ctx, set, other)
		fail(err)
		for _, i := range at {
			m.add(other, m.boxes[box][i].id, m.boxes[box][i].flags)
		}
	case 8:
		_, err := v.Move(ctx, set, other)
		fail(err)
		for _, i := range at {
			m.add(other, m.boxes[box][i].id, m.boxes[box][i].flags)
		}
		m.remove(box, at)
	case 9:
		m.n++
		m.w.put(filepath.Join(dirName(box), "new"), fmt.Sprintf("%d.foreign%d", m.n, m.n), strings.ReplaceAll(m.text(m.n), "\r", ""))
		m.add(box, m.n, nil)
	case 10:
		m.foreignSeen(box)
	case 11:
		m.foreignRemove(box)
	}
	_, err = v.Poll(ctx, true)
	fail(err)
}

func dirName(box string) string {
	dir, _ := dirOf(box)
	return dir
}

func (m *model) store(msg *modelMsg, how imap.StoreFlagsOp, names []string) {
	flags := map[string]bool{}
	if how != imap.StoreFlagsSet {
		for _, f := range msg.flags {
			flags[f] = true
		}
	}
	for _, f := range names {
		flags[f] = how != imap.StoreFlagsDel
	}
	msg.flags = nil
	for f, on := range flags {
		if on {
			msg.flags = append(msg.flags, f)
		}
	}
	slices.Sort(msg.flags)
}

func (m *model) remove(box string, at []int) {
	list := slices.Clone(m.boxes[box])
	for _, i := range slices.Backward(at) {
		list = slices.Delete(list, i, i+1)
	}
	m.boxes[box] = list
}

// file finds a message's file by its contents.
func (m *model) file(box string, id int, sub string) string {
	list, _ := filepath.Glob(m.w.path(dirName(box), sub, "*"))
	for _, f := range list {
		text, _ := os.ReadFile(f)
		if strings.Contains(string(text), fmt.Sprintf("body %d\n", id)) {
			return f
		}
	}
	return ""
}

// foreignSeen sets \Seen as mutt does.
func (m *model) foreignSeen(box string) {
	if len(m.boxes[box]) == 0 {
		return
	}
	msg := &m.boxes[box][m.r.IntN(len(m.boxes[box]))]
	if n := m.count(box, msg.id); n > 1 || slices.Contains(msg.flags, string(imap.FlagSeen)) {
		return
	}
	if f := m.file(box, msg.id, "cur"); f != "" {
		base, info := splitName(f)
		os.Rename(f, base+changeInfo(info, mustParse(info)|Seen, ^FlagSet(0)))
		m.store(msg, imap.StoreFlagsAdd, []string{string(imap.FlagSeen)})
	}
}

func mustParse(info string) FlagSet {
	flags, _ := parseInfo(info, ^FlagSet(0))
	return flags
}

func (m *model) count(box string, id int) (n int) {
	for _, msg := range m.boxes[box] {
		if msg.id == id {
			n++
		}
	}
	return n
}

func (m *model) foreignRemove(box string) {
	if len(m.boxes[box]) == 0 {
		return
	}
	i := m.r.IntN(len(m.boxes[box]))
	id := m.boxes[box][i].id
	if f := m.file(box, id, "cur"); f != "" && m.count(box, id) == 1 {
		os.Remove(f)
		m.remove(box, []int{i})
	}
}

// compare holds a view to the model.
func (m *model) compare(box string, v *View) {
	m.w.t.Helper()
	m.w.poll(v)
	var got, want []string
	for _, msg := range v.Messages(imap.SeqSet{{Start: 1, Stop: 0}}) {
		flags := strings.Fields(string(v.AppendFlags(nil, msg.Flags)))
		slices.Sort(flags)
		body := m.w.body(v, msg.UID)
		if msg.Size != int64(len(body)) {
			m.w.t.Errorf("size of %d: %d, its body has %d", msg.UID, msg.Size, len(body))
		}
		got = append(got, fmt.Sprintln(msg.UID, flags, body))
	}
	for _, msg := range m.boxes[box] {
		want = append(want, fmt.Sprintln(msg.uid, msg.flags, m.text(msg.id)))
	}
	if !slices.Equal(got, want) {
		m.w.t.Fatalf("%s after %v:\n got %q\nwant %q", box, m.log, got, want)
	}
}

func TestRandomOperationsAgreeWithTheModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := &model{w: w, r: rand.New(rand.NewPCG(seed, 1)), boxes: map[string][]modelMsg{}, next: map[string]imap.UID{"INBOX": 1, "b": 1}}
			w.deliver("INBOX", m.text(0))
			m.add("INBOX", 0, nil)
			if _, err := w.acc.Create(context.Background(), "b", nil); err != nil {
				t.Fatal(err)
			}
			for range 4 {
				a, b := w.sel("INBOX"), w.sel("b")
				watch := w.sel("INBOX")
				for range 30 {
					m.step("INBOX", "b", a)
					m.step("b", "INBOX", b)
				}
				m.compare("INBOX", a)
				m.compare("b", b)
				m.compare("INBOX", watch)
				w.check()
				for _, v := range []*View{a, b, watch} {
					v.Close()
				}
				w.reopen()
			}
		})
	}
}
