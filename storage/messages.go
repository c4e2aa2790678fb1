package storage

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"sort"

	"mailserver/schema"
)

// messages is what an open mailbox keeps of its messages: 28 bytes each, in
// the order of UIDs. Positions in it are sequence numbers less one.
type messages struct {
	uid    []uint32 // only ever appended to, or replaced as a whole: views share it
	modSeq []uint64
	flags  []FlagSet
	size   []uint32  // RFC822.SIZE; what is over 4 GiB is shown as that
	date   []uint32  // INTERNALDATE, Unix time from 1970 to 2106
	hash   []uint64  // of the file name without flags; nil: not read
	disk   []FlagSet // what file names tell of messages that are behind; nil: none is
}

func newMessages(n int) *messages {
	return &messages{
		uid:    make([]uint32, 0, n),
		modSeq: make([]uint64, 0, n),
		flags:  make([]FlagSet, 0, n),
		size:   make([]uint32, 0, n),
		date:   make([]uint32, 0, n),
	}
}

func clamp32(n int64) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) }

func (m *messages) add(row *schema.IndexMessage) {
	m.uid = append(m.uid, row.UID)
	m.modSeq = append(m.modSeq, row.ModSeq)
	m.flags = append(m.flags, FlagSet(row.Flags))
	m.size = append(m.size, clamp32(row.Size))
	m.date = append(m.date, clamp32(row.Date))
	if m.disk != nil {
		m.disk = append(m.disk, FlagSet(row.Flags))
	}
}

// at returns the position of the first message with at least this UID.
func (m *messages) at(uid uint32) int { return lowerBound(m.uid, uid) }

// find returns the position of a UID, -1 if it is not there.
func (m *messages) find(uid uint32) int {
	if i := m.at(uid); i < len(m.uid) && m.uid[i] == uid {
		return i
	}
	return -1
}

func lowerBound(uids []uint32, uid uint32) int {
	// UIDs are often without gaps, or nearly so.
	if n := len(uids); n > 0 && uid >= uids[0] {
		if i := int(uid - uids[0]); i < n && uids[i] == uid {
			return i
		}
	}
	return sort.Search(len(uids), func(i int) bool { return uids[i] >= uid })
}

// remove takes out the messages at the given positions, which ascend.
func (m *messages) remove(gone []int) {
	m.uid = slices.Clone(m.uid)
	m.uid = cut(m.uid, gone)
	m.modSeq = cut(m.modSeq, gone)
	m.flags = cut(m.flags, gone)
	m.size = cut(m.size, gone)
	m.date = cut(m.date, gone)
	if m.hash != nil {
		m.hash = cut(m.hash, gone)
	}
	if m.disk != nil {
		m.disk = cut(m.disk, gone)
	}
}

func cut[T any](s []T, gone []int) []T {
	to := gone[0]
	for i, from := range gone {
		end := len(s)
		if i+1 < len(gone) {
			end = gone[i+1]
		}
		to += copy(s[to:], s[from+1:end])
	}
	return s[:to]
}

// ranges joins positions, which ascend, into ranges of UIDs without another
// message between.
func (m *messages) ranges(at []int) []schema.UIDRange {
	var list []schema.UIDRange
	for i, pos := range at {
		if i > 0 && at[i-1] == pos-1 {
			list[len(list)-1].Last = m.uid[pos]
			continue
		}
		list = append(list, schema.UIDRange{First: m.uid[pos], Last: m.uid[pos]})
	}
	return list
}

// keepHashes is up to how many messages the hashes of names stay in memory for
// the next reconcile.
const keepHashes = 16 << 10

// readHashes reads the names of the files, if that was not done. b.mu is held
// for writing.
func (b *box) readHashes(ctx context.Context) error {
	m := b.msgs
	if m.hash != nil {
		return nil
	}
	hash, pos := make([]uint64, len(m.uid), cap(m.uid)), 0
	err := b.t.s.d.State.EachName(ctx, b.num, 0, math.MaxUint32, func(uid uint32, name []byte) error {
		for pos < len(m.uid) && m.uid[pos] < uid {
			pos++
		}
		if pos < len(m.uid) && m.uid[pos] == uid {
			hash[pos] = maphash.Bytes(b.t.s.seed, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read index of %s: %w", b.row.Name, err)
	}
	m.hash = hash
	return nil
}

// names finds positions by the hash of a file name. It is built for one
// reconcile and dropped.
type names struct {
	m     *messages
	slots []uint32 // position plus one; 0 is free
	mask  uint64
}

func (m *messages) byName() *names {
	size := uint64(16)
	for size < uint64(len(m.hash))*2 {
		size *= 2
	}
	n := &names{m: m, slots: make([]uint32, size), mask: size - 1}
	for pos, h := range m.hash {
		at := h & n.mask
		for n.slots[at] != 0 {
			at = (at + 1) & n.mask
		}
		n.slots[at] = uint32(pos + 1)
	}
	return n
}

func (n *names) find(hash uint64) int {
	for at := hash & n.mask; n.slots[at] != 0; at = (at + 1) & n.mask {
		if pos := int(n.slots[at] - 1); n.m.hash[pos] == hash {
			return pos
		}
	}
	return -1
}

func (s *Store) hash(base string) uint64 { return maphash.String(s.seed, base) }
