package login

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"mailserver/internal/control"
	"mailserver/internal/listen"
	"mailserver/internal/maillog"
)

// ErrClosed is what Serve returns after Shutdown.
var ErrClosed = errors.New("server closed")

// Session is one connection that is served. Leave, Cut and Shown are called by
// any goroutine, Run and End by the session's own.
type Session interface {
	// Run serves the connection to its end.
	Run(ctx context.Context)
	// Leave ends it once no command runs.
	Leave()
	// Cut closes the connection under it.
	Cut()
	// Shown is what it is now.
	Shown() control.Session
}

// Set is all sessions of a server, on any number of listeners. Safe for
// concurrent use.
type Set struct {
	log *slog.Logger

	mu        sync.Mutex // guards what follows
	closing   bool
	listeners map[net.Listener]struct{}
	sessions  map[Session]context.CancelFunc
	perUserIP map[userIP]int
	done      sync.WaitGroup
}

type userIP struct {
	user string
	ip   netip.Addr
}

// NewSet returns a Set without sessions.
func NewSet(log *slog.Logger) *Set {
	return &Set{log: log, listeners: map[net.Listener]struct{}{}, sessions: map[Session]context.CancelFunc{}, perUserIP: map[userIP]int{}}
}

// Serve accepts connections until ctx ends or Shutdown is called, and then
// returns ErrClosed; sessions may still be running then. It closes l. Open
// makes the session of a connection; others is how many sessions there are.
func (s *Set) Serve(ctx context.Context, l net.Listener, open func(c net.Conn, others int) Session) error {
	defer l.Close()
	if !s.track(l) {
		return ErrClosed
	}
	defer s.untrack(l)
	listen.Serve(ctx, l, s.log, func(c net.Conn) { s.start(ctx, c, open) })
	return ErrClosed
}

func (s *Set) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Set) untrack(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// start runs a session. The end of Serve's ctx does not end it: Shutdown does.
func (s *Set) start(ctx context.Context, c net.Conn, open func(net.Conn, int) Session) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		cancel()
		c.Close()
		return
	}
	ss := open(c, len(s.sessions))
	s.sessions[ss] = cancel
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		defer s.forget(ss)
		ss.Run(ctx)
	}()
}

// forget ends the books on a session. A fault of the program ends the session
// that met it, and no other.
func (s *Set) forget(ss Session) {
	if p := recover(); p != nil {
		is := ss.Shown()
		s.log.Error("session failed", maillog.Proto, is.Proto, maillog.Conn, is.ID, maillog.User, is.User, maillog.Err, p, "stack", string(debug.Stack()))
		ss.Cut()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[ss]()
	delete(s.sessions, ss)
}

// Shutdown stops accepting, lets every session end between two commands, and
// waits for those in a command to end it. When ctx ends first, it closes their
// connections, waits for them and returns ctx's error.
func (s *Set) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	for ss := range s.sessions {
		ss.Leave()
	}
	s.mu.Unlock()

	gone := make(chan struct{})
	go func() { s.done.Wait(); close(gone) }()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	s.Cut(func(control.Session) bool { return true })
	<-gone
	return ctx.Err()
}

// Enter counts a session of a user from an address; false if there are limit
// already. 0: no limit.
func (s *Set) Enter(user string, from netip.Addr, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := userIP{user, from}
	if limit > 0 && s.perUserIP[k] >= limit {
		return false
	}
	s.perUserIP[k]++
	return true
}

// Exit takes back what Enter has counted.
func (s *Set) Exit(user string, from netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := userIP{user, from}
	if s.perUserIP[k]--; s.perUserIP[k] <= 0 {
		delete(s.perUserIP, k)
	}
}

// Sessions is how many clients are connected.
func (s *Set) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// List returns all sessions, the oldest first.
func (s *Set) List() []control.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]control.Session, 0, len(s.sessions))
	for ss := range s.sessions {
		list = append(list, ss.Shown())
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
func (s *Set) Cut(match func(control.Session) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ss, cancel := range s.sessions {
		if match(ss.Shown()) {
			cancel()
			ss.Cut()
			n++
		}
	}
	return n
}
