package schema

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// GreyRules are the bounds of greylisting.
type GreyRules struct {
	Delay  time.Duration // before the next try counts
	Window time.Duration // after which a first try is forgotten
	MaxAge time.Duration // without mail, after which all is forgotten
	Auto   int           // come-backs after which a client is let through; 0: never
	Most   int           // rows of each table
}

// Grey is what greylisting knows of a try.
type Grey struct {
	Wait   time.Duration // until a next try passes; 0: it passes
	Waited time.Duration // since the first try, if this one is the first to pass
	Auto   bool          // the client passes for its record
}

// greyHour bounds how often mail that passes writes.
const greyHour = time.Hour

// GreyLook says what Grey would, and writes nothing. changed says that Grey
// would write.
func (s *State) GreyLook(ctx context.Context, key, addr string, r GreyRules, now time.Time) (g Grey, changed bool, err error) {
	known, last, err := s.greyClient(ctx, addr)
	if err != nil {
		return g, false, err
	}
	if r.Auto > 0 && known >= r.Auto && now.Sub(last) < r.MaxAge {
		return Grey{Auto: true}, now.Sub(last) >= greyHour, nil
	}
	row, err := s.queryRow(ctx, `SELECT glFirst, glLast, glCount FROM Greylist WHERE glKey = ?`, key)
	if err != nil {
		return g, false, wrap("look up greylist", err)
	}
	var t greyTry
	err = row.Scan(&t.first, &t.last, &t.count)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return g, false, wrap("look up greylist", err)
	}
	g, fresh := t.judge(r, now)
	return g, fresh || t.count == 0 && g.Wait == 0 || g.Wait == 0 && now.Unix()-t.last >= int64(greyHour/time.Second), nil
}

func (s *State) greyClient(ctx context.Context, addr string) (count int, last time.Time, err error) {
	row, err := s.queryRow(ctx, `SELECT gcCount, gcLast FROM GreyClient WHERE gcAddr = ?`, addr)
	if err != nil {
		return 0, last, wrap("look up greylist", err)
	}
	var at int64
	if err = row.Scan(&count, &at); errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return count, time.Unix(at, 0), wrap("look up greylist", err)
}

// greyTry is a row of Greylist; the zero value is none.
type greyTry struct{ first, last, count int64 }

// judge says what a row means now; fresh, that this is a first try.
func (t greyTry) judge(r GreyRules, now time.Time) (g Grey, fresh bool) {
	age := now.Sub(time.Unix(t.first, 0))
	idle := now.Sub(time.Unix(t.last, 0))
	switch {
	case t.first == 0, t.count == 0 && age > r.Window, t.count > 0 && idle > r.MaxAge:
		return Grey{Wait: r.Delay}, true
	case t.count > 0:
		return Grey{}, false
	case age < r.Delay:
		return Grey{Wait: r.Delay - age}, false
	}
	return Grey{Waited: max(age, time.Second)}, false
}

// Grey records a try of a client (addr) with the key of its network, sender and
// recipient, and says whether it passes.
func (t *Tx) Grey(key, addr string, r GreyRules, now time.Time) (Grey, error) {
	g, err := t.grey(key, addr, r, now)
	return g, wrap("greylist", err)
}

func (t *Tx) grey(key, addr string, r GreyRules, now time.Time) (g Grey, err error) {
	var known int
	var last int64
	err = t.queryRow(`SELECT gcCount, gcLast FROM GreyClient WHERE gcAddr = ?`, addr).Scan(&known, &last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return g, err
	}
	if r.Auto > 0 && known >= r.Auto && now.Sub(time.Unix(last, 0)) < r.MaxAge {
		return Grey{Auto: true}, t.exec(`UPDATE GreyClient SET gcLast = ? WHERE gcAddr = ?`, now.Unix(), addr)
	}
	var row greyTry
	err = t.queryRow(`SELECT glFirst, glLast, glCount FROM Greylist WHERE glKey = ?`, key).Scan(&row.first, &row.last, &row.count)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return g, err
	}
	g, fresh := row.judge(r, now)
	switch {
	case fresh:
		if err := t.exec(`INSERT OR REPLACE INTO Greylist (glKey, glFirst, glLast) VALUES (?1, ?2, ?2)`, key, now.Unix()); err != nil {
			return g, err
		}
		return g, t.greyForget(r, now)
	case g.Wait > 0:
		return g, nil
	}
	if err := t.exec(`UPDATE Greylist SET glLast = ?, glCount = glCount + 1 WHERE glKey = ?`, now.Unix(), key); err != nil {
		return g, err
	}
	// A client has come back: once an hour, or many letters at once would do.
	return g, t.exec(`INSERT INTO GreyClient (gcAddr, gcCount, gcLast) VALUES (?1, 1, ?2) ON CONFLICT (gcAddr) DO UPDATE
		SET gcCount = iif(gcLast < ?3 - ?4, 0, gcCount) + 1, gcLast = ?2 WHERE gcLast <= ?2 - ?5`,
		addr, now.Unix(), now.Unix(), int64(r.MaxAge/time.Second), int64(greyHour/time.Second))
}

// greyForget drops what is old, and what is more than there may be.
func (t *Tx) greyForget(r GreyRules, now time.Time) error {
	for _, d := range []struct {
		query string
		args  []any
	}{
		{`DELETE FROM Greylist WHERE glKey IN (SELECT glKey FROM Greylist WHERE glLast < ?1 AND (glCount = 0 OR glLast < ?2) LIMIT 50)`,
			[]any{now.Add(-r.Window).Unix(), now.Add(-r.MaxAge).Unix()}},
		{`DELETE FROM GreyClient WHERE gcAddr IN (SELECT gcAddr FROM GreyClient WHERE gcLast < ? LIMIT 50)`, []any{now.Add(-r.MaxAge).Unix()}},
	} {
		if err := t.exec(d.query, d.args...); err != nil {
			return err
		}
	}
	// Counting costs: it is done now and then.
	err := t.exec(`DELETE FROM Greylist WHERE glKey IN (SELECT glKey FROM Greylist ORDER BY glLast
		LIMIT iif(abs(random()) % 64 = 0, max(0, (SELECT count(*) FROM Greylist) - ?), 0))`, r.Most)
	if err == nil {
		err = t.exec(`DELETE FROM GreyClient WHERE gcAddr IN (SELECT gcAddr FROM GreyClient ORDER BY gcLast
			LIMIT iif(abs(random()) % 64 = 0, max(0, (SELECT count(*) FROM GreyClient) - ?), 0))`, r.Most)
	}
	return err
}

// GreyRow is a row of Greylist or GreyClient, for people.
type GreyRow struct {
	Key   string    `json:"key"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Count int       `json:"count"`
}

// Greylist calls each with the rows, the last seen first: of clients that pass
// for their record, or of single tries.
func (s *State) Greylist(ctx context.Context, clients bool, each func(GreyRow) error) error {
	query := `SELECT glKey, glFirst, glLast, glCount FROM Greylist ORDER BY glLast DESC`
	if clients {
		query = `SELECT gcAddr, gcLast, gcLast, gcCount FROM GreyClient ORDER BY gcLast DESC`
	}
	rows, err := s.query(ctx, query)
	if err != nil {
		return wrap("list greylist", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r GreyRow
		var first, last int64
		if err := rows.Scan(&r.Key, &first, &last, &r.Count); err != nil {
			return wrap("list greylist", err)
		}
		r.First, r.Last = time.Unix(first, 0), time.Unix(last, 0)
		if err := each(r); err != nil {
			return err
		}
	}
	return wrap("list greylist", rows.Err())
}

// ForgetGrey empties greylisting for what contains text; ” is all.
func (t *Tx) ForgetGrey(text string) (n int64, err error) {
	for _, query := range []string{`DELETE FROM Greylist WHERE instr(glKey, ?1) > 0 OR ?1 = ''`, `DELETE FROM GreyClient WHERE instr(gcAddr, ?1) > 0 OR ?1 = ''`} {
		if err = t.exec(query, text); err != nil {
			break
		}
		var k int64
		if err = t.queryRow(`SELECT changes()`).Scan(&k); err != nil {
			break
		}
		n += k
	}
	return n, wrap("empty greylist", err)
}
