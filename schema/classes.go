package schema

import (
	"context"
	"database/sql"
	_ "embed"
)

// Classes is the SQL of the restriction classes that a new mail.sqlite gets.
// Rows that are there already stay as they are.
//
//go:embed classes.sql
var Classes string

// AddDefaultClasses makes the restriction classes of a new server. Classes and
// numbers that are there already stay as they are.
func (m *Mail) AddDefaultClasses(ctx context.Context) error {
	return m.Write(ctx, func(t *Tx) error {
		_, err := t.w.conn.ExecContext(t.ctx, Classes)
		return wrap("add default classes", err)
	})
}

// Restrictions returns every restriction class by name.
func (v *View) Restrictions(ctx context.Context) ([]Restriction, error) {
	var list []Restriction
	err := v.m.each(ctx, `SELECT rsName, rsList, ifnull(rsText, '') FROM Restriction ORDER BY rsName`, nil,
		func(rows *sql.Rows) error {
			var r Restriction
			err := rows.Scan(&r.Name, &r.List, &r.Text)
			list = append(list, r)
			return err
		})
	return list, wrap("read restriction classes", err)
}

// RClass is the name of a class number.
type RClass struct {
	Num  int
	Name string
}

// RClasses returns every class number, in order.
func (v *View) RClasses(ctx context.Context) ([]RClass, error) {
	var list []RClass
	err := v.m.each(ctx, `SELECT rcNum, rcName FROM RClass ORDER BY rcNum`, nil, func(rows *sql.Rows) error {
		var r RClass
		err := rows.Scan(&r.Num, &r.Name)
		list = append(list, r)
		return err
	})
	return list, wrap("read class numbers", err)
}

// AccessLine is a row of an access(5) table with the table it is in.
type AccessLine struct {
	Table string
	AccessRow
}

// EachAccess calls fn for every active row of every access(5) table.
func (v *View) EachAccess(ctx context.Context, fn func(AccessLine) error) error {
	err := v.m.each(ctx, `SELECT acTable, acType, acKey, acAction FROM Access WHERE active <> 0 ORDER BY acTable, acPriority, acNum`,
		nil, func(rows *sql.Rows) error {
			var l AccessLine
			if err := rows.Scan(&l.Table, &l.Type, &l.Key, &l.Action); err != nil {
				return err
			}
			return fn(l)
		})
	return wrap("read access tables", err)
}

// EachBackscatter calls fn for every active row of BScat.
func (v *View) EachBackscatter(ctx context.Context, fn func(sender, target string) error) error {
	err := v.m.each(ctx, `SELECT bsSender, bsTarget FROM BScat WHERE active <> 0 ORDER BY bsSender, bsPriority`, nil,
		func(rows *sql.Rows) error {
			var sender, target string
			if err := rows.Scan(&sender, &target); err != nil {
				return err
			}
			return fn(sender, target)
		})
	return wrap("read backscatter senders", err)
}
