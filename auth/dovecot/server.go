// Package dovecot speaks Dovecot's authentication protocol, version 1.2, so
// that Postfix (smtpd_sasl_type = dovecot) and Exim ask this server who their
// users are.
package dovecot

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"

	"mailserver/auth"
)

// Config is the part of the settings about the socket.
type Config struct {
	// Socket is where other mail servers ask: a path, for Postfix below
	// /var/spool/postfix, or host:port on loopback. Empty: nowhere.
	Socket string `setting:"auth_socket" default:""`
	// Mode and Group are those of a path; group '' is the server's own.
	Mode  string `setting:"auth_socket_mode" default:"0660"`
	Group string `setting:"auth_socket_group" default:""`
}

// Bounds. A line has that of Dovecot.
const (
	maxLine     = 8192
	maxRequests = 64 // open at once on one connection
	maxConns    = 1000
	writeTime   = 30 * time.Second
	requestTime = 5 * time.Minute // from AUTH to the end of its exchange
)

// Server answers on any number of sockets.
type Server struct {
	Auth *auth.Service
	Log  *slog.Logger

	cuid  atomic.Uint64
	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
	wg    sync.WaitGroup
}

// Serve accepts connections until the listener is closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if !s.track(c) {
			c.Close()
			continue
		}
		s.wg.Go(func() {
			defer s.forget(c)
			if err := s.talk(ctx, c); err != nil && ctx.Err() == nil {
				s.Log.Debug("auth connection ended", "err", err)
			}
		})
	}
}

func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = make(map[net.Conn]struct{})
	}
	if len(s.conns) >= maxConns {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) forget(c net.Conn) {
	c.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// Close ends all connections and waits for them. Close the listeners first.
func (s *Server) Close() {
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// conn is one connection: another server, or a process of it.
type conn struct {
	s    *Server
	nc   net.Conn
	ctx  context.Context
	open map[uint64]*request // belongs to the reader

	wmu  sync.Mutex // held while lines are written
	jobs sync.WaitGroup
}

// request is one exchange.
type request struct {
	id     uint64
	server sasl.Server
	who    auth.Identity
	until  time.Time
	busy   chan struct{} // holds a token while nothing runs
	ended  atomic.Bool
	cancel context.CancelFunc
}

func (s *Server) talk(ctx context.Context, nc net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	c := &conn{s: s, nc: nc, ctx: ctx, open: make(map[uint64]*request)}
	defer c.jobs.Wait()
	defer cancel() // ends the waiting of jobs
	if err := c.greet(); err != nil {
		return err
	}
	in := bufio.NewReaderSize(nc, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		if err := c.handle(strings.Split(string(bytes.TrimSuffix(line, []byte("\n"))), "\t")); err != nil {
			return err
		}
	}
}

// greet offers what can be done without the client's TLS connection at hand.
func (c *conn) greet() error {
	var b strings.Builder
	b.WriteString("VERSION\t1\t2\n")
	for _, name := range c.s.Auth.Mechanisms(c.ctx, auth.Client{Service: "smtp", TLS: true}, true) {
		b.WriteString("MECH\t" + name + mechanismFlags(name) + "\n")
	}
	var cookie [16]byte
	rand.Read(cookie[:])
	fmt.Fprintf(&b, "SPID\t%d\nCUID\t%d\nCOOKIE\t%s\nDONE\n", os.Getpid(), c.s.cuid.Add(1), hex.EncodeToString(cookie[:]))
	return c.write(b.String())
}

// mechanismFlags are what Postfix's noplaintext and nodictionary go by.
func mechanismFlags(name string) string {
	switch {
	case name == "PLAIN", name == "LOGIN":
		return "\tplaintext"
	case name == "CRAM-MD5":
		return "\tdictionary\tactive"
	case strings.HasPrefix(name, "SCRAM-"):
		return "\tmutual-auth"
	}
	return ""
}

func (c *conn) write(text string) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	c.nc.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := io.WriteString(c.nc, text)
	return err
}

var errProtocol = errors.New("not the authentication protocol of Dovecot")

// handle does one line. Lines of later versions are passed over.
func (c *conn) handle(f []string) error {
	switch f[0] {
	case "VERSION":
		if len(f) < 2 || f[1] != "1" {
			return fmt.Errorf("%w: version %v", errProtocol, f[1:])
		}
		return nil
	case "AUTH", "CONT", "CANCEL":
	default:
		return nil // CPID, and what is not known
	}
	if len(f) < 2 {
		return errProtocol
	}
	id, err := strconv.ParseUint(f[1], 10, 32)
	if err != nil {
		return errProtocol
	}
	switch f[0] {
	case "AUTH":
		return c.auth(id, f[2:])
	case "CONT":
		return c.cont(id, f[2:])
	}
	if r := c.open[id]; r != nil {
		r.cancel()
		delete(c.open, id)
	}
	return nil
}

// auth begins an exchange: AUTH id mechanism parameters... resp=base64.
func (c *conn) auth(id uint64, f []string) error {
	c.sweep()
	if len(f) < 1 || c.open[id] != nil || len(c.open) >= maxRequests {
		return errProtocol
	}
	client, response, err := parameters(f[1:])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, requestTime)
	r := &request{id: id, until: time.Now().Add(requestTime), busy: make(chan struct{}, 1), cancel: cancel}
	r.server = c.s.Auth.Begin(ctx, client, f[0], func(who auth.Identity) { r.who = who })
	if r.server == nil {
		cancel()
		return c.write(fmt.Sprintf("FAIL\t%d\treason=Unsupported authentication mechanism\n", id))
	}
	c.open[id] = r
	c.run(r, response)
	return nil
}

// sweep forgets what has ended, or was never gone on with.
func (c *conn) sweep() {
	now := time.Now()
	for id, r := range c.open {
		if r.ended.Load() || now.After(r.until) {
			r.cancel()
			delete(c.open, id)
		}
	}
}

// parameters reads who the client's client is. resp= is last, and may hold
// anything.
func parameters(f []string) (c auth.Client, response []byte, err error) {
	c.Service = "smtp"
	for _, p := range f {
		name, value, _ := strings.Cut(p, "=")
		switch name {
		case "service":
			c.Service = value
		case "rip":
			c.Remote, _ = netip.ParseAddr(value)
		case "lip":
			c.Local, _ = netip.ParseAddr(value)
		case "secured":
			c.TLS = true
		case "resp":
			if response, err = base64.StdEncoding.DecodeString(value); err != nil {
				return c, nil, fmt.Errorf("%w: resp", errProtocol)
			}
			if response == nil {
				response = []byte{}
			}
		}
	}
	return c, response, nil
}

func (c *conn) cont(id uint64, f []string) error {
	r := c.open[id]
	if r == nil || r.ended.Load() {
		return nil // it has been told how that ended
	}
	if len(f) != 1 {
		return errProtocol
	}
	response, err := base64.StdEncoding.DecodeString(f[0])
	if err != nil {
		return fmt.Errorf("%w: CONT", errProtocol)
	}
	if response == nil {
		response = []byte{}
	}
	c.run(r, response)
	return nil
}

// run does one step of an exchange beside those of others: a wrong password is
// answered late.
func (c *conn) run(r *request, response []byte) {
	select {
	case r.busy <- struct{}{}:
	default:
		return // the client has not waited for its turn
	}
	c.jobs.Go(func() {
		challenge, done, err := r.server.Next(response)
		line := fmt.Sprintf("CONT\t%d\t%s\n", r.id, base64.StdEncoding.EncodeToString(challenge))
		if err != nil || done {
			line = r.outcome(err)
			r.ended.Store(true)
			r.cancel()
		}
		<-r.busy // before the client can answer
		if c.write(line) != nil {
			c.nc.Close()
		}
	})
}

// outcome is the line that ends an exchange.
func (r *request) outcome(err error) string {
	claim := escape(auth.Claim(r.server))
	switch {
	case err == nil && r.who.User != "":
		return fmt.Sprintf("OK\t%d\tuser=%s\n", r.id, escape(r.who.User))
	case errors.Is(err, auth.ErrUnavailable):
		return fmt.Sprintf("FAIL\t%d\tuser=%s\ttemp\tcode=temp_fail\treason=Temporary authentication failure\n", r.id, claim)
	}
	return fmt.Sprintf("FAIL\t%d\tuser=%s\n", r.id, claim)
}

// escape is that of Dovecot's str_tabescape.
func escape(s string) string {
	return strings.NewReplacer("\x01", "\x011", "\x00", "\x010", "\t", "\x01t", "\r", "\x01r", "\n", "\x01n").Replace(s)
}
