package schema

import (
	"context"
	"database/sql"
	"fmt"
)

// Script runs SQL statements on the file at path as another program would: on
// a connection of its own, with the pragmas of the sqlite3 shell, where foreign
// keys are not enforced. It is for the sample database and for tests.
func Script(ctx context.Context, path, statements string) error {
	if err := mustExist(path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if err := ensureTemp(ctx, db, path); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "PRAGMA busy_timeout=3000;"+statements)
	return wrap("run statements on "+path, err)
}
