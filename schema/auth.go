package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// AppPassword is an active row of AppPassword: a password beside the mailbox's
// own.
type AppPassword struct {
	Num       int64
	Name      string
	Passwd    string
	Protocols string // by comma; '' is all
	Expires   int64  // Unix time; 0 never
}

// Allows reports whether the password is good for a protocol at a time.
func (a *AppPassword) Allows(protocol string, now time.Time) bool {
	if a.Expires != 0 && now.Unix() >= a.Expires {
		return false
	}
	fields := strings.FieldsFunc(a.Protocols, func(r rune) bool { return r == ',' || r == ' ' })
	for _, p := range fields {
		if strings.EqualFold(p, protocol) {
			return true
		}
	}
	return len(fields) == 0
}

// AppPasswords returns the active app passwords of an address.
func (v *View) AppPasswords(ctx context.Context, addNum int64) ([]AppPassword, error) {
	return cached(v, cacheKey{kind: lookAppPasswords, num: addNum}, func() ([]AppPassword, error) {
		var list []AppPassword
		err := v.m.each(ctx, `SELECT apNum, apName, apPasswd, apProtocols, ifnull(apExpires, 0) FROM AppPassword
			WHERE apAddNum = ? AND active <> 0 ORDER BY apNum`, []any{addNum}, func(rows *sql.Rows) error {
			var a AppPassword
			err := rows.Scan(&a.Num, &a.Name, &a.Passwd, &a.Protocols, &a.Expires)
			list = append(list, a)
			return err
		})
		return list, wrap("look up app passwords", err)
	})
}

// AppPasswordRow is an app password in a list. It never holds the password.
type AppPasswordRow struct {
	Num       int64  `json:"num"`
	Address   string `json:"address"`
	Name      string `json:"name"`
	Active    bool   `json:"active"`
	Protocols string `json:"protocols"` // '' all
	Expires   int64  `json:"expires"`   // Unix time, 0 never
}

// ListAppPasswords calls fn for the app passwords of an address, or of all.
func (m *Mail) ListAppPasswords(ctx context.Context, address string, fn func(AppPasswordRow) error) error {
	err := m.each(ctx, `SELECT apNum, addLocalpart || '@' || domName, apName, p.active, apProtocols, ifnull(apExpires, 0)
		FROM AppPassword p JOIN Address ON addNum = apAddNum JOIN Domain ON domNum = addDomNum
		WHERE ?1 = '' OR addLocalpart || '@' || domName = ?1 COLLATE NOCASE ORDER BY domName, addLocalpart, apNum`,
		[]any{address}, func(rows *sql.Rows) error {
			var r AppPasswordRow
			if err := rows.Scan(&r.Num, &r.Address, &r.Name, &r.Active, &r.Protocols, &r.Expires); err != nil {
				return err
			}
			return fn(r)
		})
	return wrap("list app passwords", err)
}

// AddAppPassword gives the address of a mailbox one more password; Num is not
// looked at. ErrNotFound when there is no such mailbox.
func (t *Tx) AddAppPassword(local, domain string, a AppPassword) error {
	num, err := t.mailboxNum(local, domain)
	if err != nil {
		return err
	}
	var expires any
	if a.Expires != 0 {
		expires = a.Expires
	}
	_, err = t.insert("add app password "+a.Name, `INSERT INTO AppPassword (apAddNum, apName, apPasswd, apProtocols, apExpires)
		VALUES (?, ?, ?, ?, ?)`, num, a.Name, a.Passwd, a.Protocols, expires)
	return err
}

// DropAppPassword deletes an app password by its name. ErrNotFound when there
// is none.
func (t *Tx) DropAppPassword(local, domain, name string) error {
	num, err := t.mailboxNum(local, domain)
	if err != nil {
		return err
	}
	res, err := t.execResult(`DELETE FROM AppPassword WHERE apAddNum = ? AND apName = ?`, num, name)
	if err != nil {
		return fmt.Errorf("delete app password: %w", err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return fmt.Errorf("app password %q of %s@%s: %w", name, local, domain, ErrNotFound)
	}
	return nil
}

func (t *Tx) mailboxNum(local, domain string) (num int64, err error) {
	err = t.queryRow(`SELECT vmNum FROM VMailbox JOIN Address ON addNum = vmNum JOIN Domain ON domNum = addDomNum
		WHERE addLocalpart = ? AND domName = ?`, local, domain).Scan(&num)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("mailbox %s@%s: %w", local, domain, ErrNotFound)
	}
	return num, wrap("look up mailbox", err)
}

// ReplacePassword writes another stored form of a mailbox's password. A row
// that was changed meanwhile stays as it is.
func (t *Tx) ReplacePassword(addNum int64, old, stored string) error {
	return wrap("replace password", t.exec(`UPDATE VMailbox SET vmPasswd = ? WHERE vmNum = ? AND vmPasswd = ?`, stored, addNum, old))
}

// Administrator is an active row of Administrator.
type Administrator struct {
	Passwd string
	Domain string // '': all
}

// Administrator returns the row of a name; nil if none is active.
func (v *View) Administrator(ctx context.Context, name string) (*Administrator, error) {
	var a Administrator
	found, err := v.m.one(ctx, `SELECT adPasswd, ifnull(domName, '') FROM Administrator LEFT JOIN Domain ON domNum = adDomNum
		WHERE adName = ? AND Administrator.active <> 0 AND (adDomNum IS NULL OR domNum IS NOT NULL)`, []any{name}, &a.Passwd, &a.Domain)
	if err != nil || !found {
		return nil, wrap("look up administrator", err)
	}
	return &a, nil
}
