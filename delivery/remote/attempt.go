package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
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
	policy  tlsPolicy // of the next hop; DANE makes one for each host of it
	dest    string    // destination
	domain  string    // whose exchangers were looked up, in ASCII
	sts     STSPolicy // of the domain, if it has one
	waived  *bool     // nil: waives has not looked yet
	viaMX   bool      // by MX records, not by the address of the domain itself
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
	if err == nil && hop.Unix && a.policy.authenticates() {
		err = errors.New("no certificate can be verified over a unix-domain socket")
	}
	if err != nil {
		a.settle(&Result{Status: Deferred, Enhanced: "4.3.5", Text: err.Error(), Relay: "none"})
		return a.results
	}
	a.dest = a.destination()
	c.idle.begin(a.dest, a.begun, cfg.CacheTime)
	defer func() { c.idle.end(a.dest, c.d.Now()) }()
	hosts, res := a.hosts(ctx)
	if res == nil {
		res = a.mtaSTS(ctx, &hosts)
	}
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
	p := a.policy
	if p.level == levelDANE && a.waives() {
		p = tlsPolicy{level: levelMay, reuse: p.reuse}
	}
	if p.level == levelDANE || p.level == levelDANEOnly {
		var err error
		if p, err = a.danePolicy(ctx, h); err != nil {
			a.settle(&Result{Status: Deferred, Enhanced: "4.7.5", Relay: "none", Unreachable: true, Text: err.Error()})
			return false
		}
	}
	again, reached := a.converse(ctx, h, a.requiring(p))
	if again {
		_, reached = a.converse(ctx, h, tlsPolicy{})
	}
	return reached
}

// converse connects and sends; again asks for another try without TLS.
func (a *attempt) converse(ctx context.Context, h host, p tlsPolicy) (again, reached bool) {
	var s *session
	if !a.m.RequireTLS {
		s = a.reused(h, &p)
	}
	if s != nil {
		s.uses++
		stop := context.AfterFunc(ctx, func() { s.nc.SetDeadline(time.Unix(1, 0)) })
		defer stop()
		s.setup = a.c.d.Now().Sub(a.begun)
		s.transfer()
		return false, true
	}
	nc, err := a.dial(ctx, h)
	if err != nil {
		a.settle(&Result{Status: Deferred, Enhanced: "4.4.1", Relay: "none", Unreachable: true,
			Text: fmt.Sprintf("connect to %s: %s", h.relay(), reason(err))})
		return false, false
	}
	s = newSession(a, h, nc)
	s.policy, s.key, s.dest, s.opened, s.uses = p, a.connectionKey(h, &p), a.dest, a.c.d.Now(), 1
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if again := s.handshake(p.level != levelNone); again || s.over {
		s.close()
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
		if a.c.d.Dial != nil {
			return a.c.d.Dial(ctx, "unix", h.name)
		}
		return new(net.Dialer).DialContext(ctx, "unix", h.name)
	}
	addr := net.JoinHostPort(h.addr.String(), strconv.Itoa(h.port))
	if a.c.d.Dial != nil {
		return a.c.d.Dial(ctx, "tcp", addr)
	}
	from, err := a.source(h)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{LocalAddr: from}).DialContext(ctx, "tcp", addr)
}

// source is the address that connections to h come from; nil leaves the
// choice to the system. Within this host the system chooses always.
func (a *attempt) source(h host) (net.Addr, error) {
	name, text := "smtp_bind_address", a.cfg.BindAddress
	if h.addr.Is6() {
		name, text = "smtp_bind_address6", a.cfg.BindAddress6
	}
	if text == "" || h.addr.IsLoopback() {
		return nil, nil
	}
	ip, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil || ip.Is4() != h.addr.Is4() {
		return nil, fmt.Errorf("setting %s: %q is no such address", name, text)
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)), nil
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
