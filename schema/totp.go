package schema

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
)

//go:embed mail_totp.sql
var mailTotpDDL string

//go:embed state_totp.sql
var stateTotpDDL string

// Totp is a row of Totp.
type Totp struct {
	User   string `json:"user"`
	Active bool   `json:"active"`
	Secret string `json:"-"`
}

// Totp returns the row of a user; nil if there is none.
func (v *View) Totp(ctx context.Context, user string) (*Totp, error) {
	var r Totp
	found, err := v.m.one(ctx, `SELECT ttUser, active <> 0, ttSecret FROM Totp WHERE ttUser = ?`, []any{user}, &r.User, &r.Active, &r.Secret)
	if err != nil || !found {
		return nil, wrap("look up second factor", err)
	}
	return &r, nil
}

// ListTotp calls fn for every row, by user, without its secret.
func (m *Mail) ListTotp(ctx context.Context, fn func(Totp) error) error {
	err := m.each(ctx, `SELECT ttUser, active <> 0 FROM Totp ORDER BY ttUser`, nil, func(rows *sql.Rows) error {
		var r Totp
		if err := rows.Scan(&r.User, &r.Active); err != nil {
			return err
		}
		return fn(r)
	})
	return wrap("list second factors", err)
}

// SetTotp gives a user another secret, which is not asked for yet.
func (t *Tx) SetTotp(user, secret string) error {
	return wrap("set second factor", t.exec(`INSERT OR REPLACE INTO Totp (ttUser, active, ttSecret) VALUES (?, 0, ?)`, user, secret))
}

// ActivateTotp has a secret asked for, if it is still the user's.
func (t *Tx) ActivateTotp(user, secret string) error {
	return wrap("activate second factor", t.exec(`UPDATE Totp SET active = 1 WHERE ttUser = ? AND ttSecret = ?`, user, secret))
}

// DropTotp deletes the secret of a user. ErrNotFound when there is none.
func (t *Tx) DropTotp(user string) error {
	res, err := t.execResult(`DELETE FROM Totp WHERE ttUser = ?`, user)
	if err != nil {
		return fmt.Errorf("delete second factor: %w", err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		return fmt.Errorf("second factor of %s: %w", user, ErrNotFound)
	}
	return nil
}

// TotpStep returns the step of the user's last code that was right; 0 if none.
func (s *State) TotpStep(ctx context.Context, user string) (step int64, err error) {
	rows, err := s.query(ctx, `SELECT tuStep FROM TotpUse WHERE tuUser = ?`, user)
	if err != nil {
		return 0, wrap("look up last code", err)
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan(&step)
	}
	return step, wrap("look up last code", err)
}

// UseTotp records a code; ok is false when one of that step or a later one was
// used already.
func (t *Tx) UseTotp(user string, step int64) (ok bool, err error) {
	res, err := t.execResult(`INSERT INTO TotpUse (tuUser, tuStep) VALUES (?1, ?2)
		ON CONFLICT (tuUser) DO UPDATE SET tuStep = ?2 WHERE tuStep < ?2`, user, step)
	if err != nil {
		return false, wrap("record code", err)
	}
	n, err := res.RowsAffected()
	return n > 0, wrap("record code", err)
}
