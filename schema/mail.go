package schema

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
)

// mailSteps leads an empty file to the newest version of mail.sqlite.
var mailSteps = []migration{
	{"first version", mailDDL},
	{"ways out", mailOutDDL},
	{"sending limits", mailPolicyDDL},
	{"listeners", mailListenDDL},
	{"audit trail", mailAuditDDL},
	{"second factors", mailTotpDDL},
	{"mailboxes of others", mailSharingDDL},
	{"smaller audit triggers", mailAuditRowDDL},
}

// Mail is mail.sqlite: what the operator wants. Its methods may be called from
// any goroutine.
type Mail struct {
	path   string
	file   atomic.Pointer[mailFile]
	looked atomic.Int64 // when it was asked whether file is still at path, in ns

	wmu    sync.Mutex // guards what follows, and changes of file
	wdb    *sql.DB    // opened at the first write
	w      *writer
	closed bool
}

// CreateMail makes or migrates mail.sqlite at path.
func CreateMail(ctx context.Context, path string) error {
	return migrate(ctx, path, mailSteps, auditTriggers)
}

// OpenMail opens the file at path for look-ups, migrating an older one. A file
// that is not there is ErrNoDatabase: only CreateMail makes one.
func OpenMail(ctx context.Context, path string) (*Mail, error) {
	if err := mustExist(path); err != nil {
		return nil, err
	}
	if err := migrate(ctx, path, mailSteps, auditTriggers); err != nil {
		return nil, err
	}
	f, err := openMailFile(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	m := &Mail{path: path}
	m.file.Store(f)
	return m, nil
}

// Close closes the file.
func (m *Mail) Close() error {
	m.wmu.Lock()
	defer m.wmu.Unlock()
	m.closed = true
	m.closeWriter()
	return m.file.Load().close()
}

// closeWriter ends the writer, if there is one. m.wmu is held.
func (m *Mail) closeWriter() {
	if m.w != nil {
		m.w.close()
		m.wdb.Close()
		m.w, m.wdb = nil, nil
	}
}

// View is the directory as one command sees it. Take one at the start of a
// command and drop it at the end.
type View struct {
	m *mailFile
	c *cache
}

// View asks whether another program has changed the file and returns the
// look-ups of its present contents. An error is temporary: ErrLocked, after at
// most 3 s, when another program lets nobody read.
func (m *Mail) View(ctx context.Context) (*View, error) {
	f, err := m.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", m.path, err)
	}
	c, err := f.watch.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", m.path, err)
	}
	if v := c.view.Load(); v != nil {
		return v, nil
	}
	v := &View{m: f, c: c} // a cache is of one file
	c.view.Store(v)
	return v, nil
}

// Generation changes whenever any row of the file may have changed. What a
// caller derived from settings is good as long as it stays the same.
func (v *View) Generation() int64 { return v.c.gen }

func (m *Mail) each(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	f, err := m.current(ctx)
	if err != nil {
		return err
	}
	return f.each(ctx, query, args, scan)
}

func (m *Mail) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	f, err := m.current(ctx)
	if err != nil {
		return nil, err
	}
	return f.strings(ctx, query, args...)
}

// Write runs fn in a transaction on mail.sqlite. Other programs that hold the
// file are waited for, a few seconds.
func (m *Mail) Write(ctx context.Context, fn func(*Tx) error) error {
	if _, err := m.current(ctx); err != nil {
		return fmt.Errorf("write %s: %w", m.path, err)
	}
	w, err := m.writer(ctx)
	if err != nil {
		return err
	}
	return w.do(ctx, w.queue, func(t *Tx) error { return t.as(ctx, fn) })
}

func (m *Mail) writer(ctx context.Context) (*writer, error) {
	m.wmu.Lock()
	defer m.wmu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
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
