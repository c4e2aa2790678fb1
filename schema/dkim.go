package schema

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// DkimKey is a row of DkimKey. A key that is not active waits for its record
// to be published.
type DkimKey struct {
	Num       int64
	Active    bool
	Domain    string // in lower case
	Selector  string
	Algorithm string // rsa, ed25519
	Key       string // private key, PEM
}

const dkimColumns = `dkNum, active <> 0, lower(dkDomain), dkSelector, dkAlgorithm, dkKey`

func scanDkimKey(rows *sql.Rows) (k DkimKey, err error) {
	err = rows.Scan(&k.Num, &k.Active, &k.Domain, &k.Selector, &k.Algorithm, &k.Key)
	return k, err
}

// DkimKeys returns the active keys of exactly that domain, RSA first. The list
// is shared: do not change it.
func (v *View) DkimKeys(ctx context.Context, domain string) ([]DkimKey, error) {
	return cached(v, cacheKey{kind: lookDkimKey, key: strings.ToLower(domain)}, func() ([]DkimKey, error) {
		var list []DkimKey
		err := v.m.each(ctx, `SELECT `+dkimColumns+` FROM DkimKey WHERE dkDomain = ? AND active <> 0
			ORDER BY dkAlgorithm DESC, dkNum`, []any{domain}, func(rows *sql.Rows) error {
			k, err := scanDkimKey(rows)
			list = append(list, k)
			return err
		})
		return list, wrap("look up DKIM keys", err)
	})
}

// AllDkimKeys calls fn for every key of the domain, active or not; ” means
// every domain.
func (m *Mail) AllDkimKeys(ctx context.Context, domain string, fn func(DkimKey) error) error {
	err := m.each(ctx, `SELECT `+dkimColumns+` FROM DkimKey WHERE ?1 = '' OR dkDomain = ?1 ORDER BY dkDomain, dkNum`,
		[]any{domain}, func(rows *sql.Rows) error {
			k, err := scanDkimKey(rows)
			if err != nil {
				return err
			}
			return fn(k)
		})
	return wrap("list DKIM keys", err)
}

// AddDkimKey adds a key; ErrExists when the domain has one of that selector.
func (t *Tx) AddDkimKey(k DkimKey) error {
	_, err := t.insert(fmt.Sprintf("add DKIM key %s of %s", k.Selector, k.Domain),
		`INSERT INTO DkimKey (active, dkDomain, dkSelector, dkAlgorithm, dkKey) VALUES (?, ?, ?, ?, ?)`,
		k.Active, strings.ToLower(k.Domain), k.Selector, k.Algorithm, k.Key)
	return err
}

// SwitchDkimKeys makes the keys that wait sign, and deletes those that signed
// until now.
func (t *Tx) SwitchDkimKeys(domain string) error {
	if err := t.exec(`DELETE FROM DkimKey WHERE dkDomain = ? AND active <> 0`, domain); err != nil {
		return wrap("retire DKIM keys of "+domain, err)
	}
	return t.change("DKIM keys of "+domain, `UPDATE DkimKey SET active = 1 WHERE dkDomain = ?`, domain)
}

// RemoveDkimKey deletes a key.
func (t *Tx) RemoveDkimKey(domain, selector string) error {
	return t.change(fmt.Sprintf("DKIM key %s of %s", selector, domain),
		`DELETE FROM DkimKey WHERE dkDomain = ? AND dkSelector = ?`, domain, selector)
}
