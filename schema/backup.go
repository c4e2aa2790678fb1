package schema

import (
	"context"
	"fmt"
)

// CopyDatabase writes a consistent copy of a database as it is at this moment,
// whoever writes to it meanwhile, and has it on disk. to must not exist.
func CopyDatabase(ctx context.Context, from, to string) error {
	if err := mustExist(from); err != nil {
		return err
	}
	db, err := open(from, 1, false)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return syncCopy(to)
}

// CheckDatabase reports whether a database file is whole.
func CheckDatabase(ctx context.Context, path string) error {
	db, err := open(path, 1, true)
	if err != nil {
		return err
	}
	defer db.Close()
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&answer); err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	if answer != "ok" {
		return fmt.Errorf("check %s: %s", path, answer)
	}
	return nil
}

// RestoredGap is how far UIDs and MODSEQs jump in a restored index. What was
// given out after the backup was made is never given to other mail: clients
// remember it (RFC 3501 §2.3.1.1).
const RestoredGap = 1 << 16

// Restored makes an index that was copied from elsewhere fit: directories are
// read anew, numbers jump by RestoredGap, and mail that waited is put on hold,
// since it may have gone out after the copy was made. It returns how many
// recipients are on hold.
func (t *Tx) Restored() (held int64, err error) {
	if err := t.exec(`UPDATE Mailbox SET mbInode = 0, mbCurTime = 0, mbNewTime = 0, mbGen = mbGen + 1,
		mbUidNext = mbUidNext + ?, mbModSeq = mbModSeq + ?`, RestoredGap, RestoredGap); err != nil {
		return 0, err
	}
	res, err := t.execResult(`UPDATE QRecipient SET qrState = 2 WHERE qrState IN (0, 1)`)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
