package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// maxGroup bounds how many writes share one commit, so that the first of them
// never waits long for the last.
const maxGroup = 256

// ErrClosed is returned by a write on a closed file.
var ErrClosed = errors.New("database is closed")

// writer is the one goroutine that writes a file. Writes that arrive while a
// commit is on its way to the disk share the next one (group commit).
type writer struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt // prepared on conn; used by the goroutine only
	queue chan *write
	bulk  chan *write // at most one of these in a group
	done  chan struct{}

	mu     sync.RWMutex // guards closed against sends on queue and bulk
	closed bool
}

// write is one caller's part of a group.
type write struct {
	run  func(*Tx) error
	err  error
	done chan struct{}
}

// Tx is the transaction of one group commit, given to one caller at a time.
// It is valid only inside the function that it was handed to.
type Tx struct {
	ctx context.Context
	w   *writer
}

func startWriter(ctx context.Context, db *sql.DB) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open writer: %w", err)
	}
	w := &writer{
		conn:  conn,
		stmts: make(map[string]*sql.Stmt),
		queue: make(chan *write, maxGroup),
		bulk:  make(chan *write),
		done:  make(chan struct{}),
	}
	go w.loop()
	return w, nil
}

// do runs fn inside the next group commit and returns when it is on disk. An
// error of fn undoes what fn wrote and nothing else. fn must not block: all
// other writers wait for it.
func (w *writer) do(ctx context.Context, line chan<- *write, fn func(*Tx) error) error {
	job := &write{run: fn, done: make(chan struct{})}
	w.mu.RLock()
	if w.closed {
		w.mu.RUnlock()
		return ErrClosed
	}
	select {
	case line <- job:
		w.mu.RUnlock()
	case <-ctx.Done():
		w.mu.RUnlock()
		return ctx.Err()
	}
	// Once queued it runs; its caller must learn the outcome.
	<-job.done
	return job.err
}

func (w *writer) close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	close(w.queue)
	close(w.bulk)
	w.mu.Unlock()
	<-w.done
	for _, s := range w.stmts {
		s.Close()
	}
	return w.conn.Close()
}

func (w *writer) loop() {
	defer close(w.done)
	group := make([]*write, 0, maxGroup+1)
	queue, bulk := w.queue, w.bulk
	for queue != nil || bulk != nil {
		select {
		case job, ok := <-queue:
			if group = add(group[:0], job); !ok {
				queue = nil
			}
			group = gather(group, bulk, 1)
		case job, ok := <-bulk:
			if group = add(group[:0], job); !ok {
				bulk = nil
			}
		}
		group = gather(group, queue, maxGroup)
		if len(group) > 0 {
			w.commit(group)
		}
		clear(group)
	}
}

func add(group []*write, job *write) []*write {
	if job == nil {
		return group
	}
	return append(group, job)
}

// gather adds what else is waiting, up to limit, without waiting for more.
func gather(group []*write, from <-chan *write, limit int) []*write {
	for range limit {
		select {
		case job, ok := <-from:
			if !ok {
				return group
			}
			group = append(group, job)
		default:
			return group
		}
	}
	return group
}

// commit runs a group in one transaction and tells every caller.
func (w *writer) commit(group []*write) {
	tx := &Tx{ctx: context.Background(), w: w}
	err := tx.exec("BEGIN IMMEDIATE")
	if err == nil {
		for _, job := range group {
			job.err = tx.savepoint(job.run)
		}
		if err = tx.exec("COMMIT"); err != nil {
			tx.exec("ROLLBACK")
		}
	}
	for _, job := range group {
		if err != nil {
			job.err = fmt.Errorf("commit: %w", err)
		}
		job.err = roomError(job.err)
		close(job.done)
	}
}

// roomError makes SQLite's word for a full disk that of the system, so that
// callers know one error for it.
func roomError(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_FULL {
		return fmt.Errorf("%w: %w", syscall.ENOSPC, err)
	}
	return err
}

// savepoint runs fn so that its failure, or panic, undoes only its own rows.
func (t *Tx) savepoint(fn func(*Tx) error) (err error) {
	if err := t.exec("SAVEPOINT job"); err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a write: %v", p)
		}
		if err != nil {
			t.exec("ROLLBACK TO job")
		}
		if rel := t.exec("RELEASE job"); err == nil {
			err = rel
		}
	}()
	return fn(t)
}

// stmt returns the prepared form of query, kept for the writer's life. Only
// constant texts may be passed, so that the cache stays small.
func (t *Tx) stmt(query string) (*sql.Stmt, error) {
	if s, ok := t.w.stmts[query]; ok {
		return s, nil
	}
	s, err := t.w.conn.PrepareContext(t.ctx, query)
	if err != nil {
		return nil, err
	}
	t.w.stmts[query] = s
	return s, nil
}

func (t *Tx) exec(query string, args ...any) error {
	_, err := t.execResult(query, args...)
	return err
}

func (t *Tx) execResult(query string, args ...any) (sql.Result, error) {
	s, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(t.ctx, args...)
}

func (t *Tx) query(query string, args ...any) (*sql.Rows, error) {
	s, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(t.ctx, args...)
}

func (t *Tx) queryRow(query string, args ...any) *sql.Row {
	s, err := t.stmt(query)
	if err != nil {
		// The error comes out of Scan, as for any other row.
		return t.w.conn.QueryRowContext(t.ctx, query, args...)
	}
	return s.QueryRowContext(t.ctx, args...)
}
