package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrLocked says that another program holds the file so that it cannot be read.
var ErrLocked = errors.New("database is locked")

// watch knows whether a file has changed.
type watch struct {
	conn  *sql.Conn // asked only for data_version
	stmt  *sql.Stmt
	index walIndex

	seen  atomic.Pointer[seen]
	turn  chan struct{} // holds one: the right to use stmt
	asked atomic.Int64  // when who has it began to ask, in ns; 0: nobody does

	first  int64 // generations are above it
	closed atomic.Bool
}

// seen is a state of the file.
type seen struct {
	header  walHeader // as it was before version was asked
	known   bool      // header could be read
	version int64     // PRAGMA data_version
	cache   *cache
}

func (w *watch) open(ctx context.Context, db *sql.DB, path string) (err error) {
	if w.conn, err = db.Conn(ctx); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if w.stmt, err = w.conn.PrepareContext(ctx, "PRAGMA data_version"); err == nil {
		_, err = w.version(ctx) // opens what mapWALIndex needs
	}
	if err != nil {
		w.conn.Close()
		return fmt.Errorf("watch %s: %w", path, err)
	}
	w.index = mapWALIndex(path)
	w.turn = make(chan struct{}, 1)
	return nil
}

// close waits for a question that hangs: SQLite ends it after some seconds. The
// right to ask stays taken.
func (w *watch) close() {
	if w.closed.Swap(true) {
		return
	}
	w.seen.Store(nil)
	w.turn <- struct{}{}
	w.stmt.Close()
	w.conn.Close()
}

// generation is the latest that a view has had.
func (w *watch) generation() int64 {
	if s := w.seen.Load(); s != nil {
		return s.cache.gen
	}
	return w.first
}

func (w *watch) version(ctx context.Context) (n int64, err error) {
	return n, w.stmt.QueryRowContext(ctx).Scan(&n)
}

// look returns the cache of the file's present contents.
func (w *watch) look(ctx context.Context) (*cache, error) {
	if w.closed.Load() {
		return nil, ErrClosed
	}
	if s := w.unchanged(); s != nil {
		return s.cache, nil
	}
	if at := w.asked.Load(); at != 0 && time.Now().UnixNano()-at > busyTimeout*int64(time.Millisecond) {
		return nil, ErrLocked // it is not for everybody to wait so long again
	}
	limit := time.NewTimer(busyTimeout * time.Millisecond)
	defer limit.Stop()
	select {
	case w.turn <- struct{}{}:
	case <-limit.C:
		return nil, ErrLocked
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return w.ask(ctx, limit.C)
}

// unchanged returns what was seen if it is still so; nil: it must be asked.
func (w *watch) unchanged() *seen {
	s := w.seen.Load()
	if s == nil || !s.known {
		return nil
	}
	if now, ok := w.index.header(); !ok || now != s.header {
		return nil
	}
	return s
}

// ask asks SQLite, with the right to do so, which it gives back. SQLite waits
// for some locks (walTryBeginRead) ten seconds and more, whatever it was told;
// nobody here waits for it so long.
func (w *watch) ask(ctx context.Context, limit <-chan time.Time) (*cache, error) {
	if s := w.unchanged(); s != nil { // asked by who was before us
		<-w.turn
		return s.cache, nil
	}
	type answer struct {
		cache *cache
		err   error
	}
	got := make(chan answer, 1)
	begun := time.Now().UnixNano()
	w.asked.Store(begun)
	go func() {
		c, err := w.refresh()
		w.asked.Store(0)
		<-w.turn
		got <- answer{c, err}
	}()
	select {
	case a := <-got:
		return a.cache, a.err
	case <-limit:
		w.asked.CompareAndSwap(begun, 1) // long ago: the next one does not wait for what is left of the time
		return nil, ErrLocked
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// refresh asks for the version and begins a cache for a new one. The header is
// read first: a commit in between is asked for again.
func (w *watch) refresh() (*cache, error) {
	next := &seen{}
	next.header, next.known = w.index.header()
	var err error
	if next.version, err = w.version(context.Background()); err != nil {
		return nil, err
	}
	last := w.seen.Load()
	switch {
	case last == nil:
		next.cache = newCache(w.first + 1)
	case last.version != next.version:
		next.cache = newCache(last.cache.gen + 1)
	default:
		next.cache = last.cache
	}
	w.seen.Store(next)
	return next.cache, nil
}
