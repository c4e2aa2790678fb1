package schema

import (
	"context"
	"database/sql"
	"fmt"
)

// TextReferences returns the rows that name an address as text. None of them
// stands against removing it; they lead nowhere then.
func (m *Mail) TextReferences(ctx context.Context, address string) ([]string, error) {
	list, err := m.strings(ctx, `
		SELECT 'Alias of ' || addLocalpart || '@' || domName FROM Alias JOIN Address ON addNum = aliasNum JOIN Domain ON domNum = addDomNum
		  WHERE aliasTarget = ?1 COLLATE NOCASE
		UNION ALL
		SELECT 'PatternAlias ' || paPattern || '@' || domName FROM PatternAlias JOIN Domain ON domNum = paDomNum
		  WHERE ',' || replace(paTarget, ' ', '') || ',' LIKE '%,' || ?1 || ',%'
		UNION ALL
		SELECT 'Relocated ' || rlAddress FROM Relocated WHERE rlAddress = ?1 OR rlTarget = ?1 COLLATE NOCASE
		UNION ALL
		SELECT 'Canonical ' || cnMap || ' ' || cnAddress FROM Canonical WHERE cnAddress = ?1 OR cnTarget = ?1 COLLATE NOCASE
		UNION ALL
		SELECT 'Bcc ' || bcMap || ' ' || bcAddress FROM Bcc WHERE bcAddress = ?1 OR bcTarget = ?1 COLLATE NOCASE
		UNION ALL
		SELECT 'SenderOwner ' || soLogin || ' of ' || soAddress FROM SenderOwner WHERE soAddress = ?1 OR soLogin = ?1
		UNION ALL
		SELECT 'RelayHost ' || rhSender FROM RelayHost WHERE rhSender = ?1
		UNION ALL
		SELECT 'Access ' || acTable || ' ' || acKey FROM Access WHERE acKey = ?1
		UNION ALL
		SELECT 'SendLimit ' || slUser FROM SendLimit WHERE slUser = ?1`, address)
	return list, wrap("references", err)
}

// SetAddresses makes the addresses of a domain whose local part is LIKE a
// pattern take mail and log-ins (1), log-ins only (0) or mail only (-1), and
// returns how many that changed. ErrNotFound if there is no such domain.
func (t *Tx) SetAddresses(domain, like string, active int) (int64, error) {
	num, err := t.domainNum(domain, false)
	if err != nil {
		return 0, err
	}
	res, err := t.execResult(`UPDATE Address SET active = ?3 WHERE addDomNum = ?1 AND addLocalpart LIKE ?2 AND active <> ?3`, num, like, active)
	if err != nil {
		return 0, wrap(fmt.Sprintf("addresses of %s", domain), mapError(err))
	}
	return res.RowsAffected()
}

// RelocatedRow is a row of relocated(5).
type RelocatedRow struct {
	Address string `json:"address"`
	Target  string `json:"target"`
	Active  bool   `json:"active"`
}

// EachRelocated calls fn for every row of relocated(5).
func (m *Mail) EachRelocated(ctx context.Context, fn func(RelocatedRow) error) error {
	err := m.each(ctx, `SELECT rlAddress, rlTarget, active <> 0 FROM Relocated ORDER BY rlAddress`, nil, func(rows *sql.Rows) error {
		var r RelocatedRow
		if err := rows.Scan(&r.Address, &r.Target, &r.Active); err != nil {
			return err
		}
		return fn(r)
	})
	return wrap("list relocated", err)
}
