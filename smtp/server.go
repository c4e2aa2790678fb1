package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"mailserver/internal/listen"
	"mailserver/internal/milter"
	"mailserver/internal/nets"
	"mailserver/internal/tlscert"
	"mailserver/policy"
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("smtp: server closed")

// TLSMode is what a listener demands of TLS, as smtpd_tls_security_level.
type TLSMode string

const (
	None    TLSMode = "none"
	May     TLSMode = "may"     // STARTTLS is offered
	Encrypt TLSMode = "encrypt" // nothing without STARTTLS
	Wrapper TLSMode = "wrapper" // TLS from the first byte
)

// AuthMode is whether a listener offers AUTH.
type AuthMode int

const (
	NoAuth        AuthMode = iota
	AuthWithTLS            // mechanisms that send a password only under TLS
	AuthPlaintext          // all of them always, unless smtpd_tls_auth_only
)

// ListenerOptions says what one listener is.
type ListenerOptions struct {
	Role      policy.Role
	TLS       TLSMode
	TLSConfig *tls.Config // nil: TLS is not available
	Hostname  string      // '': setting myhostname
	Tag       string
	Auth      AuthMode
	// Names are how postscreen_listeners may call this listener.
	Names []string

	asking *tls.Config // TLSConfig, for sessions that want a certificate
}

// Deps is what a Server needs.
type Deps struct {
	Judge  func(policy.Client) Judge // see Judging
	Route  Router
	Accept Accepter      // see Accepting
	Auth   Authenticator // nil: AUTH is offered nowhere

	// Config is asked at every command. An error makes commands that need the
	// settings temporary failures.
	Config func(context.Context) (*Config, error)

	// Milter is the settings of milters; nil: there are none. MilterMap looks a
	// client up in the tables of smtpd_milter_maps; ok false: it is in none.
	Milter    func(context.Context) (*milter.Config, error)
	MilterMap func(ctx context.Context, tables []string, a netip.Addr) (list string, ok bool, err error)

	// Screen looks at clients before a session begins; nil: nobody does. It
	// returns the connection, or nil when the client has been dealt with.
	Screen func(ctx context.Context, nc net.Conn, listener []string, startTLS *tls.Config, stopping func() bool) net.Conn

	// Resolve names a client: verified name, name of the PTR record, both
	// "unknown" if there is none; tempfail when that cannot be known now. nil:
	// the system's resolver.
	Resolve func(ctx context.Context, a netip.Addr) (name, reverse string, tempfail bool)

	Log *slog.Logger     // nil: no log
	Now func() time.Time // nil: time.Now; for the Received header
}

// Server runs the listeners of one host. Its limits hold for all of them
// together. Safe for concurrent use.
type Server struct {
	d      Deps
	limits *limits
	names  *names

	last    atomic.Pointer[settings] // for greetings while settings cannot be read
	closing atomic.Bool

	mu        sync.Mutex // guards what follows
	sessions  map[*session]struct{}
	screened  map[net.Conn]struct{} // clients that are no session yet
	listeners map[net.Listener]struct{}
	running   sync.WaitGroup // sessions
}

// New returns a Server. It starts nothing.
func New(d Deps) *Server {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Server{
		d:         d,
		limits:    newLimits(),
		names:     newNames(d.Resolve),
		sessions:  make(map[*session]struct{}),
		screened:  make(map[net.Conn]struct{}),
		listeners: make(map[net.Listener]struct{}),
	}
}

// Serve accepts connections from ln until ctx ends or Shutdown is called, and
// closes ln. It returns when its sessions have ended: ErrServerClosed after
// Shutdown, the context's error when ctx has ended (sessions are cut off), or
// what Accept failed with.
func (s *Server) Serve(ctx context.Context, ln net.Listener, opt ListenerOptions) error {
	if !s.addListener(ln) {
		ln.Close()
		return ErrServerClosed
	}
	if opt.TLSConfig != nil {
		opt.asking = tlscert.Asking(opt.TLSConfig)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var own sync.WaitGroup
	defer own.Wait()
	defer s.dropListener(ln)
	stop := context.AfterFunc(ctx, func() { s.dropListener(ln) })
	defer stop()

	err := listen.Serve(ctx, ln, s.d.Log, func(nc net.Conn) { s.start(ctx, nc, opt, &own) })
	if end := s.ended(ctx); end != nil {
		return end
	}
	return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
}

func (s *Server) ended(ctx context.Context) error {
	if s.closing.Load() {
		return ErrServerClosed
	}
	return ctx.Err()
}

func (s *Server) start(ctx context.Context, nc net.Conn, opt ListenerOptions, own *sync.WaitGroup) {
	s.mu.Lock()
	if s.closing.Load() { // running may be waited for already
		s.mu.Unlock()
		nc.Close()
		return
	}
	s.running.Add(1)
	s.mu.Unlock()
	own.Go(func() {
		defer s.running.Done()
		stop := context.AfterFunc(ctx, func() { nc.Close() })
		defer stop()
		if conn := s.screen(ctx, nc, opt); conn != nil {
			s.session(ctx, conn, opt)
		}
	})
}

// screen has a client looked at, where clients of the listener are.
func (s *Server) screen(ctx context.Context, nc net.Conn, opt ListenerOptions) net.Conn {
	if s.d.Screen == nil || opt.Role != policy.MX || opt.TLS == Wrapper {
		return nc
	}
	s.mu.Lock()
	s.screened[nc] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.screened, nc)
		s.mu.Unlock()
	}()
	var startTLS *tls.Config
	if opt.TLS == May || opt.TLS == Encrypt {
		startTLS = opt.TLSConfig
	}
	return s.d.Screen(ctx, nc, opt.Names, startTLS, s.closing.Load)
}

func (s *Server) session(ctx context.Context, nc net.Conn, opt ListenerOptions) {
	ss := newSession(s, nc, opt)
	s.mu.Lock()
	s.sessions[ss] = struct{}{}
	s.mu.Unlock()
	ss.serve(ctx)
	s.mu.Lock()
	delete(s.sessions, ss)
	s.mu.Unlock()
}

// Shutdown stops accepting, says 421 to sessions that wait for a command, lets
// a message in progress be finished, and returns when all sessions have ended.
// When ctx ends first, the rest is cut off and ctx's error is returned. Serve
// returns ErrServerClosed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closing.Store(true)
	s.mu.Lock()
	for ln := range s.listeners {
		ln.Close()
	}
	for ss := range s.sessions {
		ss.interrupt()
	}
	for nc := range s.screened {
		nc.SetReadDeadline(aLongTimeAgo)
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() { // ends: after the cut below every session ends
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for ss := range s.sessions {
		ss.cut()
	}
	for nc := range s.screened {
		nc.Close()
	}
	s.mu.Unlock()
	<-done
	return ctx.Err()
}

func (s *Server) addListener(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *Server) dropListener(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.listeners[ln]; ok {
		delete(s.listeners, ln)
		ln.Close()
	}
}

// Sessions is how many clients are connected.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// settings is a Config that has been looked through.
type settings struct {
	*Config
	exceptions nets.List // clients without limits
	mine       nets.List // mynetworks
	xforward   nets.List // clients that speak for others in the log
	bareLFFree nets.List // clients whose bare LF is not held against them
}

// config returns the settings as they are now; when they cannot be read, the
// last that could be (nil if there were none) and why.
func (s *Server) config(ctx context.Context) (*settings, error) {
	c, err := s.d.Config(ctx)
	last := s.last.Load()
	if err != nil || last != nil && last.Config == c {
		return last, err
	}
	if err := c.Validate(); err != nil {
		return last, err
	}
	set := &settings{Config: c}
	set.exceptions, _ = nets.ParseList(c.Exceptions) // Validate has parsed them
	set.mine, _ = nets.ParseList(c.MyNetworks)
	set.xforward, _ = nets.ParseList(c.XForward)
	set.bareLFFree, _ = nets.ParseList(c.BareLFExclusions)
	s.last.Store(set)
	return set, nil
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
