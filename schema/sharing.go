package schema

import (
	"context"
	"database/sql"
	_ "embed"
	"strings"
)

//go:embed mail_sharing.sql
var mailSharingDDL string

//go:embed state_sharing.sql
var stateSharingDDL string

// Namespace is a row of Namespace.
type Namespace struct {
	Num      int64
	Type     string // shared, public
	Prefix   string
	Location string // of public
	UID, GID int    // of public; -1: the server's own
	List     string // yes, children, no
}

// Namespaces returns the active rows; longer prefixes first.
func (v *View) Namespaces(ctx context.Context) ([]Namespace, error) {
	return cached(v, cacheKey{kind: lookNamespaces}, func() ([]Namespace, error) {
		var list []Namespace
		err := v.m.each(ctx, `SELECT nsNum, nsType, nsPrefix, ifnull(nsLocation, ''), ifnull(nsUid, -1), ifnull(nsGid, -1), nsList
			FROM Namespace WHERE active <> 0 ORDER BY length(nsPrefix) DESC, nsPrefix`, nil, func(rows *sql.Rows) error {
			var n Namespace
			err := rows.Scan(&n.Num, &n.Type, &n.Prefix, &n.Location, &n.UID, &n.GID, &n.List)
			list = append(list, n)
			return err
		})
		return list, wrap("list namespaces", err)
	})
}

// Groups returns the groups of a user.
func (v *View) Groups(ctx context.Context, user string) ([]string, error) {
	return cached(v, cacheKey{kind: lookGroups, key: strings.ToLower(user)}, func() ([]string, error) {
		var list []string
		err := v.m.each(ctx, `SELECT ugGroup FROM UserGroup WHERE ugUser = ? ORDER BY ugGroup`, []any{user}, func(rows *sql.Rows) error {
			var g string
			err := rows.Scan(&g)
			list = append(list, g)
			return err
		})
		return list, wrap("look up groups of "+user, err)
	})
}

// SetSharing writes with whom a user shares, in place of what was there.
func (t *Tx) SetSharing(from string, to []string) error {
	if err := t.exec(`DELETE FROM Sharing WHERE shFrom = ?`, from); err != nil {
		return err
	}
	for _, id := range to {
		if err := t.exec(`INSERT OR IGNORE INTO Sharing VALUES (?, ?)`, id, from); err != nil {
			return err
		}
	}
	return nil
}

// SharedWith returns with whom a user shares.
func (s *State) SharedWith(ctx context.Context, from string) ([]string, error) {
	return s.words(ctx, `SELECT shTo FROM Sharing WHERE shFrom = ? ORDER BY shTo`, from)
}

// Sharers returns, once each, who shares with an identifier, at most limit after
// the name after.
func (s *State) Sharers(ctx context.Context, to, after string, limit int) ([]string, error) {
	return s.words(ctx, `SELECT shFrom FROM Sharing WHERE shTo = ? AND shFrom > ? ORDER BY shFrom LIMIT ?`, to, after, limit)
}

func (s *State) words(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var w string
		if err := rows.Scan(&w); err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, rows.Err()
}
