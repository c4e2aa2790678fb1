package smtp

import (
	"net/netip"
	"sync"
	"time"
)

// event is something that is counted per client, as anvil(8) does.
type event int

const (
	connects event = iota
	messages
	recipients
	tlsSessions
	auths
	events // how many there are
)

// maxClients bounds the clients that are remembered. Over it, clients without
// a connection are forgotten, whatever their rates.
const maxClients = 10000

// limits counts connections and events per client address. Safe for concurrent
// use.
type limits struct {
	mu      sync.Mutex // guards clients
	clients map[netip.Addr]*clientCount
}

type clientCount struct {
	open  int
	start [events]time.Time // of the present time unit
	seen  [events]int
}

func newLimits() *limits { return &limits{clients: make(map[netip.Addr]*clientCount)} }

// open counts a connection and returns how many the client has.
func (l *limits) open(a netip.Addr) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.client(a)
	c.open++
	return c.open
}

// close undoes open.
func (l *limits) close(a netip.Addr, unit time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.clients[a]
	if c == nil {
		return
	}
	c.open--
	if c.idle(time.Now(), unit) {
		delete(l.clients, a)
	}
}

// count counts an event and returns how many there were within the time unit.
func (l *limits) count(a netip.Addr, e event, unit time.Duration) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, now := l.client(a), time.Now()
	if now.Sub(c.start[e]) >= unit {
		c.start[e], c.seen[e] = now, 0
	}
	c.seen[e]++
	return c.seen[e]
}

// client returns the entry of a. The caller holds l.mu.
func (l *limits) client(a netip.Addr) *clientCount {
	if c := l.clients[a]; c != nil {
		return c
	}
	if len(l.clients) >= maxClients {
		for old, c := range l.clients {
			if c.open == 0 {
				delete(l.clients, old)
			}
		}
	}
	c := new(clientCount)
	l.clients[a] = c
	return c
}

// idle reports whether nothing of c matters any more.
func (c *clientCount) idle(now time.Time, unit time.Duration) bool {
	if c.open > 0 {
		return false
	}
	for _, t := range c.start {
		if now.Sub(t) < unit {
			return false
		}
	}
	return true
}
