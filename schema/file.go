package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite", pure Go
)

var (
	// ErrNewer says that the file was written by a newer program. It is
	// refused, since guessing at unknown tables would lose what they hold.
	ErrNewer = errors.New("database is newer than this program")
	// ErrNoDatabase says that the file is missing or holds no tables of ours.
	ErrNoDatabase = errors.New("no database here; run: mailserver init")
)

// busyTimeout is how long, in milliseconds, a statement waits for the lock of
// another program before the command is answered 451.
const busyTimeout = 3000

// cachePages bounds the page cache of one connection, in KiB. Memory is the
// users' scarcest good, and the file's pages are in the kernel's cache anyway.
const cachePages = 1024

// dsn names a database file with the pragmas that every connection needs.
func dsn(path string, readOnly bool) string {
	q := url.Values{}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout))
	q.Add("_pragma", "foreign_keys(1)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", fmt.Sprintf("cache_size(-%d)", cachePages))
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	}
	q.Set("_txlock", "immediate")
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// open opens path with at most conns connections, all kept.
func open(path string, conns int, readOnly bool) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(path, readOnly))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// migration is one step of a file's schema; step n leads to user_version n.
type migration struct {
	name string
	ddl  string
}

// migrate brings the file at path to the newest version, in one transaction,
// at the end of which last runs, if it is not nil. A new file is made readable
// by its owner only: it holds password hashes and keys. An older file is copied
// beside itself first.
func migrate(ctx context.Context, path string, steps []migration, last func(context.Context, *sql.Tx) error) error {
	if err := createFile(path); err != nil {
		return err
	}
	db, err := open(path, 1, false)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := ensureTemp(ctx, db, path); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "PRAGMA journal_mode=WAL"); err != nil {
		return fmt.Errorf("set journal mode of %s: %w", path, err)
	}
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("read version of %s: %w", path, err)
	}
	switch {
	case version > len(steps):
		return fmt.Errorf("%s has version %d, this program knows %d: %w", path, version, len(steps), ErrNewer)
	case version == len(steps):
		return nil
	case version > 0:
		if err := snapshot(ctx, db, path, version); err != nil {
			return err
		}
	}
	return wrap("migrate "+path, migrateSteps(ctx, db, steps, last))
}

func migrateSteps(ctx context.Context, db *sql.DB, steps []migration, last func(context.Context, *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version int // another process may have been here first
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil || version >= len(steps) {
		return err
	}
	for n := version; n < len(steps); n++ {
		if _, err := tx.ExecContext(ctx, steps[n].ddl); err != nil {
			return fmt.Errorf("to version %d (%s): %w", n+1, steps[n].name, err)
		}
	}
	if last != nil {
		if err := last(ctx, tx); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version=%d", len(steps))); err != nil {
		return err
	}
	return tx.Commit()
}

func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return f.Close()
}

// snapshotsKept is how many copies of older versions stay beside a file.
const snapshotsKept = 3

// snapshot keeps what the file was before a migration, as PATH.vVERSION, on disk
// when it returns. A file that was put back from a copy, and changed, is copied
// again.
func snapshot(ctx context.Context, db *sql.DB, path string, version int) error {
	keep := fmt.Sprintf("%s.v%d", path, version)
	part := keep + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, err := db.ExecContext(ctx, "VACUUM INTO ?", part)
	if err == nil {
		err = syncCopy(part)
	}
	if err == nil {
		err = os.Rename(part, keep)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		os.Remove(part)
		return fmt.Errorf("copy %s before migration: %w", path, err)
	}
	for old := version - snapshotsKept; old > 0; old-- {
		os.Remove(fmt.Sprintf("%s.v%d", path, old))
	}
	return nil
}

// syncCopy has a copy of a database on disk, for its owner only.
func syncCopy(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func mustExist(path string) error {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || (err == nil && st.Size() == 0) {
		return fmt.Errorf("%s: %w", path, ErrNoDatabase)
	}
	return err
}
