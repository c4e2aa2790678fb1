package schema

import (
	"context"
	"database/sql"
	"fmt"
)

// AddressRow is an address in a list.
type AddressRow struct {
	Address   string `json:"address"`
	Num       int64  `json:"num"`
	Active    int    `json:"active"` // 1, 0 no mail, -1 no log-in
	Class     Class  `json:"class"`  // of its domain
	Transport string `json:"transport,omitempty"`
	RClass    int    `json:"rclass"` // -1: as the domain
	Mailbox   bool   `json:"mailbox"`
	Targets   int    `json:"targets"`  // alias rows that lead on from here
	AliasOf   int    `json:"alias_of"` // virtual alias rows that lead here
}

const addressRows = `
	SELECT addLocalpart || '@' || domName, addNum, a.active, domClass, ifnull(addRcNum, -1),
	       EXISTS (SELECT 1 FROM VMailbox WHERE vmNum = addNum),
	       (SELECT count(*) FROM VAlias WHERE vaNum = addNum) + (SELECT count(*) FROM Alias WHERE aliasNum = addNum),
	       (SELECT count(*) FROM VAlias WHERE vaTargetNum = addNum), ` + transportColumns + `
	FROM Address a JOIN Domain ON domNum = addDomNum LEFT JOIN Transport t ON t.tpNum = addTpNum `

// Addresses calls fn for every address of a domain, or of all.
func (m *Mail) Addresses(ctx context.Context, domain string, fn func(AddressRow) error) error {
	return m.addressRows(ctx, fn, `WHERE ?1 = '' OR domName = ?1 ORDER BY domName, addLocalpart`, domain)
}

// AddressesAt calls fn for the addresses of a local part in the domains that
// begin with domain, at most most.
func (m *Mail) AddressesAt(ctx context.Context, local, domain string, most int, fn func(AddressRow) error) error {
	return m.addressRows(ctx, fn, `WHERE addLocalpart = ?1 AND domName >= ?2 AND domName < ?2 || char(1114111) ORDER BY domName LIMIT ?3`,
		local, domain, most)
}

// Address returns one address; ErrNotFound.
func (m *Mail) Address(ctx context.Context, local, domain string) (row AddressRow, err error) {
	err = m.addressRows(ctx, func(r AddressRow) error { row = r; return nil }, `WHERE domName = ?1 AND addLocalpart = ?2`, domain, local)
	if err == nil && row.Num == 0 {
		err = fmt.Errorf("address %s@%s: %w", local, domain, ErrNotFound)
	}
	return row, err
}

func (m *Mail) addressRows(ctx context.Context, fn func(AddressRow) error, where string, args ...any) error {
	err := m.each(ctx, addressRows+where, args, func(rows *sql.Rows) error {
		var r AddressRow
		var t nullTransport
		if err := rows.Scan(append([]any{&r.Address, &r.Num, &r.Active, &r.Class, &r.RClass, &r.Mailbox, &r.Targets,
			&r.AliasOf}, t.dest()...)...); err != nil {
			return err
		}
		r.Transport = t.text()
		return fn(r)
	})
	return wrap("list addresses", err)
}

// AddressChange is what may be said of an address.
type AddressChange struct {
	Active    Field // 1, 0, -1
	Transport Field // number
	RClass    Field // number
}

// AddAddress writes a new address in a domain that exists.
func (t *Tx) AddAddress(local, domain string, c AddressChange) (int64, error) {
	dom, err := t.domainNum(domain, false)
	if err != nil {
		return 0, err
	}
	num, err := t.insert(fmt.Sprintf("add address %s@%s", local, domain),
		`INSERT INTO Address (addLocalpart, addDomNum) VALUES (?, ?)`, local, dom)
	if err != nil {
		return 0, err
	}
	return num, t.SetAddress(local, domain, c)
}

// EnsureAddress returns the number of an address, adding it and its domain,
// as an external one, when they are not there.
func (t *Tx) EnsureAddress(local, domain string) (int64, error) {
	dom, err := t.domainNum(domain, true)
	if err != nil {
		return 0, err
	}
	if err := t.exec(`INSERT INTO Address (addLocalpart, addDomNum) VALUES (?, ?) ON CONFLICT DO NOTHING`, local, dom); err != nil {
		return 0, wrap("add address", mapError(err))
	}
	return t.AddressNum(local, domain)
}

const whereAddress = ` addNum = (SELECT addNum FROM Address JOIN Domain ON domNum = addDomNum WHERE addLocalpart = ?1 AND domName = ?2)`

// AddressNum returns the number of an address; ErrNotFound.
func (t *Tx) AddressNum(local, domain string) (int64, error) {
	return t.number(fmt.Sprintf("address %s@%s", local, domain), `SELECT addNum FROM Address WHERE`+whereAddress, local, domain)
}

// SetAddress changes an address.
func (t *Tx) SetAddress(local, domain string, c AddressChange) error {
	return t.change(fmt.Sprintf("address %s@%s", local, domain), `
		UPDATE Address SET
		  active   = CASE WHEN ?3 THEN ?4 ELSE active END,
		  addTpNum = CASE WHEN ?5 THEN ?6 ELSE addTpNum END,
		  addRcNum = CASE WHEN ?7 THEN ?8 ELSE addRcNum END
		WHERE`+whereAddress, local, domain, c.Active.set, c.Active.value, c.Transport.set, c.Transport.value, c.RClass.set, c.RClass.value)
}

// References returns the rows that refer to an address.
func (m *Mail) References(ctx context.Context, addNum int64) ([]string, error) {
	list, err := m.strings(ctx, references, addNum)
	return list, wrap("references", err)
}

const references = `
	SELECT 'VMailbox' FROM VMailbox WHERE vmNum = ?1
	UNION ALL
	SELECT 'VAlias to ' || addLocalpart || '@' || domName FROM VAlias JOIN Address ON addNum = vaTargetNum
	  JOIN Domain ON domNum = addDomNum WHERE vaNum = ?1
	UNION ALL
	SELECT 'VAlias from ' || addLocalpart || '@' || domName FROM VAlias JOIN Address ON addNum = vaNum
	  JOIN Domain ON domNum = addDomNum WHERE vaTargetNum = ?1
	UNION ALL
	SELECT 'Alias to ' || aliasTarget FROM Alias WHERE aliasNum = ?1
	UNION ALL
	SELECT 'AppPassword ' || apName FROM AppPassword WHERE apAddNum = ?1`

// RemoveAddress removes an address that nothing refers to.
func (t *Tx) RemoveAddress(local, domain string) error {
	num, err := t.AddressNum(local, domain)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("remove address %s@%s", local, domain)
	if err := t.unreferenced(what, references, num); err != nil {
		return err
	}
	return t.change(what, `DELETE FROM Address WHERE addNum = ?`, num)
}

// AliasRow is one target of an alias.
type AliasRow struct {
	Address string `json:"address"`
	Target  string `json:"target"`
	Active  bool   `json:"active"`
	Kind    string `json:"kind"` // virtual, local
}

// Aliases calls fn for every target of every alias; domain ” is all.
func (m *Mail) Aliases(ctx context.Context, domain string, fn func(AliasRow) error) error {
	err := m.each(ctx, `
		SELECT a.addLocalpart || '@' || ad.domName AS address,
		       b.addLocalpart || ifnull('+' || vaExtension, '') || '@' || bd.domName, v.active, 'virtual'
		FROM VAlias v JOIN Address a ON a.addNum = vaNum JOIN Domain ad ON ad.domNum = a.addDomNum
		JOIN Address b ON b.addNum = vaTargetNum JOIN Domain bd ON bd.domNum = b.addDomNum
		WHERE ?1 = '' OR ad.domName = ?1
		UNION ALL
		SELECT addLocalpart || '@' || domName, aliasTarget, l.active, 'local'
		FROM Alias l JOIN Address ON addNum = aliasNum JOIN Domain ON domNum = addDomNum
		WHERE ?1 = '' OR domName = ?1 ORDER BY 1, 2`, []any{domain}, func(rows *sql.Rows) error {
		var r AliasRow
		if err := rows.Scan(&r.Address, &r.Target, &r.Active, &r.Kind); err != nil {
			return err
		}
		return fn(r)
	})
	return wrap("list aliases", err)
}

// DoubtfulAliases calls fn for the active targets of every alias that may be
// unknown here: those of a domain of this host that are no active mailbox, and
// names that aliases(5) leads to. Other tables, catch-alls and users of the
// system are not asked.
func (m *Mail) DoubtfulAliases(ctx context.Context, fn func(AliasRow) error) error {
	err := m.each(ctx, `
		SELECT a.addLocalpart || '@' || ad.domName,
		       b.addLocalpart || ifnull('+' || vaExtension, '') || '@' || bd.domName, 'virtual'
		FROM VAlias v JOIN Address a ON a.addNum = vaNum JOIN Domain ad ON ad.domNum = a.addDomNum
		JOIN Address b ON b.addNum = vaTargetNum JOIN Domain bd ON bd.domNum = b.addDomNum
		WHERE v.active <> 0 AND vaNum <> vaTargetNum AND b.addLocalpart <> '' AND bd.domClass <> 0 AND
		      NOT (bd.active <> 0 AND b.active <> 0 AND EXISTS (SELECT 1 FROM VMailbox x WHERE vmNum = b.addNum AND x.active <> 0))
		UNION ALL
		SELECT addLocalpart || '@' || domName, aliasTarget, 'local'
		FROM Alias l JOIN Address ON addNum = aliasNum JOIN Domain ON domNum = addDomNum
		WHERE l.active <> 0 AND substr(aliasTarget, 1, 1) NOT IN ('/', '|', ':', '"', '\')`, nil, func(rows *sql.Rows) error {
		r := AliasRow{Active: true}
		if err := rows.Scan(&r.Address, &r.Target, &r.Kind); err != nil {
			return err
		}
		return fn(r)
	})
	return wrap("list aliases", err)
}

// AddVAlias makes one address lead to another.
func (t *Tx) AddVAlias(from, to int64, extension string) error {
	_, err := t.insert("add alias", `INSERT INTO VAlias (vaNum, vaTargetNum, vaExtension) VALUES (?, ?, nullif(?, ''))`, from, to, extension)
	return err
}

// AddAlias adds a target to a name of aliases(5).
func (t *Tx) AddAlias(from int64, target string) error {
	_, err := t.insert("add alias to "+target, `INSERT INTO Alias (aliasNum, aliasTarget) VALUES (?, ?)`, from, target)
	return err
}

// SetAliases switches targets of an address on or off; target ” means all of
// them. It returns how many rows that concerned.
func (t *Tx) SetAliases(from int64, target string, on bool) (int64, error) {
	return t.eachAlias(from, target,
		`UPDATE VAlias SET active = ?3 WHERE `+whereVAlias, `UPDATE Alias SET active = ?3 WHERE `+whereAlias, on)
}

// RemoveAliases removes targets of an address; target ” means all of them.
func (t *Tx) RemoveAliases(from int64, target string) (int64, error) {
	return t.eachAlias(from, target, `DELETE FROM VAlias WHERE `+whereVAlias, `DELETE FROM Alias WHERE `+whereAlias)
}

const (
	whereVAlias = `vaNum = ?1 AND (?2 = '' OR vaTargetNum IN (SELECT addNum FROM Address JOIN Domain ON domNum = addDomNum
		WHERE addLocalpart || '@' || domName = ?2 COLLATE NOCASE))`
	whereAlias = `aliasNum = ?1 AND (?2 = '' OR aliasTarget = ?2)`
)

func (t *Tx) eachAlias(from int64, target, virtual, local string, more ...any) (int64, error) {
	var sum int64
	for _, query := range []string{virtual, local} {
		res, err := t.execResult(query, append([]any{from, target}, more...)...)
		if err != nil {
			return 0, wrap("alias", mapError(err))
		}
		n, err := res.RowsAffected()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
