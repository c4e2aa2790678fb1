package schema

import (
	"context"
	"database/sql"
)

// CachedData is a row of MessageCache.
type CachedData struct {
	UID     uint32
	Version uint8
	Data    []byte
}

// EachCached calls fn for what is kept about the messages with UIDs first to
// last, in order, until fn returns false. data is valid until fn returns.
func (s *State) EachCached(ctx context.Context, mailbox int64, version uint8, first, last uint32, fn func(uid uint32, data []byte) bool) error {
	rows, err := s.query(ctx, `SELECT mcKey, mcVersion, mcData FROM MessageCache WHERE mcKey BETWEEN ? AND ?`,
		messageKey(mailbox, first), messageKey(mailbox, last))
	if err != nil {
		return err
	}
	defer rows.Close()
	var data sql.RawBytes
	var key int64
	var got uint8
	for rows.Next() {
		if err := rows.Scan(&key, &got, &data); err != nil {
			return err
		}
		if got == version && !fn(keyUID(key), data) {
			return nil
		}
	}
	return rows.Err()
}

// PutCached keeps derived data of messages. Rows of messages that are gone are
// not written.
func (t *Tx) PutCached(mailbox int64, list []CachedData) error {
	for _, c := range list {
		key := messageKey(mailbox, c.UID)
		err := t.exec(`INSERT OR REPLACE INTO MessageCache SELECT ?, ?, ? WHERE EXISTS (SELECT 1 FROM Message WHERE msgKey = ?)`,
			key, c.Version, c.Data, key)
		if err != nil {
			return err
		}
	}
	return nil
}

// PurgeMailboxes removes up to limit rows of deleted mailboxes, and tells
// whether there are more. In steps, so that no other write waits for long.
func (t *Tx) PurgeMailboxes(limit int) (more bool, err error) {
	var num int64
	err = t.queryRow(`SELECT mbNum FROM Mailbox WHERE mbName IS NULL LIMIT 1`).Scan(&num)
	if err == sql.ErrNoRows {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	first, last := messageKey(num, 0), messageKey(num, 1<<32-1)
	for _, q := range []string{
		`DELETE FROM MessageCache WHERE mcKey IN (SELECT mcKey FROM MessageCache WHERE mcKey BETWEEN ? AND ? LIMIT ?)`,
		`DELETE FROM Message WHERE msgKey IN (SELECT msgKey FROM Message WHERE msgKey BETWEEN ? AND ? LIMIT ?)`,
	} {
		res, err := t.execResult(q, first, last, limit)
		if err != nil {
			return false, err
		}
		if n, err := res.RowsAffected(); err != nil || n == int64(limit) {
			return true, err
		}
	}
	for _, q := range []string{
		`DELETE FROM Expunged WHERE expMbNum = ?`,
		`DELETE FROM Keyword WHERE kwMbNum = ?`,
		`DELETE FROM Mailbox WHERE mbNum = ?`,
	} {
		if err := t.exec(q, num); err != nil {
			return false, err
		}
	}
	return true, nil
}

// ForgetAccount takes all mailboxes of a user out of sight. The account itself
// stays, since its next UIDVALIDITY must be higher than all before.
func (t *Tx) ForgetAccount(user string) error {
	return t.exec(`UPDATE Mailbox SET mbName = NULL, mbGen = mbGen + 1
		WHERE mbAccNum = (SELECT accNum FROM Account WHERE accUser = ?)`, user)
}

// StrayRows counts messages, expunged ranges and keywords that belong to no
// mailbox. There should be none.
func (s *State) StrayRows(ctx context.Context) (n int64, err error) {
	row, err := s.queryRow(ctx, `SELECT
		(SELECT count(*) FROM Message WHERE msgKey >> 32 NOT IN (SELECT mbNum FROM Mailbox)) +
		(SELECT count(*) FROM MessageCache WHERE NOT EXISTS (SELECT 1 FROM Message WHERE msgKey = mcKey)) +
		(SELECT count(*) FROM Expunged WHERE expMbNum NOT IN (SELECT mbNum FROM Mailbox)) +
		(SELECT count(*) FROM Keyword WHERE kwMbNum NOT IN (SELECT mbNum FROM Mailbox))`)
	if err != nil {
		return 0, err
	}
	err = row.Scan(&n)
	return n, err
}
