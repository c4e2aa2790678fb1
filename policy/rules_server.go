package policy

import (
	"net/netip"
	"strings"

	"mailserver/internal/address"
	"mailserver/internal/dns"
	"mailserver/internal/nets"
)

// serverRules are check_*_{a,mx,ns}_access: access by the servers of a name.
func serverRules() []rule {
	type subject struct {
		name  string
		needs need
		of    func(x *query) (name, subject, class string) // '' is nothing to look at
	}
	unlessUnknown := func(name string) string {
		if strings.EqualFold(name, "unknown") {
			return ""
		}
		return name
	}
	subjects := []subject{
		{"client", nothing, func(x *query) (string, string, string) {
			return unlessUnknown(x.s.client.Name), x.s.nameAddr(), ClassClient
		}},
		{"reverse_client_hostname", nothing, func(x *query) (string, string, string) {
			name := unlessUnknown(x.s.client.ReverseName)
			return name, name, ClassReverse
		}},
		{"helo", helo, func(x *query) (string, string, string) { return x.s.helo, x.s.helo, ClassHelo }},
		{"sender", sender, func(x *query) (string, string, string) {
			if x.s.sender == nil || x.s.sender.Original.IsNull() {
				return "", "", ""
			}
			return x.s.sender.Original.Domain, x.sender(), ClassSender // a bare name is asked nothing
		}},
		{"recipient", recipient, func(x *query) (string, string, string) {
			if x.rcpt == nil {
				return "", "", ""
			}
			return x.rcpt.Original.Domain, x.recipient(), ClassRecipient
		}},
	}
	var rules []rule
	for _, s := range subjects {
		for typ, t := range map[string]dns.Type{"a": dns.A, "mx": dns.MX, "ns": dns.NS} {
			rules = append(rules, rule{name: "check_" + s.name + "_" + typ + "_access", arg: tableArg, needs: s.needs,
				run: func(x *query, it *item) outcome {
					name, subject, class := s.of(x)
					if name == "" {
						return dunno
					}
					if out := x.checkTable(it); out == refused {
						return refused
					}
					return x.neverPermit(it, name, x.serverAccess(it, name, t, subject, class))
				}})
		}
	}
	return rules
}

// maxServers bounds how many servers of a name are looked at, so that a zone
// cannot keep a session busy.
const maxServers = 20

// serverAccess looks up the names of the servers, then their addresses.
func (x *query) serverAccess(it *item, name string, t dns.Type, subject, class string) outcome {
	if strings.HasPrefix(name, "[") {
		addr, ok := address.Literal(name)
		if !ok || t == dns.NS {
			return dunno
		}
		out, _ := x.addrAccess(it, addr.String(), subject, class)
		return out
	}
	for _, host := range x.servers(trimDot(ascii(name)), t) {
		if out, found := x.oneServer(it, host, t, subject, class); found {
			return out
		}
	}
	return dunno
}

func (x *query) oneServer(it *item, host string, t dns.Type, subject, class string) (outcome, bool) {
	if a, err := netip.ParseAddr(host); err == nil {
		return x.addrAccess(it, a.String(), subject, class)
	}
	if t != dns.A {
		if out, found := x.domainAccess(it, host, true, subject, class); found {
			return out, true
		}
	}
	addrs, err := x.addrs(host)
	if err != nil && t != dns.A {
		x.warnDNS("Unable to look up "+dns.TypeName(t)+" host "+host+" for "+class+" "+subject, err)
	}
	for _, a := range addrs {
		if out, found := x.addrAccess(it, a.String(), subject, class); found {
			return out, true
		}
	}
	return dunno, false
}

// servers returns the hosts that serve a name. A name without MX is its own; a
// name without NS has those of its parent.
func (x *query) servers(name string, t dns.Type) []string {
	if t == dns.A {
		return []string{name}
	}
	a, err := x.lookup(name, t)
	for parent := name; t == dns.NS && dns.NotFound(err); {
		dot := strings.IndexByte(parent, '.')
		if dot < 0 || dot == len(parent)-1 {
			break
		}
		parent = parent[dot+1:]
		a, err = x.lookup(parent, t)
	}
	switch {
	case t == dns.MX && dns.NotFound(err):
		return []string{name}
	case err != nil:
		x.warnDNS("Unable to look up "+dns.TypeName(t)+" host for "+name, err)
		return nil
	}
	var hosts []string
	for _, r := range a.Records[:min(len(a.Records), maxServers)] {
		if r.Text != "" { // null MX
			hosts = append(hosts, r.Text)
		}
	}
	return hosts
}

// addrs returns the addresses of a host, IPv4 first.
func (x *query) addrs(host string) ([]netip.Addr, error) {
	var list []netip.Addr
	var worst error
	for _, t := range []dns.Type{dns.A, dns.AAAA} {
		a, err := x.lookup(host, t)
		if err != nil {
			if worst == nil || dns.StatusOf(err) == dns.Temporary {
				worst = err
			}
			continue
		}
		for _, r := range a.Records[:min(len(a.Records), maxServers)] {
			list = append(list, r.Addr)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	return nil, worst
}

// ownAddrs are the addresses of this host, with those of its proxies.
func (x *query) ownAddrs() ([]netip.Addr, error) {
	list, err := x.s.e.d.Interfaces()
	if err != nil {
		x.warnf("addresses of this host: %v", err)
		return nil, err
	}
	for _, text := range x.cfg.ProxyInterfaces {
		if p, err := nets.Parse(text); err == nil {
			list = append(list, p.Addr())
		}
	}
	return list, nil
}
