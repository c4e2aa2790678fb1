package screen

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// site is an entry of postscreen_dnsbl_sites: domain=filter*weight.
type site struct {
	domain string
	filter *[4][256]bool // nil: any answer
	weight int
}

const maxSites = 50

func parseSites(list []string) ([]site, error) {
	if len(list) > maxSites {
		return nil, fmt.Errorf("more than %d lists", maxSites)
	}
	sites := make([]site, 0, len(list))
	for _, text := range list {
		s := site{weight: 1}
		rest, weight, weighted := strings.Cut(text, "*")
		if weighted {
			var err error
			if s.weight, err = strconv.Atoi(weight); err != nil {
				return nil, fmt.Errorf("%q: bad weight %q", text, weight)
			}
		}
		var filter string
		var filtered bool
		s.domain, filter, filtered = strings.Cut(rest, "=")
		if s.domain = strings.TrimSuffix(strings.ToLower(s.domain), "."); !strings.Contains(s.domain, ".") || strings.ContainsAny(s.domain, "/:[]{}") {
			return nil, fmt.Errorf("%q is not the name of a DNS list", s.domain)
		}
		if filtered {
			var err error
			if s.filter, err = parseFilter(filter); err != nil {
				return nil, fmt.Errorf("%q: %w", text, err)
			}
		}
		sites = append(sites, s)
	}
	return sites, nil
}

// parseFilter reads d.d.d.d, each a number or [n..m;k].
func parseFilter(text string) (*[4][256]bool, error) {
	f := new([4][256]bool)
	bad := fmt.Errorf("the filter %q is not d.d.d.d with numbers or [n..m;k]", text)
	for i := range 4 {
		end := strings.IndexByte(text, '.')
		if strings.HasPrefix(text, "[") {
			if end = strings.IndexByte(text, ']') + 1; end == 0 {
				return nil, bad
			}
		} else if end < 0 {
			end = len(text)
		}
		octet := text[:end]
		text = text[end:]
		if i < 3 {
			rest, ok := strings.CutPrefix(text, ".")
			if !ok {
				return nil, bad
			}
			text = rest
		}
		for part := range strings.SplitSeq(strings.Trim(octet, "[]"), ";") {
			from, to, ranged := strings.Cut(part, "..")
			if !ranged {
				to = from
			}
			a, err := strconv.ParseUint(from, 10, 8)
			b, err2 := strconv.ParseUint(to, 10, 8)
			if err != nil || err2 != nil || a > b {
				return nil, bad
			}
			for n := a; n <= b; n++ {
				f[i][n] = true
			}
		}
	}
	if text != "" {
		return nil, bad
	}
	return f, nil
}

// matches reports whether any answer passes the filter. Answers in
// 127.255.255.0/24 say that the list cannot be used, and list nobody.
func (s *site) matches(answers []netip.Addr) bool {
	for _, a := range answers {
		if !a.Is4() {
			continue
		}
		o := a.As4()
		if o[0] == 127 && o[1] == 255 && o[2] == 255 && s.filter == nil {
			continue
		}
		if s.filter == nil || s.filter[0][o[0]] && s.filter[1][o[1]] && s.filter[2][o[2]] && s.filter[3][o[3]] {
			return true
		}
	}
	return false
}

// listing is what DNS lists say of a client.
type listing struct {
	score  int
	domain string // of the largest weight
	ttl    time.Duration
	early  bool // answers were missing when time was over
}

// ask asks all lists. Domains that stand in several entries are asked once.
func (s *Screen) ask(ctx context.Context, c *Config, sites []site, a netip.Addr) chan listing {
	out := make(chan listing, 1)
	s.running.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, c.DNSBLTimeout)
		defer cancel()
		out <- s.score(ctx, c, sites, a)
	})
	return out
}

type answer struct {
	domain string
	addrs  []netip.Addr
	ttl    time.Duration
}

func (s *Screen) score(ctx context.Context, c *Config, sites []site, a netip.Addr) listing {
	prefix := reversed(a)
	asked := make(map[string]bool)
	answers := make(chan answer, len(sites))
	for _, site := range sites {
		if asked[site.domain] {
			continue
		}
		asked[site.domain] = true
		select {
		case s.lookups <- struct{}{}:
		case <-ctx.Done():
			answers <- answer{domain: site.domain}
			continue
		}
		s.running.Go(func() {
			defer func() { <-s.lookups }()
			addrs, ttl := s.d.Lookup(ctx, prefix+site.domain)
			answers <- answer{site.domain, addrs, ttl}
		})
	}
	l := listing{ttl: c.DNSBLMaxTTL}
	top := 0
	for range asked {
		got := <-answers
		if got.ttl > 0 {
			l.ttl = min(l.ttl, got.ttl)
		}
		for _, site := range sites {
			if site.domain != got.domain || !site.matches(got.addrs) {
				continue
			}
			l.score += site.weight
			if l.domain == "" || site.weight > top {
				l.domain, top = site.domain, site.weight
			}
		}
	}
	l.ttl = max(l.ttl, c.DNSBLMinTTL)
	l.early = ctx.Err() != nil
	return l
}

// reversed is an address as DNS lists have it, with a dot at its end.
func reversed(a netip.Addr) string {
	var b strings.Builder
	if a.Is4() {
		o := a.As4()
		fmt.Fprintf(&b, "%d.%d.%d.%d.", o[3], o[2], o[1], o[0])
		return b.String()
	}
	o := a.As16()
	for i := 15; i >= 0; i-- {
		fmt.Fprintf(&b, "%x.%x.", o[i]&15, o[i]>>4)
	}
	return b.String()
}
