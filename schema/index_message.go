package schema

import (
	"bytes"
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// EachMessage calls fn for the messages of a mailbox with UIDs first to last,
// in order. The row is valid until fn returns; fn must not ask for more.
func (s *State) EachMessage(ctx context.Context, mailbox int64, first, last uint32, fn func(*IndexMessage) error) error {
	rows, err := s.query(reading(ctx), `SELECT msgKey, msgModSeq, msgFlags, msgSize, msgDate, msgSaved, msgName, msgInfo, msgEmail
		FROM Message WHERE msgKey BETWEEN ? AND ?`, messageKey(mailbox, first), messageKey(mailbox, last))
	if err != nil {
		return err
	}
	defer rows.Close()
	var m IndexMessage
	for rows.Next() {
		var key, flags int64
		var info sql.NullString
		var email sql.NullInt64
		if err := rows.Scan(&key, &m.ModSeq, &flags, &m.Size, &m.Date, &m.Saved, &m.Name, &info, &email); err != nil {
			return err
		}
		m.UID, m.Flags = keyUID(key), uint64(flags)
		m.Info, m.HasInfo, m.Email = info.String, info.Valid, email.Int64
		if err := fn(&m); err != nil {
			return err
		}
	}
	return rows.Err()
}

// FileRow is what a row of Message tells of the file. Its slices are valid until
// the function that got it returns.
type FileRow struct {
	UID        uint32
	Size       int64
	Name, Info []byte
	HasInfo    bool
}

// EachFile calls fn for the files of messages with UIDs first to last, in order,
// of which there should be some hundreds at most: they come as one text, since
// a row by itself costs more than all that is in it. No name of a file has a
// slash.
func (s *State) EachFile(ctx context.Context, mailbox int64, first, last uint32, fn func(*FileRow) error) error {
	return s.eachFile(ctx, fn, filesAsText+`Message WHERE msgKey BETWEEN ? AND ?`, messageKey(mailbox, first), messageKey(mailbox, last))
}

// filesAsText begins the statements of EachFile and EachFileOf.
const filesAsText = `SELECT group_concat(
	(msgKey & 4294967295) || '/' || msgSize || '/' || msgName || '/' || ifnull('+' || msgInfo, ''), '/') FROM `

// EachFileOf is EachFile for UIDs that lie far apart. They come in the order given
// as SQLite is now; who needs that looks.
func (s *State) EachFileOf(ctx context.Context, mailbox int64, uids []uint32, fn func(*FileRow) error) error {
	keys := []byte{'['}
	for _, uid := range uids {
		keys = append(strconv.AppendInt(keys, messageKey(mailbox, uid), 10), ',')
	}
	keys[len(keys)-1] = ']'
	return s.eachFile(ctx, fn, filesAsText+`json_each(?) CROSS JOIN Message ON msgKey = json_each.value`, string(keys))
}

func (s *State) eachFile(ctx context.Context, fn func(*FileRow) error, query string, args ...any) error {
	rows, err := s.query(reading(ctx), query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var text sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if err := parseFiles(text, fn); err != nil {
			return err
		}
	}
	return rows.Err()
}

func parseFiles(text []byte, fn func(*FileRow) error) error {
	var f FileRow
	word := func() []byte {
		w, rest, _ := bytes.Cut(text, []byte("/"))
		text = rest
		return w
	}
	for len(text) > 0 {
		f.UID, f.Size = uint32(decimal(word())), decimal(word())
		f.Name, f.Info = word(), word()
		if f.HasInfo = len(f.Info) > 0; f.HasInfo {
			f.Info = f.Info[1:]
		}
		if err := fn(&f); err != nil {
			return err
		}
	}
	return nil
}

// decimal reads what SQLite has written as one, without a sign.
func decimal(digits []byte) (n int64) {
	for _, c := range digits {
		n = 10*n + int64(c-'0')
	}
	return n
}

// EachName is EachMessage with UID and name only. Name is valid until fn
// returns.
func (s *State) EachName(ctx context.Context, mailbox int64, first, last uint32, fn func(uid uint32, name []byte) error) error {
	rows, err := s.query(reading(ctx), `SELECT msgKey, msgName FROM Message WHERE msgKey BETWEEN ? AND ?`,
		messageKey(mailbox, first), messageKey(mailbox, last))
	if err != nil {
		return err
	}
	defer rows.Close()
	var key int64
	var name sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&key, &name); err != nil {
			return err
		}
		if err := fn(keyUID(key), name); err != nil {
			return err
		}
	}
	return rows.Err()
}

// MessageRow returns one message.
func (s *State) MessageRow(ctx context.Context, mailbox int64, uid uint32) (m IndexMessage, found bool, err error) {
	err = s.EachMessage(ctx, mailbox, uid, uid, func(row *IndexMessage) error {
		m, found = *row, true
		return nil
	})
	return m, found, err
}

// addRows is how many rows of Message one statement adds, where there are many: a
// statement costs as much as several rows.
const addRows = 16

var (
	addMessage  = `INSERT INTO Message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
	addMessages = addMessage + strings.Repeat(`, (?, ?, ?, ?, ?, ?, ?, ?, ?)`, addRows-1)
)

// AddMessages adds rows with the UIDs that they carry.
func (t *Tx) AddMessages(mailbox int64, list []IndexMessage) error {
	args := make([]any, 0, addRows*9)
	for len(list) > 0 {
		query, n := addMessage, 1
		if len(list) >= addRows {
			query, n = addMessages, addRows
		}
		args = args[:0]
		for i := range list[:n] {
			args = list[i].appendColumns(args, mailbox)
		}
		if err := t.exec(query, args...); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

func (m *IndexMessage) appendColumns(args []any, mailbox int64) []any {
	var info, email any
	if m.HasInfo {
		info = m.Info
	}
	if m.Email != 0 {
		email = m.Email
	}
	return append(args, messageKey(mailbox, m.UID), int64(m.ModSeq), int64(m.Flags), m.Size, m.Date, m.Saved, m.Name, info, email)
}

// MaskFlags changes the flags of all messages in a range of UIDs to
// flags & keep | set. A modSeq of 0 leaves MODSEQ as it is.
func (t *Tx) MaskFlags(mailbox int64, r UIDRange, keep, set uint64, modSeq uint64) error {
	first, last := messageKey(mailbox, r.First), messageKey(mailbox, r.Last)
	if modSeq == 0 {
		return t.exec(`UPDATE Message SET msgFlags = (msgFlags & ?) | ? WHERE msgKey BETWEEN ? AND ?`,
			int64(keep), int64(set), first, last)
	}
	return t.exec(`UPDATE Message SET msgFlags = (msgFlags & ?) | ?, msgModSeq = ? WHERE msgKey BETWEEN ? AND ?`,
		int64(keep), int64(set), int64(modSeq), first, last)
}

// SetFile writes what a message's file name says: Flags, ModSeq, Info, HasInfo.
func (t *Tx) SetFile(mailbox int64, m *IndexMessage) error {
	var info any
	if m.HasInfo {
		info = m.Info
	}
	return t.exec(`UPDATE Message SET msgFlags = ?, msgModSeq = ?, msgInfo = ? WHERE msgKey = ?`,
		int64(m.Flags), int64(m.ModSeq), info, messageKey(mailbox, m.UID))
}

// SetSize corrects RFC822.SIZE.
func (t *Tx) SetSize(mailbox int64, uid uint32, size int64) error {
	return t.exec(`UPDATE Message SET msgSize = ? WHERE msgKey = ?`, size, messageKey(mailbox, uid))
}

// ExpungeMessages removes the messages in the ranges and remembers them as
// expunged at modSeq. They ascend; a range may span UIDs that are gone already.
func (t *Tx) ExpungeMessages(mailbox int64, ranges []UIDRange, modSeq uint64) error {
	for _, r := range ranges {
		first, last := messageKey(mailbox, r.First), messageKey(mailbox, r.Last)
		if err := t.exec(`DELETE FROM Message WHERE msgKey BETWEEN ? AND ?`, first, last); err != nil {
			return err
		}
		err := t.exec(`INSERT INTO Expunged VALUES (?, ?, ?, ?)`, mailbox, int64(modSeq), r.First, r.Last)
		if err != nil {
			return err
		}
	}
	return t.dropCached(mailbox, ranges)
}

// ExpungedFloor returns the MODSEQ up to which the history of a mailbox must be
// forgotten to keep the given number of ranges; 0 if there are not so many.
func (s *State) ExpungedFloor(ctx context.Context, mailbox int64, keep int) (floor uint64, err error) {
	row, err := s.queryRow(ctx, `SELECT expModSeq FROM Expunged WHERE expMbNum = ? ORDER BY expModSeq DESC LIMIT 1 OFFSET ?`,
		mailbox, keep)
	if err != nil {
		return 0, err
	}
	if err = row.Scan(&floor); err == sql.ErrNoRows {
		return 0, nil
	}
	return floor, err
}

// ForgetExpunged forgets what was expunged up to floor; the caller saves Floor.
func (t *Tx) ForgetExpunged(mailbox int64, floor uint64) error {
	return t.exec(`DELETE FROM Expunged WHERE expMbNum = ? AND expModSeq <= ?`, mailbox, int64(floor))
}

// ExpungedSince returns what was expunged after modSeq, in the order of time.
func (s *State) ExpungedSince(ctx context.Context, mailbox int64, modSeq uint64) ([]UIDRange, error) {
	rows, err := s.query(ctx, `SELECT expFirst, expLast FROM Expunged WHERE expMbNum = ? AND expModSeq > ?`,
		mailbox, int64(modSeq))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []UIDRange
	for rows.Next() {
		var r UIDRange
		if err := rows.Scan(&r.First, &r.Last); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// Keywords returns the names of a mailbox's keywords by number.
func (s *State) Keywords(ctx context.Context, mailbox int64) (map[int]string, error) {
	rows, err := s.query(ctx, `SELECT kwNum, kwName FROM Keyword WHERE kwMbNum = ?`, mailbox)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names := make(map[int]string)
	for rows.Next() {
		var num int
		var name string
		if err := rows.Scan(&num, &name); err != nil {
			return nil, err
		}
		names[num] = name
	}
	return names, rows.Err()
}

// SetKeyword names a keyword of a mailbox.
func (t *Tx) SetKeyword(mailbox int64, num int, name string) error {
	return t.exec(`INSERT INTO Keyword VALUES (?, ?, ?) ON CONFLICT (kwMbNum, kwNum) DO UPDATE SET kwName = excluded.kwName`,
		mailbox, num, name)
}
