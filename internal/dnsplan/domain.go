package dnsplan

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"strings"

	"mailserver/internal/dkim"
	"mailserver/internal/dmarc"
	"mailserver/internal/dns"
)

// CheckDomain looks at the records of a domain; after CheckHost.
func (c *Checker) CheckDomain(ctx context.Context, d Domain) []Finding {
	c.mx(ctx, d)
	c.spf(ctx, d)
	for _, k := range d.Keys {
		c.dkim(ctx, d, k)
	}
	if len(d.Keys) == 0 {
		c.add(Finding{Subject: d.Name + " DKIM", State: Bad, Found: "no key signs for it", Why: "large providers refuse or hide mail without a signature",
			Mend: "mailserver dkim add " + cmp.Or(d.Row, d.Name)})
	}
	c.dmarc(ctx, d)
	c.single(ctx, "_smtp._tls."+d.Name, "v=TLSRPTv1", "TLS-RPT", "rua=")
	c.sts(ctx, d)
	c.srv(ctx, d)
	return c.take()
}

func (c *Checker) mx(ctx context.Context, d Domain) {
	records, ok := c.ask(ctx, d.Name, dns.MX)
	if !ok {
		return
	}
	want := d.Records(c.Host)[0]
	f := Finding{Subject: d.Name + " MX", State: Good, Expected: want.Value, Mend: want.Line()}
	var texts, others []string
	ours, best, first := false, false, uint16(0)
	for i, r := range records {
		texts = append(texts, fmt.Sprintf("%d %s", r.Pref, r.Text))
		mine := sameName(r.Text, c.Host.Name)
		ours = ours || mine
		if !mine {
			others = append(others, r.Text)
		}
		if i == 0 || r.Pref < first {
			first, best = r.Pref, mine
		} else if r.Pref == first {
			best = best || mine
		}
	}
	f.Found = strings.Join(texts, ", ")
	switch {
	case len(records) == 0:
		f.State, f.Found, f.Why = Bad, "no record", "mail for the domain does not come here, or only by luck of an A record"
	case len(records) == 1 && strings.Trim(records[0].Text, ".") == "":
		f.State, f.Found, f.Why = Bad, "null MX", "the domain says that it takes no mail (RFC 7505)"
	case isAddress(others):
		f.State, f.Why = Bad, "an MX names a host, not an address (RFC 5321 §5.1): many servers will not deliver"
	case !ours:
		f.State, f.Why = Bad, "mail for the domain goes to another host"
	case !best:
		f.State, f.Why = Warn, "another host is asked first"
	case len(others) > 0:
		f.State, f.Why = Warn, "other hosts take mail as well: "+strings.Join(others, ", ")
		f.Mend = "nothing to do if they are your backup; else remove them"
	default:
		f.Mend = ""
	}
	c.add(f)
}

func isAddress(hosts []string) bool {
	for _, h := range hosts {
		if _, err := netip.ParseAddr(strings.TrimSuffix(h, ".")); err == nil {
			return true
		}
	}
	return false
}

func (c *Checker) spf(ctx context.Context, d Domain) {
	list, ok := c.texts(ctx, d.Name, "v=spf1")
	if !ok {
		return
	}
	want := d.Records(c.Host)[1]
	f := Finding{Subject: d.Name + " SPF", State: Good, Expected: want.Value, Mend: want.Line(), Why: want.Why}
	switch {
	case len(list) == 0:
		f.State, f.Found = Bad, "no record"
	case len(list) > 1:
		f.State, f.Found, f.Why = Bad, fmt.Sprintf("%d records", len(list)), "more than one record is an error: none counts (RFC 7208 §4.5)"
	default:
		c.spfResult(ctx, &f, list[0], "postmaster@"+d.Name, c.Host.Name)
	}
	c.add(f)
}

func (c *Checker) dkim(ctx context.Context, d Domain, k Key) {
	want := Record{Name: dkim.Name(d.Name, k.Selector), Type: "TXT", Value: k.Record}
	records, ok := c.ask(ctx, want.Name, dns.TXT)
	if !ok {
		return
	}
	f := Finding{Subject: want.Name + " DKIM", State: Good, Expected: short(k.Record), Mend: want.Line()}
	switch {
	case len(records) == 0:
		f.State, f.Found, f.Why = Bad, "no record", "our signatures cannot be verified"
	case len(records) > 1:
		f.State, f.Found, f.Why = Bad, fmt.Sprintf("%d records", len(records)), "more than one record: verifiers take any (RFC 6376 §3.6.2.2)"
	case !dkim.SameKey(records[0].Text, k.Record):
		f.State, f.Found, f.Why = Bad, short(records[0].Text), "another key, or a cut one: our signatures are invalid"
	case testing(records[0].Text):
		f.State, f.Found, f.Why = Warn, short(records[0].Text), "t=y says that the signatures are a test and count for nothing"
	default:
		f.Found, f.Mend = f.Expected, ""
	}
	c.add(f)
}

// short keeps a key readable in a table.
func short(text string) string {
	const most = 60
	if len(text) <= most {
		return text
	}
	return text[:most-20] + "…" + text[len(text)-16:]
}

func testing(record string) bool {
	for tag := range strings.SplitSeq(record, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(tag), "=")
		if strings.TrimSpace(name) == "t" && strings.Contains(":"+strings.ReplaceAll(value, " ", "")+":", ":y:") {
			return true
		}
	}
	return false
}

func (c *Checker) dmarc(ctx context.Context, d Domain) {
	name := "_dmarc." + d.Name
	list, ok := c.texts(ctx, name, "v=DMARC1")
	if !ok {
		return
	}
	records := d.Records(c.Host)
	want := records[2+len(d.Keys)]
	f := Finding{Subject: name + " DMARC", State: Good, Expected: want.Value, Mend: want.Line(), Why: want.Why}
	if len(list) != 1 {
		f.State, f.Found = Bad, fmt.Sprintf("%d records", len(list))
		if len(list) > 1 {
			f.Why = "more than one record: none counts"
		}
		c.add(f)
		return
	}
	f.Found = list[0]
	switch r, ok := dmarc.Parse(list[0]); {
	case !ok || tag(list[0], "p") == "":
		f.State, f.Why = Bad, "the record is in error and counts for nothing"
	case r.Policy == dmarc.NoPolicy:
		f.State, f.Why = Warn, "p=none: others deliver what only claims to come from here"
	default:
		f.Mend, f.Why = "", ""
	}
	c.add(f)
	c.reportsTo(ctx, d, tag(list[0], "rua"))
}

func tag(record, name string) string {
	for t := range strings.SplitSeq(record, ";") {
		n, v, _ := strings.Cut(t, "=")
		if strings.EqualFold(strings.TrimSpace(n), name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// reportsTo: reports to another domain are sent only if that domain agrees,
// RFC 9990 §4.
func (c *Checker) reportsTo(ctx context.Context, d Domain, rua string) {
	for uri := range strings.SplitSeq(rua, ",") {
		address, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(uri), "mailto:"), "!")
		_, domain, ok := strings.Cut(address, "@")
		if !ok || within(domain, d.Name) || within(d.Name, domain) {
			continue
		}
		want := Record{Name: d.Name + "._report._dmarc." + domain, Type: "TXT", Value: "v=DMARC1"}
		list, ok := c.texts(ctx, want.Name, "v=DMARC1")
		if ok && len(list) == 0 {
			c.add(Finding{Subject: want.Name, State: Warn, Expected: want.Value, Found: "no record", Why: domain + " has not agreed to take the reports: none are sent", Mend: want.Line()})
		}
	}
}

func within(name, domain string) bool {
	return sameName(name, domain) || strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(domain))
}

// single: a record that may be missing, but not wrong.
func (c *Checker) single(ctx context.Context, name, version, title, must string) {
	records, ok := c.ask(ctx, name, dns.TXT)
	if !ok || len(records) == 0 {
		return
	}
	f := Finding{Subject: name + " " + title, State: Good, Found: records[0].Text}
	switch {
	case len(records) > 1:
		f.State, f.Found, f.Why = Warn, fmt.Sprintf("%d records", len(records)), "more than one record: none counts"
	case !hasVersion(records[0].Text, version) || !strings.Contains(records[0].Text, must):
		f.State, f.Expected, f.Why = Warn, version+"; "+must+"…", "the record is in error and counts for nothing"
	}
	if f.State != Good {
		f.Mend = "leave one record that begins with " + version + ", or none"
	}
	c.add(f)
}

// sts: a domain that announces a policy must serve one, RFC 8461 §3.
func (c *Checker) sts(ctx context.Context, d Domain) {
	list, ok := c.texts(ctx, "_mta-sts."+d.Name, "v=STSv1")
	if !ok || len(list) == 0 {
		return
	}
	f := Finding{Subject: "_mta-sts." + d.Name + " MTA-STS", State: Good, Found: list[0]}
	if addrs, err := c.DNS.Addrs(ctx, "mta-sts."+d.Name); err != nil || len(addrs) == 0 {
		f.State, f.Why = Warn, "mta-sts."+d.Name+" has no address: nobody finds the policy that this record announces"
		f.Mend = "serve https://mta-sts." + d.Name + "/.well-known/mta-sts.txt, or remove the record"
	}
	c.add(f)
}

// srv: a wrong service record leads mail programs astray; a missing one only
// makes them ask.
func (c *Checker) srv(ctx context.Context, d Domain) {
	for _, want := range d.services(c.Host) {
		records, ok := c.ask(ctx, want.Name, dns.SRV)
		if !ok || len(records) == 0 {
			continue
		}
		f := Finding{Subject: want.Name + " SRV", State: Good, Expected: want.Value, Found: records[0].Text}
		if got, exp := strings.Fields(records[0].Text), strings.Fields(want.Value); len(got) != 4 || got[2] != exp[2] || !sameName(got[3], exp[3]) {
			f.State, f.Why, f.Mend = Warn, "mail programs are led to a host or port that does not serve them", want.Line()
		}
		c.add(f)
	}
}
