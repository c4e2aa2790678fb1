package smtp

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mailserver/policy"
)

// begin is everything up to the greeting.
func (s *session) begin(ctx context.Context) bool {
	set, err := s.srv.config(ctx)
	if set == nil {
		s.set = &settings{Config: &Config{Timeout: time.Minute, Hostname: "localhost"}}
		s.timeout = s.set.Timeout
		s.backendError("read settings", err)
		s.put(s.hostReply(421, "4.3.0", "Server local data error"))
		return false
	}
	s.set, s.timeout = set, set.Timeout
	s.named(ctx)
	s.info("connect", "connect from %s", s.namaddr)
	if r, over := s.overLimits(); over {
		s.put(r)
		return false
	}
	if s.opt.TLS == Wrapper && !s.wrap(ctx) {
		return false
	}
	return s.greet(ctx)
}

func (s *session) named(ctx context.Context) {
	if s.set.PeernameLookup && s.client.Name == unknown {
		p := s.srv.names.of(ctx, s.client.Addr)
		s.client.Name, s.client.ReverseName, s.client.TempFail = p.name, p.reverse, p.tempfail
	}
	s.namaddr = fmt.Sprintf("%s[%s]", s.client.Name, s.client.Addr)
}

// overLimits counts the connection and answers one too many.
func (s *session) overLimits() (reply, bool) {
	if s.srv.Sessions() > s.set.Connections {
		s.warn("too many sessions", "connect from %s: smtpd_connection_limit %d reached", s.namaddr, s.set.Connections)
		return allPortsBusy, true
	}
	if s.opt.Role == policy.LMTP || s.set.exceptions.Contains(s.client.Addr) {
		return reply{}, false
	}
	s.counted = s.counting()
	open := s.srv.limits.open(s.counted)
	tooMany := s.hostReply(421, "4.7.0", "Error: too many connections from "+s.client.Addr.String())
	if most := s.set.ClientConnections; most > 0 && open > most {
		s.warn("too many connections", "Connection concurrency limit exceeded: %d from %s for service %s", open, s.namaddr, s.tag)
		return tooMany, true
	}
	if n, over := s.over(connects, s.set.ClientRate); over {
		s.warn("connection rate", "Connection rate limit exceeded: %d from %s for service %s", n, s.namaddr, s.tag)
		return tooMany, true
	}
	return reply{}, false
}

// over counts an event of the client against a limit per client; 0 is none.
func (s *session) over(e event, limit int) (n int, over bool) {
	if !s.counted.IsValid() || limit <= 0 {
		return 0, false
	}
	n = s.srv.limits.count(s.counted, e, s.set.RateUnit)
	return n, n > limit
}

// counting is the first address of the network that is one client.
func (s *session) counting() netip.Addr {
	bits := s.set.IPv4Prefix
	if s.client.Addr.Is6() {
		bits = s.set.IPv6Prefix
	}
	p, _ := s.client.Addr.Prefix(bits) // Validate has seen that bits fit
	return p.Addr()
}

// greet judges the client and says 220, or why not.
func (s *session) greet(ctx context.Context) bool {
	s.judge = s.srv.d.Judge(s.client)
	if s.tls != nil {
		s.tellTLS()
	}
	v := s.judge.Connect(ctx)
	s.warnings("CONNECT", "", v)
	if r, refused := verdictReply(v); refused {
		s.judged("CONNECT", "", r, v)
		s.errors++
		s.denied = true
		s.done = v.Action == policy.Disconnect || r.ends()
		s.say(r)
		return true
	}
	if r, refused := s.milterConnect(ctx); refused {
		s.errors++
		s.done = r.ends()
		s.say(r)
		return true
	}
	s.say(reply{220, "", s.banner()})
	return true
}

// banner is smtpd_banner with the name of the listener.
func (s *session) banner() string {
	text := s.set.Banner
	if rest, ok := strings.CutPrefix(text, s.set.Hostname); ok {
		text = s.hostname() + rest
	}
	if s.opt.Role == policy.LMTP {
		text = strings.Replace(text, " ESMTP", " LMTP", 1)
	}
	return text
}

func (s *session) hostname() string {
	if s.opt.Hostname != "" {
		return s.opt.Hostname
	}
	return s.set.Hostname
}

// hostReply has the name of the host before its text.
func (s *session) hostReply(code int, enhanced, text string) reply {
	return reply{code, enhanced, s.hostname() + " " + text}
}
