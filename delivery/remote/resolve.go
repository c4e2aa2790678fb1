package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// System is the Resolver of the operating system.
type System struct{}

// MX asks for mail exchangers.
func (System) MX(ctx context.Context, domain string) ([]MX, error) {
	list, err := net.DefaultResolver.LookupMX(ctx, domain)
	if err != nil && len(list) == 0 {
		return nil, err
	}
	out := make([]MX, 0, len(list))
	for _, mx := range list {
		out = append(out, MX{mx.Pref, strings.TrimSuffix(mx.Host, ".")})
	}
	return out, nil
}

// Addresses asks for addresses of both families.
func (System) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// notFound reports whether an error says that the name has no such record.
func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// host is one address to try.
type host struct {
	name string
	addr netip.Addr // invalid: a socket at name
	port int
	pref uint16
}

// String gives name[address].
func (h host) String() string {
	if !h.addr.IsValid() {
		return h.name + "[" + h.name + "]"
	}
	return fmt.Sprintf("%s[%s]", h.name, h.addr)
}

// relay gives the host as the log does.
func (h host) relay() string {
	if !h.addr.IsValid() {
		return h.String()
	}
	return fmt.Sprintf("%s:%d", h, h.port)
}

// hosts finds what to try, in order. A Result other than nil is the outcome.
func (a *attempt) hosts(ctx context.Context) ([]host, *Result) {
	if a.hop.Unix {
		return []host{{name: a.hop.Host}}, nil
	}
	port := cmp.Or(a.hop.Port, map[bool]int{false: 25, true: 24}[a.hop.LMTP])
	name, err := idna.Lookup.ToASCII(a.hop.Host)
	if err != nil {
		name = a.hop.Host
	}
	if addr, err := netip.ParseAddr(strings.TrimPrefix(strings.ToLower(name), "ipv6:")); err == nil {
		return []host{{name: name, addr: addr, port: port}}, nil
	}
	if !a.hop.MX {
		list, res := a.addresses(ctx, name, port, 0)
		return a.cut(list), res
	}
	return a.exchangers(ctx, name, port)
}

func (a *attempt) exchangers(ctx context.Context, domain string, port int) ([]host, *Result) {
	list, err := a.c.d.Resolver.MX(ctx, domain)
	a.domain, a.viaMX = domain, len(list) > 0
	switch {
	case err != nil && !notFound(err):
		return nil, nameFailure(domain, "MX", "Host not found, try again", Deferred, "4.4.3")
	case len(list) == 0:
		hosts, res := a.addresses(ctx, domain, port, 0)
		if res == nil {
			hosts, res = a.notOurselves(domain, hosts, 0)
		}
		return a.cut(hosts), res
	case len(list) == 1 && list[0].Host == "":
		return nil, &Result{Status: Bounced, Enhanced: "5.1.0", Text: fmt.Sprintf("Domain %s does not accept mail (nullMX)", domain), Relay: "none"}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(x, y MX) int { return cmp.Compare(x.Preference, y.Preference) })
	var hosts []host
	var last *Result
	for _, mx := range list[:min(len(list), mostExchangers)] {
		more, res := a.addresses(ctx, mx.Host, port, mx.Preference)
		if hosts = append(hosts, more...); res != nil && (last == nil || res.Status == Deferred) {
			last = res
		}
	}
	if len(hosts) == 0 {
		return nil, last
	}
	hosts, res := a.notOurselves(domain, hosts, list[0].Preference)
	return a.cut(hosts), res
}

// mostExchangers bounds the look-ups that one domain can cause.
const mostExchangers = 20

// addresses finds the addresses of a host, families in turns.
func (a *attempt) addresses(ctx context.Context, name string, port int, pref uint16) ([]host, *Result) {
	list, err := a.c.d.Resolver.Addresses(ctx, name)
	switch {
	case err != nil && !notFound(err):
		return nil, nameFailure(name, a.lastType(), "Host not found, try again", Deferred, "4.4.3")
	case err != nil:
		why := "Host not found"
		if noData := (interface{ NoData() bool })(nil); errors.As(err, &noData) && noData.NoData() {
			why = "Host found but no data record of requested type"
		}
		return nil, nameFailure(name, a.lastType(), why, Bounced, "5.4.4")
	}
	var hosts []host
	for _, addr := range a.order(list) {
		hosts = append(hosts, host{name: name, addr: addr, port: port, pref: pref})
	}
	if len(hosts) == 0 {
		return nil, nameFailure(name, a.lastType(), "Host found but no data record of requested type", Bounced, "5.4.4")
	}
	return hosts, nil
}

// lastType is the record that is asked for last.
func (a *attempt) lastType() string {
	if a.uses("ipv6") {
		return "AAAA"
	}
	return "A"
}

func nameFailure(name, kind, why string, status Status, enhanced string) *Result {
	return &Result{Status: status, Enhanced: enhanced, Relay: "none", Unreachable: true,
		Text: fmt.Sprintf("Host or domain name not found. Name service error for name=%s type=%s: %s", name, kind, why)}
}

// order keeps the families in use and takes them in turns, so that one that
// does not work costs no more than every second try.
func (a *attempt) order(list []netip.Addr) []netip.Addr {
	var fam [2][]netip.Addr
	for _, addr := range list {
		addr = addr.Unmap()
		i := 1
		if addr.Is4() {
			i = 0
		}
		if a.uses([2]string{"ipv4", "ipv6"}[i]) && !slices.Contains(fam[i], addr) {
			fam[i] = append(fam[i], addr)
		}
	}
	first, second := fam[1], fam[0]
	if a.cfg.Preference == "ipv4" || a.cfg.Preference != "ipv6" && rand.N(2) == 0 {
		first, second = second, first
	}
	if a.cfg.Preference == "ipv4" || a.cfg.Preference == "ipv6" {
		return append(first, second...)
	}
	var out []netip.Addr
	for i := range max(len(first), len(second)) {
		if i < len(first) {
			out = append(out, first[i])
		}
		if i < len(second) {
			out = append(out, second[i])
		}
	}
	return out
}

func (a *attempt) uses(family string) bool {
	return slices.Contains(a.cfg.Protocols, "all") || slices.Contains(a.cfg.Protocols, family)
}

// notOurselves drops this host and all that are no better, so that a backup
// does not send to itself or to another backup. RFC 5321 §5.1
func (a *attempt) notOurselves(domain string, hosts []host, best uint16) ([]host, *Result) {
	i := slices.IndexFunc(hosts, func(h host) bool { return a.c.d.Own(netip.AddrPortFrom(h.addr, uint16(h.port))) })
	if i < 0 {
		return hosts, nil
	}
	pref := hosts[i].pref
	hosts = slices.DeleteFunc(hosts, func(h host) bool { return h.pref >= pref })
	switch {
	case len(hosts) > 0:
		return hosts, nil
	case pref == best:
		return nil, &Result{Status: Bounced, Enhanced: "5.4.6", Relay: "none", Text: fmt.Sprintf("mail for %s loops back to myself", domain)}
	}
	return nil, &Result{Status: Deferred, Enhanced: "4.4.4", Relay: "none", Text: fmt.Sprintf("unable to find primary relay for %s", domain)}
}

// cut applies smtp_mx_address_limit.
func (a *attempt) cut(hosts []host) []host {
	if a.cfg.Addresses > 0 && len(hosts) > a.cfg.Addresses {
		return hosts[:a.cfg.Addresses]
	}
	return hosts
}

// ownAddress reports whether the address, with the port of SMTP, is one of
// this machine's interfaces.
func ownAddress(ap netip.AddrPort) bool {
	if ap.Port() != 25 {
		return false
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == ap.Addr().Unmap() {
			return true
		}
	}
	return false
}
