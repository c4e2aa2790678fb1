package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mailserver/internal/nets"
)

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
	n, err := nets.ParseEntry(word)
	e := netEntry{not: n.Not, net: n.Net}
	switch {
	case err != nil || n.Word == "":
		return e, err
	case strings.Contains(n.Word, ":"):
		ref, err := parseTable(n.Word)
		e.table = &ref
		return e, err
	}
	e.host = strings.ToLower(n.Word)
	return e, nil
}

// inNets reports whether the client is in the list.
func (x *query) inNets(p *netPattern) (bool, outcome) {
	return x.peerInNets("mynetworks", p, x.s.client.Name, x.s.client.Addr)
}

// peerInNets reports whether a host is in the list of a setting: the first
// entry that matches decides.
func (x *query) peerInNets(setting string, p *netPattern, name string, addr netip.Addr) (bool, outcome) {
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
			match = hostMatches(strings.ToLower(name), e.host, slices.Contains(x.cfg.ParentDomains, setting))
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

// hostMatches reports whether name is pattern, or below it if that is
// .pattern, or if below says that a plain one counts for its subdomains.
func hostMatches(name, pattern string, below bool) bool {
	if name == "unknown" {
		return false
	}
	parent, dotted := strings.CutPrefix(pattern, ".")
	return name == pattern || (dotted || below) && strings.HasSuffix(name, "."+parent)
}
