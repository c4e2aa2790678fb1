package policy

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mailserver/internal/dns"
	"mailserver/internal/policyd"
	"mailserver/schema"
)

// Deps is what an Engine needs.
type Deps struct {
	Mail   *schema.Mail
	State  *schema.State // nil: what must remember is refused
	Probe  Probe         // nil: address verification is refused
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now
	DNS    *dns.Resolver    // nil asks as resolv.conf(5) says
	// Interfaces returns the addresses of this host; nil asks the kernel.
	Interfaces func() ([]netip.Addr, error)
}

// Engine judges by the restriction lists in mail.sqlite. Its methods may be
// called from any goroutine.
type Engine struct {
	d        Deps
	rules    map[string]*rule
	services policyd.Client
	probes   *probes
	steps    sync.Pool                        // *[]Step, of sessions that judge
	told     struct{ second, n atomic.Int64 } // refusals whose steps were kept

	mu       sync.Mutex
	compiled *compiled // of the newest generation seen
	servers  string    // setting dns_servers that own was made of
	own      *dns.Resolver
}

// New returns an Engine.
func New(d Deps) *Engine {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.DNS == nil {
		d.DNS = dns.New(dns.Config{})
	}
	if d.Interfaces == nil {
		d.Interfaces = interfaceAddrs
	}
	return &Engine{d: d, rules: ruleTable(), probes: newProbes()}
}

// resolver is the one of Deps, or one that asks the servers of a setting.
func (e *Engine) resolver(servers []string) *dns.Resolver {
	if len(servers) == 0 {
		return e.d.DNS
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if text := strings.Join(servers, " "); e.own == nil || text != e.servers {
		e.servers = text
		e.own = dns.New(dns.Config{Servers: withPort(servers), Now: e.d.Now})
	}
	return e.own
}

func withPort(servers []string) []string {
	var list []string
	for _, s := range servers {
		if _, err := netip.ParseAddrPort(s); err != nil {
			s = net.JoinHostPort(strings.Trim(s, "[]"), "53")
		}
		list = append(list, s)
	}
	return list
}

func interfaceAddrs() ([]netip.Addr, error) {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var list []netip.Addr
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			list = append(list, p.Addr().Unmap())
		}
	}
	return list, nil
}

// compiled is what was made out of texts and rows of one generation of
// mail.sqlite.
type compiled struct {
	gen int64

	mu     sync.RWMutex
	lists  map[string]*list       // by text
	tables map[string]*rowTable   // by type and name
	nets   map[string]*netPattern // by text

	guarded map[string]bool // by the texts of both lists
}

// maxCompiled bounds each map of compiled: class names and access actions come
// out of rows, so their number is the operator's, but never without an end.
const maxCompiled = 4096

func newCompiled(gen int64) *compiled {
	return &compiled{gen: gen, lists: make(map[string]*list), tables: make(map[string]*rowTable), nets: make(map[string]*netPattern),
		guarded: make(map[string]bool)}
}

// compiledFor returns the cache of a View's generation. A View older than the
// newest one seen gets a cache of its own, so that rows that are gone never
// come back.
func (e *Engine) compiledFor(v *schema.View) *compiled {
	gen := v.Generation()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.compiled == nil || e.compiled.gen < gen {
		e.compiled = newCompiled(gen)
	}
	if e.compiled.gen > gen {
		return newCompiled(gen)
	}
	return e.compiled
}

// remember returns the entry of key in m, made by make if it is missing.
func remember[T any](c *compiled, m map[string]*T, key string, make func() *T) *T {
	c.mu.RLock()
	got, ok := m[key]
	c.mu.RUnlock()
	if ok {
		return got
	}
	got = make()
	c.mu.Lock()
	if len(m) >= maxCompiled {
		clear(m)
	}
	m[key] = got
	c.mu.Unlock()
	return got
}
