package schema

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"slices"
)

// CacheColumns is how many columns MessageCache has.
const CacheColumns = 4

const (
	blockBits  = 5
	columnBits = 32 - blockBits
)

// CachedData is what is kept of one message; nil columns are left as they are.
type CachedData struct {
	UID  uint32
	Data [CacheColumns][]byte
}

func blockKey(mailbox int64, column int, uid uint32) int64 {
	return mailbox<<32 | int64(column)<<columnBits | int64(uid>>blockBits)
}

// EachCached calls fn for what is kept in a column about the messages with UIDs
// first to last, in order, until fn returns false. data is valid until fn
// returns.
func (s *State) EachCached(ctx context.Context, mailbox int64, column int, first, last uint32, fn func(uid uint32, data []byte) bool) error {
	rows, err := s.query(reading(ctx), `SELECT mcKey, mcData FROM MessageCache WHERE mcKey BETWEEN ? AND ?`,
		blockKey(mailbox, column, first), blockKey(mailbox, column, last))
	if err != nil {
		return err
	}
	defer rows.Close()
	var block sql.RawBytes
	var key int64
	for rows.Next() {
		if err := rows.Scan(&key, &block); err != nil {
			return err
		}
		goOn := eachInBlock(uint32(key)<<blockBits, block, func(uid uint32, data []byte) bool {
			return uid < first || uid <= last && fn(uid, data)
		})
		if !goOn {
			return nil
		}
	}
	return rows.Err()
}

// A block is, for each message in the order of UIDs: the low bits of the UID in
// a byte, the length of its data as uvarint, the data.

func eachInBlock(base uint32, block []byte, fn func(uid uint32, data []byte) bool) bool {
	for len(block) > 1 {
		low := uint32(block[0])
		size, n := binary.Uvarint(block[1:])
		if n <= 0 || low>>blockBits != 0 || size > uint64(len(block)-1-n) {
			return true // damaged: the rest is not known
		}
		block = block[1+n:]
		if !fn(base|low, block[:size:size]) {
			return false
		}
		block = block[size:]
	}
	return true
}

func appendToBlock(block []byte, uid uint32, data []byte) []byte {
	block = append(block, byte(uid&(1<<blockBits-1)))
	block = binary.AppendUvarint(block, uint64(len(data)))
	return append(block, data...)
}

// PutCached keeps derived data of messages. Data of messages that are gone is
// not written, and dropped from the blocks that are.
func (t *Tx) PutCached(mailbox int64, list []CachedData) error {
	slices.SortStableFunc(list, func(a, b CachedData) int { return cmp.Compare(a.UID, b.UID) })
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].UID>>blockBits == list[0].UID>>blockBits {
			n++
		}
		if err := t.putBlock(mailbox, list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// putBlock writes data of messages that share a block.
func (t *Tx) putBlock(mailbox int64, list []CachedData) error {
	base := list[0].UID &^ (1<<blockBits - 1)
	live, err := t.liveIn(mailbox, base)
	if err != nil {
		return err
	}
	for column := range CacheColumns {
		var merged [1 << blockBits][]byte
		fresh := false
		for i := range list {
			if data := list[i].Data[column]; data != nil {
				merged[list[i].UID-base], fresh = data, true
			}
		}
		if !fresh {
			continue
		}
		if err := t.mergeBlock(blockKey(mailbox, column, base), base, live, &merged); err != nil {
			return err
		}
	}
	return nil
}

// mergeBlock writes a block with what is in merged, and else with what it had.
func (t *Tx) mergeBlock(key int64, base uint32, live uint32, merged *[1 << blockBits][]byte) error {
	var old []byte
	err := t.queryRow(`SELECT mcData FROM MessageCache WHERE mcKey = ?`, key).Scan(&old)
	if err != nil && err != sql.ErrNoRows {
		return err
	}
	eachInBlock(0, old, func(low uint32, data []byte) bool {
		if merged[low] == nil {
			merged[low] = data
		}
		return true
	})
	size := 0
	for _, data := range merged {
		size += len(data) + 1 + binary.MaxVarintLen32
	}
	block := make([]byte, 0, size)
	for low, data := range merged {
		if data != nil && live>>low&1 != 0 {
			block = appendToBlock(block, base|uint32(low), data)
		}
	}
	if len(block) == 0 {
		return nil
	}
	return t.exec(`INSERT OR REPLACE INTO MessageCache VALUES (?, ?)`, key, block)
}

// liveIn tells which messages of a block there are, a bit each.
func (t *Tx) liveIn(mailbox int64, base uint32) (live uint32, err error) {
	rows, err := t.query(`SELECT msgKey FROM Message WHERE msgKey BETWEEN ? AND ?`,
		messageKey(mailbox, base), messageKey(mailbox, base|(1<<blockBits-1)))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var key int64
		if err := rows.Scan(&key); err != nil {
			return 0, err
		}
		live |= 1 << (keyUID(key) - base)
	}
	return live, rows.Err()
}

// dropCached drops the blocks of ranges that have no message any more. What
// others share with messages that are left goes when they are next written, or
// with the last of those.
func (t *Tx) dropCached(mailbox int64, ranges []UIDRange) error {
	next := uint32(0) // the block after the last one looked at
	for _, r := range ranges {
		first, last := max(r.First>>blockBits, next), r.Last>>blockBits
		if first > last {
			continue
		}
		next = last + 1
		if err := t.dropBlocks(mailbox, first, last); err != nil {
			return err
		}
	}
	return nil
}

// dropBlocks drops blocks of which only the first and the last may have
// messages.
func (t *Tx) dropBlocks(mailbox int64, first, last uint32) error {
	var live [2]uint32
	for i, edge := range [2]uint32{first, last} {
		var err error
		if live[i], err = t.liveIn(mailbox, edge<<blockBits); err != nil {
			return err
		}
	}
	from, to := int64(first), int64(last)
	if live[0] != 0 {
		from++
	}
	if live[1] != 0 {
		to--
	}
	for column := 0; column < CacheColumns && from <= to; column++ {
		err := t.exec(`DELETE FROM MessageCache WHERE mcKey BETWEEN ? AND ?`,
			blockKey(mailbox, column, uint32(from)<<blockBits), blockKey(mailbox, column, uint32(to)<<blockBits))
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
		`DELETE FROM Annotation WHERE anMbNum = ?`,
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
		(SELECT count(*) FROM MessageCache WHERE NOT EXISTS (SELECT 1 FROM Message
			WHERE msgKey BETWEEN (mcKey >> 32 << 32) + ((mcKey & 0x7ffffff) << 5)
				AND (mcKey >> 32 << 32) + ((mcKey & 0x7ffffff) << 5) + 31)) +
		(SELECT count(*) FROM Expunged WHERE expMbNum NOT IN (SELECT mbNum FROM Mailbox)) +
		(SELECT count(*) FROM Keyword WHERE kwMbNum NOT IN (SELECT mbNum FROM Mailbox))`)
	if err != nil {
		return 0, err
	}
	err = row.Scan(&n)
	return n, err
}
