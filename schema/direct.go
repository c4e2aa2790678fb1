package schema

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"modernc.org/sqlite"
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

// reader is one connection with its statements.
type reader struct {
	mu     sync.Mutex // guards what follows
	conn   driver.Conn
	stmts  map[string]driver.Stmt
	held   *cache // whose rows the open transaction sees, or newer ones; nil: there is none
	turn   int    // counts transactions
	args   []driver.NamedValue
	row    []driver.Value
	closed bool
}

// one calls fn with the columns of the first row, which are valid until it
// returns. Rows are those that c was made for, or newer ones.
func (d *direct) one(c *cache, query string, fn func([]driver.Value) error, args ...driver.Value) (found bool, err error) {
	r := &d.readers[0]
	if !r.mu.TryLock() {
		r = &d.readers[1]
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	if err := r.begin(d.path, c); err != nil {
		return false, err
	}
	if found, err = r.first(query, args); err == nil && found {
		err = fn(r.row)
	}
	if err != nil {
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
		if r.conn, err = (&sqlite.Driver{}).Open(dsn(path, true)); err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		r.stmts = make(map[string]driver.Stmt)
	}
	r.end()
	if err := r.exec("BEGIN"); err != nil {
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
	if r.exec("COMMIT") != nil {
		r.drop()
	}
}

// drop closes the connection; the next look-up opens another one.
func (r *reader) drop() {
	for _, st := range r.stmts {
		st.Close()
	}
	if r.conn != nil {
		r.conn.Close()
	}
	r.conn, r.stmts, r.held = nil, nil, nil
}

func (r *reader) exec(query string) error {
	st, err := r.stmt(query)
	if err != nil {
		return err
	}
	_, err = st.(driver.StmtExecContext).ExecContext(context.Background(), nil)
	return err
}

func (r *reader) stmt(query string) (driver.Stmt, error) {
	st, ok := r.stmts[query]
	if ok {
		return st, nil
	}
	st, err := r.conn.Prepare(query)
	if err == nil {
		r.stmts[query] = st
	}
	return st, err
}

// first reads the first row into r.row.
func (r *reader) first(query string, args []driver.Value) (found bool, err error) {
	st, err := r.stmt(query)
	if err != nil {
		return false, err
	}
	r.args = r.args[:0]
	for i, a := range args {
		r.args = append(r.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	rows, err := st.(driver.StmtQueryContext).QueryContext(context.Background(), r.args)
	if err != nil {
		return false, err
	}
	r.row = append(r.row[:0], make([]driver.Value, len(rows.Columns()))...)
	err = rows.Next(r.row)
	switch {
	case err == io.EOF:
		return false, rows.Close()
	case err != nil:
		return false, errors.Join(err, rows.Close())
	}
	return true, rows.Close()
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
