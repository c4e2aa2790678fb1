package schema

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"mailserver/internal/textindex"
)

//go:embed fts.sql
var ftsDDL string

// ftsVersion changes with the tables, with internal/textindex, and with how texts
// are folded: a file of another version is made anew.
const ftsVersion = 4

// TextIndex is the text index of one account. For any goroutine; writes of several
// wait for one another.
type TextIndex struct {
	db   *sql.DB
	path string
}

// OpenTextIndex opens the text index at path for a user, making it as needed. One
// that cannot be read, or is of another user or version, is made anew: nothing in
// it is not elsewhere.
func OpenTextIndex(ctx context.Context, path, user string) (*TextIndex, error) {
	x, err := openTextIndex(ctx, path)
	if err != nil {
		return nil, err
	}
	fits, err := x.fits(ctx, user)
	if err == nil && fits {
		return x, nil
	}
	x.Close()
	if err != nil && !IsDamaged(err) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if err := RemoveTextIndex(path); err != nil {
		return nil, err
	}
	if x, err = openTextIndex(ctx, path); err != nil {
		return nil, err
	}
	if err := x.create(ctx, user); err != nil {
		x.Close()
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	return x, nil
}

// RemoveTextIndex removes the files of a text index that nobody has open.
func RemoveTextIndex(path string) error {
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove text index: %w", err)
		}
	}
	return nil
}

// IsDamaged tells whether an error says that a text index is broken, or no
// database: its tables are not there, or hold what they cannot.
func IsDamaged(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return errors.Is(err, textindex.ErrDamaged)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT,
		sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_FORMAT:
		return true
	}
	return false
}

// scanRow reads a row. What does not fit its columns is damage.
func scanRow(row interface{ Scan(...any) error }, into ...any) error {
	err := row.Scan(into...)
	var e *sqlite.Error
	if err == nil || errors.Is(err, sql.ErrNoRows) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &e) {
		return err
	}
	return errors.Join(textindex.ErrDamaged, err)
}

func openTextIndex(ctx context.Context, path string) (*TextIndex, error) {
	if err := createFile(path); err != nil {
		return nil, err
	}
	giveToOwner(path)
	q := url.Values{}
	for _, p := range []string{fmt.Sprintf("busy_timeout(%d)", busyTimeout), "auto_vacuum(2)", "journal_mode(WAL)", "synchronous(NORMAL)",
		"cache_size(-512)", "journal_size_limit(1000000)"} {
		q.Add("_pragma", p)
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(3)
	db.SetMaxIdleConns(1)
	db.SetConnMaxIdleTime(time.Minute)
	return &TextIndex{db, filepath.Clean(path)}, nil
}

// giveToOwner gives a file that a command of root has made, and its directory, to
// who owns the data directory: the server may run as somebody else.
func giveToOwner(path string) {
	dir := filepath.Dir(path)
	st, err := os.Stat(filepath.Dir(dir))
	if err != nil || os.Geteuid() != 0 {
		return
	}
	if owner, ok := st.Sys().(*syscall.Stat_t); ok && owner.Uid != 0 {
		os.Chown(dir, int(owner.Uid), int(owner.Gid))
		os.Chown(path, int(owner.Uid), int(owner.Gid))
	}
}

// fits tells whether the file can be used as it is.
func (x *TextIndex) fits(ctx context.Context, user string) (bool, error) {
	var version int
	if err := scanRow(x.db.QueryRowContext(ctx, "PRAGMA user_version"), &version); err != nil || version != ftsVersion {
		return false, err
	}
	var owner string
	err := scanRow(x.db.QueryRowContext(ctx, "SELECT ownUser FROM Owner"), &owner)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil && owner == user, err
}

func (x *TextIndex) create(ctx context.Context, user string) error {
	return x.Write(ctx, func(t *TextTx) error {
		if err := t.exec(ftsDDL + fmt.Sprintf("PRAGMA user_version=%d", ftsVersion)); err != nil {
			return err
		}
		return t.exec("INSERT INTO Owner VALUES (?)", user)
	})
}

// Close closes the file.
func (x *TextIndex) Close() error { return x.db.Close() }

// Size is how many bytes of the file are used.
func (x *TextIndex) Size(ctx context.Context) (bytes int64, err error) {
	err = x.db.QueryRowContext(ctx, `SELECT (page_count - freelist_count) * page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`).Scan(&bytes)
	return bytes, err
}

// GiveBack makes the file smaller by what was deleted.
func (x *TextIndex) GiveBack(ctx context.Context) error {
	rows, err := x.db.QueryContext(ctx, "PRAGMA incremental_vacuum")
	if err != nil {
		return err
	}
	for rows.Next() {
	}
	return errors.Join(rows.Err(), rows.Close())
}

// Read runs fn on the index as it is at this moment, whatever is written
// meanwhile.
func (x *TextIndex) Read(ctx context.Context, fn func(*TextTx) error) error {
	return x.run(ctx, "BEGIN", fn)
}

// Write runs fn in a transaction. A crash undoes the last ones at most.
func (x *TextIndex) Write(ctx context.Context, fn func(*TextTx) error) error {
	return x.run(ctx, "BEGIN IMMEDIATE", fn)
}

func (x *TextIndex) run(ctx context.Context, begin string, fn func(*TextTx) error) (err error) {
	conn, err := x.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	t := &TextTx{ctx: ctx, conn: conn, stmts: make(map[string]*sql.Stmt)}
	defer t.close()
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return err
	}
	end := "ROLLBACK"
	defer func() {
		t.close()
		if _, e := conn.ExecContext(context.WithoutCancel(ctx), end); err == nil {
			err = e
		}
	}()
	if err = fn(t); err == nil {
		end = "COMMIT"
	}
	return err
}

// Clear removes all that is in the index.
func (t *TextTx) Clear() error {
	for _, q := range []string{"DELETE FROM Segment", "DELETE FROM Gram", "DELETE FROM Word", "DELETE FROM Doc", "DELETE FROM Mailbox", "DELETE FROM Place"} {
		if err := t.exec(q); err != nil {
			return err
		}
	}
	return nil
}

// TextTx is a transaction, for one goroutine, until the function ends that it was
// handed to.
type TextTx struct {
	ctx   context.Context
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func (t *TextTx) close() {
	for _, s := range t.stmts {
		s.Close()
	}
	clear(t.stmts)
}

func (t *TextTx) stmt(query string) (*sql.Stmt, error) {
	if s := t.stmts[query]; s != nil {
		return s, nil
	}
	s, err := t.conn.PrepareContext(t.ctx, query)
	if err == nil {
		t.stmts[query] = s
	}
	return s, err
}

func (t *TextTx) exec(query string, args ...any) error {
	if len(args) == 0 {
		_, err := t.conn.ExecContext(t.ctx, query)
		return err
	}
	s, err := t.stmt(query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(t.ctx, args...)
	return err
}

func (t *TextTx) query(query string, args ...any) (*sql.Rows, error) {
	s, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(t.ctx, args...)
}

// scan reads one row; false if there is none.
func (t *TextTx) scan(query string, args []any, into ...any) (bool, error) {
	s, err := t.stmt(query)
	if err != nil {
		return false, err
	}
	err = scanRow(s.QueryRowContext(t.ctx, args...), into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
