package testenv

import (
	"context"
	"net/netip"
	"testing"
)

func TestCompare(t *testing.T) {
	tests := []struct {
		name, got, want string
		ok              bool
	}{
		{"exact", "a\r\nb\r\n", "a\nb\n", true},
		{"pattern", "Date: 1\nb", "~ ^Date: \\d$\nb", true},
		{"skip", "x\ny\nb\n", "...\nb\n", true},
		{"skip the rest", "a\nb\nc\n", "a\n...\n", true},
		{"more follows", "a\nb\n", "a\n", false},
		{"missing", "a\n", "a\nb\n", false},
		{"different", "a\n", "b\n", false},
		{"skipped and not found", "a\nb\n", "...\nc\n", false},
	}
	for _, tt := range tests {
		if err := compare(tt.got, tt.want); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if holds("a 1\nb 2\n", "^a\n2$") != nil || holds("a\nb\n", "b\na") == nil {
		t.Error("the order of log lines does not count")
	}
}

func TestZoneServer(t *testing.T) {
	z, ctx := startZone(t, `
relay.example. IN MX 10 mx.relay.example.
mx.relay.example. IN A 192.0.2.7
mx.relay.example. IN AAAA 2001:db8::7
7.2.0.192.in-addr.arpa. IN PTR mx.relay.example.
8.2.0.192.in-addr.arpa. IN PTR liar.example.
9.2.0.192.in-addr.arpa. IN PTR x.servfail.
`), context.Background()
	if mx, err := z.MX(ctx, "Relay.example"); err != nil || len(mx) != 1 || mx[0].Host != "mx.relay.example" {
		t.Errorf("MX %v, %v", mx, err)
	}
	if a, err := z.Addresses(ctx, "mx.relay.example"); err != nil || len(a) != 2 {
		t.Errorf("addresses %v, %v", a, err)
	}
	if _, err := z.MX(ctx, "gone.example"); err == nil || temporary(err) {
		t.Errorf("a name that does not exist: %v", err)
	}
	if _, err := z.MX(ctx, "x.servfail"); !temporary(err) {
		t.Errorf("a resolver that fails: %v", err)
	}
	for addr, want := range map[string][3]any{
		"192.0.2.7": {"mx.relay.example", "mx.relay.example", false}, "192.0.2.8": {"unknown", "liar.example", false},
		"192.0.2.9": {"unknown", "x.servfail", true}, "192.0.2.10": {"unknown", "unknown", false},
	} {
		name, reverse, temp := z.peerName(ctx, netip.MustParseAddr(addr))
		if got := [3]any{name, reverse, temp}; got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
}
