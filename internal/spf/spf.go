// Package spf checks who may send for a domain, RFC 7208. The evaluation is
// blitiri.com.ar/go/spf; here is its way to our resolver, and the header field.
package spf

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"blitiri.com.ar/go/spf"

	"mailserver/internal/dns"
)

// Lookup asks the DNS; an error is a *dns.Error.
type Lookup func(name string, t dns.Type) (*dns.Answer, error)

// Results of a check, RFC 7208 §2.6.
const (
	None      = string(spf.None)
	Neutral   = string(spf.Neutral)
	Pass      = string(spf.Pass)
	Fail      = string(spf.Fail)
	SoftFail  = string(spf.SoftFail)
	TempError = string(spf.TempError)
	PermError = string(spf.PermError)
)

// Result is the outcome of a check.
type Result struct {
	Result string
	Domain string // whose record was asked
	Helo   bool   // it is that of the HELO name: there was no sender
	Why    string // the mechanism or fault that decided; for people
}

// Check evaluates MAIL FROM, or for the null sender the HELO name
// (RFC 7208 §2.4).
func Check(ctx context.Context, lookup Lookup, ip netip.Addr, helo, from string) Result {
	r := Result{Domain: domainOf(from)}
	if r.Domain == "" {
		r.Domain, r.Helo = helo, true
		from = "postmaster@" + helo
	}
	if r.Domain == "" || strings.HasPrefix(r.Domain, "[") {
		r.Result = None
		return r
	}
	got, err := spf.CheckHostWithSender(ip.Unmap().AsSlice(), helo, from, spf.WithContext(ctx), spf.WithResolver(resolver{lookup}))
	r.Result = string(got)
	if err != nil {
		r.Why = err.Error()
	}
	return r
}

func domainOf(addr string) string { return addr[strings.LastIndexByte(addr, '@')+1:] }

// Received is the Received-SPF field, RFC 7208 §9.1, without line end.
func (r Result) Received(host string, ip netip.Addr, helo, from string) string {
	if r.Helo {
		from = "postmaster@" + helo
	}
	identity := "mailfrom"
	if r.Helo {
		identity = "helo"
	}
	return fmt.Sprintf("Received-SPF: %s (%s: domain of %s: %s)\r\n\tclient-ip=%s; envelope-from=%s; helo=%s;\r\n\treceiver=%s; identity=%s",
		strings.ToUpper(r.Result[:1])+r.Result[1:], host, comment(r.Domain), comment(r.Why), ip, quoted(from), quoted(helo), host, identity)
}

// comment keeps what strangers chose from ending a comment.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`()\`, r) {
			return '?'
		}
		return r
	}, s)
}

// quoted is a quoted-string, RFC 5322 §3.2.4.
func quoted(s string) string {
	return `"` + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s) + `"`
}

// resolver is the DNSResolver of the library over a Lookup.
type resolver struct{ lookup Lookup }

// mostMX bounds the hosts that one answer gives; RFC 7208 §4.6.4 makes more
// than 10 an error, which the library must see.
const mostMX = 11

// LookupTXT returns the texts of a name.
func (r resolver) LookupTXT(_ context.Context, name string) ([]string, error) {
	a, err := r.lookup(name, dns.TXT)
	if err != nil {
		return nil, dns.Net(name, err)
	}
	list := make([]string, len(a.Records))
	for i, rec := range a.Records {
		list[i] = rec.Text
	}
	return list, nil
}

// LookupMX returns the hosts that take mail for a name.
func (r resolver) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	a, err := r.lookup(name, dns.MX)
	if err != nil {
		return nil, dns.Net(name, err)
	}
	var list []*net.MX
	for _, rec := range a.Records[:min(len(a.Records), mostMX)] {
		list = append(list, &net.MX{Host: rec.Text + ".", Pref: rec.Pref})
	}
	return list, nil
}

// LookupIPAddr returns the addresses of a host.
func (r resolver) LookupIPAddr(_ context.Context, host string) ([]net.IPAddr, error) {
	var list []net.IPAddr
	var worst error
	for _, t := range []dns.Type{dns.A, dns.AAAA} {
		a, err := r.lookup(host, t)
		if err != nil {
			if worst == nil || dns.StatusOf(err) == dns.Temporary {
				worst = err
			}
			continue
		}
		for _, rec := range a.Records {
			list = append(list, net.IPAddr{IP: rec.Addr.AsSlice()})
		}
	}
	if len(list) == 0 {
		return nil, dns.Net(host, worst)
	}
	return list, nil
}

// LookupAddr returns the names of an address.
func (r resolver) LookupAddr(_ context.Context, addr string) ([]string, error) {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return nil, err
	}
	name := dns.ReverseName(ip)
	a, err := r.lookup(name, dns.PTR)
	if err != nil {
		return nil, dns.Net(name, err)
	}
	var list []string
	for _, rec := range a.Records {
		list = append(list, rec.Text+".")
	}
	return list, nil
}
