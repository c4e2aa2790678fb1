// Package pop3 is the POP3 server: RFC 1939, with CAPA (RFC 2449), SASL
// (RFC 5034) and TLS (RFC 2595, RFC 8314).
//
// A connection is one goroutine. It reads a line, finds the row of its command
// in the table of commands.go, and runs it; replies to errors are made in
// reply.go only.
//
// Invariants: the maildrop is what INBOX held at the log-in, numbers and sizes
// stay as they were told; nothing is removed, and no flag is changed, before
// QUIT; no message is held in memory; a session that waits for its client holds
// no buffer; replies leave together when the client has sent more commands.
package pop3

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

// Server serves POP3 on any number of listeners.
type Server struct {
	*login.Set
	d        Deps
	commands map[string]*command
	drops    maildropLocks
}

// New returns a Server.
func New(d Deps) *Server {
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Server{Set: login.NewSet(d.Log), d: d, commands: byName(commandTable())}
}

// keepAlive finds hosts that are gone.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: time.Minute, Count: 5}

// Serve accepts connections until ctx ends or Shutdown is called, and then
// returns ErrServerClosed; sessions may still be running then. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener, opt ListenerOptions) error {
	return s.Set.Serve(ctx, l, func(c net.Conn, others int) login.Session {
		listen.KeepAlive(c, keepAlive)
		return newSession(s, c, opt, others)
	})
}
