package schema

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// ensureTemp gives SQLite, which writes what undoes a large statement to a
// temporary file, the directory of the database for it, where the system has
// none: a container of the program alone.
func ensureTemp(ctx context.Context, db *sql.DB, path string) error {
	// https://www.sqlite.org/tempfiles.html §5
	where := []string{os.Getenv("SQLITE_TMPDIR"), os.Getenv("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp", "."}
	if slices.ContainsFunc(where, mayWrite) {
		return nil
	}
	var have string
	dir := filepath.Dir(path)
	if err := db.QueryRowContext(ctx, "PRAGMA temp_store_directory").Scan(&have); err == nil && have == dir {
		return nil
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA temp_store_directory='%s'", strings.ReplaceAll(dir, "'", "''")))
	return wrap("choose a directory for temporary files", err)
}

func mayWrite(dir string) bool {
	st, err := os.Stat(dir)
	const writeSearch = 2 | 1
	return err == nil && st.IsDir() && syscall.Access(dir, writeSearch) == nil
}
