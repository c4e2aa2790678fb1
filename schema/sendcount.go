package schema

import (
	"context"
	"strings"
	"time"
)

// sendSlot is the grain of SendCount.
const sendSlot = 10 * time.Minute

// sendKept is how long counts are kept.
const sendKept = 7 * 24 * time.Hour

func slotOf(t time.Time) int64 { return t.Unix() / int64(sendSlot/time.Second) }

// Sent is what a user has sent within an hour and a day.
type Sent struct {
	HourMessages, HourRecipients int
	DayMessages, DayRecipients   int
	DayRefused                   int
}

const sentQuery = `SELECT ifnull(sum(iif(scSlot > ?2, scMessages, 0)), 0), ifnull(sum(iif(scSlot > ?2, scRecipients, 0)), 0),
	ifnull(sum(scMessages), 0), ifnull(sum(scRecipients), 0), ifnull(sum(scRefused), 0) FROM SendCount WHERE scUser = ?1 AND scSlot > ?3`

func (s *Sent) scan(scan func(...any) error) error {
	return scan(&s.HourMessages, &s.HourRecipients, &s.DayMessages, &s.DayRecipients, &s.DayRefused)
}

func sentArgs(user string, now time.Time) []any {
	return []any{strings.ToLower(user), slotOf(now.Add(-time.Hour)), slotOf(now.Add(-24 * time.Hour))}
}

// Sent returns what a user has sent.
func (s *State) Sent(ctx context.Context, user string, now time.Time) (n Sent, err error) {
	row, err := s.queryRow(ctx, sentQuery, sentArgs(user, now)...)
	if err == nil {
		err = n.scan(row.Scan)
	}
	return n, wrap("count mail of "+user, err)
}

// AddSent counts one message to so many recipients if fits says that it may be
// added to what was sent before.
func (t *Tx) AddSent(user string, recipients int, now time.Time, fits func(Sent) bool) (added bool, err error) {
	var before Sent
	if err := before.scan(t.queryRow(sentQuery, sentArgs(user, now)...).Scan); err != nil {
		return false, wrap("count mail of "+user, err)
	}
	if !fits(before) {
		return false, t.AddRefused(user, now)
	}
	err = t.exec(`INSERT INTO SendCount (scUser, scSlot, scMessages, scRecipients) VALUES (?1, ?2, 1, ?3)
		ON CONFLICT (scUser, scSlot) DO UPDATE SET scMessages = scMessages + 1, scRecipients = scRecipients + ?3`,
		strings.ToLower(user), slotOf(now), recipients)
	if err == nil {
		err = t.exec(`DELETE FROM SendCount WHERE scSlot < ?`, slotOf(now.Add(-sendKept)))
	}
	return true, wrap("count mail of "+user, err)
}

// AddRefused counts what a limit has held back.
func (t *Tx) AddRefused(user string, now time.Time) error {
	return wrap("count mail of "+user, t.exec(`INSERT INTO SendCount (scUser, scSlot, scRefused) VALUES (?1, ?2, 1)
		ON CONFLICT (scUser, scSlot) DO UPDATE SET scRefused = scRefused + 1`, strings.ToLower(user), slotOf(now)))
}

// ResetSent forgets what a user has sent.
func (t *Tx) ResetSent(user string) error {
	return wrap("reset count of "+user, t.exec(`DELETE FROM SendCount WHERE scUser = ?`, strings.ToLower(user)))
}

// SentUser is a user with what was sent.
type SentUser struct {
	User string
	Sent
}

// Senders returns who has sent within a day, the most recipients first.
func (s *State) Senders(ctx context.Context, now time.Time) ([]SentUser, error) {
	rows, err := s.query(ctx, `SELECT scUser, sum(iif(scSlot > ?1, scMessages, 0)), sum(iif(scSlot > ?1, scRecipients, 0)),
		sum(scMessages), sum(scRecipients), sum(scRefused) FROM SendCount WHERE scSlot > ?2
		GROUP BY scUser ORDER BY sum(scRecipients) DESC, scUser`, slotOf(now.Add(-time.Hour)), slotOf(now.Add(-24*time.Hour)))
	if err != nil {
		return nil, wrap("list senders", err)
	}
	defer rows.Close()
	var list []SentUser
	for rows.Next() {
		var u SentUser
		if err := u.scan(func(to ...any) error { return rows.Scan(append([]any{&u.User}, to...)...) }); err != nil {
			return nil, wrap("list senders", err)
		}
		list = append(list, u)
	}
	return list, wrap("list senders", rows.Err())
}
