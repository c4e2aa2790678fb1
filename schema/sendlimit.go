package schema

import (
	"context"
	"database/sql"
	_ "embed"
	"strings"
)

//go:embed mail_policy.sql
var mailPolicyDDL string

//go:embed state_policy.sql
var statePolicyDDL string

// SendLimit is a row of SendLimit; a field below 0 is NULL.
type SendLimit struct {
	User      string `json:"user"`
	Hour, Day int
}

// SendLimit returns the active row of a user; nil if none.
func (v *View) SendLimit(ctx context.Context, user string) (*SendLimit, error) {
	return cached(v, cacheKey{kind: lookSendLimit, key: strings.ToLower(user)}, func() (*SendLimit, error) {
		var l SendLimit
		found, err := v.m.one(ctx, `SELECT slUser, ifnull(slHour, -1), ifnull(slDay, -1) FROM SendLimit WHERE slUser = ? AND active <> 0`,
			[]any{user}, &l.User, &l.Hour, &l.Day)
		if err != nil || !found {
			return nil, wrap("look up sending limit of "+user, err)
		}
		return &l, nil
	})
}

// EachSendLimit calls each with every active row.
func (m *Mail) EachSendLimit(ctx context.Context, each func(SendLimit) error) error {
	v, err := m.View(ctx)
	if err != nil {
		return err
	}
	err = v.m.each(ctx, `SELECT slUser, ifnull(slHour, -1), ifnull(slDay, -1) FROM SendLimit WHERE active <> 0 ORDER BY slUser`, nil,
		func(rows *sql.Rows) error {
			var l SendLimit
			if err := rows.Scan(&l.User, &l.Hour, &l.Day); err != nil {
				return err
			}
			return each(l)
		})
	return wrap("list sending limits", err)
}

// SetSendLimit writes the row of a user; a limit below 0 is that of the setting.
func (t *Tx) SetSendLimit(l SendLimit) error {
	return wrap("set sending limit", t.exec(`INSERT OR REPLACE INTO SendLimit (slUser, slHour, slDay)
		VALUES (?1, iif(?2 < 0, NULL, ?2), iif(?3 < 0, NULL, ?3))`, l.User, l.Hour, l.Day))
}

// RemoveSendLimit drops the row of a user, if there is one.
func (t *Tx) RemoveSendLimit(user string) error {
	return wrap("remove sending limit", t.exec(`DELETE FROM SendLimit WHERE slUser = ?`, user))
}
