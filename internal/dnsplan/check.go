package dnsplan

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"mailserver/internal/dns"
	"mailserver/internal/spf"
)

// Finding is one record or property that was looked at.
type Finding struct {
	Subject  string `json:"subject"` // a name and type, or an address
	State    State  `json:"state"`
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	Why      string `json:"why,omitempty"`  // it matters
	Mend     string `json:"mend,omitempty"` // the record to publish, or what to do
}

// State of a finding.
type State string

// Good: as it should be. Warn: mail works, though not as well as it could.
// Bad: mail is lost, refused or forged. Unknown: the DNS gave no answer now.
const (
	Good    State = "ok"
	Warn    State = "warning"
	Bad     State = "fault"
	Unknown State = "unknown"
)

// Checker asks the DNS.
type Checker struct {
	DNS  *dns.Resolver
	Host Host

	found []Finding
	// published are the addresses that the DNS has for the host.
	published []netip.Addr
}

func (c *Checker) add(f Finding) { c.found = append(c.found, f) }

func (c *Checker) take() []Finding {
	list := c.found
	c.found = nil
	return list
}

// ask returns the texts of the records of a name, in the form of a zone file
// without the dot at the end; ok is false when there was no certain answer,
// which is a finding of its own.
func (c *Checker) ask(ctx context.Context, name string, t dns.Type) (list []dns.Record, ok bool) {
	a, err := c.DNS.Lookup(ctx, name, t)
	switch {
	case dns.NotFound(err):
		return nil, true
	case err != nil:
		c.add(Finding{Subject: name + " " + dns.TypeName(t), State: Unknown, Found: err.Error(),
			Why: "other servers get no answer either", Mend: "mend the name servers of the zone (or its DNSSEC), then ask again"})
		return nil, false
	}
	return a.Records, true
}

// texts are the TXT records of a name that begin with a version tag.
func (c *Checker) texts(ctx context.Context, name, version string) (list []string, ok bool) {
	records, ok := c.ask(ctx, name, dns.TXT)
	for _, r := range records {
		if hasVersion(r.Text, version) {
			list = append(list, r.Text)
		}
	}
	return list, ok
}

func hasVersion(text, version string) bool {
	text = strings.TrimSpace(text)
	if len(text) < len(version) || !strings.EqualFold(text[:len(version)], version) {
		return false
	}
	rest := text[len(version):]
	return rest == "" || rest[0] == ' ' || rest[0] == ';' || rest[0] == '\t'
}

// Answers reports whether the resolver works at all: if not, that is the one
// finding, and the rest would be noise.
func (c *Checker) Answers(ctx context.Context) []Finding {
	_, err := c.DNS.Lookup(ctx, "org", dns.NS)
	if err == nil || dns.NotFound(err) {
		return nil
	}
	return []Finding{{Subject: "resolver", State: Bad, Found: err.Error(), Why: "without names no mail can leave, and restrictions that ask the DNS answer 450",
		Mend: "name a resolver that answers in /etc/resolv.conf"}}
}

// CheckHost looks at the name of the server and at its addresses.
func (c *Checker) CheckHost(ctx context.Context) []Finding {
	if !strings.Contains(c.Host.Name, ".") {
		c.add(Finding{Subject: "myhostname", State: Bad, Found: c.Host.Name, Why: "other servers refuse a HELO that is no name of the DNS",
			Mend: "mailserver config set myhostname mx.YOUR.DOMAIN"})
		return c.take()
	}
	c.hostAddresses(ctx)
	for _, a := range c.published {
		c.reverse(ctx, a)
	}
	c.hostSPF(ctx)
	c.tlsa(ctx)
	return c.take()
}

// Addresses are those that the DNS has for the host, after CheckHost.
func (c *Checker) Addresses() []netip.Addr { return c.published }

func (c *Checker) hostAddresses(ctx context.Context) {
	h := c.Host
	if alias, ok := c.ask(ctx, h.Name, dns.CNAME); ok && len(alias) > 0 {
		c.add(Finding{Subject: h.Name + " CNAME", State: Bad, Found: alias[0].Text, Why: "an MX must not name an alias (RFC 2181 §10.3); some servers refuse to follow it",
			Mend: "remove the CNAME; publish A and AAAA records for " + h.Name})
	}
	certain := true
	for _, t := range []dns.Type{dns.A, dns.AAAA} {
		records, ok := c.ask(ctx, h.Name, t)
		certain = certain && ok
		for _, r := range records {
			c.published = append(c.published, r.Addr)
			c.hostAddress(r.Addr, t)
		}
	}
	if !certain {
		return
	}
	for _, a := range h.Addrs {
		if !slices.Contains(c.published, a) {
			c.missingAddress(a)
		}
	}
	if len(c.published) == 0 && len(h.Addrs) == 0 {
		c.add(Finding{Subject: h.Name + " A", State: Bad, Found: "no record", Why: "no server can deliver here", Mend: h.Name + ".\tIN\tA\t(the address of this machine)"})
	}
}

func (c *Checker) hostAddress(a netip.Addr, t dns.Type) {
	f := Finding{Subject: c.Host.Name + " " + dns.TypeName(t), State: Good, Found: a.String()}
	switch {
	case a.IsLoopback() || a.IsPrivate() || a.IsUnspecified() || a.IsLinkLocalUnicast():
		f.State, f.Why, f.Mend = Bad, "an address that others cannot reach", "publish the public address of this machine"
	case len(c.Host.Addrs) > 0 && !slices.Contains(c.Host.Addrs, a):
		f.State, f.Expected, f.Why = Bad, addrList(c.Host.Addrs, a.Is6()), "mail goes to another machine"
		f.Mend = "remove it, or, when this machine is behind NAT: mailserver config set proxy_interfaces " + a.String()
	}
	c.add(f)
}

func (c *Checker) missingAddress(a netip.Addr) {
	r := Host{Name: c.Host.Name, Addrs: []netip.Addr{a}}.Records()[0]
	f := Finding{Subject: r.Name + " " + r.Type, State: Bad, Expected: r.Value, Found: "no such record", Why: r.Why, Mend: r.Line()}
	if len(c.published) > 0 {
		f.State, f.Why = Warn, "the machine sends from this address too; mail from an address that its name does not have is suspicious"
	}
	c.add(f)
}

func addrList(list []netip.Addr, six bool) string {
	var out []string
	for _, a := range list {
		if a.Is6() == six {
			out = append(out, a.String())
		}
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, ", ")
}

// reverse: the address names the host, and the name has the address.
func (c *Checker) reverse(ctx context.Context, a netip.Addr) {
	want := Host{Name: c.Host.Name, Addrs: []netip.Addr{a}}.Records()[1]
	records, ok := c.ask(ctx, want.Name, dns.PTR)
	if !ok {
		return
	}
	f := Finding{Subject: a.String() + " PTR", State: Good, Expected: c.Host.Name, Why: want.Why, Mend: want.Line()}
	switch {
	case len(records) == 0:
		f.State, f.Found = Bad, "no record"
	case !slices.ContainsFunc(records, func(r dns.Record) bool { return sameName(r.Text, c.Host.Name) }):
		f.State, f.Found = Bad, records[0].Text
		if back, err := c.DNS.Addrs(ctx, records[0].Text); err == nil && slices.Contains(back, a) {
			f.State, f.Why = Warn, "the name leads back, but it is not the one that we say in HELO"
		}
	default:
		f.Found, f.Mend, f.Why = c.Host.Name, "", ""
	}
	if len(records) > 1 && f.State == Good {
		f.State, f.Found, f.Why = Warn, fmt.Sprintf("%d records", len(records)), "servers take one of them, not always the same"
		f.Mend = "leave one: " + want.Line()
	}
	c.add(f)
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

func (c *Checker) hostSPF(ctx context.Context) {
	list, ok := c.texts(ctx, c.Host.Name, "v=spf1")
	if !ok {
		return
	}
	want := Record{Name: c.Host.Name, Type: "TXT", Value: "v=spf1 a -all"}
	f := Finding{Subject: c.Host.Name + " SPF", State: Good, Expected: want.Value, Mend: want.Line(), Why: "bounces have this name only; without it some servers count it against us"}
	switch {
	case len(list) == 0:
		f.State, f.Found = Warn, "no record"
	case len(list) > 1:
		f.State, f.Found, f.Why = Bad, fmt.Sprintf("%d records", len(list)), "more than one record is an error: none counts (RFC 7208 §4.5)"
	default:
		c.spfResult(ctx, &f, list[0], "", c.Host.Name)
	}
	c.add(f)
}

// spfResult evaluates the record for each address from which we send.
func (c *Checker) spfResult(ctx context.Context, f *Finding, record, from, helo string) {
	f.Found = record
	if all := strings.Fields(strings.ToLower(record)); slices.Contains(all, "+all") || slices.Contains(all, "all") {
		f.State, f.Why = Bad, "the whole world may send as this domain"
		return
	}
	lookup := func(name string, t dns.Type) (*dns.Answer, error) { return c.DNS.Lookup(ctx, name, t) }
	for _, a := range c.senders() {
		switch r := spf.Check(lookup, spf.Client{Addr: a, Helo: helo, Host: c.Host.Name}, from); r.Result {
		case spf.Pass:
		case spf.TempError:
			f.State, f.Found, f.Why = Unknown, r.Why, "a server that the record asks does not answer"
		case spf.PermError:
			f.State, f.Why = Bad, "the record is in error and counts for nothing: "+r.Why
		default:
			f.State, f.Why = Bad, fmt.Sprintf("our address %s gets %q: what we send is refused or taken for spam", a, r.Result)
		}
		if f.State != Good {
			return
		}
	}
	f.Why, f.Mend = "", ""
}

func (c *Checker) senders() []netip.Addr {
	if len(c.Host.Addrs) > 0 {
		return c.Host.Addrs
	}
	return c.published
}

// tlsa: a published key that is not ours makes servers with DANE hold back all
// mail for us.
func (c *Checker) tlsa(ctx context.Context) {
	name := "_25._tcp." + c.Host.Name
	records, ok := c.ask(ctx, name, dns.TLSA)
	if !ok || len(records) == 0 || len(c.Host.TLSA) == 0 {
		return
	}
	f := Finding{Subject: name + " TLSA", State: Good, Expected: c.Host.TLSA[0]}
	var texts []string
	match := false
	for _, r := range records {
		texts = append(texts, r.Text)
		for _, t := range c.Host.TLSA {
			match = match || strings.EqualFold(strings.ReplaceAll(r.Text, " ", ""), strings.ReplaceAll(t, " ", ""))
		}
	}
	f.Found = strings.Join(texts, ", ")
	if !match && slices.ContainsFunc(texts, func(s string) bool { return strings.HasPrefix(s, "3 1 1 ") }) {
		f.State, f.Why = Bad, "no record fits the key that we show: servers with DANE deliver nothing"
		f.Mend = Record{Name: name, Type: "TLSA", Value: c.Host.TLSA[0]}.Line()
	}
	c.add(f)
}
