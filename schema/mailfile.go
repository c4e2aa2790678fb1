package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// mailFile is one file at the path of mail.sqlite, open for look-ups.
type mailFile struct {
	id, wal, shm fileID
	dir          string // where the file lies
	r            *sql.DB
	watch        watch
	direct       direct

	asked atomic.Int64 // statements run

	mu    sync.Mutex // guards what follows
	stmts map[string]*sql.Stmt
	// Databases of other programs, and numbers of the domains in them: sqlmap.go.
	foreign map[string]foreignFile
	numbers map[string]int64
	names   []string
}

// fileID tells files apart, whatever their names.
type fileID struct{ dev, ino uint64 }

// identify returns the zero ID if there is no such file.
func identify(path string) (id fileID, err error) {
	var st syscall.Stat_t
	err = syscall.Stat(path, &st)
	if errors.Is(err, syscall.ENOENT) {
		return id, nil
	}
	return fileID{uint64(st.Dev), st.Ino}, err
}

// openMailFile opens the file; generations of its views come after gen.
func openMailFile(ctx context.Context, path string, gen int64) (*mailFile, error) {
	id, err := identify(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	r, err := open(path, 3, true) // two readers and the watch
	if err != nil {
		return nil, err
	}
	f := &mailFile{id: id, dir: filepath.Dir(path), r: r, stmts: make(map[string]*sql.Stmt), direct: direct{path: path}}
	f.watch.first = gen
	if err := f.watch.open(ctx, r, path); err != nil {
		r.Close()
		return nil, err
	}
	f.wal, err = identify(path + "-wal")
	if err == nil {
		f.shm, err = identify(path + "-shm")
	}
	if err != nil {
		f.close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return f, nil
}

func (m *mailFile) close() error {
	m.watch.close()
	m.direct.close()
	return errors.Join(m.closeForeign(), m.r.Close())
}

// replacedAfter is how long a file that was put in the place of ours may go
// unnoticed. To ask costs more than the rest of a View.
const replacedAfter = 20 * time.Millisecond

// current returns the file that is at the path now. While there is none, that
// is the last one.
func (m *Mail) current(ctx context.Context) (*mailFile, error) {
	f := m.file.Load()
	now, last := time.Now().UnixNano(), m.looked.Load()
	if now-last < int64(replacedAfter) && now >= last {
		return f, nil
	}
	m.looked.Store(now)
	id, err := identify(m.path)
	if err != nil {
		return nil, err
	}
	if id == f.id || id == (fileID{}) {
		return f, nil
	}
	return m.replaced(ctx)
}

// replaced opens a file that was put in the place of ours, as a restore does.
// The old one stays open, not to be used again: to close it would remove the
// log beside the new one, which has the same name.
func (m *Mail) replaced(ctx context.Context) (*mailFile, error) {
	m.wmu.Lock()
	defer m.wmu.Unlock()
	f := m.file.Load()
	switch id, err := identify(m.path); {
	case m.closed:
		return nil, ErrClosed
	case err != nil || id == f.id:
		return f, err
	}
	m.closeWriter()
	if err := f.leaveLog(m.path); err != nil {
		return nil, err
	}
	if err := mustExist(m.path); err != nil {
		return nil, err
	}
	if err := migrate(ctx, m.path, mailSteps, auditTriggers); err != nil {
		return nil, err
	}
	next, err := openMailFile(ctx, m.path, f.watch.generation())
	if err != nil {
		return nil, err
	}
	m.file.Store(next)
	return next, nil
}

// leaveLog takes the log of the old file away: SQLite would apply it to the new
// one.
func (m *mailFile) leaveLog(path string) error {
	for name, ours := range map[string]fileID{path + "-wal": m.wal, path + "-shm": m.shm} {
		id, err := identify(name)
		if err == nil && id == ours && id != (fileID{}) {
			err = os.Remove(name)
		}
		if err != nil {
			return fmt.Errorf("leave the log of the old file: %w", err)
		}
	}
	return nil
}

func (m *mailFile) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	m.asked.Add(1)
	m.mu.Lock()
	st, ok := m.stmts[query]
	m.mu.Unlock()
	if ok {
		return st, nil
	}
	st, err := m.r.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if first, ok := m.stmts[query]; ok {
		st.Close()
		return first, nil
	}
	m.stmts[query] = st
	return st, nil
}

// one reads at most one row into dest; found is false when there is none. It is
// for look-ups by index, which busyTimeout ends: to watch for the end of ctx
// besides would cost a tenth of them.
func (m *mailFile) one(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	st, err := m.stmt(ctx, query)
	if err != nil {
		return false, err
	}
	switch err := st.QueryRowContext(context.WithoutCancel(ctx), args...).Scan(dest...); err {
	case nil:
		return true, nil
	case sql.ErrNoRows:
		return false, nil
	default:
		return false, err
	}
}

// each calls scan for every row.
func (m *mailFile) each(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	st, err := m.stmt(ctx, query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
