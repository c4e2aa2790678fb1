// Package dnsplan says which DNS records a mail domain needs and why, and
// compares them with what the DNS has.
package dnsplan

import (
	"fmt"
	"net/netip"
	"strings"

	"mailserver/internal/dkim"
	"mailserver/internal/dns"
)

// Host is this server as the DNS should show it.
type Host struct {
	Name  string       // setting myhostname
	Addrs []netip.Addr // by which others reach it; none: those of the DNS are believed
	TLSA  []string     // "3 1 1 HASH" of the key that SMTP shows; none: not known
	// Services are the ports that clients use, for SRV records (RFC 6186, RFC 8314).
	Services []Service
}

// Service is a way in for mail programs.
type Service struct {
	Name string // _imaps, _submissions ...
	Port int    // 0: not offered
}

// Domain is a domain that takes and sends mail here.
type Domain struct {
	Name   string // as the DNS has it, in ASCII
	Row    string // as mail.sqlite has it
	Keys   []Key  // that sign
	Report string // address for reports of DMARC and TLS
}

// Key is the public half of a DKIM key.
type Key struct{ Selector, Record string }

// Record is one record that should be in the DNS.
type Record struct {
	Name     string // without the dot at the end
	Type     string // as in a zone file
	Value    string // of TXT as one string without quotes; else as in a zone file
	Why      string
	Optional bool // mail works without it
}

// Line is the record in the form of RFC 1035 §5; a long text is split into
// strings of at most 255 bytes, which readers join again.
func (r Record) Line() string {
	value := r.Value
	if r.Type == "TXT" {
		value = dkim.Strings(value)
	}
	return r.Name + ".\tIN\t" + r.Type + "\t" + value
}

// Relative is the name as the forms of DNS providers ask for it: without the
// zone, @ for the zone itself.
func (r Record) Relative(zone string) string {
	if strings.EqualFold(r.Name, zone) {
		return "@"
	}
	return strings.TrimSuffix(r.Name, "."+zone)
}

// Records are those of the host: who it is, and that its address says so.
func (h Host) Records() []Record {
	var list []Record
	for _, a := range h.Addrs {
		kind := "A"
		if a.Is6() {
			kind = "AAAA"
		}
		list = append(list, Record{Name: h.Name, Type: kind, Value: a.String(), Why: "the address to which other servers connect"})
	}
	for _, a := range h.Addrs {
		list = append(list, Record{Name: strings.TrimSuffix(dns.ReverseName(a), "."), Type: "PTR", Value: h.Name + ".",
			Why: "set by whoever gives you the address; large providers refuse mail from an address without it"})
	}
	list = append(list, Record{Name: h.Name, Type: "TXT", Value: "v=spf1 a -all", Why: "SPF of bounces, which have no sender but this name (RFC 7208 §2.4)"})
	for _, t := range h.TLSA {
		list = append(list, Record{Name: "_25._tcp." + h.Name, Type: "TLSA", Value: t, Optional: true,
			Why: "DANE: other servers know the key; only if the zone is signed, and the key is kept over renewals"})
	}
	return list
}

// Records are those of a domain whose mail h takes.
func (d Domain) Records(h Host) []Record {
	report := d.Report
	if report == "" {
		report = "postmaster@" + d.Name
	}
	list := []Record{
		{Name: d.Name, Type: "MX", Value: "10 " + h.Name + ".", Why: "mail for the domain comes here"},
		{Name: d.Name, Type: "TXT", Value: "v=spf1 mx ~all", Why: "SPF: what the MX sends is ours; ~all leaves the verdict on the rest to DMARC, so that forwarded mail with a good signature lives"},
	}
	for _, k := range d.Keys {
		list = append(list, Record{Name: dkim.Name(d.Name, k.Selector), Type: "TXT", Value: k.Record, Why: "DKIM: the key of our signatures"})
	}
	list = append(list,
		Record{Name: "_dmarc." + d.Name, Type: "TXT", Value: "v=DMARC1; p=quarantine; rua=mailto:" + report,
			Why: "DMARC: what others shall do with mail that only claims to come from here; large providers ask for it"},
		Record{Name: "_smtp._tls." + d.Name, Type: "TXT", Value: "v=TLSRPTv1; rua=mailto:" + report, Optional: true,
			Why: "others report when TLS to us fails"})
	return append(list, d.services(h)...)
}

func (d Domain) services(h Host) []Record {
	var list []Record
	for _, s := range h.Services {
		value := "0 0 0 ."
		if s.Port != 0 {
			value = fmt.Sprintf("0 1 %d %s.", s.Port, h.Name)
		}
		list = append(list, Record{Name: s.Name + "._tcp." + d.Name, Type: "SRV", Value: value, Optional: true,
			Why: "mail programs find the server by themselves (RFC 6186)"})
	}
	return list
}
