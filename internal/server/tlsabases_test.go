package server

import (
	"slices"
	"testing"

	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
)

func TestTLSABases(t *testing.T) {
	srv := dnstest.Start(t, `
plain.example. IN A 192.0.2.7
one.example. IN CNAME two.example.
two.example. IN CNAME plain.example.
half.example. IN CNAME open.example.
open.example. IN A 192.0.2.8
openalias.example. IN CNAME plain.example.
`)
	srv.Authenticate(true)
	srv.Fail("open.example", dnstest.Fault{Unsigned: true})
	srv.Fail("openalias.example", dnstest.Fault{Unsigned: true})
	srv.Fail("broken.example", dnstest.Fault{Rcode: 2})
	h := hosts{dns.New(dns.Config{Servers: []string{srv.Addr}})}
	for host, want := range map[string][]string{
		"plain.example":     {"plain.example"},
		"one.example":       {"plain.example", "one.example"},
		"half.example":      {"half.example"}, // a signed alias of a host that is not
		"open.example":      nil,
		"openalias.example": nil,
		"gone.example":      nil,
	} {
		if got, err := h.TLSABases(t.Context(), host); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
	if got, err := h.TLSABases(t.Context(), "broken.example"); err == nil {
		t.Errorf("a failure gives %v", got)
	}
}
