package server

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"mailserver/delivery/remote"
	"mailserver/internal/dns"
	"mailserver/internal/mtasts"
)

// hosts asks an internal/dns resolver for next hops, in the terms of
// delivery/remote.
type hosts struct{ r *dns.Resolver }

// MX is remote.Resolver.
func (h hosts) MX(ctx context.Context, domain string) ([]remote.MX, error) {
	a, err := h.r.Lookup(ctx, domain, dns.MX)
	if err != nil {
		return nil, asNet(domain, err)
	}
	list := make([]remote.MX, 0, len(a.Records))
	for _, rec := range a.Records {
		list = append(list, remote.MX{Preference: rec.Pref, Host: rec.Text})
	}
	return list, nil
}

// Addresses is remote.Resolver.
func (h hosts) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if strings.EqualFold(host, "localhost") { // RFC 6761 §6.3
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	list, err := h.r.Addrs(ctx, host)
	if err != nil {
		return nil, asNet(host, err)
	}
	return list, nil
}

// SecureMX is remote.Secure.
func (h hosts) SecureMX(ctx context.Context, domain string) (bool, error) {
	return h.authentic(ctx, domain, dns.MX)
}

// TLSABases is remote.Secure. Every family that answers must be signed, aliases
// included; then what the host is an alias of comes first, RFC 7672 §2.2.3.
func (h hosts) TLSABases(ctx context.Context, host string) ([]string, error) {
	names, secure := []string{}, true
	for _, t := range []dns.Type{dns.A, dns.AAAA} {
		a, err := h.r.Lookup(ctx, host, t)
		if dns.NotFound(err) {
			continue
		}
		if err != nil {
			return nil, asNet(host, err)
		}
		names, secure = append(names, a.Name), secure && a.Authentic
	}
	switch {
	case len(names) == 0:
		return nil, nil
	case !secure:
		return h.secureAlias(ctx, host)
	case strings.EqualFold(names[0], host) || !strings.EqualFold(names[0], names[len(names)-1]):
		return []string{host}, nil
	}
	return []string{names[0], host}, nil
}

// secureAlias gives the host itself if it is a signed alias of one that is not
// signed, RFC 7672 §2.2.3.
func (h hosts) secureAlias(ctx context.Context, host string) ([]string, error) {
	secure, err := h.authentic(ctx, host, dns.CNAME)
	switch {
	case err != nil && !dns.NotFound(err):
		return nil, asNet(host, err)
	case err != nil || !secure:
		return nil, nil
	}
	return []string{host}, nil
}

func (h hosts) authentic(ctx context.Context, name string, t dns.Type) (bool, error) {
	a, err := h.r.Lookup(ctx, name, t)
	if err != nil {
		return false, err
	}
	return a.Authentic, nil
}

// TLSA is remote.Secure.
func (h hosts) TLSA(ctx context.Context, name string) ([]string, error) {
	a, err := h.r.Lookup(ctx, name, dns.TLSA)
	if err != nil {
		return nil, asNet(name, err)
	}
	if !a.Authentic {
		return nil, nil
	}
	list := make([]string, 0, len(a.Records))
	for _, rec := range a.Records {
		list = append(list, rec.Text)
	}
	return list, nil
}

// texts asks for TXT records; none is no error.
func texts(r *dns.Resolver) func(context.Context, string) ([]string, error) {
	return func(ctx context.Context, name string) ([]string, error) {
		a, err := r.Lookup(ctx, name, dns.TXT)
		if dns.NotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		list := make([]string, 0, len(a.Records))
		for _, rec := range a.Records {
			list = append(list, rec.Text)
		}
		return list, nil
	}
}

// stsOf gives policies to delivery/remote; mode none is no policy.
func stsOf(c *mtasts.Cache) func(context.Context, string) remote.STSPolicy {
	return func(ctx context.Context, domain string) remote.STSPolicy {
		p := c.Policy(ctx, domain)
		if p == nil || p.Mode == mtasts.None {
			return nil
		}
		return p
	}
}

// noData tells a name without such records from one that is not there.
type noData struct{ error }

// NoData is asked for by delivery/remote.
func (noData) NoData() bool { return true }

// asNet gives an error the form that tells "none" from "not now" to callers of
// package net.
func asNet(name string, err error) error {
	found := dns.NotFound(err)
	if dns.StatusOf(err) == dns.NoData {
		err = noData{err}
	}
	return &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: name, IsNotFound: found, IsTemporary: !found}
}

// TXT gives the texts of TXT records.
func (h hosts) TXT(ctx context.Context, name string) ([]string, error) {
	a, err := h.r.Lookup(ctx, name, dns.TXT)
	if err != nil {
		return nil, asNet(name, err)
	}
	texts := make([]string, len(a.Records))
	for i, rec := range a.Records {
		texts[i] = rec.Text
	}
	return texts, nil
}
