package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ErrStale says that a mailbox was written by somebody else since the caller
// read it: read it again.
var ErrStale = errors.New("mailbox index was changed by another writer")

// IndexMailbox is a row of Mailbox.
type IndexMailbox struct {
	Num, Account    int64
	Name, Dir       string
	Inode           int64
	Gen             int64 // counts writes; SaveMailbox
	Validity        uint32
	UIDNext         uint32
	ModSeq, Floor   uint64
	Messages        uint32
	Unseen, Deleted uint32
	Recent          uint32
	Size, DelSize   int64
	Cur, New        int64 // directory times
	Special         string
}

// IndexMessage is a row of Message.
type IndexMessage struct {
	UID     uint32
	ModSeq  uint64
	Flags   uint64
	Size    int64
	Date    int64
	Saved   int64
	Name    string
	Info    string
	HasInfo bool  // Info is the end of the file name
	Email   int64 // 0: none
}

// UIDRange is the UIDs First to Last.
type UIDRange struct{ First, Last uint32 }

// reading is the context of queries with many rows: with one that can end, the
// driver looks after it at every row. Their callers read in steps and look then.
func reading(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

func messageKey(mailbox int64, uid uint32) int64 { return mailbox<<32 | int64(uid) }

func keyUID(key int64) uint32 { return uint32(key) }

// IndexAccount returns the number of a user's account, 0 if there is none.
func (s *State) IndexAccount(ctx context.Context, user string) (int64, error) {
	row, err := s.queryRow(ctx, `SELECT accNum FROM Account WHERE accUser = ?`, user)
	if err != nil {
		return 0, err
	}
	var num int64
	err = row.Scan(&num)
	if err == sql.ErrNoRows {
		return 0, nil
	}
	return num, err
}

// IndexUsers returns the log-in names of all accounts.
func (s *State) IndexUsers(ctx context.Context) ([]string, error) {
	rows, err := s.query(ctx, `SELECT accUser FROM Account ORDER BY accUser`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var user string
		if err := rows.Scan(&user); err != nil {
			return nil, err
		}
		list = append(list, user)
	}
	return list, rows.Err()
}

// IndexUsage sums up what an account holds.
func (s *State) IndexUsage(ctx context.Context, account int64) (bytes, messages int64, err error) {
	row, err := s.queryRow(ctx, `SELECT ifnull(sum(mbSize), 0), ifnull(sum(mbMessages), 0) FROM Mailbox
		WHERE mbAccNum = ? AND mbName IS NOT NULL`, account)
	if err != nil {
		return 0, 0, err
	}
	err = row.Scan(&bytes, &messages)
	return bytes, messages, err
}

const mailboxColumns = `mbNum, mbAccNum, ifnull(mbName, ''), mbDir, mbInode, mbGen, mbValidity, mbUidNext, mbModSeq,
	mbFloor, mbMessages, mbUnseen, mbDeleted, mbRecent, mbSize, mbDelSize, mbCurTime, mbNewTime, ifnull(mbSpecial, '')`

func (m *IndexMailbox) scan(row interface{ Scan(...any) error }) error {
	return row.Scan(&m.Num, &m.Account, &m.Name, &m.Dir, &m.Inode, &m.Gen, &m.Validity, &m.UIDNext, &m.ModSeq,
		&m.Floor, &m.Messages, &m.Unseen, &m.Deleted, &m.Recent, &m.Size, &m.DelSize, &m.Cur, &m.New, &m.Special)
}

// IndexMailboxes returns all mailboxes of an account, by name.
func (s *State) IndexMailboxes(ctx context.Context, account int64) ([]IndexMailbox, error) {
	rows, err := s.query(ctx, `SELECT `+mailboxColumns+` FROM Mailbox
		WHERE mbAccNum = ? AND mbName IS NOT NULL ORDER BY mbName`, account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []IndexMailbox
	for rows.Next() {
		var m IndexMailbox
		if err := m.scan(rows); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, rows.Err()
}

// IndexMailboxNamed finds a mailbox by its name.
func (s *State) IndexMailboxNamed(ctx context.Context, account int64, name string) (m IndexMailbox, found bool, err error) {
	return s.indexMailbox(ctx, `SELECT `+mailboxColumns+` FROM Mailbox WHERE mbAccNum = ? AND mbName = ?`, account, name)
}

// IndexMailbox finds a mailbox by its number; a deleted one is not found.
func (s *State) IndexMailbox(ctx context.Context, num int64) (m IndexMailbox, found bool, err error) {
	return s.indexMailbox(ctx, `SELECT `+mailboxColumns+` FROM Mailbox WHERE mbNum = ? AND mbName IS NOT NULL`, num)
}

func (s *State) indexMailbox(ctx context.Context, query string, args ...any) (m IndexMailbox, found bool, err error) {
	row, err := s.queryRow(ctx, query, args...)
	if err != nil {
		return m, false, err
	}
	switch err := m.scan(row); err {
	case nil:
		return m, true, nil
	case sql.ErrNoRows:
		return m, false, nil
	default:
		return m, false, err
	}
}

// AddAccount returns the number of a user's account, made if need be.
func (t *Tx) AddAccount(user string) (num int64, err error) {
	if err := t.exec(`INSERT INTO Account (accUser) VALUES (?) ON CONFLICT (accUser) DO NOTHING`, user); err != nil {
		return 0, err
	}
	err = t.queryRow(`SELECT accNum FROM Account WHERE accUser = ?`, user).Scan(&num)
	return num, err
}

// AddMailbox makes a mailbox from Account, Name, Dir, Inode and Special, with a
// UIDVALIDITY of at least now that the account never had. It fills in the rest.
// Another mailbox of the name is an error.
func (t *Tx) AddMailbox(m *IndexMailbox, now uint32) error {
	err := t.queryRow(`UPDATE Account SET accValidity = max(accValidity + 1, ?) WHERE accNum = ? RETURNING accValidity`,
		now, m.Account).Scan(&m.Validity)
	if err != nil {
		return fmt.Errorf("take a UIDVALIDITY: %w", err)
	}
	m.UIDNext, m.ModSeq, m.Gen = 1, 1, 0
	return t.queryRow(`INSERT INTO Mailbox (mbAccNum, mbName, mbDir, mbInode, mbValidity, mbUidNext, mbModSeq, mbSpecial)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING mbNum`,
		m.Account, m.Name, m.Dir, m.Inode, m.Validity, m.UIDNext, m.ModSeq, nullText(m.Special)).Scan(&m.Num)
}

// SaveMailbox writes a mailbox that was read with Gen m.Gen, and raises m.Gen.
// ErrStale: somebody else has written it, or deleted it.
func (t *Tx) SaveMailbox(m *IndexMailbox) error {
	res, err := t.execResult(`UPDATE Mailbox SET mbName = ?, mbDir = ?, mbInode = ?, mbGen = mbGen + 1, mbValidity = ?,
		mbUidNext = ?, mbModSeq = ?, mbFloor = ?, mbMessages = ?, mbUnseen = ?, mbDeleted = ?, mbRecent = ?, mbSize = ?,
		mbDelSize = ?, mbCurTime = ?, mbNewTime = ?, mbSpecial = ?
		WHERE mbNum = ? AND mbGen = ? AND mbName IS NOT NULL`,
		m.Name, m.Dir, m.Inode, m.Validity, m.UIDNext, m.ModSeq, m.Floor, m.Messages, m.Unseen, m.Deleted, m.Recent,
		m.Size, m.DelSize, m.Cur, m.New, nullText(m.Special), m.Num, m.Gen)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, ErrStale)
	}
	m.Gen++
	return nil
}

// DropMailbox takes a mailbox out of sight. PurgeMailboxes removes its rows.
func (t *Tx) DropMailbox(num int64) error {
	return t.exec(`UPDATE Mailbox SET mbName = NULL, mbGen = mbGen + 1 WHERE mbNum = ?`, num)
}

func nullText(s string) any {
	if s == "" {
		return nil
	}
	return s
}
