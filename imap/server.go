// Package imap is the IMAP server: IMAP4rev1 (RFC 3501), IMAP4rev2 (RFC 9051)
// and the extensions that capability.go lists.
//
// A connection is one goroutine, in IDLE too. It reads a command through the
// table in commands.go: the row says in which states the command is legal, how
// its arguments are read (all of them, before anything is done), and what runs.
// Replies to errors are made in reply.go only.
//
// Invariants: nothing that a client sent as data is ever read as a command
// (imapwire.Decoder.Skip); no message is held in memory, neither in APPEND nor
// in FETCH; a session that waits for its client holds no buffer; changes of
// other sessions are told by a comparison with storage at the end of each
// command, so that a client which does not read costs nothing.
package imap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"mailserver/internal/listen"
	"mailserver/internal/maillog"
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("imap: server closed")

// TLSMode says when a listener speaks TLS.
type TLSMode int

// Modes of TLS, named as smtpd_tls_security_level names them.
const (
	TLSNone    TLSMode = iota // STARTTLS is not offered
	TLSMay                    // STARTTLS is offered
	TLSEncrypt                // no login before STARTTLS
	TLSWrapper                // TLS from the first byte
)

// ListenerOptions is what one listener does differently from another.
type ListenerOptions struct {
	TLS      TLSMode
	Hostname string // in the greeting; empty: the setting myhostname
}

// Server serves IMAP on any number of listeners.
type Server struct {
	d        Deps
	commands map[string]*command

	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	perUserIP map[userIP]int
	done      sync.WaitGroup
}

type userIP struct {
	user string
	ip   netip.Addr
}

// New returns a Server.
func New(d Deps) *Server {
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Server{d: d, commands: byName(commandTable()), listeners: map[net.Listener]struct{}{}, sessions: map[*session]struct{}{}, perUserIP: map[userIP]int{}}
}

// Serve accepts connections until ctx ends or Shutdown is called, and then
// returns ErrServerClosed; sessions may still be running then. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener, opt ListenerOptions) error {
	defer l.Close()
	if !s.track(l) {
		return ErrServerClosed
	}
	defer s.untrack(l)
	listen.Serve(ctx, l, s.d.Log, func(c net.Conn) { s.start(ctx, c, opt) })
	return ErrServerClosed
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) untrack(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// start runs a session. The end of Serve's ctx does not end it: Shutdown does.
func (s *Server) start(ctx context.Context, c net.Conn, opt ListenerOptions) {
	listen.KeepAlive(c, keepAlive)
	ss := newSession(s, c, opt)
	ctx, ss.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		c.Close()
		return
	}
	ss.others = len(s.sessions)
	s.sessions[ss] = struct{}{}
	s.done.Add(1)
	go func() {
		defer s.done.Done()
		defer s.forget(ss)
		defer ss.cancel()
		ss.serve(ctx)
	}()
}

// keepAlive finds hosts that are gone, seldom enough for a phone to sleep.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Minute, Interval: time.Minute, Count: 5}

// forget ends the books on a session. A fault of the program ends the session
// that met it, and no other.
func (s *Server) forget(ss *session) {
	if p := recover(); p != nil {
		s.d.Log.Error("session failed", maillog.Proto, "imap", maillog.Conn, ss.id, maillog.User, ss.user, maillog.Err, p, "stack", string(debug.Stack()))
		ss.cut()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, ss)
}

// Shutdown stops accepting, says BYE to every session between two commands, and
// waits for those in a command to end it. When ctx ends first, it closes their
// connections, waits for them and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	for ss := range s.sessions {
		ss.leave()
	}
	s.mu.Unlock()

	gone := make(chan struct{})
	go func() { s.done.Wait(); close(gone) }()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for ss := range s.sessions {
		ss.cut()
	}
	s.mu.Unlock()
	<-gone
	return ctx.Err()
}

// enter counts a session of a user; false if there are limit already.
func (s *Server) enter(k userIP, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit > 0 && s.perUserIP[k] >= limit {
		return false
	}
	s.perUserIP[k]++
	return true
}

func (s *Server) exit(k userIP) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perUserIP[k]--; s.perUserIP[k] <= 0 {
		delete(s.perUserIP, k)
	}
}

// Sessions is how many clients are connected.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}
