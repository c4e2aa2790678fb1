package schema

import (
	"context"
	"fmt"
	"time"
)

// Bounds of AuthSeen: what nobody has used for so long is forgotten, and of one
// user only the networks last seen are kept.
const (
	seenFor     = 60 * 24 * time.Hour
	seenPerUser = 50
)

// banRemembered is how long an ended ban makes the next one longer.
const banRemembered = 7 * 24 * time.Hour

// Seen reports whether a user has logged in from a network before, and whether
// from anywhere.
func (s *State) Seen(ctx context.Context, user, net string) (here, anywhere bool, err error) {
	n := -1
	row, err := s.queryRow(ctx, `SELECT ifnull(max(asNet = ?), -1) FROM AuthSeen WHERE asUser = ?`, net, user)
	if err == nil {
		err = row.Scan(&n)
	}
	return n > 0, n >= 0, wrap("look up log-in", err)
}

// AddSeen records a log-in, and forgets old ones.
func (t *Tx) AddSeen(user, net, proto string, now time.Time) error {
	err := t.exec(`INSERT INTO AuthSeen (asUser, asNet, asProto, asFirst, asLast) VALUES (?1, ?2, ?3, ?4, ?4)
		ON CONFLICT (asUser, asNet) DO UPDATE SET asProto = ?3, asLast = ?4`, user, net, proto, now.Unix())
	if err == nil {
		err = t.exec(`DELETE FROM AuthSeen WHERE asLast < ?`, now.Add(-seenFor).Unix())
	}
	if err == nil {
		err = t.exec(`DELETE FROM AuthSeen WHERE asUser = ?1 AND asNet IN
			(SELECT asNet FROM AuthSeen WHERE asUser = ?1 ORDER BY asLast DESC LIMIT -1 OFFSET ?2)`, user, seenPerUser)
	}
	return wrap("record log-in", err)
}

// AddAppUse records the use of an app password.
func (t *Tx) AddAppUse(app int64, proto, remote string, now time.Time) error {
	return wrap("record use of app password", t.exec(`INSERT OR REPLACE INTO AppUse (auApp, auLast, auProto, auRemote)
		VALUES (?, ?, ?, ?)`, app, now.Unix(), proto, remote))
}

// AppUse returns when, for what and from where an app password was used last; a
// zero time if never.
func (s *State) AppUse(ctx context.Context, app int64) (last time.Time, proto, remote string, err error) {
	rows, err := s.query(ctx, `SELECT auLast, auProto, auRemote FROM AppUse WHERE auApp = ?`, app)
	if err != nil {
		return last, "", "", wrap("look up use of app password", err)
	}
	defer rows.Close()
	if rows.Next() {
		var at int64
		err = rows.Scan(&at, &proto, &remote)
		last = time.Unix(at, 0)
	}
	if err == nil {
		err = rows.Err()
	}
	return last, proto, remote, wrap("look up use of app password", err)
}

// Ban is a row of AuthBan.
type Ban struct {
	Net    string    `json:"net"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Times  int       `json:"times"`
	Reason string    `json:"reason"`
}

// Banned reports whether a network is banned at now.
func (s *State) Banned(ctx context.Context, net string, now time.Time) (bool, error) {
	var n int
	row, err := s.queryRow(ctx, `SELECT EXISTS (SELECT 1 FROM AuthBan WHERE abNet = ? AND abUntil > ?)`, net, now.Unix())
	if err == nil {
		err = row.Scan(&n)
	}
	return n != 0, wrap("look up ban", err)
}

// AddBan bans a network: for d the first time, each time within a week twice as
// long as before, at most for longest. It returns the end.
func (t *Tx) AddBan(net, reason string, now time.Time, d, longest time.Duration) (until time.Time, err error) {
	if err := t.exec(`DELETE FROM AuthBan WHERE abUntil < ?`, now.Add(-banRemembered).Unix()); err != nil {
		return until, wrap("ban "+net, err)
	}
	times := 0
	if err := t.queryRow(`SELECT ifnull(max(abTimes), 0) FROM AuthBan WHERE abNet = ?`, net).Scan(&times); err != nil {
		return until, wrap("ban "+net, err)
	}
	for range times {
		d = min(2*d, longest)
	}
	until = now.Add(d)
	err = t.exec(`INSERT INTO AuthBan (abNet, abSince, abUntil, abTimes, abReason) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (abNet) DO UPDATE SET abSince = ?2, abUntil = ?3, abTimes = ?4, abReason = ?5`,
		net, now.Unix(), until.Unix(), times+1, reason)
	return until, wrap("ban "+net, err)
}

// Bans returns the bans that have not ended at now, the last to end first.
func (s *State) Bans(ctx context.Context, now time.Time) ([]Ban, error) {
	rows, err := s.query(ctx, `SELECT abNet, abSince, abUntil, abTimes, abReason FROM AuthBan WHERE abUntil > ? ORDER BY abUntil DESC`, now.Unix())
	if err != nil {
		return nil, wrap("list bans", err)
	}
	defer rows.Close()
	var list []Ban
	for rows.Next() {
		var b Ban
		var since, until int64
		if err := rows.Scan(&b.Net, &since, &until, &b.Times, &b.Reason); err != nil {
			return nil, wrap("list bans", err)
		}
		b.Since, b.Until = time.Unix(since, 0), time.Unix(until, 0)
		list = append(list, b)
	}
	return list, wrap("list bans", rows.Err())
}

// LiftBan ends and forgets the ban of a network, or of all with ”; n is how
// many there were.
func (t *Tx) LiftBan(net string) (n int64, err error) {
	res, err := t.execResult(`DELETE FROM AuthBan WHERE ?1 = '' OR abNet = ?1`, net)
	if err != nil {
		return 0, fmt.Errorf("lift ban: %w", err)
	}
	return res.RowsAffected()
}
