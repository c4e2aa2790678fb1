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
	"net"
	"time"

	"mailserver/internal/listen"
	"mailserver/internal/login"
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = login.ErrClosed

// ListenerOptions is what one listener does differently from another.
type ListenerOptions = login.Options

// Server serves IMAP on any number of listeners.
type Server struct {
	*login.Set
	d        Deps
	commands map[string]*command
}

// New returns a Server.
func New(d Deps) *Server {
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Server{Set: login.NewSet(d.Log), d: d, commands: byName(commandTable())}
}

// keepAlive finds hosts that are gone, seldom enough for a phone to sleep.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Minute, Interval: time.Minute, Count: 5}

// Serve accepts connections until ctx ends or Shutdown is called, and then
// returns ErrServerClosed; sessions may still be running then. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener, opt ListenerOptions) error {
	return s.Set.Serve(ctx, l, func(c net.Conn, others int) login.Session {
		listen.KeepAlive(c, keepAlive)
		return newSession(s, c, opt, others)
	})
}
