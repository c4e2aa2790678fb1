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

// migrate brings the file at path to the newest version. A new file is made
// readable by its owner only: it holds password hashes and keys. An older file
// is copied beside itself first.
func migrate(ctx context.Context, path string, steps []migration) error {
	if err := createFile(path); err != nil {
		return err
	}
	db, err := open(path, 1, false)
	if err != nil {
		return err
	}
	defer db.Close()
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
	for n := version; n < len(steps); n++ {
		if err := step(ctx, db, n+1, steps[n]); err != nil {
			return fmt.Errorf("migrate %s to version %d (%s): %w", path, n+1, steps[n].name, err)
		}
	}
	return nil
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

// snapshot keeps what the file was before a migration.
func snapshot(ctx context.Context, db *sql.DB, path string, version int) error {
	keep := fmt.Sprintf("%s.v%d", path, version)
	if _, err := os.Stat(keep); err == nil {
		return nil
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", keep); err != nil {
		return fmt.Errorf("copy %s before migration: %w", path, err)
	}
	return nil
}

func step(ctx context.Context, db *sql.DB, n int, m migration) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, m.ddl); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version=%d", n)); err != nil {
		return err
	}
	return tx.Commit()
}

func mustExist(path string) error {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || (err == nil && st.Size() == 0) {
		return fmt.Errorf("%s: %w", path, ErrNoDatabase)
	}
	return err
}
