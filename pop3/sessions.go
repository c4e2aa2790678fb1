package pop3

import (
	"slices"
	"strings"

	"mailserver/internal/control"
)

// show tells other goroutines what the session is now.
func (s *session) show() {
	s.shown.Store(&control.Session{Proto: "pop3", ID: s.id, User: s.user, Remote: s.peer.Remote.String(), TLS: s.peer.TLS, Begun: s.begun})
}

// List returns all sessions, the oldest first.
func (s *Server) List() []control.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]control.Session, 0, len(s.sessions))
	for ss := range s.sessions {
		list = append(list, *ss.shown.Load())
	}
	slices.SortFunc(list, func(a, b control.Session) int {
		if c := a.Begun.Compare(b.Begun); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// Cut ends the sessions that match, whatever they are doing, and returns how
// many.
func (s *Server) Cut(match func(control.Session) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ss := range s.sessions {
		if match(*ss.shown.Load()) {
			ss.cut()
			n++
		}
	}
	return n
}
