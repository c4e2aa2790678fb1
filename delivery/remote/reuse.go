package remote

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// idleMost bounds the connections that are kept, of all next hops.
const idleMost = 100

// idle keeps connections open for the next message to the same host: those of
// destinations that are asked for again and again.
// postconf(5) smtp_connection_cache_on_demand
type idle struct {
	mu     sync.Mutex // guards what follows
	kept   map[string][]*session
	n      int
	demand map[string]*demand
}

// demand is how often a next hop is asked for.
type demand struct {
	busy int       // deliveries under way
	last time.Time // when one ended last
}

// begin notes a delivery and reports whether there is a demand: another is
// under way, or ended a moment ago.
func (d *idle) begin(hop string, now time.Time, moment time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.demand == nil {
		d.demand, d.kept = make(map[string]*demand), make(map[string][]*session)
	}
	for name, old := range d.demand {
		if len(d.demand) < idleMost {
			break
		}
		if old.busy == 0 && now.Sub(old.last) > moment {
			delete(d.demand, name)
		}
	}
	e := d.demand[hop]
	if e == nil {
		e = &demand{}
		d.demand[hop] = e
	}
	e.busy++
}

func (d *idle) end(hop string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.demand[hop]
	e.busy--
	e.last = now
}

// wanted reports whether a delivery that began then would keep its connection.
func (d *idle) wanted(hop string, begun time.Time, moment time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.demand[hop]
	return e.busy > 1 || !e.last.IsZero() && begun.Sub(e.last) < moment
}

// put keeps a connection for a while; false when it cannot be kept.
func (d *idle) put(s *session, keep time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n >= idleMost {
		return false
	}
	d.n++
	d.kept[s.key] = append(d.kept[s.key], s)
	s.timer = time.AfterFunc(keep, func() {
		if d.remove(s) {
			s.quit()
			s.close()
		}
	})
	return true
}

// remove takes a connection out; false when it is somebody else's already.
func (d *idle) remove(s *session) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.kept[s.key]
	for i := range list {
		if list[i] == s {
			d.drop(s.key, i)
			return true
		}
	}
	return false
}

// drop shortens a list. The caller holds d.mu.
func (d *idle) drop(key string, i int) {
	list := append(d.kept[key][:i], d.kept[key][i+1:]...)
	if d.kept[key] = list; len(list) == 0 {
		delete(d.kept, key)
	}
	d.n--
}

// take returns a kept connection, the one used last; nil if there is none.
func (d *idle) take(key string) *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.kept[key]
	if len(list) == 0 {
		return nil
	}
	s := list[len(list)-1]
	d.drop(key, len(list)-1)
	s.timer.Stop()
	return s
}

// Close ends the connections that are kept. Deliveries under way end theirs
// themselves.
func (c *Client) Close() {
	d := &c.idle
	d.mu.Lock()
	kept := d.kept
	d.kept, d.n = make(map[string][]*session), 0
	d.mu.Unlock()
	for _, list := range kept {
		for _, s := range list {
			s.timer.Stop()
			s.quit()
			s.close()
		}
	}
}

// destination names a next hop with what its connections must have in common.
func (a *attempt) destination() string {
	h := a.hop
	return fmt.Sprint(h.LMTP, h.Unix, h.MX, strings.ToLower(h.Host), h.Port, "\x00", h.TLS, "\x00", h.User, "\x00", h.Passwd, "\x00", a.policy)
}

// connectionKey names connections that may stand for one another.
func (a *attempt) connectionKey(h host, p *tlsPolicy) string {
	return fmt.Sprint(a.dest, "\x00", h, h.port, "\x00", *p)
}

// reused finds a kept connection to h and sees that it still works.
func (a *attempt) reused(h host, p *tlsPolicy) *session {
	for {
		s := a.c.idle.take(a.connectionKey(h, p))
		if s == nil {
			return nil
		}
		s.a = a
		rep, err := s.ask("RSET", a.cfg.RsetTimeout, "sending RSET")
		if err == nil && rep.ok() {
			return s
		}
		s.close()
	}
}

// keep lets another delivery have the connection, or says goodbye.
func (s *session) keep() {
	c, cfg := s.a.c, s.a.cfg
	now := c.d.Now()
	may := cfg.ReuseOnDemand && cfg.CacheTime > 0 && now.Sub(s.opened) < cfg.ReuseTime && (cfg.ReuseCount <= 0 || s.uses < cfg.ReuseCount)
	if s.tls {
		may = may && (s.policy.reuse == "yes" || s.policy.reuse == "" && cfg.ReuseTLS)
	}
	if may && c.idle.wanted(s.dest, s.a.begun, cfg.CacheTime) {
		if c.idle.put(s, cfg.CacheTime) {
			return
		}
	}
	s.quit()
	s.close()
}
