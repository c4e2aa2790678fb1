package schema

import (
	"sync"
	"time"
)

// heldFor is how long a transaction of a direct reader stays open for the next
// look-up. To begin and end one takes as long as the look-up itself, in locks
// of the kernel. A checkpoint of another program waits for it, so it is short.
const heldFor = 10 * time.Millisecond

// direct reads the rows that each recipient needs, past package sql, which costs
// as much as SQLite does. It has two connections, since the disk may be slow;
// the second is opened when the first is busy. The zero value, with path, is
// ready.
type direct struct {
	path    string
	readers [2]reader
}

// reader is one connection.
type reader struct {
	mu     sync.Mutex // guards what follows
	conn   *rawConn
	held   *cache // whose rows the open transaction sees, or newer ones; nil: there is none
	turn   int    // counts transactions
	closed bool
}

// one calls fn with the first row, which is valid until it returns. Rows are
// those that c was made for, or newer ones.
func (d *direct) one(c *cache, query string, fn func(*rawRow) error, args ...any) (found bool, err error) {
	r := &d.readers[0]
	if !r.mu.TryLock() {
		r = &d.readers[1]
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	if err := r.begin(d.path, c); err != nil {
		return false, err
	}
	if found, err = r.conn.one(query, fn, args...); err != nil {
		r.end()
	}
	return found, err
}

// begin sees to it that a transaction for c is open. mu is held.
func (r *reader) begin(path string, c *cache) (err error) {
	switch {
	case r.closed:
		return ErrClosed
	case r.held == c:
		return nil
	case r.conn == nil:
		if r.conn, err = openRaw(path); err != nil {
			return err
		}
	}
	r.end()
	if r.conn == nil { // it could not end
		return r.begin(path, c)
	}
	if _, err := r.conn.one("BEGIN", nil); err != nil {
		return err
	}
	r.held = c
	r.turn++
	turn := r.turn
	time.AfterFunc(heldFor, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.turn == turn {
			r.end()
		}
	})
	return nil
}

// end ends the transaction, if one is open. mu is held. A connection that
// cannot do that is given up.
func (r *reader) end() {
	if r.held == nil {
		return
	}
	r.held = nil
	if _, err := r.conn.one("COMMIT", nil); err != nil {
		r.drop()
	}
}

// drop closes the connection; the next look-up opens another one.
func (r *reader) drop() {
	if r.conn != nil {
		r.conn.close()
	}
	r.conn, r.held = nil, nil
}

// close waits for a look-up that runs.
func (d *direct) close() {
	for i := range d.readers {
		r := &d.readers[i]
		r.mu.Lock()
		r.closed = true
		r.end()
		r.drop()
		r.mu.Unlock()
	}
}
