package schema

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What administration can be told about a row. Wrapped with the row's name.
var (
	ErrExists     = errors.New("exists already")
	ErrNotFound   = errors.New("no such row")
	ErrReferenced = errors.New("other rows refer to it")
	ErrValue      = errors.New("value is not allowed")
)

// Field is a column in a change of a row: the zero Field leaves it as it is, a
// nil Value makes it NULL.
type Field struct {
	set   bool
	value any
}

// To is a Field that sets the column.
func To(v any) Field { return Field{true, v} }

// mapError gives an error of SQLite the meaning that it has for the operator.
func mapError(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return ErrExists
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return ErrReferenced
	case sqlite3.SQLITE_CONSTRAINT_CHECK, sqlite3.SQLITE_CONSTRAINT_NOTNULL:
		return fmt.Errorf("%w (%v)", ErrValue, err)
	}
	return err
}

// Damaged reports an error of SQLite that says that a file is no database, or
// not a whole one.
func Damaged(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	primary := e.Code() & 0xff
	return primary == sqlite3.SQLITE_CORRUPT || primary == sqlite3.SQLITE_NOTADB
}

// change runs a statement that must find its row.
func (t *Tx) change(what, query string, args ...any) error {
	res, err := t.execResult(query, args...)
	if err != nil {
		return wrap(what, mapError(err))
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return wrap(what, err)
	}
	return wrap(what, ErrNotFound)
}

// insert runs an INSERT and returns the number of the new row.
func (t *Tx) insert(what, query string, args ...any) (int64, error) {
	res, err := t.execResult(query, args...)
	if err != nil {
		return 0, wrap(what, mapError(err))
	}
	return res.LastInsertId()
}

// number reads one number; ErrNotFound when there is no row.
func (t *Tx) number(what, query string, args ...any) (int64, error) {
	var n int64
	err := t.queryRow(query, args...).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return n, wrap(what, err)
}

// texts reads the one column of every row.
func (t *Tx) texts(query string, args ...any) ([]string, error) {
	rows, err := t.query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// Referenced is why a row cannot be removed; it is ErrReferenced.
type Referenced struct {
	What string
	By   []string // the rows, as table and key
}

// maxNamed bounds the rows that Referenced prints.
const maxNamed = 20

func (e *Referenced) Error() string {
	by, more := e.By, ""
	if len(by) > maxNamed {
		by, more = by[:maxNamed], fmt.Sprintf("\n  and %d more", len(e.By)-maxNamed)
	}
	return fmt.Sprintf("%s: %v:\n  %s%s", e.What, ErrReferenced, strings.Join(by, "\n  "), more)
}

func (e *Referenced) Unwrap() error { return ErrReferenced }

// unreferenced returns a Referenced when the query finds rows.
func (t *Tx) unreferenced(what, query string, args ...any) error {
	by, err := t.texts(query, args...)
	if err != nil {
		return wrap(what, err)
	}
	if len(by) > 0 {
		return &Referenced{what, by}
	}
	return nil
}

// SetSetting writes a row of Setting.
func (t *Tx) SetSetting(name, value string) error {
	return wrap("set "+name, mapError(t.exec(`
		INSERT INTO Setting (stName, stValue) VALUES (?1, ?2)
		ON CONFLICT (stName) DO UPDATE SET stValue = ?2`, strings.ToLower(name), value)))
}

// UnsetSetting removes a row of Setting: the default holds again.
func (t *Tx) UnsetSetting(name string) error {
	return t.change("unset "+name, `DELETE FROM Setting WHERE stName = ?`, name)
}

// AddListener writes a row of Listener.
func (t *Tx) AddListener(l Listener) error {
	_, err := t.insert("add listener "+l.Address, `
		INSERT INTO Listener (lsProtocol, lsAddress, lsTls, lsHostname, lsTag, lsAuth)
		VALUES (?, ?, ?, nullif(?, ''), nullif(?, ''), ?)`, l.Protocol, l.Address, l.TLS, l.Hostname, l.Tag, l.Auth)
	return err
}

// AddCert writes a row of Cert.
func (t *Tx) AddCert(c Cert) error {
	_, err := t.insert("add certificate of "+c.Hostname, `
		INSERT INTO Cert (ctHostname, ctCertFile, ctKeyFile) VALUES (?, ?, ?)`, c.Hostname, c.CertFile, c.KeyFile)
	return err
}

// TransportSpec is a next hop as the operator names it.
type TransportSpec struct {
	Name    string // '': the transport of the class
	Nexthop string // '': the domain of the recipient
	MX      bool
	Port    int // 0: the default of the transport
}

// Transport returns the number of the row with that next hop, adding it.
func (t *Tx) Transport(s TransportSpec) (int64, error) {
	args := []any{s.Name, s.Nexthop, s.MX, s.Port}
	n, err := t.number("look up transport", `
		SELECT tpNum FROM Transport WHERE ifnull(tpTransport, '') = ? AND ifnull(tpNexthop, '') = ? COLLATE NOCASE AND tpMx = ? AND ifnull(tpPort, 0) = ?`, args...)
	if !errors.Is(err, ErrNotFound) {
		return n, err
	}
	return t.insert("add transport", `
		INSERT INTO Transport (tpTransport, tpNexthop, tpMx, tpPort) VALUES (nullif(?, ''), nullif(?, ''), ?, nullif(?, 0))`, args...)
}
