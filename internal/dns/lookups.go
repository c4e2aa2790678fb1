package dns

import (
	"context"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Addrs asks for the addresses of a host, IPv4 first. An error of one type is
// returned only when the other has found nothing; one that may pass counts
// more than one that says there is none.
func (r *Resolver) Addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	var list []netip.Addr
	var worst error
	for _, t := range []Type{A, AAAA} {
		a, err := r.Lookup(ctx, host, t)
		if err != nil {
			if worst == nil || NotFound(worst) {
				worst = err
			}
			if StatusOf(err) == NoName {
				break
			}
			continue
		}
		for _, rec := range a.Records {
			list = append(list, rec.Addr)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	return nil, worst
}

// ReverseName returns the name under which PTR records of an address stand.
func ReverseName(a netip.Addr) string {
	name, err := dns.ReverseAddr(a.Unmap().WithZone("").String())
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(name, ".")
}

// maxPTR bounds how many names of one address are looked at.
const maxPTR = 5

// ClientName returns what a client is called: name is the name of its PTR
// record that leads back to the address, reverse the name of the record
// whether or not it does; each "unknown" if there is none. tempfail says that
// an answer is missing now.
func (r *Resolver) ClientName(ctx context.Context, a netip.Addr) (name, reverse string, tempfail bool) {
	a = a.Unmap()
	ptr, err := r.Lookup(ctx, ReverseName(a), PTR)
	if err != nil {
		return "unknown", "unknown", !NotFound(err) && StatusOf(err) != Malformed
	}
	reverse = ptr.Records[0].Text
	for _, rec := range ptr.Records[:min(len(ptr.Records), maxPTR)] {
		t := A
		if a.Is6() {
			t = AAAA
		}
		addrs, err := r.Lookup(ctx, rec.Text, t)
		if err != nil {
			tempfail = tempfail || StatusOf(err) == Temporary
			continue
		}
		for _, got := range addrs.Records {
			if got.Addr == a {
				return rec.Text, rec.Text, false
			}
		}
	}
	return "unknown", reverse, tempfail
}
