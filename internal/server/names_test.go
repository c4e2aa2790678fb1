package server

import (
	"context"
	"errors"
	"net"
	"testing"

	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
)

func TestHostsTellNoneFromNotNow(t *testing.T) {
	srv := dnstest.Start(t, `
relay.example. IN MX 10 mx.relay.example.
mx.relay.example. IN A 192.0.2.7
mx.relay.example. IN AAAA 2001:db8::7
`)
	srv.Fail("broken.example", dnstest.Fault{Rcode: 2})
	h, ctx := hosts{dns.New(dns.Config{Servers: []string{srv.Addr}})}, context.Background()
	if mx, err := h.MX(ctx, "Relay.example"); err != nil || len(mx) != 1 || mx[0].Host != "mx.relay.example" || mx[0].Preference != 10 {
		t.Errorf("MX %v, %v", mx, err)
	}
	if list, err := h.Addresses(ctx, "mx.relay.example"); err != nil || len(list) != 2 {
		t.Errorf("addresses %v, %v", list, err)
	}
	for name, found := range map[string]bool{"gone.example": true, "broken.example": false} {
		for kind, ask := range map[string]func() error{
			"MX":        func() error { _, err := h.MX(ctx, name); return err },
			"addresses": func() error { _, err := h.Addresses(ctx, name); return err },
		} {
			var e *net.DNSError
			if err := ask(); !errors.As(err, &e) || e.IsNotFound != found || e.IsTemporary == found {
				t.Errorf("%s of %s: %v", kind, name, err)
			}
		}
	}
}
