package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailserver/internal/address"
	"mailserver/internal/config"
	"mailserver/internal/dns"
	"mailserver/internal/dnsplan"
	"mailserver/internal/server"
	"mailserver/schema"
)

func dnsCommands() []command {
	return []command{
		{name: "dns show", args: "[DOMAIN]", max: 1, about: "the records that this host and the domain need, as lines of a zone file, with reasons",
			more: "Without DOMAIN: those of every mail domain. --relative prints names as the forms of DNS\nproviders ask for them, and texts as one string.", setup: dnsShow},
		{name: "dns check", args: "[DOMAIN]", max: 1, about: "compare them with the DNS: expected, found, why, and the line that mends it; exit 78", setup: dnsCheck},
	}
}

// dnsFlags are those of every command that compares with the DNS.
type dnsFlags struct {
	addresses, resolver *string
	asJSON, verbose     *bool
}

func newDNSFlags(fs *flag.FlagSet) dnsFlags {
	f := showFlags(fs)
	f.resolver = fs.String("resolver", "", "ask this name server, `host:port`; default: those of resolv.conf")
	f.verbose = fs.Bool("verbose", false, "show what is right as well")
	return f
}

// showFlags are those that need no DNS.
func showFlags(fs *flag.FlagSet) dnsFlags {
	return dnsFlags{
		addresses: fs.String("address", "", "public `addresses` of this host, by comma; default: those of its interfaces and of proxy_interfaces"),
		asJSON:    fs.Bool("json", false, "as JSON"),
	}
}

// ask chooses the name server.
func (f dnsFlags) ask(a *app) *dns.Resolver {
	if *f.resolver != "" {
		a.dns = dns.New(dns.Config{Servers: []string{*f.resolver}, Entries: -1})
	}
	if a.dns == nil {
		a.dns = dns.New(dns.Config{Entries: -1})
	}
	return a.dns
}

// dnsHost is this host as its rows and interfaces describe it.
func (f dnsFlags) host(ctx context.Context, a *app, m *schema.Mail) (dnsplan.Host, error) {
	src, err := config.New(m)
	if err != nil {
		return dnsplan.Host{}, err
	}
	name, _, err := src.Value(ctx, "myhostname")
	if err != nil {
		return dnsplan.Host{}, err
	}
	h := dnsplan.Host{Name: strings.ToLower(name)}
	own, _, err := src.Value(ctx, "proxy_interfaces")
	if err != nil {
		return h, err
	}
	given := *f.addresses
	if given == "" {
		given = strings.Join(append(strings.Fields(strings.ReplaceAll(own, ",", " ")), interfaceAddresses()...), ",")
	}
	if h.Addrs, err = parseAddresses(given); err != nil {
		return h, err
	}
	if h.TLSA, err = shownKeys(ctx, a, m, name); err != nil {
		return h, err
	}
	h.Services, err = services(ctx, m)
	return h, err
}

func parseAddresses(text string) (list []netip.Addr, err error) {
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		ip, err := netip.ParseAddr(word)
		if err != nil {
			return nil, usage("%q is not an address", word)
		}
		if ip = ip.Unmap(); !slices.Contains(list, ip) {
			list = append(list, ip)
		}
	}
	return list, nil
}

// interfaceAddresses are the addresses of this machine that others can reach.
func interfaceAddresses() (list []string) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if ip := p.Addr().Unmap(); err == nil && ip.IsGlobalUnicast() && !ip.IsPrivate() {
			list = append(list, ip.String())
		}
	}
	return list
}

// shownKeys is the TLSA record of the key that SMTP shows to others; none for
// the certificate that init has made, which is not meant to be published.
func shownKeys(ctx context.Context, a *app, m *schema.Mail, host string) ([]string, error) {
	v, err := m.View(ctx)
	if err != nil {
		return nil, err
	}
	certs, err := v.Certs(ctx)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, c := range certs {
		if !strings.EqualFold(c.Hostname, host) {
			continue
		}
		if leaf, err := readLeaf(a.dir, c.CertFile); err == nil && leaf.Issuer.String() != leaf.Subject.String() {
			list = append(list, fmt.Sprintf("3 1 1 %x", sha256.Sum256(leaf.RawSubjectPublicKeyInfo)))
		}
	}
	return list, nil
}

// clientServices names the SRV records by protocol and whether TLS begins at once.
var clientServices = []struct {
	name, protocol string
	wrapper        bool
}{
	{"_imaps", "imap", true}, {"_imap", "imap", false}, {"_pop3s", "pop3", true}, {"_pop3", "pop3", false},
	{"_submissions", "submission", true}, {"_submission", "submission", false},
}

// services are the ports of the listeners; "." is published for what is not
// offered, so that no program tries it (RFC 6186 §3.4).
func services(ctx context.Context, m *schema.Mail) (list []dnsplan.Service, err error) {
	v, err := m.View(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := v.Listeners(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range clientServices {
		port := 0
		for _, l := range rows {
			_, text, _ := net.SplitHostPort(l.Address)
			if n, err := strconv.Atoi(text); err == nil && port == 0 && l.Protocol == s.protocol && (l.TLS == "wrapper") == s.wrapper && !onLoopback(l.Address) {
				port = n
			}
		}
		list = append(list, dnsplan.Service{Name: s.name, Port: port})
	}
	return list, nil
}

// mailDomains are the domains that need records: those whose mail is taken
// here, without the host's own name. one != ” chooses that one.
func mailDomains(ctx context.Context, m *schema.Mail, host, one string) (list []dnsplan.Domain, err error) {
	err = m.Domains(ctx, func(d schema.DomainRow) error {
		if !d.Active || d.Class == schema.External || d.Class == schema.Relay || strings.EqualFold(d.Domain, host) || one != "" && !strings.EqualFold(d.Domain, one) {
			return nil
		}
		list = append(list, dnsplan.Domain{Name: strings.ToLower(d.Domain)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if one != "" && len(list) == 0 {
		return nil, fmt.Errorf("%s: no domain whose mail is taken here: %w", one, schema.ErrNotFound)
	}
	for i := range list {
		row := list[i].Name
		list[i].Row, list[i].Name = row, address.ToASCII(row)
		err := m.AllDkimKeys(ctx, row, func(k schema.DkimKey) error {
			if !k.Active || !strings.EqualFold(k.Domain, row) {
				return nil
			}
			text, err := record(k)
			list[i].Keys = append(list[i].Keys, dnsplan.Key{Selector: k.Selector, Record: text})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// shownRecord is a record as JSON.
type shownRecord struct {
	Name     string `json:"name"`
	Relative string `json:"relative"`
	Type     string `json:"type"`
	Value    string `json:"value"`
	Line     string `json:"line"`
	Why      string `json:"why"`
	Optional bool   `json:"optional,omitempty"`
}

func dnsShow(fs *flag.FlagSet) action {
	f := showFlags(fs)
	relative := fs.Bool("relative", false, "names without the domain, texts as one string")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			h, err := f.host(ctx, a, m)
			if err != nil {
				return err
			}
			domains, err := mailDomains(ctx, m, h.Name, strings.Join(args, ""))
			if err != nil {
				return err
			}
			p := recordPrinter{a: a, relative: *relative}
			if *f.asJSON {
				p.t = a.table(true)
			}
			p.print(h.Name, h.Records())
			if len(h.Addrs) == 0 && p.t == nil {
				fmt.Fprintf(a.out, "; the public address of this machine is not known: say --address, or set proxy_interfaces\n")
			}
			for _, d := range domains {
				p.print(d.Name, d.Records(h))
			}
			if p.t != nil {
				return errors.Join(p.err, p.t.end(nil))
			}
			return p.err
		})
	}
}

// recordPrinter prints the records of one zone after the other.
type recordPrinter struct {
	a        *app
	t        *table // nil: as text
	relative bool
	err      error
}

func (p *recordPrinter) print(zone string, list []dnsplan.Record) {
	if p.t == nil {
		fmt.Fprintf(p.a.out, "; %s\n", zone)
	}
	for _, r := range list {
		switch {
		case p.t != nil:
			p.err = errors.Join(p.err, p.t.row(shownRecord{r.Name, r.Relative(zone), r.Type, r.Value, r.Line(), r.Why, r.Optional}))
		case p.relative:
			fmt.Fprintf(p.a.out, "%s\t%s\t%s\n", r.Relative(zone), r.Type, r.Value)
		default:
			note := r.Why
			if r.Optional {
				note = "optional: " + note
			}
			fmt.Fprintf(p.a.out, "; %s\n%s\n", note, r.Line())
		}
	}
}

func dnsCheck(fs *flag.FlagSet) action {
	f := newDNSFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		d := &doctor{app: a, flags: f}
		return a.withParts(ctx, func(p *server.Parts) error {
			d.p = p
			if err := d.names(ctx, strings.Join(args, "")); err != nil {
				return err
			}
			return d.report()
		})
	}
}

// dnsPatience bounds all questions of one check.
const dnsPatience = 2 * time.Minute

// names compares the records of the host and its domains with the DNS.
func (d *doctor) names(ctx context.Context, one string) error {
	h, err := d.flags.host(ctx, d.app, d.p.Mail)
	if err != nil {
		return err
	}
	domains, err := mailDomains(ctx, d.p.Mail, h.Name, one)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, dnsPatience)
	defer cancel()
	c := &dnsplan.Checker{DNS: d.flags.ask(d.app), Host: h}
	d.domains = domains
	if dead := c.Answers(ctx); dead != nil {
		d.addAll("dns", dead)
		d.mute = true
		d.unasked("dns", "records of "+h.Name)
		for _, dom := range domains {
			d.unasked("dns", "records of "+dom.Name)
		}
		return nil
	}
	d.addAll("dns", c.CheckHost(ctx))
	for _, dom := range domains {
		d.addAll("dns", c.CheckDomain(ctx, dom))
	}
	d.public = h.Addrs
	if len(d.public) == 0 {
		d.public = c.Addresses()
	}
	return nil
}
