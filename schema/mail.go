package schema

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// mailSteps leads an empty file to the newest version of mail.sqlite.
var mailSteps = []migration{
	{"first version", mailDDL},
}

// cacheEntries bounds the look-ups kept in memory: about 200 bytes each.
const cacheEntries = 20000

// Mail is mail.sqlite: what the operator wants. Its methods may be called from
// any goroutine.
type Mail struct {
	path string
	r    *sql.DB

	watch watch

	mu    sync.Mutex // guards what follows
	stmts map[string]*sql.Stmt

	wmu sync.Mutex // guards wdb and w, opened at the first write
	wdb *sql.DB
	w   *writer
}

// cache holds look-ups of one data_version. A new version means a new cache,
// so an answer never outlives the rows that it came from.
type cache struct {
	gen     int64 // counts caches; the Generation of their Views
	mu      sync.RWMutex
	entries map[cacheKey]any
}

type cacheKey struct {
	kind lookup
	num  int64
	key  string
}

// CreateMail makes or migrates mail.sqlite at path.
func CreateMail(ctx context.Context, path string) error {
	return migrate(ctx, path, mailSteps)
}

// OpenMail opens the file at path for look-ups, migrating an older one. A file
// that is not there is ErrNoDatabase: only CreateMail makes one.
func OpenMail(ctx context.Context, path string) (*Mail, error) {
	if err := mustExist(path); err != nil {
		return nil, err
	}
	if err := migrate(ctx, path, mailSteps); err != nil {
		return nil, err
	}
	r, err := open(path, 3, true) // two readers and the watch
	if err != nil {
		return nil, err
	}
	m := &Mail{path: path, r: r, stmts: make(map[string]*sql.Stmt)}
	if err := m.watch.open(ctx, r, path); err != nil {
		r.Close()
		return nil, err
	}
	return m, nil
}

// Close closes the file.
func (m *Mail) Close() error {
	m.wmu.Lock()
	if m.w != nil {
		m.w.close()
		m.wdb.Close()
	}
	m.wmu.Unlock()
	m.watch.close()
	return m.r.Close()
}

// View is the directory as one command sees it. Take one at the start of a
// command and drop it at the end.
type View struct {
	m *Mail
	c *cache
}

// View asks whether another program has changed the file and returns the
// look-ups of its present contents. An error is temporary: ErrLocked, after at
// most 3 s, when another program lets nobody read.
func (m *Mail) View(ctx context.Context) (*View, error) {
	c, err := m.watch.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", m.path, err)
	}
	return &View{m: m, c: c}, nil
}

// Generation changes whenever any row of the file may have changed. What a
// caller derived from settings is good as long as it stays the same.
func (v *View) Generation() int64 { return v.c.gen }

// lookup names a kind of look-up in the cache.
type lookup uint8

// cached returns the remembered answer of a look-up, or asks load for it.
// "No such row" is remembered too. An error is not.
func cached[T any](v *View, k cacheKey, load func() (T, error)) (T, error) {
	v.c.mu.RLock()
	got, ok := v.c.entries[k]
	v.c.mu.RUnlock()
	if ok {
		return got.(T), nil
	}
	val, err := load()
	if err != nil {
		return val, err
	}
	v.c.mu.Lock()
	if len(v.c.entries) >= cacheEntries {
		clear(v.c.entries)
	}
	v.c.entries[k] = val
	v.c.mu.Unlock()
	return val, nil
}

func (m *Mail) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
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

// one reads at most one row into dest; found is false when there is none.
func (m *Mail) one(ctx context.Context, query string, args []any, dest ...any) (found bool, err error) {
	st, err := m.stmt(ctx, query)
	if err != nil {
		return false, err
	}
	switch err := st.QueryRowContext(ctx, args...).Scan(dest...); err {
	case nil:
		return true, nil
	case sql.ErrNoRows:
		return false, nil
	default:
		return false, err
	}
}

// each calls scan for every row.
func (m *Mail) each(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
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

// Write runs fn in a transaction on mail.sqlite. Other programs that hold the
// file are waited for, a few seconds.
func (m *Mail) Write(ctx context.Context, fn func(*Tx) error) error {
	w, err := m.writer(ctx)
	if err != nil {
		return err
	}
	return w.do(ctx, fn)
}

func (m *Mail) writer(ctx context.Context) (*writer, error) {
	m.wmu.Lock()
	defer m.wmu.Unlock()
	if m.w != nil {
		return m.w, nil
	}
	db, err := open(m.path, 1, false)
	if err != nil {
		return nil, err
	}
	w, err := startWriter(ctx, db)
	if err != nil {
		db.Close()
		return nil, err
	}
	m.wdb, m.w = db, w
	return w, nil
}
