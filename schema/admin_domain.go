package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// DomainRow is a domain in a list.
type DomainRow struct {
	Domain    string `json:"domain"`
	Num       int64  `json:"num"`
	Active    bool   `json:"active"`
	Class     Class  `json:"class"`
	Transport string `json:"transport,omitempty"`
	RClass    int    `json:"rclass"` // -1: setting default_rclass
	SysUser   int    `json:"sysuser"`
	Addresses int    `json:"addresses"`
	Mailboxes int    `json:"mailboxes"`
}

// Domains calls fn for every domain, by name.
func (m *Mail) Domains(ctx context.Context, fn func(DomainRow) error) error {
	err := m.each(ctx, `
		SELECT domName, domNum, d.active, domClass, ifnull(domRcNum, -1), domSysUser,
		       (SELECT count(*) FROM Address WHERE addDomNum = domNum),
		       (SELECT count(*) FROM Address JOIN VMailbox ON vmNum = addNum WHERE addDomNum = domNum), `+transportColumns+`
		FROM Domain d LEFT JOIN Transport t ON t.tpNum = domTpNum ORDER BY domName`, nil, func(rows *sql.Rows) error {
		var r DomainRow
		var t nullTransport
		if err := rows.Scan(append([]any{&r.Domain, &r.Num, &r.Active, &r.Class, &r.RClass, &r.SysUser,
			&r.Addresses, &r.Mailboxes}, t.dest()...)...); err != nil {
			return err
		}
		r.Transport = t.text()
		return fn(r)
	})
	return wrap("list domains", err)
}

// text gives the row in the form of transport(5); ” when there is none.
func (t *nullTransport) text() string {
	if r := t.row(); r != nil {
		return r.String()
	}
	return ""
}

// DomainChange is what may be said of a domain.
type DomainChange struct {
	Active    Field // bool
	Class     Field // Class
	Transport Field // number
	RClass    Field // number
	SysUser   Field // number
}

// AddDomain writes a new domain and what is said of it.
func (t *Tx) AddDomain(name string, class Class, c DomainChange) (int64, error) {
	num, err := t.insert("add domain "+name, `INSERT INTO Domain (domName, domClass) VALUES (lower(?), ?)`, name, class)
	if err != nil {
		return 0, err
	}
	return num, t.SetDomain(name, c)
}

// SetDomain changes a domain.
func (t *Tx) SetDomain(name string, c DomainChange) error {
	return t.change("domain "+name, `
		UPDATE Domain SET
		  active     = CASE WHEN ?2 THEN ?3 ELSE active END,
		  domClass   = CASE WHEN ?4 THEN ?5 ELSE domClass END,
		  domTpNum   = CASE WHEN ?6 THEN ?7 ELSE domTpNum END,
		  domRcNum   = CASE WHEN ?8 THEN ?9 ELSE domRcNum END,
		  domSysUser = CASE WHEN ?10 THEN ?11 ELSE domSysUser END
		WHERE domName = ?1`, name, c.Active.set, c.Active.value, c.Class.set, c.Class.value, c.Transport.set, c.Transport.value,
		c.RClass.set, c.RClass.value, c.SysUser.set, c.SysUser.value)
}

// SetDomainLogins allows or forbids the log-ins of all mailboxes of a domain,
// and returns how many that concerned.
func (t *Tx) SetDomainLogins(name string, on bool) (int64, error) {
	res, err := t.execResult(`
		UPDATE VMailbox SET active = ?2 WHERE active <> ?2 AND vmNum IN
		  (SELECT addNum FROM Address JOIN Domain ON domNum = addDomNum WHERE domName = ?1)`, name, on)
	if err != nil {
		return 0, wrap("log-ins of "+name, err)
	}
	return res.RowsAffected()
}

// RemoveDomain removes a domain that no address belongs to. With recursive its
// addresses, and every alias and mailbox of theirs, go with it; aliases of
// other domains that lead there are refused even then.
func (t *Tx) RemoveDomain(name string, recursive bool) error {
	if recursive {
		if err := t.removeAddresses(name); err != nil {
			return err
		}
	}
	what := "remove domain " + name
	if err := t.unreferenced(what, `
		SELECT 'Address ' || addLocalpart || '@' || domName FROM Address JOIN Domain ON domNum = addDomNum WHERE domName = ?1
		UNION ALL
		SELECT 'PatternAlias ' || paPattern || '@' || domName FROM PatternAlias JOIN Domain ON domNum = paDomNum WHERE domName = ?1
		UNION ALL
		SELECT 'Administrator ' || adName FROM Administrator JOIN Domain ON domNum = adDomNum WHERE domName = ?1`, name); err != nil {
		return err
	}
	return t.change(what, `DELETE FROM Domain WHERE domName = ?`, name)
}

func (t *Tx) removeAddresses(name string) error {
	what := "remove addresses of " + name
	if err := t.unreferenced(what, `
		SELECT 'VAlias ' || a.addLocalpart || '@' || ad.domName || ' -> ' || b.addLocalpart || '@' || bd.domName
		FROM VAlias JOIN Address a ON a.addNum = vaNum JOIN Domain ad ON ad.domNum = a.addDomNum
		JOIN Address b ON b.addNum = vaTargetNum JOIN Domain bd ON bd.domNum = b.addDomNum
		WHERE bd.domName = ?1 AND ad.domNum <> bd.domNum`, name); err != nil {
		return err
	}
	const own = `(SELECT addNum FROM Address JOIN Domain ON domNum = addDomNum WHERE domName = ?)`
	for _, query := range []string{
		`DELETE FROM VAlias WHERE vaNum IN ` + own,
		`DELETE FROM Alias WHERE aliasNum IN ` + own,
		`DELETE FROM AppPassword WHERE apAddNum IN ` + own,
		`DELETE FROM VMailbox WHERE vmNum IN ` + own,
		`DELETE FROM PatternAlias WHERE paDomNum = (SELECT domNum FROM Domain WHERE domName = ?)`,
		`DELETE FROM Address WHERE addNum IN ` + own,
	} {
		if err := t.exec(query, name); err != nil {
			return wrap(what, mapError(err))
		}
	}
	return nil
}

// domainNum returns the number of a domain; with create a missing one is added
// as external, so that an alias may lead anywhere.
func (t *Tx) domainNum(name string, create bool) (int64, error) {
	num, err := t.number("domain "+name, `SELECT domNum FROM Domain WHERE domName = ?`, name)
	if errors.Is(err, ErrNotFound) && create {
		return t.AddDomain(name, External, DomainChange{})
	}
	return num, err
}

// DomainClass returns the class of a domain; ErrNotFound.
func (t *Tx) DomainClass(name string) (Class, error) {
	n, err := t.number("domain "+name, `SELECT domClass FROM Domain WHERE domName = ?`, name)
	return Class(n), err
}

// ClassNum returns the number of a restriction class named by its rcName or
// number; ErrNotFound.
func (t *Tx) ClassNum(name string) (int64, error) {
	return t.number("restriction class "+name, `SELECT rcNum FROM RClass WHERE rcName = ?1 OR CAST(rcNum AS TEXT) = ltrim(?1, '0')
		OR (rcNum = 0 AND ?1 IN ('0', '00'))`, name)
}

// ClassRow is a restriction class in a list. Num is -1 for one that no
// recipient can be given: a component.
type ClassRow struct {
	Name string `json:"name"`
	Num  int    `json:"num"`
	List string `json:"list"`
	Text string `json:"text,omitempty"`
	Uses int    `json:"uses"` // domains and addresses
}

// Classes calls fn for every restriction class: numbered ones first.
func (m *Mail) Classes(ctx context.Context, fn func(ClassRow) error) error {
	err := m.each(ctx, `
		SELECT ifnull(rsName, ''), ifnull(rcNum, -1), ifnull(rsList, ''), ifnull(rsText, ''), ifnull(full, ''),
		       (SELECT count(*) FROM Domain WHERE domRcNum = rcNum) + (SELECT count(*) FROM Address WHERE addRcNum = rcNum)
		FROM Restriction FULL JOIN (SELECT rcNum, printf('RC%02d-%s', rcNum, rcName) COLLATE NOCASE AS full FROM RClass) ON full = rsName
		ORDER BY rcNum IS NULL, rcNum, rsName`, nil, func(rows *sql.Rows) error {
		var r ClassRow
		var full string
		if err := rows.Scan(&r.Name, &r.Num, &r.List, &r.Text, &full, &r.Uses); err != nil {
			return err
		}
		if r.Name == "" {
			r.Name = full // a number without restrictions: 451 until there are some
		}
		return fn(r)
	})
	return wrap("list classes", err)
}

// SetClass writes the restrictions of a class; add refuses one that is there.
func (t *Tx) SetClass(name string, list, text Field, add bool) error {
	if !add {
		return t.change("class "+name, `
			UPDATE Restriction SET rsList = CASE WHEN ?2 THEN ?3 ELSE rsList END, rsText = CASE WHEN ?4 THEN ?5 ELSE rsText END
			WHERE rsName = ?1`, name, list.set, list.value, text.set, text.value)
	}
	_, err := t.insert("add class "+name, `INSERT INTO Restriction (rsName, rsList, rsText) VALUES (?, ?, ?)`, name, list.value, text.value)
	return err
}

// NumberClass gives a class its number, so that domains and addresses can
// have it. The restrictions are those of ClassName(num, name).
func (t *Tx) NumberClass(num int, name string) error {
	_, err := t.insert(fmt.Sprintf("add class number %d", num), `INSERT INTO RClass (rcNum, rcName) VALUES (?, ?)`, num, name)
	return err
}

// ClassName is the name in Restriction of class number num, called name.
func ClassName(num int, name string) string { return fmt.Sprintf("RC%02d-%s", num, name) }

// RemoveClass removes a class and its number. Domains, addresses and other
// classes that name it are in the way.
func (t *Tx) RemoveClass(name string) error {
	what := "remove class " + name
	if err := t.unreferenced(what, `
		WITH c AS (SELECT rcNum FROM RClass WHERE printf('RC%02d-%s', rcNum, rcName) = ?1 COLLATE NOCASE)
		SELECT 'Domain ' || domName FROM Domain WHERE domRcNum IN c
		UNION ALL
		SELECT 'Address ' || addLocalpart || '@' || domName FROM Address JOIN Domain ON domNum = addDomNum WHERE addRcNum IN c
		UNION ALL
		SELECT 'Restriction ' || rsName FROM Restriction WHERE rsName <> ?1 AND
		  ',' || replace(replace(lower(rsList), ' ', ','), char(10), ',') || ',' LIKE '%,' || lower(?1) || ',%'`, name); err != nil {
		return err
	}
	res, err := t.execResult(`DELETE FROM RClass WHERE printf('RC%02d-%s', rcNum, rcName) = ? COLLATE NOCASE`, name)
	if err != nil {
		return wrap(what, mapError(err))
	}
	numbered, err := res.RowsAffected()
	if err != nil {
		return wrap(what, err)
	}
	if err := t.change(what, `DELETE FROM Restriction WHERE rsName = ?`, name); !errors.Is(err, ErrNotFound) || numbered == 0 {
		return err
	}
	return nil
}
