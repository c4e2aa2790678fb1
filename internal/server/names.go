package server

import (
	"context"
	"net"
	"net/netip"

	"mailserver/delivery/remote"
	"mailserver/internal/dns"
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
	list, err := h.r.Addrs(ctx, host)
	if err != nil {
		return nil, asNet(host, err)
	}
	return list, nil
}

// asNet gives an error the form that tells "none" from "not now" to callers of
// package net.
func asNet(name string, err error) error {
	found := dns.NotFound(err)
	return &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: name, IsNotFound: found, IsTemporary: !found}
}
