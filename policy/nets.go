package policy

import (
	"fmt"
	"net/netip"
	"strings"
)

// parseNet reads 192.0.2.0/24, [2001:db8::]/32, 192.0.2.1. Bits behind the
// mask are refused, as cidr_table(5) does: they are a mistake.
func parseNet(text string) (netip.Prefix, error) {
	addr, bits, masked := strings.Cut(text, "/")
	addr = strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is not a network", text)
	}
	if !masked {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(a.String() + "/" + strings.TrimSuffix(bits, "]"))
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network", text)
	}
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("%q: bits behind the mask are not zero", text)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}

// netPattern is a list of networks and hosts: postconf(5) mynetworks.
type netPattern struct {
	entries []netEntry
	bad     string // why it cannot be used
}

type netEntry struct {
	not   bool
	net   netip.Prefix
	host  string // in lower case; .dom for what is below dom
	table *tableRef
}

// maxNets bounds a list of networks.
const maxNets = 10000

// parseNets reads networks, hosts and tables by space; ! before one turns it
// round.
func parseNets(text string) *netPattern {
	words, err := tokens(text)
	if err != nil {
		return &netPattern{bad: err.Error()}
	}
	if len(words) > maxNets {
		return &netPattern{bad: fmt.Sprintf("more than %d networks", maxNets)}
	}
	p := &netPattern{}
	for _, w := range words {
		e, err := parseNetEntry(w)
		if err != nil {
			return &netPattern{bad: err.Error()}
		}
		p.entries = append(p.entries, e)
	}
	return p
}

func parseNetEntry(word string) (netEntry, error) {
	var e netEntry
	for strings.HasPrefix(word, "!") {
		e.not, word = !e.not, word[1:]
	}
	if net, err := parseNet(word); err == nil {
		e.net = net
		return e, nil
	} else if strings.ContainsAny(word, "/[]") && !strings.Contains(word, ":/") {
		return e, err
	}
	if strings.Contains(word, ":") {
		ref, err := parseTable(word)
		e.table = &ref
		return e, err
	}
	if !validHostname(strings.TrimPrefix(word, ".")) {
		return e, fmt.Errorf("%q is neither a network nor a host", word)
	}
	e.host = strings.ToLower(word)
	return e, nil
}

// inNets reports whether the client is in the list.
func (x *query) inNets(p *netPattern) (bool, outcome) {
	return x.peerInNets(p, x.s.client.Name, x.s.client.Addr)
}

// peerInNets reports whether a host is in the list: the first entry that
// matches decides.
func (x *query) peerInNets(p *netPattern, name string, addr netip.Addr) (bool, outcome) {
	for i := range p.entries {
		e := &p.entries[i]
		match := false
		switch {
		case e.table != nil:
			var out outcome
			if match, out = x.inTable(*e.table, name, addr); out == refused {
				return false, refused
			}
		case e.host != "":
			match = hostMatches(strings.ToLower(name), e.host)
		default:
			match = e.net.Contains(addr)
		}
		if match {
			return !e.not, dunno
		}
	}
	return false, dunno
}

// inTable reports whether a table has the name or the address of a host.
func (x *query) inTable(ref tableRef, name string, addr netip.Addr) (bool, outcome) {
	for _, key := range []string{name, addr.String()} {
		_, found, out := x.find(ref, key, true)
		if found || out == refused {
			return found, out
		}
	}
	return false, dunno
}

// hostMatches reports whether name is pattern or below it.
func hostMatches(name, pattern string) bool {
	if name == "unknown" {
		return false
	}
	return name == pattern || strings.HasSuffix(name, "."+strings.TrimPrefix(pattern, "."))
}
