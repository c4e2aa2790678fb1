package imap

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
	attrs = append(attrs, slog.String(maillog.Proto, "imap"), slog.String(maillog.Conn, s.id), slog.String(maillog.Remote, s.peer.Remote.String()))
	maillog.Event(s.srv.d.Log, level, maillog.Dovecot, line, msg, attrs...)
}

func (s *session) logLogin(who auth.Identity) {
	s.event(slog.LevelInfo, fmt.Sprintf("imap-login: Login: user=<%s>, method=%s, %s", login.Clean(who.User), who.Mechanism, login.Where(s.peer, s.id)),
		"login", slog.String(maillog.User, who.User), slog.String("method", who.Mechanism), slog.Bool(maillog.TLS, s.peer.TLS))
}

// logFailed is for people who read the log; fail2ban counts the line that
// logDisconnect writes.
func (s *session) logFailed(mechanism string, err error) {
	s.event(slog.LevelInfo, fmt.Sprintf("imap-login: Authentication failed: user=<%s>, method=%s, %s", login.Clean(s.lastTry), mechanism, login.Where(s.peer, s.id)),
		"login failed", slog.String(maillog.User, s.lastTry), slog.String("method", mechanism), slog.Any(maillog.Err, err))
}

func (s *session) logLimit(who auth.Identity) {
	s.event(slog.LevelInfo, fmt.Sprintf("imap-login: Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%d): user=<%s>, method=%s, %s",
		s.cfg.MaxUserIP, login.Clean(who.User), who.Mechanism, login.Where(s.peer, s.id)), "too many sessions of a user", slog.String(maillog.User, who.User))
}

func (s *session) logID(pairs []idPair) {
	if len(pairs) == 0 {
		return
	}
	var b strings.Builder
	for _, p := range pairs {
		fmt.Fprintf(&b, " %s=%s", login.Clean(p.key), login.Clean(p.value))
	}
	s.event(slog.LevelInfo, fmt.Sprintf("imap-login: ID sent:%s: user=<%s>, %s", b.String(), login.Clean(s.user), login.Where(s.peer, s.id)),
		"client id", slog.String("id", strings.TrimSpace(b.String())), slog.String(maillog.User, s.user))
}

// logDisconnect writes the one line at the end of a session.
func (s *session) logDisconnect(err error) {
	why := disconnectReason(err)
	attrs := []slog.Attr{slog.String(maillog.Reason, why), slog.Duration(maillog.Dur, s.srv.d.Now().Sub(s.begun)), slog.String(maillog.User, s.user)}
	if s.user == "" {
		s.event(slog.LevelInfo, fmt.Sprintf("imap-login: Disconnected: %s %s: user=<%s>, %s", why, s.loginTale(), login.Clean(s.lastTry), login.Where(s.peer, s.id)), "disconnect before login", attrs...)
		return
	}
	line := fmt.Sprintf("imap(%s)<%s>: Disconnected: %s %s", login.Clean(s.user), s.id, why, s.counters())
	s.event(slog.LevelInfo, line, "disconnect", attrs...)
}

// loginTale is what fail2ban's filter looks for: "(auth failed, 1 attempts in
// 2 secs)".
func (s *session) loginTale() string {
	secs := int(s.srv.d.Now().Sub(s.begun) / time.Second)
	if s.tries == 0 {
		return fmt.Sprintf("(no auth attempts in %d secs)", secs)
	}
	return fmt.Sprintf("(auth failed, %d attempts in %d secs)", s.tries, secs)
}

func (s *session) counters() string {
	return strings.NewReplacer("%i", fmt.Sprint(s.link.in), "%o", fmt.Sprint(s.link.out),
		"%{input}", fmt.Sprint(s.link.in), "%{output}", fmt.Sprint(s.link.out),
		"%{deleted}", fmt.Sprint(s.gone.deleted), "%{expunged}", fmt.Sprint(s.gone.expunged)).Replace(s.cfg.LogoutFormat)
}

func disconnectReason(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return "Logged out"
	case errors.Is(err, errWoken):
		return "Server shutting down."
	case errors.Is(err, io.EOF):
		return "Connection closed"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "Disconnected for inactivity"
	}
	return "Connection closed: " + login.Clean(err.Error())
}
