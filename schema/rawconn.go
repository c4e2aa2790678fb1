package schema

import (
	"errors"
	"fmt"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// rawConn is a read-only connection by the C interface of SQLite
// (https://www.sqlite.org/c3ref/intro.html), for look-ups that each recipient
// needs: the driver of package sql gives every answer a value, and the name, of
// each of its columns, in memory of its own. One goroutine may use it at a time.
type rawConn struct {
	tls   *libc.TLS
	db    uintptr
	stmts map[string]uintptr
	out   uintptr // textMost bytes of SQLite's memory: texts that are bound, addresses that are returned
	text  []byte  // that memory
}

// textMost is how many bytes the texts of one look-up have as a rule. A local
// part has 64, RFC 5321 §4.5.3.1.1.
const textMost = 1024

// openRaw opens the file at path. It is closed by close, also after an error of
// a statement.
func openRaw(path string) (*rawConn, error) {
	c := &rawConn{tls: libc.NewTLS(), stmts: make(map[string]uintptr)}
	if err := c.open(path); err != nil {
		c.close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return c, nil
}

func (c *rawConn) open(path string) error {
	name, err := libc.CString(path)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, name)
	if c.out = libc.Xmalloc(c.tls, textMost); c.out == 0 {
		return errors.New("no memory")
	}
	c.text = libc.GoBytes(c.out, textMost)
	clear(c.text)
	code := sqlite3.Xsqlite3_open_v2(c.tls, name, c.out, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_NOMUTEX, 0)
	c.db = c.address()
	if code != sqlite3.SQLITE_OK {
		return c.fault(code)
	}
	sqlite3.Xsqlite3_extended_result_codes(c.tls, c.db, 1)
	sqlite3.Xsqlite3_busy_timeout(c.tls, c.db, busyTimeout)
	for _, pragma := range []string{fmt.Sprintf("PRAGMA cache_size=-%d", cachePages), "PRAGMA query_only=1"} {
		if _, err := c.one(pragma, nil); err != nil {
			return err
		}
	}
	return nil
}

// address is one that SQLite has returned.
func (c *rawConn) address() uintptr { return *(*uintptr)(unsafe.Pointer(&c.text[0])) }

// fault is what SQLite says of a code.
func (c *rawConn) fault(code int32) error {
	text := sqlite3.Xsqlite3_errstr(c.tls, code)
	if c.db != 0 {
		text = sqlite3.Xsqlite3_errmsg(c.tls, c.db)
	}
	return fmt.Errorf("%s (%d)", libc.GoString(text), code)
}

// one runs a statement, which is prepared once. It calls fn, if that is not nil,
// with the first row, which is valid until fn returns. Arguments are int64 and
// string.
func (c *rawConn) one(query string, fn func(*rawRow) error, args ...any) (found bool, err error) {
	st, err := c.stmt(query)
	if err != nil {
		return false, err
	}
	defer sqlite3.Xsqlite3_reset(c.tls, st)
	if err := c.bind(st, args); err != nil {
		return false, err
	}
	switch code := sqlite3.Xsqlite3_step(c.tls, st); {
	case code == sqlite3.SQLITE_DONE:
		return false, nil
	case code != sqlite3.SQLITE_ROW:
		return false, c.fault(code)
	case fn == nil:
		return true, nil
	}
	row := rawRow{c: c, st: st}
	if err := fn(&row); err != nil {
		return true, err
	}
	return true, row.err
}

func (c *rawConn) stmt(query string) (uintptr, error) {
	if st, ok := c.stmts[query]; ok {
		return st, nil
	}
	text, err := libc.CString(query)
	if err != nil {
		return 0, err
	}
	defer libc.Xfree(c.tls, text)
	if code := sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, c.out, 0); code != sqlite3.SQLITE_OK {
		return 0, c.fault(code)
	}
	st := c.address()
	c.stmts[query] = st
	return st, nil
}

// bind gives a statement its values. Texts stay in c.text until the next one.
func (c *rawConn) bind(st uintptr, args []any) error {
	used := 0
	for i, a := range args {
		var code int32
		switch a := a.(type) {
		case int64:
			code = sqlite3.Xsqlite3_bind_int64(c.tls, st, int32(i+1), a)
		case string:
			if len(a) > textMost-used {
				code = c.bindLong(st, int32(i+1), a)
				break
			}
			code = sqlite3.Xsqlite3_bind_text(c.tls, st, int32(i+1), c.out+uintptr(used), int32(len(a)), sqlite3.SQLITE_STATIC)
			used += copy(c.text[used:], a)
		default:
			return fmt.Errorf("a value of type %T is looked up", a)
		}
		if code != sqlite3.SQLITE_OK {
			return c.fault(code)
		}
	}
	return nil
}

// bindLong gives a text that SQLite copies.
func (c *rawConn) bindLong(st uintptr, at int32, text string) int32 {
	p, err := libc.CString(text)
	if err != nil {
		return sqlite3.SQLITE_NOMEM
	}
	defer libc.Xfree(c.tls, p)
	return sqlite3.Xsqlite3_bind_text(c.tls, st, at, p, int32(len(text)), ^uintptr(0)) // SQLITE_TRANSIENT
}

// close ends the connection, and all of its statements.
func (c *rawConn) close() {
	for _, st := range c.stmts {
		sqlite3.Xsqlite3_finalize(c.tls, st)
	}
	sqlite3.Xsqlite3_close_v2(c.tls, c.db)
	if c.out != 0 {
		libc.Xfree(c.tls, c.out)
	}
	c.tls.Close()
	c.stmts, c.text, c.db, c.out = nil, nil, 0, 0
}

// rawRow takes the columns of a row one after the other.
type rawRow struct {
	c   *rawConn
	st  uintptr
	at  int32
	err error
}

// kind is that of the next column.
func (r *rawRow) kind() int32 { return sqlite3.Xsqlite3_column_type(r.c.tls, r.st, r.at) }

// skip passes over n columns.
func (r *rawRow) skip(n int32) { r.at += n }

// number takes a number; null stands for NULL.
func (r *rawRow) number(null int64) int64 {
	switch r.kind() {
	case sqlite3.SQLITE_NULL:
		r.at++
		return null
	case sqlite3.SQLITE_INTEGER:
		r.at++
		return sqlite3.Xsqlite3_column_int64(r.c.tls, r.st, r.at-1)
	}
	r.err = fmt.Errorf("%q stands for a number", r.text())
	return null
}

// text takes a string. NULL is ”. Somebody may have written a number or bytes
// into such a column.
func (r *rawRow) text() string {
	p := sqlite3.Xsqlite3_column_blob(r.c.tls, r.st, r.at) // of a number: its text
	n := sqlite3.Xsqlite3_column_bytes(r.c.tls, r.st, r.at)
	r.at++
	return string(libc.GoBytes(p, int(n)))
}
