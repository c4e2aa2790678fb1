package schema

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// VerifyStatus is what is known of an address.
type VerifyStatus int

// Values of vfStatus.
const (
	VerifyUnknown VerifyStatus = iota
	VerifyOK
	VerifyBounce
	VerifyDefer
)

// String is the word that people read.
func (s VerifyStatus) String() string {
	return [...]string{"unknown", "deliverable", "undeliverable", "deferred"}[min(max(int(s), 0), 3)]
}

// Verified is a row of Verify.
type Verified struct {
	Address string
	Status  VerifyStatus
	Updated time.Time
	Text    string
}

// mostVerified bounds the table.
const mostVerified = 100_000

// VerifyLook returns what is known of an address, in lower case; nil if
// nothing.
func (s *State) VerifyLook(ctx context.Context, address string) (*Verified, error) {
	row, err := s.queryRow(ctx, `SELECT vfAddress, vfStatus, vfUpdated, vfText FROM Verify WHERE vfAddress = ?`, address)
	if err != nil {
		return nil, wrap("look up verified address", err)
	}
	v, err := scanVerified(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return v, wrap("look up verified address", err)
}

func scanVerified(scan func(...any) error) (*Verified, error) {
	v := &Verified{}
	var updated int64
	if err := scan(&v.Address, &v.Status, &updated, &v.Text); err != nil {
		return nil, err
	}
	v.Updated = time.Unix(updated, 0)
	return v, nil
}

// VerifyResult records an answer. A bad one does not replace a good one that
// holds until then (positive): the address is asked again instead. verify(8)
func (t *Tx) VerifyResult(address string, status VerifyStatus, text string, now, positive time.Time) error {
	err := t.exec(`INSERT INTO Verify (vfAddress, vfStatus, vfUpdated, vfText) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (vfAddress) DO UPDATE SET
		vfUpdated = iif(?2 <> 1 AND vfStatus = 1 AND vfUpdated >= ?5, vfUpdated, ?3),
		vfText    = iif(?2 <> 1 AND vfStatus = 1 AND vfUpdated >= ?5, vfText, ?4),
		vfStatus  = iif(?2 <> 1 AND vfStatus = 1 AND vfUpdated >= ?5, 1, ?2)`,
		address, int(status), now.Unix(), text, positive.Unix())
	return wrap("record probe", err)
}

// VerifyForget drops what was asked for before, and what is more than there
// may be.
func (t *Tx) VerifyForget(before time.Time) error {
	err := t.exec(`DELETE FROM Verify WHERE vfUpdated < ?1`, before.Unix())
	if err == nil {
		err = t.exec(`DELETE FROM Verify WHERE vfAddress IN (SELECT vfAddress FROM Verify ORDER BY vfUpdated
			LIMIT max(0, (SELECT count(*) FROM Verify) - ?))`, mostVerified)
	}
	return wrap("drop verified addresses", err)
}

// VerifyDrop forgets one address, or with ” all; it returns how many.
func (t *Tx) VerifyDrop(address string) (n int64, err error) {
	if err = t.exec(`DELETE FROM Verify WHERE vfAddress = ?1 OR ?1 = ''`, address); err == nil {
		err = t.queryRow(`SELECT changes()`).Scan(&n)
	}
	return n, wrap("drop verified address", err)
}

// EachVerified calls each with every row, by address.
func (s *State) EachVerified(ctx context.Context, each func(Verified) error) error {
	rows, err := s.query(ctx, `SELECT vfAddress, vfStatus, vfUpdated, vfText FROM Verify ORDER BY vfAddress`)
	if err != nil {
		return wrap("list verified addresses", err)
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scanVerified(rows.Scan)
		if err != nil {
			return wrap("list verified addresses", err)
		}
		if err := each(*v); err != nil {
			return err
		}
	}
	return wrap("list verified addresses", rows.Err())
}
