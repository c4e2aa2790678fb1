package smtp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// unknown stands for a name that a client does not have.
const unknown = "unknown"

const (
	nameTimeout = 5 * time.Second // a client waits for its greeting no longer than this
	nameTTL     = 10 * time.Minute
	nameTempTTL = time.Minute // of "cannot be known now"
	maxNames    = 1000
)

// names remembers what clients are called. Safe for concurrent use.
type names struct {
	resolve func(ctx context.Context, a netip.Addr) (name, reverse string, tempfail bool)

	mu    sync.Mutex // guards known
	known map[netip.Addr]peerName
}

type peerName struct {
	name, reverse string
	tempfail      bool
	until         time.Time
}

func newNames(resolve func(context.Context, netip.Addr) (string, string, bool)) *names {
	if resolve == nil {
		resolve = systemName
	}
	return &names{resolve: resolve, known: make(map[netip.Addr]peerName)}
}

func (n *names) of(ctx context.Context, a netip.Addr) peerName {
	now := time.Now()
	n.mu.Lock()
	p, ok := n.known[a]
	n.mu.Unlock()
	if ok && now.Before(p.until) {
		return p
	}
	ctx, cancel := context.WithTimeout(ctx, nameTimeout)
	defer cancel()
	p.name, p.reverse, p.tempfail = n.resolve(ctx, a)
	p.until = now.Add(nameTTL)
	if p.tempfail {
		p.until = now.Add(nameTempTTL)
	}
	n.mu.Lock()
	if len(n.known) >= maxNames {
		clear(n.known)
	}
	n.known[a] = p
	n.mu.Unlock()
	return p
}

// systemName asks the system's resolver: the name of the PTR record, which
// must lead back to the address to count as the client's name.
func systemName(ctx context.Context, a netip.Addr) (name, reverse string, tempfail bool) {
	ptr, err := net.DefaultResolver.LookupAddr(ctx, a.String())
	if err != nil || len(ptr) == 0 {
		return unknown, unknown, err != nil && !notFound(err)
	}
	reverse = strings.TrimSuffix(ptr[0], ".")
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", reverse)
	if err != nil {
		return unknown, reverse, !notFound(err)
	}
	for _, b := range addrs {
		if b.Unmap() == a {
			return reverse, reverse, false
		}
	}
	return unknown, reverse, false
}

func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}
