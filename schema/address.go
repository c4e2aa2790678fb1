package schema

import (
	"context"
	"fmt"
	"strconv"

	sqlite3 "modernc.org/sqlite/lib"
)

// The statement of an address is as small as it can be: every recipient needs
// it, and the memory holds few of a million. The domain is known by then, and
// most columns are NULL.
const (
	addressColumns = `SELECT addNum, a.active, addLocalpart, addDomNum, addRcNum, addTpNum,
		b.active, vmPasswd, vmUid, vmGid, vmHome, vmQuota, vmHost`
	addressAliases = `, EXISTS (SELECT 1 FROM VAlias WHERE vaNum = addNum AND active <> 0),
		EXISTS (SELECT 1 FROM Alias WHERE aliasNum = addNum AND active <> 0)`
	addressTables = ` FROM Address a LEFT JOIN VMailbox b ON vmNum = addNum `
)

const (
	byName = `WHERE addDomNum = ? AND addLocalpart = ?`
	byNum  = `WHERE addNum = ?`
)

// Statements of an address: with tables of aliases that have rows, and without.
var addressQueries = map[bool]map[string]string{
	false: {byName: addressColumns + addressTables + byName, byNum: addressColumns + addressTables + byNum},
	true: {byName: addressColumns + addressAliases + addressTables + byName,
		byNum: addressColumns + addressAliases + addressTables + byNum},
}

func (v *View) address(ctx context.Context, where string, args ...any) (*Address, error) {
	f, err := v.filled(ctx)
	if err != nil {
		return nil, err
	}
	a := new(Address)
	var transport int64
	v.m.asked.Add(1)
	found, err := v.m.direct.one(v.c, addressQueries[f.alias][where], func(c *rawRow) error {
		a.Num, a.Active, a.Localpart, a.DomNum = c.number(0), int(c.number(0)), c.text(), c.number(0)
		a.RClass, transport = int(c.number(-1)), c.number(-1)
		a.Mailbox = c.mailbox()
		if f.alias {
			a.HasVAlias, a.HasAlias = c.number(0) != 0, c.number(0) != 0
		}
		return nil
	}, args...)
	if err == nil && found {
		found, err = v.complete(ctx, a, transport)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("look up address %v: %w", args, err)
	case !found:
		return nil, nil
	}
	return a, nil
}

// complete adds what an address shares with others; found is false if its
// domain is not there.
func (v *View) complete(ctx context.Context, a *Address, transport int64) (found bool, err error) {
	if d, ok := v.c.get(cacheKey{kind: lookDomNum, num: a.DomNum}); ok {
		a.Domain, found = d.(*Domain).Name, true
	} else {
		found, err = v.m.one(ctx, `SELECT domName FROM Domain WHERE domNum = ?`, []any{a.DomNum}, &a.Domain)
	}
	if err == nil && transport >= 0 {
		a.Transport, err = v.transport(ctx, transport)
	}
	return found, err
}

// noCatchAll reports whether the domain is known to have none.
func (v *View) noCatchAll(num int64) bool {
	d, ok := v.c.get(cacheKey{kind: lookDomNum, num: num})
	return ok && d.(*Domain).noCatchAll
}

// flag takes a truth value. SQLite keeps the word true where it was written in
// quotes.
func (r *rawRow) flag() bool {
	if r.kind() != sqlite3.SQLITE_TEXT {
		return r.number(0) != 0
	}
	yes, err := strconv.ParseBool(r.text())
	if err != nil {
		r.err = err
	}
	return yes
}

// mailbox takes the columns of VMailbox; nil: there is no row.
func (r *rawRow) mailbox() *VMailbox {
	if r.kind() == sqlite3.SQLITE_NULL { // active is NOT NULL
		r.skip(7)
		return nil
	}
	return &VMailbox{Active: r.flag(), Passwd: r.text(), UID: int(r.number(-1)), GID: int(r.number(-1)),
		Home: r.text(), Quota: r.number(-1), Host: r.text()}
}
