// Package nets reads lists of networks, as in postconf(5) mynetworks.
package nets

import (
	"fmt"
	"net/netip"
	"strings"
)

// Parse reads 192.0.2.0/24, [2001:db8::]/32, 192.0.2.1. Bits behind the mask
// are refused, as in cidr_table(5): they are a mistake. IPv4 in IPv6 is IPv4.
func Parse(text string) (netip.Prefix, error) {
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
		return netip.Prefix{}, fmt.Errorf("non-null host address bits in %q, perhaps you should use %q instead", text, p.Masked())
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}

// Entry is one word of a list.
type Entry struct {
	Not bool         // ! stood before it
	Net netip.Prefix // not valid when the word is no network
	// Word is what is no network: the name of a host, or a table.
	Word string
}

// ParseEntry reads a word of a list. What looks like a network must be one;
// type:name is a table, and everything else must be the name of a host with its
// domain, or a domain with a dot before it for the names below.
func ParseEntry(word string) (Entry, error) {
	var e Entry
	for strings.HasPrefix(word, "!") {
		e.Not, word = !e.Not, word[1:]
	}
	net, err := Parse(word)
	switch {
	case err == nil:
		e.Net = net
		return e, nil
	case strings.ContainsAny(word, "/[]") && !strings.Contains(word, ":/"):
		return e, err
	case !isTable(word) && !(strings.Contains(word, ".") && isHost(strings.TrimPrefix(word, "."))):
		return e, fmt.Errorf("%q is neither a network nor a host", word)
	}
	e.Word = word
	return e, nil
}

// isTable tells cidr:name from half an IPv6 address.
func isTable(word string) bool {
	kind, name, ok := strings.Cut(word, ":")
	return ok && name != "" && name[0] != ':' && !strings.ContainsFunc(kind, func(c rune) bool { return c < 'a' || c > 'z' })
}

// isHost wants a letter: digits alone are half an address.
func isHost(name string) bool {
	letters := false
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case c|0x20 >= 'a' && c|0x20 <= 'z':
				letters = true
			case c >= '0' && c <= '9' || c == '-' || c == '_':
			default:
				return false
			}
		}
	}
	return letters && len(name) < 256
}

// List is a parsed list. The first entry that matches decides.
type List []Entry

// ParseList reads the words of a list.
func ParseList(words []string) (List, error) {
	list := make(List, 0, len(words))
	for _, w := range words {
		e, err := ParseEntry(w)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// Contains reports whether the first network with the address is in the list.
// Names and tables match nobody.
func (l List) Contains(a netip.Addr) bool {
	a = a.Unmap()
	for _, e := range l {
		if e.Net.IsValid() && e.Net.Contains(a) {
			return !e.Not
		}
	}
	return false
}
