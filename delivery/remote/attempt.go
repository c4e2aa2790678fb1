package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// attempt is one Deliver.
type attempt struct {
	c       *Client
	cfg     *Config
	hop     *Hop
	m       *Mail
	policy  tlsPolicy
	begun   time.Time
	results []Result
	pending []bool // not settled for good at this attempt
	last    bool   // no other host will be tried after this one
}

// Deliver makes one attempt to deliver m and returns a Result for each of its
// recipients, in order. It tries one host after the other until every
// recipient was accepted or refused for good.
func (c *Client) Deliver(ctx context.Context, hop *Hop, m *Mail) []Result {
	a := &attempt{c: c, hop: hop, m: m, begun: c.d.Now(), results: make([]Result, len(m.To)), pending: make([]bool, len(m.To))}
	for i := range a.pending {
		a.pending[i] = true
	}
	cfg, err := c.config(ctx)
	if err == nil {
		a.cfg = cfg
		a.policy, err = parsePolicy(hop.TLS, cfg.TLSLevel)
	}
	if err != nil {
		a.settle(&Result{Status: Deferred, Enhanced: "4.3.5", Text: err.Error(), Relay: "none"})
		return a.results
	}
	hosts, res := a.hosts(ctx)
	if res != nil {
		a.settle(res)
		return a.results
	}
	a.walk(ctx, hosts)
	return a.results
}

func (c *Client) config(ctx context.Context) (*Config, error) {
	if c.d.Config == nil {
		return nil, errors.New("the settings of smtp are missing")
	}
	return c.d.Config(ctx)
}

// walk tries hosts in turn, up to smtp_mx_session_limit conversations.
func (a *attempt) walk(ctx context.Context, hosts []host) {
	sessions := 0
	for i, h := range hosts {
		if !a.open() || ctx.Err() != nil {
			return
		}
		a.last = i == len(hosts)-1 || a.cfg.Sessions > 0 && sessions+1 >= a.cfg.Sessions
		if a.try(ctx, h) {
			if sessions++; a.cfg.Sessions > 0 && sessions >= a.cfg.Sessions {
				return
			}
		}
	}
}

// open reports whether any recipient is to be tried still.
func (a *attempt) open() bool {
	for _, p := range a.pending {
		if p {
			return true
		}
	}
	return false
}

// settle gives every open recipient the result. A deferral leaves it open for
// the next host.
func (a *attempt) settle(r *Result) {
	for i, p := range a.pending {
		if p {
			a.set(i, r)
		}
	}
}

func (a *attempt) set(i int, r *Result) {
	a.results[i] = *r
	if r.Setup == 0 {
		a.results[i].Setup = a.c.d.Now().Sub(a.begun) - r.Talk
	}
	a.pending[i] = r.Status == Deferred
}

// try holds one conversation and reports whether the host was reached. When
// TLS fails and the policy allows it, a second one goes without.
func (a *attempt) try(ctx context.Context, h host) (reached bool) {
	again, reached := a.converse(ctx, h, a.policy.level != levelNone)
	if again {
		_, reached = a.converse(ctx, h, false)
	}
	return reached
}

// converse connects and sends; again asks for another try without TLS.
func (a *attempt) converse(ctx context.Context, h host, useTLS bool) (again, reached bool) {
	nc, err := a.dial(ctx, h)
	if err != nil {
		a.settle(&Result{Status: Deferred, Enhanced: "4.4.1", Relay: "none", Unreachable: true,
			Text: fmt.Sprintf("connect to %s: %s", h.relay(), reason(err))})
		return false, false
	}
	s := newSession(a, h, nc)
	defer s.close()
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if again := s.handshake(useTLS); again || s.over {
		return again, true
	}
	s.setup = a.c.d.Now().Sub(a.begun)
	s.transfer()
	return false, true
}

func (a *attempt) dial(ctx context.Context, h host) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.ConnectTimeout)
	defer cancel()
	if !h.addr.IsValid() {
		return a.c.d.Dial(ctx, "unix", h.name)
	}
	return a.c.d.Dial(ctx, "tcp", net.JoinHostPort(h.addr.String(), strconv.Itoa(h.port)))
}

// reason gives the words of the system for a failed connection.
func reason(err error) string {
	var no syscall.Errno
	var ne net.Error
	switch {
	case errors.As(err, &no):
		s := no.Error()
		return strings.ToUpper(s[:1]) + s[1:]
	case errors.As(err, &ne) && ne.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "Connection timed out"
	}
	return err.Error()
}
