package pop3

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"mailserver/auth"
	"mailserver/internal/login"
	"mailserver/internal/maillog"
)

func (s *session) event(level slog.Level, line, msg string, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String(maillog.Proto, "pop3"), slog.String(maillog.Conn, s.id), slog.String(maillog.Remote, s.peer.Remote.String()))
	maillog.Event(s.srv.d.Log, level, maillog.Dovecot, line, msg, attrs...)
}

func (s *session) logLogin(who auth.Identity) {
	s.event(slog.LevelInfo, fmt.Sprintf("pop3-login: Login: user=<%s>, method=%s, %s", login.Clean(who.User), who.Mechanism, login.Where(s.peer, s.id)),
		"login", slog.String(maillog.User, who.User), slog.String("method", who.Mechanism), slog.Bool(maillog.TLS, s.peer.TLS))
}

// logFailed is for people who read the log; fail2ban counts the line that
// logDisconnect writes.
func (s *session) logFailed(mechanism string, err error) {
	s.event(slog.LevelInfo, fmt.Sprintf("pop3-login: Authentication failed: user=<%s>, method=%s, %s", login.Clean(s.lastTry), mechanism, login.Where(s.peer, s.id)),
		"login failed", slog.String(maillog.User, s.lastTry), slog.String("method", mechanism), slog.Any(maillog.Err, err))
}

func (s *session) logLimit(who auth.Identity) {
	s.event(slog.LevelInfo, fmt.Sprintf("pop3-login: Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%d): user=<%s>, method=%s, %s",
		s.cfg.MaxUserIP, login.Clean(who.User), who.Mechanism, login.Where(s.peer, s.id)), "too many sessions of a user", slog.String(maillog.User, who.User))
}

// logDisconnect writes the one line at the end of a session.
func (s *session) logDisconnect(err error) {
	why := s.disconnectReason(err)
	attrs := []slog.Attr{slog.String(maillog.Reason, why), slog.Duration(maillog.Dur, s.srv.d.Now().Sub(s.begun)), slog.String(maillog.User, s.user)}
	if s.user == "" {
		s.event(slog.LevelInfo, fmt.Sprintf("pop3-login: Disconnected: %s %s: user=<%s>, %s", why, s.loginTale(), login.Clean(s.lastTry), login.Where(s.peer, s.id)), "disconnect before login", attrs...)
		return
	}
	line := fmt.Sprintf("pop3(%s)<%s>: Disconnected: %s %s", login.Clean(s.user), s.id, why, s.counters())
	s.event(slog.LevelInfo, line, "disconnect", attrs...)
}

// loginTale is what fail2ban's filter looks for: "(auth failed, 1 attempts in
// 2 secs)".
func (s *session) loginTale() string {
	secs := int(s.srv.d.Now().Sub(s.begun) / time.Second)
	switch {
	case s.tries == 0 && s.refused:
		return "(tried to use disallowed plaintext auth)"
	case s.tries == 0:
		return fmt.Sprintf("(no auth attempts in %d secs)", secs)
	}
	return fmt.Sprintf("(auth failed, %d attempts in %d secs)", s.tries, secs)
}

// counters expands pop3_logout_format.
func (s *session) counters() string {
	var deleted, messages, size int64
	if s.drop != nil {
		deleted, messages, size = int64(s.drop.deleted.n), int64(s.drop.len()), s.drop.total
	}
	words := []string{"%%", "%"}
	for name, n := range map[string]int64{"t": s.counts.top, "p": s.counts.topBytes, "r": s.counts.retr, "b": s.counts.retrBytes,
		"d": deleted, "m": messages, "s": size, "i": s.link.in, "o": s.link.out} {
		words = append(words, "%"+name, fmt.Sprint(n))
	}
	return strings.NewReplacer(words...).Replace(s.cfg.LogoutFormat)
}

func (s *session) disconnectReason(err error) string {
	var timeout net.Error
	switch {
	case err == nil && s.user == "":
		return "Aborted login by logging out"
	case err == nil:
		return "Logged out"
	case errors.Is(err, errLeave):
		return "Server shutting down."
	case errors.Is(err, io.EOF):
		return "Connection closed"
	case errors.Is(err, errTooManyBad):
		return "Too many bad commands"
	case errors.Is(err, errLongLine):
		return "Input line too long"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "Disconnected for inactivity"
	}
	var over *ending
	if errors.As(err, &over) {
		return login.Clean(over.why)
	}
	return "Connection closed: " + login.Clean(err.Error())
}
