package login

import (
	"fmt"
	"log/slog"
	"time"

	"mailserver/auth"
	"mailserver/internal/maillog"
)

// Log writes the lines of one session as Dovecot's login processes do.
type Log struct {
	To    *slog.Logger
	Proto string // "imap" or "pop3"
	ID    string // of the session
	Peer  *auth.Client
}

// Event writes a line, and the same as a message with attributes.
func (l Log) Event(level slog.Level, line, msg string, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String(maillog.Proto, l.Proto), slog.String(maillog.Conn, l.ID), slog.String(maillog.Remote, l.Peer.Remote.String()))
	maillog.Event(l.To, level, maillog.Dovecot, line, msg, attrs...)
}

// line is one of the login process; user is as the client sent it.
func (l Log) line(what, user, rest string) string {
	return fmt.Sprintf("%s-login: %s: user=<%s>, %s%s", l.Proto, what, Clean(user), rest, Where(*l.Peer, l.ID))
}

// LoggedIn says that a user has logged in.
func (l Log) LoggedIn(who auth.Identity) {
	l.Event(slog.LevelInfo, l.line("Login", who.User, "method="+who.Mechanism+", "),
		"login", slog.String(maillog.User, who.User), slog.String("method", who.Mechanism), slog.Bool(maillog.TLS, l.Peer.TLS))
}

// Failed is for people who read the log; fail2ban counts the line of
// Disconnected.
func (l Log) Failed(user, mechanism string, err error) {
	l.Event(slog.LevelInfo, l.line("Authentication failed", user, "method="+mechanism+", "),
		"login failed", slog.String(maillog.User, user), slog.String("method", mechanism), slog.Any(maillog.Err, err))
}

// Limit says that a user has as many sessions from one address as may be.
func (l Log) Limit(who auth.Identity, most int) {
	l.Event(slog.LevelInfo, l.line(fmt.Sprintf("Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%d)", most), who.User, "method="+who.Mechanism+", "),
		"too many sessions of a user", slog.String(maillog.User, who.User))
}

// Ended is how a session ended: the one line that a session always has.
type Ended struct {
	Why      string
	After    time.Duration
	User     string // who has logged in; "": nobody
	Tried    string // whom the last attempt named
	Tale     string // of the attempts, as Tale says it
	Counters string // of the session of a user
}

// Disconnected writes the line at the end of a session.
func (l Log) Disconnected(e Ended) {
	attrs := []slog.Attr{slog.String(maillog.Reason, e.Why), slog.Duration(maillog.Dur, e.After), slog.String(maillog.User, e.User)}
	if e.User == "" {
		l.Event(slog.LevelInfo, l.line("Disconnected: "+e.Why+" "+e.Tale, e.Tried, ""), "disconnect before login", attrs...)
		return
	}
	l.Event(slog.LevelInfo, fmt.Sprintf("%s(%s)<%s>: Disconnected: %s %s", l.Proto, Clean(e.User), l.ID, e.Why, e.Counters), "disconnect", attrs...)
}

// Tale is what fail2ban's filter looks for: "(auth failed, 1 attempts in 2
// secs)".
func Tale(tries int, after time.Duration) string {
	secs := int(after / time.Second)
	if tries == 0 {
		return fmt.Sprintf("(no auth attempts in %d secs)", secs)
	}
	return fmt.Sprintf("(auth failed, %d attempts in %d secs)", tries, secs)
}
