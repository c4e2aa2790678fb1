package schema

import (
	"context"
	"database/sql"
	"fmt"
)

// Finding is a row that is wrong, with the statement that mends it.
type Finding struct {
	What string `json:"what"`
	Mend string `json:"mend,omitempty"` // SQL; '' where a person must decide
}

// dangling finds rows whose reference leads nowhere: the sqlite3 shell does
// not enforce foreign keys. Each query gives what is wrong and how to mend it.
var dangling = []string{
	`SELECT 'Address ' || addNum || ' (' || addLocalpart || '): no Domain ' || addDomNum,
	        'DELETE FROM Address WHERE addNum=' || addNum || ';'
	 FROM Address WHERE addDomNum NOT IN (SELECT domNum FROM Domain)`,
	`SELECT 'Address ' || addNum || ' (' || addLocalpart || '): no Transport ' || addTpNum,
	        'UPDATE Address SET addTpNum=NULL WHERE addNum=' || addNum || ';'
	 FROM Address WHERE addTpNum IS NOT NULL AND addTpNum NOT IN (SELECT tpNum FROM Transport)`,
	`SELECT 'Address ' || addNum || ' (' || addLocalpart || '): no RClass ' || addRcNum,
	        'UPDATE Address SET addRcNum=NULL WHERE addNum=' || addNum || ';'
	 FROM Address WHERE addRcNum IS NOT NULL AND addRcNum NOT IN (SELECT rcNum FROM RClass)`,
	`SELECT 'Domain ' || domName || ': no Transport ' || domTpNum,
	        'UPDATE Domain SET domTpNum=NULL WHERE domNum=' || domNum || ';'
	 FROM Domain WHERE domTpNum IS NOT NULL AND domTpNum NOT IN (SELECT tpNum FROM Transport)`,
	`SELECT 'Domain ' || domName || ': no RClass ' || domRcNum,
	        'UPDATE Domain SET domRcNum=NULL WHERE domNum=' || domNum || ';'
	 FROM Domain WHERE domRcNum IS NOT NULL AND domRcNum NOT IN (SELECT rcNum FROM RClass)`,
	`SELECT 'VAlias ' || vaNum || ' -> ' || vaTargetNum || ': no Address ' || iif(vaNum IN (SELECT addNum FROM Address), vaTargetNum, vaNum),
	        'DELETE FROM VAlias WHERE rowid=' || rowid || ';'
	 FROM VAlias WHERE vaNum NOT IN (SELECT addNum FROM Address) OR vaTargetNum NOT IN (SELECT addNum FROM Address)`,
	`SELECT 'Alias to ' || aliasTarget || ': no Address ' || aliasNum,
	        'DELETE FROM Alias WHERE rowid=' || rowid || ';'
	 FROM Alias WHERE aliasNum NOT IN (SELECT addNum FROM Address)`,
	`SELECT 'VMailbox ' || vmNum || ': no Address ' || vmNum,
	        'DELETE FROM VMailbox WHERE vmNum=' || vmNum || ';'
	 FROM VMailbox WHERE vmNum NOT IN (SELECT addNum FROM Address)`,
	`SELECT 'AppPassword ' || apName || ': no Address ' || apAddNum,
	        'DELETE FROM AppPassword WHERE apNum=' || apNum || ';'
	 FROM AppPassword WHERE apAddNum NOT IN (SELECT addNum FROM Address)`,
	`SELECT 'PatternAlias ' || paPattern || ': no Domain ' || paDomNum,
	        'DELETE FROM PatternAlias WHERE paNum=' || paNum || ';'
	 FROM PatternAlias WHERE paDomNum NOT IN (SELECT domNum FROM Domain)`,
	`SELECT 'Administrator ' || adName || ': no Domain ' || adDomNum,
	        'DELETE FROM Administrator WHERE adNum=' || adNum || ';'
	 FROM Administrator WHERE adDomNum IS NOT NULL AND adDomNum NOT IN (SELECT domNum FROM Domain)`,
	`SELECT 'Listener ' || lsAddress || ': no Cert ' || lsCertNum,
	        'UPDATE Listener SET lsCertNum=NULL WHERE lsNum=' || lsNum || ';'
	 FROM Listener WHERE lsCertNum IS NOT NULL AND lsCertNum NOT IN (SELECT ctNum FROM Cert)`,
}

// incomplete finds rows that lead nowhere useful: no error of the file, but
// mail that will be refused or wait.
var incomplete = []string{
	`SELECT 'RClass ' || rcNum || ': no Restriction is called ' || printf('RC%02d-%s', rcNum, rcName) || '; its recipients get 451',
	        'INSERT INTO Restriction (rsName, rsList) VALUES (''' || printf('RC%02d-%s', rcNum, replace(rcName, '''', '''''')) || ''', ''permit'');'
	 FROM RClass WHERE NOT EXISTS (SELECT 1 FROM Restriction WHERE rsName = printf('RC%02d-%s', rcNum, rcName))`,
	`SELECT 'Domain ' || domName || ' has no postmaster: RFC 5321 wants one',
	        'INSERT INTO Address (addLocalpart, addDomNum) VALUES (''postmaster'', ' || domNum || ');'
	 FROM Domain d WHERE active <> 0 AND (domClass BETWEEN 2 AND 3 OR domClass > 800)
	 AND NOT EXISTS (SELECT 1 FROM Address WHERE addDomNum = domNum AND addLocalpart IN ('postmaster', ''))`,
	`SELECT 'Address ' || addNum || ' (' || quote(addLocalpart) || '): blanks at its ends; no mail can come to it',
	        'UPDATE Address SET addLocalpart=trim(addLocalpart) WHERE addNum=' || addNum || ';'
	 FROM Address WHERE addLocalpart <> trim(addLocalpart)`,
}

// Integrity returns every dangling row, texts that stand for numbers, and what
// SQLite itself finds wrong.
func (m *Mail) Integrity(ctx context.Context) ([]Finding, error) {
	list, err := m.findings(ctx, dangling)
	if err != nil {
		return nil, err
	}
	keys := len(list) == 0
	queries, err := m.numberQueries(ctx)
	if err != nil {
		return nil, err
	}
	texts, err := m.findings(ctx, queries)
	if err != nil {
		return nil, err
	}
	return integrity(ctx, m.file.Load().r, append(list, texts...), keys)
}

// numberQueries find texts in columns of numbers: SQLite takes 'yes' and '500M'
// there, and what reads the row fails. Each gives what is wrong and how to mend
// it. Tables that others have put into the file, which no audit watches, are
// their business.
func (m *Mail) numberQueries(ctx context.Context) (list []string, err error) {
	err = m.each(ctx, `
		SELECT m.name, c.name, (SELECT name FROM pragma_table_info(m.name) WHERE pk = 1)
		FROM sqlite_schema m JOIN pragma_table_info(m.name) c
		WHERE m.type = 'table' AND EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = 'Audit' || m.name || '_insert') AND c.type = 'INTEGER' AND c.pk = 0 ORDER BY m.name, c.cid`, nil, func(rows *sql.Rows) error {
		var table, column string
		var key sql.NullString
		err := rows.Scan(&table, &column, &key)
		if !key.Valid {
			key.String = "rowid"
		}
		list = append(list, fmt.Sprintf(`SELECT '%[1]s, %[3]s ' || %[3]s || ': %[2]s is ' || quote(%[2]s) || ', which is no whole number',
			'UPDATE %[1]s SET %[2]s=NUMBER WHERE %[3]s=' || quote(%[3]s) || ';' FROM "%[1]s" WHERE typeof(%[2]s) NOT IN ('integer', 'null') LIMIT 20`,
			table, column, key.String))
		return err
	})
	return list, wrap("check columns", err)
}

// Incomplete returns rows that are sound and yet cannot do what they are for.
func (m *Mail) Incomplete(ctx context.Context) ([]Finding, error) {
	return m.findings(ctx, incomplete)
}

func (m *Mail) findings(ctx context.Context, queries []string) ([]Finding, error) {
	var list []Finding
	for _, q := range queries {
		err := m.each(ctx, q, nil, func(rows *sql.Rows) error {
			var f Finding
			err := rows.Scan(&f.What, &f.Mend)
			list = append(list, f)
			return err
		})
		if err != nil {
			return nil, wrap("check", err)
		}
	}
	return list, nil
}

// Integrity returns what SQLite finds wrong with the file.
func (s *State) Integrity(ctx context.Context) ([]Finding, error) {
	return integrity(ctx, s.r, nil, true)
}

// integrity runs SQLite's own checks. keys asks for foreign keys too, which
// dangling rows have already told in better words.
func integrity(ctx context.Context, db *sql.DB, list []Finding, keys bool) ([]Finding, error) {
	err := eachRow(ctx, db, "PRAGMA integrity_check(20)", func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil || text == "ok" {
			return err
		}
		list = append(list, Finding{What: "integrity_check: " + text})
		return nil
	})
	if err != nil || !keys {
		return list, wrap("check integrity", err)
	}
	err = eachRow(ctx, db, "PRAGMA foreign_key_check", func(rows *sql.Rows) error {
		var table, parent string
		var row, key sql.NullInt64
		err := rows.Scan(&table, &row, &parent, &key)
		list = append(list, Finding{What: fmt.Sprintf("%s row %d refers to a row of %s that is not there", table, row.Int64, parent)})
		return err
	})
	return list, wrap("check foreign keys", err)
}

func eachRow(ctx context.Context, db *sql.DB, query string, fn func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
