package schema

import (
	"context"
	_ "embed"
	"time"
)

//go:embed state_screen.sql
var stateScreenDDL string

// ScreenPass is until when a client has passed the tests before the server:
// greeting, DNS lists, pipelining, other protocols, bare newlines.
type ScreenPass [5]time.Time

// ScreenPass returns what is known of a client; zero times if nothing.
func (s *State) ScreenPass(ctx context.Context, addr string) (p ScreenPass, err error) {
	rows, err := s.query(ctx, `SELECT scrGreet, scrDnsbl, scrPipe, scrNonSmtp, scrBareLf FROM Screen WHERE scrAddr = ?`, addr)
	if err != nil {
		return p, wrap("look up a client", err)
	}
	defer rows.Close()
	var at [5]int64
	if rows.Next() {
		if err := rows.Scan(&at[0], &at[1], &at[2], &at[3], &at[4]); err != nil {
			return p, wrap("look up a client", err)
		}
	}
	for i, n := range at {
		if n != 0 {
			p[i] = time.Unix(n, 0)
		}
	}
	return p, wrap("look up a client", rows.Err())
}

// AddScreenPass records what a client has passed.
func (t *Tx) AddScreenPass(addr string, p ScreenPass) error {
	var at [5]int64
	last := int64(0)
	for i, when := range p {
		if !when.IsZero() {
			at[i] = when.Unix()
			last = max(last, at[i])
		}
	}
	return wrap("record a client", t.exec(`INSERT OR REPLACE INTO Screen
		(scrAddr, scrGreet, scrDnsbl, scrPipe, scrNonSmtp, scrBareLf, scrLast) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		addr, at[0], at[1], at[2], at[3], at[4], last))
}

// ForgetScreen removes clients all of whose passes ended before a time.
func (t *Tx) ForgetScreen(before time.Time) error {
	return wrap("forget clients", t.exec(`DELETE FROM Screen WHERE scrLast < ?`, before.Unix()))
}
