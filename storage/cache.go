package storage

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// Derived data is read many messages at a time and written many at a time. It
// is only a cache: losing it costs a parse.
const (
	maxCached       = 64 << 10 // of one message
	cacheStep       = 128      // messages read at a time
	cacheStepBytes  = 128 << 10
	cacheWriteBytes = 64 << 10  // collected before a write
	maxCacheWrites  = 512 << 10 // collected during a write; more is not kept
)

// cacheWrites collects what is to be written.
type cacheWrites struct {
	mu      sync.Mutex
	list    []schema.CachedData
	bytes   int
	running bool // a goroutine writes
}

// Cached walks through the messages of a set like Messages, with what PutCache
// kept for each under the same version; data is nil if there is none, and valid
// until the next step only. Many are read at a time; no database lock is held
// between two steps. An error of fn ends it.
func (v *View) Cached(ctx context.Context, version uint8, set imap.NumSet, fn func(seq uint32, m Msg, data []byte) error) error {
	defer v.b.flushCache()
	c := &cachedStep{v: v, version: version}
	for _, s := range v.spans(set) {
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

// cachedStep is one step of Cached.
type cachedStep struct {
	v       *View
	version uint8
	n       int
	msgs    [cacheStep]Msg
	seqs    [cacheStep]uint32
	data    [cacheStep]struct{ from, to int } // in buf
	buf     []byte
}

// read takes the messages at positions from to at most to, and their data; it
// returns how many positions it went on.
func (c *cachedStep) read(ctx context.Context, from, to int) (int, error) {
	to = min(to, from+cacheStep)
	c.n = c.v.msgs(from, to, c.msgs[:], c.seqs[:])
	clear(c.data[:])
	c.buf = c.buf[:0]
	if c.n == 0 {
		return to - from, nil
	}
	i := 0
	b := c.v.b
	err := b.t.s.d.State.EachCached(ctx, b.num, c.version, uint32(c.msgs[0].UID), uint32(c.msgs[c.n-1].UID), func(uid uint32, data []byte) bool {
		if len(c.buf) > cacheStepBytes {
			return false
		}
		for i < c.n && uint32(c.msgs[i].UID) < uid {
			i++
		}
		if i < c.n && uint32(c.msgs[i].UID) == uid {
			start := len(c.buf)
			c.buf = append(c.buf, data...)
			c.data[i].from, c.data[i].to = start, len(c.buf)
			i++
		}
		return true
	})
	if err != nil {
		return 0, fmt.Errorf("read cache of %s: %w", b.name(), err)
	}
	if len(c.buf) > cacheStepBytes && i < c.n {
		// The rest comes with the next step.
		c.n = i
		return int(c.seqs[i-1]) - from, nil
	}
	return to - from, nil
}

func (c *cachedStep) each(fn func(uint32, Msg, []byte) error) error {
	for i := range c.n {
		var data []byte
		if d := c.data[i]; d.to > d.from {
			data = c.buf[d.from:d.to]
		}
		if err := fn(c.seqs[i], c.msgs[i], data); err != nil {
			return err
		}
	}
	return nil
}

// PutCache keeps derived data of a message (envelope, body structure, offsets)
// until it is expunged. It is written later, many at a time, and may be lost.
// data is copied; at most 64 KiB, more is not kept.
func (v *View) PutCache(uid imap.UID, version uint8, data []byte) {
	if len(data) == 0 || len(data) > maxCached {
		return
	}
	c := &v.b.cache
	c.mu.Lock()
	if c.bytes < maxCacheWrites {
		c.list = append(c.list, schema.CachedData{UID: uint32(uid), Version: version, Data: append([]byte(nil), data...)})
		c.bytes += len(data) + 64
	}
	full := c.bytes >= cacheWriteBytes
	c.mu.Unlock()
	if full {
		v.b.flushCache()
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
