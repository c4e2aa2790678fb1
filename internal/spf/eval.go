package spf

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailserver/internal/dns"
)

// Limits of RFC 7208 §4.6.4.
const (
	maxTerms = 10 // that ask the DNS, in all records together
	maxVoid  = 2  // look-ups without an answer
	maxHosts = 10 // of one MX or PTR look-up
)

// maxName is the longest name of the DNS.
const maxName = 253

// fault ends an evaluation: its result is TempError or PermError.
type fault struct {
	result string
	why    string
}

func (f *fault) Error() string { return f.why }

func permanent(format string, args ...any) error {
	return &fault{PermError, fmt.Sprintf(format, args...)}
}

// check is one evaluation.
type check struct {
	lookup Lookup
	ip     netip.Addr
	helo   string
	local  string // of the sender
	origin string // domain of the sender
	now    func() time.Time
	host   string // that makes the check

	terms, void int
	names       []string // validated names of ip, once asked
	asked       bool
	exp         string // where the explanation of a failure stands
	expDomain   string
	why         string
}

// domain evaluates the record of one domain; RFC 7208 §4. top says that its
// explanation counts: it is not an included one.
func (c *check) domain(domain string, top bool) (string, error) {
	if !validDomain(domain) {
		return None, nil
	}
	rec, err := c.record(domain)
	if rec == nil || err != nil {
		return None, err
	}
	for i := range rec.directives {
		d := &rec.directives[i]
		match, err := c.matches(d, domain)
		if err != nil {
			return "", err
		}
		if !match {
			continue
		}
		if top {
			c.why = "matched " + d.text
			c.exp, c.expDomain = rec.exp, domain
		}
		return d.result, nil
	}
	if rec.redirect == "" {
		return Neutral, nil
	}
	return c.redirect(rec.redirect, domain, top)
}

func (c *check) redirect(spec, domain string, top bool) (string, error) {
	if err := c.term(); err != nil {
		return "", err
	}
	target := c.expand(spec, domain)
	res, err := c.domain(target, top)
	if err == nil && res == None {
		err = permanent("redirect=%s has no record", target)
	}
	return res, err
}

// record returns the record of a domain; nil if there is none.
func (c *check) record(domain string) (*record, error) {
	a, err := c.lookup(domain, dns.TXT)
	if err != nil {
		if dns.NotFound(err) {
			return nil, nil
		}
		return nil, &fault{TempError, err.Error()}
	}
	text, n := "", 0
	for _, r := range a.Records {
		if isRecord(r.Text) {
			text = r.Text
			n++
		}
	}
	if n > 1 {
		return nil, permanent("%s has %d records", domain, n)
	}
	if n == 0 {
		return nil, nil
	}
	rec, err := parse(text)
	if err != nil {
		return nil, permanent("record of %s: %v", domain, err)
	}
	return rec, nil
}

// validDomain reports whether a domain can be asked about; RFC 7208 §4.3.
func validDomain(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if len(s) > maxName || !strings.Contains(s, ".") {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}

// term counts a term that asks the DNS.
func (c *check) term() error {
	if c.terms++; c.terms > maxTerms {
		return permanent("more than %d terms that ask the DNS", maxTerms)
	}
	return nil
}

// ask looks up for a mechanism. No answer is none, and counted.
func (c *check) ask(name string, t dns.Type) ([]dns.Record, error) {
	a, err := c.lookup(name, t)
	switch {
	case err == nil:
		return a.Records, nil
	case !dns.NotFound(err) && dns.StatusOf(err) != dns.Malformed:
		return nil, &fault{TempError, err.Error()}
	}
	if c.void++; c.void > maxVoid {
		return nil, permanent("more than %d look-ups without an answer", maxVoid)
	}
	return nil, nil
}

// matches evaluates a mechanism; RFC 7208 §5.
func (c *check) matches(d *directive, domain string) (bool, error) {
	switch d.name {
	case "all":
		return true, nil
	case "ip4", "ip6":
		return d.net.Contains(c.ip), nil
	}
	if err := c.term(); err != nil {
		return false, err
	}
	target := domain
	if d.domain != "" {
		target = c.expand(d.domain, domain)
	}
	switch d.name {
	case "include":
		return c.include(target)
	case "a":
		return c.hasAddr(d, target)
	case "mx":
		return c.mx(d, target)
	case "ptr":
		return slices.ContainsFunc(c.validated(), func(name string) bool { return within(name, target) }), nil
	}
	list, err := c.ask(target, dns.A)
	return len(list) > 0, err
}

func (c *check) include(target string) (bool, error) {
	res, err := c.domain(target, false)
	if err == nil && res == None {
		err = permanent("include:%s has no record", target)
	}
	return res == Pass, err
}

func (c *check) addrType() dns.Type {
	if c.ip.Is4() {
		return dns.A
	}
	return dns.AAAA
}

// hasAddr reports whether one of the networks around the addresses of a host
// has the client in it.
func (c *check) hasAddr(d *directive, host string) (bool, error) {
	list, err := c.ask(host, c.addrType())
	bits := d.bits4
	if c.ip.Is6() {
		bits = d.bits6
	}
	for _, r := range list {
		if p, err := r.Addr.Prefix(bits); err == nil && p.Contains(c.ip) {
			return true, nil
		}
	}
	return false, err
}

func (c *check) mx(d *directive, target string) (bool, error) {
	list, err := c.ask(target, dns.MX)
	if err != nil {
		return false, err
	}
	if len(list) > maxHosts {
		return false, permanent("%s has more than %d MX records", target, maxHosts)
	}
	for _, r := range list {
		if r.Text == "" { // RFC 7505
			continue
		}
		if yes, err := c.hasAddr(d, r.Text); yes || err != nil {
			return yes, err
		}
	}
	return false, nil
}

// validated returns the names of the client that lead back to its address;
// RFC 7208 §5.5. What cannot be looked up is not there.
func (c *check) validated() []string {
	if c.asked {
		return c.names
	}
	c.asked = true
	a, err := c.lookup(dns.ReverseName(c.ip), dns.PTR)
	if err != nil {
		return nil
	}
	for _, r := range a.Records[:min(len(a.Records), maxHosts)] {
		addrs, err := c.lookup(r.Text, c.addrType())
		if err != nil {
			continue
		}
		if slices.ContainsFunc(addrs.Records, func(r dns.Record) bool { return r.Addr == c.ip }) {
			c.names = append(c.names, r.Text)
		}
	}
	return c.names
}

// within reports whether name is domain or stands below it.
func within(name, domain string) bool {
	name, domain = strings.ToLower(strings.TrimSuffix(name, ".")), strings.ToLower(strings.TrimSuffix(domain, "."))
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// expand makes a name of a domain-spec. Labels are dropped from the left until
// it fits, RFC 7208 §7.3.
func (c *check) expand(spec, domain string) string {
	name, err := eachMacro(spec, false, func(m macro) string { return c.value(m, domain) })
	if err != nil {
		return ""
	}
	name = strings.TrimSuffix(name, ".")
	for len(name) > maxName {
		_, rest, ok := strings.Cut(name, ".")
		if !ok {
			return ""
		}
		name = rest
	}
	return name
}

// value is what a macro stands for; RFC 7208 §7.2.
func (c *check) value(m macro, domain string) string {
	switch m.letter {
	case '%':
		return "%"
	case '_':
		return " "
	case '-':
		return "%20"
	case 's':
		return m.shape(c.local + "@" + c.origin)
	case 'l':
		return m.shape(c.local)
	case 'o':
		return m.shape(c.origin)
	case 'd':
		return m.shape(domain)
	case 'i':
		return m.shape(dotted(c.ip))
	case 'p':
		return m.shape(c.name(domain))
	case 'h':
		return m.shape(c.helo)
	case 'v':
		if c.ip.Is4() {
			return m.shape("in-addr")
		}
		return m.shape("ip6")
	case 'c':
		return m.shape(c.ip.String())
	case 'r':
		return m.shape(c.host)
	}
	return m.shape(strconv.FormatInt(c.now().Unix(), 10))
}

// dotted is an address in labels: nibbles, for IPv6.
func dotted(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	var b strings.Builder
	for i, octet := range a.As16() {
		if i > 0 {
			b.WriteByte('.')
		}
		fmt.Fprintf(&b, "%X.%X", octet>>4, octet&15)
	}
	return b.String()
}

// name is the validated name of the client for %{p}: that of the domain, else
// one below it, else any.
func (c *check) name(domain string) string {
	names := c.validated()
	for _, fits := range []func(string) bool{
		func(n string) bool { return strings.EqualFold(n, domain) },
		func(n string) bool { return within(n, domain) },
		func(string) bool { return true },
	} {
		if i := slices.IndexFunc(names, fits); i >= 0 {
			return names[i]
		}
	}
	return "unknown"
}

// explanation is what the owner of the domain says of a failure; ” if
// nothing. RFC 7208 §6.2: what goes wrong with it changes nothing.
func (c *check) explanation() string {
	if c.exp == "" {
		return ""
	}
	a, err := c.lookup(c.expand(c.exp, c.expDomain), dns.TXT)
	if err != nil || len(a.Records) != 1 {
		return ""
	}
	text, err := eachMacro(a.Records[0].Text, true, func(m macro) string { return c.value(m, c.expDomain) })
	if err != nil || len(text) > maxExplanation {
		return ""
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return ""
		}
	}
	return text
}

// maxExplanation is what fits into a reply.
const maxExplanation = 400
