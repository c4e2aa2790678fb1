package policy

import (
	"fmt"
	"log/slog"

	"mailserver/internal/maillog"
	"mailserver/schema"
)

// sendLimits are what holds for who is logged in: a stolen password is to send
// hundreds of letters, not millions. 0: no limit.
type sendLimits struct{ hourMessages, hour, day int }

// limited reports whether mail of this session is counted.
func (x *query) limited() bool { return x.s.user != "" && x.s.e.d.State != nil && x.s.sender != nil }

func (x *query) sendLimits() (sendLimits, error) {
	l := sendLimits{x.cfg.UserMessages, x.cfg.UserHour, x.cfg.UserDay}
	row, err := x.view.SendLimit(x.ctx, x.s.user)
	if err != nil || row == nil {
		return l, err
	}
	if row.Hour >= 0 {
		l.hour = row.Hour
	}
	if row.Day >= 0 {
		l.day = row.Day
	}
	if row.Hour == 0 {
		l.hourMessages = 0 // the row lifts the limits of an hour
	}
	return l, nil
}

func (l sendLimits) none() bool { return l == sendLimits{} }

// over says which limit so many more recipients would break; ” if none.
func (l sendLimits) over(n schema.Sent, more int) string {
	switch {
	case l.hour > 0 && n.HourRecipients+more > l.hour:
		return fmt.Sprintf("%d recipients within an hour", l.hour)
	case l.day > 0 && n.DayRecipients+more > l.day:
		return fmt.Sprintf("%d recipients within a day", l.day)
	case l.hourMessages > 0 && n.HourMessages+1 > l.hourMessages:
		return fmt.Sprintf("%d messages within an hour", l.hourMessages)
	}
	return ""
}

// userLimit refuses a recipient for now when the user has sent enough.
func (x *query) userLimit() outcome {
	if !x.limited() || x.where != "RCPT" {
		return dunno
	}
	x.reset("sending limits", "", x.sender(), ClassSender)
	limits, err := x.sendLimits()
	if err != nil || limits.none() {
		if err != nil {
			return x.lookupFailed(x.sender(), err)
		}
		return dunno
	}
	n, err := x.s.e.d.State.Sent(x.ctx, x.s.user, x.s.e.d.Now())
	if err != nil {
		return x.lookupFailed(x.sender(), err)
	}
	why := limits.over(n, x.s.accepted+1)
	if why == "" {
		return dunno
	}
	if !x.s.Dry {
		err := x.s.e.d.State.Write(x.ctx, func(t *schema.Tx) error { return t.AddRefused(x.s.user, x.s.e.d.Now()) })
		if err != nil {
			return x.lookupFailed(x.sender(), err)
		}
	}
	return x.tooMuch(why)
}

// countUser counts the message that is taken. Sessions at the same time have
// been asked apart; here one after another is.
func (x *query) countUser() outcome {
	if !x.limited() || x.s.Dry || x.s.accepted == 0 {
		return dunno
	}
	limits, err := x.sendLimits()
	if err != nil {
		return x.lookupFailed(x.sender(), err)
	}
	if limits.none() {
		return dunno
	}
	why, added := "", false
	err = x.s.e.d.State.Write(x.ctx, func(t *schema.Tx) (err error) {
		added, err = t.AddSent(x.s.user, x.s.accepted, x.s.e.d.Now(), func(n schema.Sent) bool {
			why = limits.over(n, x.s.accepted)
			return why == ""
		})
		return err
	})
	switch {
	case err != nil:
		return x.lookupFailed(x.sender(), err)
	case !added:
		return x.tooMuch(why)
	}
	return dunno
}

// tooMuch refuses for now, and tells the operator.
func (x *query) tooMuch(why string) outcome {
	line := fmt.Sprintf("warning: sending limit of user %s is reached: %s; if the password is not stolen: mailserver limit reset %s", x.s.user, why, x.s.user)
	maillog.Event(x.s.e.d.Log, slog.LevelWarn, maillog.SMTPD, line, "sending limit of a user is reached",
		slog.String(maillog.User, x.s.user), slog.String(maillog.Reason, why), slog.String(maillog.Remote, x.s.client.Addr.String()))
	x.path = append(x.path[:0], "user_send_limit")
	out := x.reject(x.verdict(450, SentTooMuch, x.sender(), ClassSender, x.s.user+": "+why))
	x.path = x.path[:0]
	return out
}
