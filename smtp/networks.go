package smtp

import (
	"fmt"
	"net/netip"
	"strings"
)

// networks is a parsed list of networks. Entries that begin with "!" exclude;
// the first that matches decides, as in postconf(5) mynetworks.
type networks []network

type network struct {
	prefix  netip.Prefix
	exclude bool
}

func (n networks) contain(a netip.Addr) bool {
	a = a.Unmap()
	for _, e := range n {
		if e.prefix.Contains(a) {
			return !e.exclude
		}
	}
	return false
}

// parseNetworks reads 127.0.0.0/8, 192.0.2.1, [::1]/128, [2001:db8::]/32.
func parseNetworks(list []string) (networks, error) {
	var out networks
	for _, text := range list {
		var n network
		rest, exclude := strings.CutPrefix(text, "!")
		n.exclude = exclude
		prefix, err := parsePrefix(strings.NewReplacer("[", "", "]", "").Replace(rest))
		if err != nil {
			return nil, fmt.Errorf("%q is not a network", text)
		}
		n.prefix = prefix
		out = append(out, n)
	}
	return out, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	if a := p.Addr(); a.Is4In6() { // [::ffff:127.0.0.0]/104 is 127.0.0.0/8
		return netip.PrefixFrom(a.Unmap(), max(p.Bits()-96, 0)).Masked(), nil
	}
	return p.Masked(), nil
}
