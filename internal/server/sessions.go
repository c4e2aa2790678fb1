package server

import (
	"encoding/json"
	"net/http"
	"strings"

	"mailserver/internal/control"
)

// sessionEdge is a protocol whose clients log in and stay.
type sessionEdge interface {
	List() []control.Session
	Cut(match func(control.Session) bool) int
}

func (e imapEdge) List() []control.Session { return e.s.List() }
func (e pop3Edge) List() []control.Session { return e.s.List() }

func (e imapEdge) Cut(match func(control.Session) bool) int { return e.s.Cut(match) }
func (e pop3Edge) Cut(match func(control.Session) bool) int { return e.s.Cut(match) }

func (s *Server) listSessions() []control.Session {
	list := []control.Session{}
	for _, e := range s.edges {
		if e, ok := e.(sessionEdge); ok {
			list = append(list, e.List()...)
		}
	}
	return list
}

// killSessions ends the sessions of ?user=, ?remote= or ?id=; all that are given
// must fit.
func (s *Server) killSessions(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	user, remote, id := q.Get("user"), q.Get("remote"), q.Get("id")
	if user == "" && remote == "" && id == "" {
		http.Error(w, "say which sessions", http.StatusBadRequest)
		return
	}
	n := 0
	for _, e := range s.edges {
		if e, ok := e.(sessionEdge); ok {
			n += e.Cut(func(c control.Session) bool {
				return (user == "" || strings.EqualFold(user, c.User)) && (remote == "" || remote == c.Remote) && (id == "" || id == c.ID)
			})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]int{"ended": n})
}
