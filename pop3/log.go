package pop3

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"mailserver/internal/login"
)

// log writes the lines of the session.
func (s *session) log() login.Log {
	return login.Log{To: s.srv.d.Log, Proto: "pop3", ID: s.id, Peer: &s.peer}
}

// logDisconnect writes the one line at the end of a session.
func (s *session) logDisconnect(err error) {
	after := s.srv.d.Now().Sub(s.begun)
	tale := login.Tale(s.tries, after)
	if s.tries == 0 && s.refused {
		tale = "(tried to use disallowed plaintext auth)"
	}
	s.log().Disconnected(login.Ended{Why: s.disconnectReason(err), After: after, User: s.user, Tried: s.lastTry, Tale: tale, Counters: s.counters()})
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
