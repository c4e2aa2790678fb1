package route

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"mailserver/internal/address"
	"mailserver/schema"
)

// maxKey bounds what is looked up, in bytes: nothing longer can be a row of
// use, and look-ups are remembered.
const maxKey = 512

// query is one call: one View, one Config.
type query struct {
	r    *Router
	view *schema.View
	cfg  *Config
}

func (r *Router) begin(ctx context.Context) (*query, error) {
	cfg, err := r.d.Config(ctx)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(cfg.Origin, "/") {
		return nil, fmt.Errorf("setting myorigin: %s is a file name, want a domain", cfg.Origin)
	}
	view, err := r.d.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	return &query{r: r, view: view, cfg: cfg}, nil
}

// domain is what the directory says about the domain of an address.
type domain struct {
	name  string         // lower case, without trailing dot
	row   *schema.Domain // nil: none, or not active
	class schema.Class
}

// local reports whether addresses of the domain are names of this system.
func (d domain) local() bool { return d.class == schema.Local }

// candidate is a row that may speak for an address.
type candidate struct {
	row      *schema.Address
	base     bool // found without the extension
	system   bool // a row of $myhostname for an address of another local domain
	catchAll bool
}

// resolved is an address with all that the directory holds about it.
type resolved struct {
	addr   address.Address // qualified
	dom    domain
	user   string      // local part without extension
	suffix string      // delimiter and extension, '' if none
	cands  []candidate // the most specific first
	forms  []string    // of keys, once asked for
}

// resolve qualifies an address and collects its candidates.
func (q *query) resolve(ctx context.Context, a address.Address) (*resolved, error) {
	res := &resolved{addr: q.qualify(a)}
	user, _, ok := address.SplitExtension(res.addr.Local, q.cfg.Delimiter)
	if res.user = user; ok {
		res.suffix = res.addr.Local[len(user):]
	}
	var err error
	if res.dom, err = q.domain(ctx, res.addr.Domain); err != nil {
		return nil, err
	}
	res.cands, err = q.candidates(ctx, res)
	return res, err
}

// qualify gives an address the domain it lacks and takes the trailing dot. The
// empty address is what bounces are answered to.
func (q *query) qualify(a address.Address) address.Address {
	a.Domain = strings.TrimSuffix(a.Domain, ".")
	if a.Local == "" && a.Domain == "" {
		a.Local = "MAILER-DAEMON"
	}
	if a.Domain == "" {
		a.Domain = q.cfg.Origin
	}
	return a
}

// domain finds the class of a domain. A row of the operator comes before the
// setting mydestination; a row of class 0 says only that it is not hosted by
// itself.
func (q *query) domain(ctx context.Context, name string) (domain, error) {
	d := domain{name: strings.ToLower(strings.TrimSuffix(name, "."))}
	key := d.name
	if q.ownLiteral(d.name) {
		d.class, key = schema.Local, strings.ToLower(q.cfg.Hostname)
	}
	if len(key) > maxKey {
		return d, nil
	}
	row, err := q.view.Domain(ctx, key)
	if err != nil {
		return d, err
	}
	switch {
	case row != nil && !row.Active:
		d.class = schema.External
	case row != nil && row.Class != schema.External && d.class != schema.Local:
		d.row, d.class = row, row.Class
	case q.isDestination(key):
		d.row, d.class = row, schema.Local
	default:
		d.row = row
		return d, q.subdomain(ctx, &d)
	}
	return d, nil
}

// subdomain finds the relay domain below which a name lies: the nearest row
// .parent of class relay, as postconf(5) parent_domain_matches_subdomains has
// it with relay_domains. Addresses of a row with the name itself count; without
// one, those of .parent.
func (q *query) subdomain(ctx context.Context, d *domain) error {
	if some, err := q.view.RelaysSubdomains(ctx); err != nil || !some {
		return err
	}
	for _, name := range parents(d.name) {
		row, err := q.view.Domain(ctx, name)
		if err != nil {
			return err
		}
		if row == nil || !row.Active || row.Class != schema.Relay {
			continue
		}
		if d.class = schema.Relay; d.row == nil {
			d.row = row
		}
		return nil
	}
	return nil
}

// parents are .b.example and .example of a.b.example, the nearest first.
func parents(name string) (list []string) {
	for len(list) < 127 && len(name) <= maxKey && !strings.HasPrefix(name, "[") {
		i := strings.IndexByte(name, '.')
		if i < 0 {
			break
		}
		list = append(list, name[i:])
		name = name[i+1:]
	}
	return list
}

// isDestination reports whether the setting mydestination names a domain. A
// name that ends in a dot is to be completed by $mydomain.
func (q *query) isDestination(name string) bool {
	return slices.ContainsFunc(q.cfg.Destination, func(entry string) bool {
		if strings.HasSuffix(entry, ".") && q.cfg.Domain == "" {
			_, parent, _ := strings.Cut(q.cfg.Hostname, ".")
			entry = strings.TrimSuffix(entry+parent, ".")
		}
		return strings.EqualFold(entry, name)
	})
}

// ownLiteral reports whether a domain is [address] of this host.
func (q *query) ownLiteral(name string) bool {
	ip, ok := parseLiteral(name)
	if !ok {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr().Unmap() == ip
	}) {
		return true
	}
	return slices.ContainsFunc(q.cfg.ProxyInterfaces, func(s string) bool {
		p, err := netip.ParseAddr(strings.Trim(s, "[]"))
		return err == nil && p.Unmap() == ip
	})
}

// parseLiteral reads [192.0.2.1] or [IPv6:2001:db8::1], RFC 5321 §4.1.3.
func parseLiteral(name string) (netip.Addr, bool) {
	if len(name) < 3 || name[0] != '[' || name[len(name)-1] != ']' {
		return netip.Addr{}, false
	}
	text := name[1 : len(name)-1]
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	ip, err := netip.ParseAddr(text)
	return ip.Unmap(), err == nil
}

// candidates collects the rows that may speak for an address.
func (q *query) candidates(ctx context.Context, res *resolved) ([]candidate, error) {
	sys, err := q.systemDomain(ctx, res.dom)
	if err != nil {
		return nil, err
	}
	var list []candidate
	add := func(d *schema.Domain, local string, c candidate) error {
		if d == nil || len(local) > maxKey || local == "" && !c.catchAll {
			return nil
		}
		row, err := q.view.Address(ctx, d.Num, local)
		if row != nil {
			c.row = row
			list = append(list, c)
		}
		return err
	}
	err = add(res.dom.row, res.addr.Local, candidate{})
	if err == nil {
		err = add(sys, res.addr.Local, candidate{system: true})
	}
	if err == nil && res.suffix != "" {
		if err = add(res.dom.row, res.user, candidate{base: true}); err == nil {
			err = add(sys, res.user, candidate{base: true, system: true})
		}
	}
	if err == nil {
		err = add(res.dom.row, "", candidate{catchAll: true})
	}
	return list, err
}

// systemDomain returns the row of $myhostname, where system users have theirs,
// for an address of another local domain.
func (q *query) systemDomain(ctx context.Context, d domain) (*schema.Domain, error) {
	if !d.local() || d.row != nil && strings.EqualFold(d.row.Name, q.cfg.Hostname) {
		return nil, nil
	}
	row, err := q.view.Domain(ctx, q.cfg.Hostname)
	if err != nil || row == nil || row.Class > schema.Local {
		return nil, err
	}
	return row, nil
}

// explicit returns the row of the address itself, before any catch-all.
func (res *resolved) explicit() *schema.Address {
	if len(res.cands) == 0 || res.cands[0].catchAll {
		return nil
	}
	return res.cands[0].row
}

// blocked reports whether the address itself takes no mail.
func (res *resolved) blocked() bool {
	row := res.explicit()
	return row != nil && row.Active == 0
}

// rclass is the number of the restriction class.
func (q *query) rclass(res *resolved) int {
	for _, c := range res.cands {
		if c.row.Active != 0 && c.row.RClass >= 0 {
			return c.row.RClass
		}
	}
	if res.dom.row != nil && res.dom.row.RClass >= 0 {
		return res.dom.row.RClass
	}
	return q.cfg.DefaultRClass
}

// keys are the forms in which address-keyed tables are asked, in order:
// user+ext@domain, user@domain, and for local domains user+ext and user; then
// @domain. canonical(5), virtual(5), relocated(5).
func (res *resolved) keys() []string {
	if res.forms != nil {
		return res.forms
	}
	at := "@" + res.dom.name
	list := append(make([]string, 0, 5), res.addr.Local+at)
	if res.suffix != "" {
		list = append(list, res.user+at)
	}
	if res.dom.local() {
		list = append(list, res.addr.Local)
		if res.suffix != "" {
			list = append(list, res.user)
		}
	}
	res.forms = append(list, at)
	return res.forms
}

// className says a class in words.
func className(c schema.Class) string {
	switch {
	case c == schema.Local:
		return "local"
	case c == schema.Relay:
		return "relay"
	case c == schema.VirtualAlias:
		return "virtual alias"
	case c.IsMailbox():
		return "virtual mailbox"
	}
	return "external"
}
