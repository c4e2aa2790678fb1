package storage

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// Derived data is read many messages at a time and written many at a time. It
// is only a cache: losing it costs a parse.
const (
	maxCached       = 20 << 10  // of one message, in one column
	cacheStep       = 128       // messages read at a time
	cacheStepBytes  = 128 << 10 // of one column
	cacheWriteBytes = 512 << 10 // collected before a write: each waits for the disk
	maxCacheWrites  = 1 << 20   // collected during a write
	// cacheWait is how long the reader of more waits for that write. A disk that
	// needs longer holds nobody up: what is found then is not kept.
	cacheWait = 100 * time.Millisecond
)

// Columns is derived data of a message: what its user reads by itself is a
// column by itself.
type Columns [schema.CacheColumns][]byte

// ColumnSet is a set of columns, a bit each.
type ColumnSet uint8

// cacheWrites collects what is to be written.
type cacheWrites struct {
	mu      sync.Mutex
	list    []schema.CachedData
	bytes   int
	running bool          // a goroutine writes
	taken   chan struct{} // closed when it has taken what was collected; nil: nobody waits
}

// Cached walks through the messages of a set like Messages, with what PutCache
// kept for each in the columns wanted; the others, and those that have nothing,
// are nil. data is valid until the next step only. Many are read at a time; no
// database lock is held between two steps. An error of fn ends it.
func (v *View) Cached(ctx context.Context, want ColumnSet, set imap.NumSet, fn func(seq uint32, m Msg, data *Columns) error) error {
	defer v.b.flushCache()
	defer func(until uint32) { v.until = until }(v.until)
	c := &cachedStep{v: v, want: want}
	for _, s := range v.spans(set) {
		c.room(s.to - s.from)
		v.until = v.uids[s.to-1]
		for from := s.from; from < s.to; {
			n, err := c.read(ctx, from, s.to)
			if err == nil {
				err = c.each(fn)
			}
			if err != nil {
				return err
			}
			from += n
		}
	}
	return nil
}

// extent is where something lies.
type extent struct{ from, to int }

// room makes place for steps of n messages.
func (c *cachedStep) room(n int) {
	if n = min(n, cacheStep); n > len(c.msgs) {
		c.msgs, c.seqs, c.data = make([]Msg, n), make([]uint32, n), make([][schema.CacheColumns]extent, n)
	}
}

// cachedStep is one step of Cached.
type cachedStep struct {
	v    *View
	want ColumnSet
	n    int
	msgs []Msg
	seqs []uint32
	data [][schema.CacheColumns]extent // in buf
	buf  []byte
	cols Columns // of the message that fn is called for
}

// read takes the messages at positions from to at most to, and their data; it
// returns how many positions it went on.
func (c *cachedStep) read(ctx context.Context, from, to int) (int, error) {
	to = min(to, from+len(c.msgs))
	c.n = c.v.msgs(&wanted{next: from, list: c.msgs, seqs: c.seqs}, to)
	clear(c.data)
	c.buf = c.buf[:0]
	all := c.n
	for column := range schema.CacheColumns {
		if c.n == 0 || c.want>>column&1 == 0 {
			continue
		}
		if err := c.readColumn(ctx, column); err != nil {
			return 0, fmt.Errorf("read cache of %s: %w", c.v.b.name(), err)
		}
	}
	if c.n < all {
		return int(c.seqs[c.n-1]) - from, nil // the rest comes with the next step
	}
	return to - from, nil
}

// readColumn takes one column. When that is too much, c.n becomes less, but not
// 0.
func (c *cachedStep) readColumn(ctx context.Context, column int) error {
	b := c.v.b
	i, start := 0, len(c.buf)
	first, last := uint32(c.msgs[0].UID), uint32(c.msgs[c.n-1].UID)
	return b.t.s.d.State.EachCached(ctx, b.num, column, first, last, func(uid uint32, data []byte) bool {
		if len(c.buf)-start > cacheStepBytes {
			c.n = i
			return false
		}
		for i < c.n && uint32(c.msgs[i].UID) < uid {
			i++
		}
		if i < c.n && uint32(c.msgs[i].UID) == uid {
			at := &c.data[i][column]
			at.from = len(c.buf)
			c.buf = append(c.buf, data...)
			at.to = len(c.buf)
			i++
		}
		return true
	})
}

func (c *cachedStep) each(fn func(uint32, Msg, *Columns) error) error {
	for i := range c.n {
		clear(c.cols[:])
		for column, at := range &c.data[i] {
			if at.to > at.from {
				c.cols[column] = c.buf[at.from:at.to:at.to]
			}
		}
		if err := fn(c.seqs[i], c.msgs[i], &c.cols); err != nil {
			return err
		}
	}
	return nil
}

// PutCache keeps derived data of a message (envelope, body structure, offsets)
// until it is expunged, or some time longer. It is written later, many at a
// time, and may be lost. Until then data is held, and must not be changed; of a
// column at most 20 KiB, more is not kept.
func (v *View) PutCache(uid imap.UID, data Columns) {
	entry := schema.CachedData{UID: uint32(uid)}
	bytes := 0
	for column, d := range data {
		if len(d) > 0 && len(d) <= maxCached {
			entry.Data[column] = d
			bytes += len(d) + 64
		}
	}
	if bytes == 0 {
		return
	}
	c := &v.b.cache
	c.makeRoom()
	c.mu.Lock()
	if c.bytes < maxCacheWrites {
		c.list = append(c.list, entry)
		c.bytes += bytes
	}
	full := c.bytes >= cacheWriteBytes
	c.mu.Unlock()
	if full {
		v.b.flushCache()
	}
}

// makeRoom waits, if so much was collected that no more is kept.
func (c *cacheWrites) makeRoom() {
	c.mu.Lock()
	if c.bytes < maxCacheWrites || !c.running {
		c.mu.Unlock()
		return
	}
	if c.taken == nil {
		c.taken = make(chan struct{})
	}
	taken := c.taken
	c.mu.Unlock()
	late := time.NewTimer(cacheWait)
	defer late.Stop()
	select {
	case <-taken:
	case <-late.C:
	}
}

// flushCache writes what was collected, in the background. While that goes on,
// more is collected, up to a bound.
func (b *box) flushCache() {
	c := &b.cache
	c.mu.Lock()
	start := !c.running && len(c.list) > 0
	if start {
		c.running = true
	}
	c.mu.Unlock()
	if !start {
		return
	}
	b.t.hold()
	if !b.t.s.background(b.writeCache) {
		b.writeCache()
	}
}

func (b *box) writeCache() {
	defer b.t.release()
	c := &b.cache
	for {
		c.mu.Lock()
		list := c.list
		c.list, c.bytes = nil, 0
		if c.taken != nil {
			close(c.taken)
			c.taken = nil
		}
		c.running = len(list) > 0
		c.mu.Unlock()
		if len(list) == 0 {
			return
		}
		err := b.t.s.d.State.Write(context.Background(), func(tx *schema.Tx) error { return tx.PutCached(b.num, list) })
		if err != nil {
			b.t.s.d.Log.Warn("cannot write message cache", "user", b.t.key.user, "mailbox", b.name(), slog.Any("err", err))
		}
	}
}
