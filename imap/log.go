package imap

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"mailserver/internal/login"
	"mailserver/internal/maillog"
)

// log writes the lines of the session.
func (s *session) log() login.Log {
	return login.Log{To: s.srv.d.Log, Proto: "imap", ID: s.id, Peer: &s.peer}
}

func (s *session) logID(pairs []idPair) {
	if len(pairs) == 0 {
		return
	}
	var b strings.Builder
	for _, p := range pairs {
		fmt.Fprintf(&b, " %s=%s", login.Clean(p.key), login.Clean(p.value))
	}
	s.log().Event(slog.LevelInfo, fmt.Sprintf("imap-login: ID sent:%s: user=<%s>, %s", b.String(), login.Clean(s.user), login.Where(s.peer, s.id)),
		"client id", slog.String("id", strings.TrimSpace(b.String())), slog.String(maillog.User, s.user))
}

// logDisconnect writes the one line at the end of a session.
func (s *session) logDisconnect(err error) {
	after := s.srv.d.Now().Sub(s.begun)
	s.log().Disconnected(login.Ended{Why: disconnectReason(err), After: after, User: s.user, Tried: s.lastTry, Tale: login.Tale(s.tries, after), Counters: s.counters()})
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
