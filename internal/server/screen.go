package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"mailserver/internal/config"
	"mailserver/internal/dns"
	"mailserver/schema"
	"mailserver/smtp/screen"
)

// screen makes what looks at clients before SMTP sessions begin.
func (s *Server) screen() func(context.Context, net.Conn, []string, *tls.Config, func() bool) net.Conn {
	resolver := s.opt.DNS
	if resolver == nil {
		resolver = dns.New(dns.Config{})
	}
	sc := screen.New(screen.Deps{
		Config: config.Of[screen.Config](s.Config),
		Lookup: func(ctx context.Context, name string) ([]netip.Addr, time.Duration) {
			a, err := resolver.Lookup(ctx, name, dns.A)
			if err != nil {
				return nil, 0
			}
			list := make([]netip.Addr, len(a.Records))
			for i, r := range a.Records {
				list[i] = r.Addr
			}
			return list, a.TTL
		},
		Table: s.clientRow,
		Text: func(ctx context.Context, table, key string) (string, error) {
			view, err := s.Mail.View(ctx)
			if err != nil {
				return "", err
			}
			return view.Access(ctx, table, key)
		},
		Load: func(ctx context.Context, a netip.Addr) (screen.Passes, error) {
			p, err := s.State.ScreenPass(ctx, a.String())
			return screen.Passes{Greet: p[0], DNSBL: p[1], Pipelining: p[2], NonSMTP: p[3], BareNewline: p[4]}, err
		},
		Save: func(ctx context.Context, a netip.Addr, p screen.Passes) error {
			pass := schema.ScreenPass{p.Greet, p.DNSBL, p.Pipelining, p.NonSMTP, p.BareNewline}
			return s.State.Write(ctx, func(t *schema.Tx) error { return t.AddScreenPass(a.String(), pass) })
		},
		Forget: func(ctx context.Context, before time.Time) error {
			return s.State.Write(ctx, func(t *schema.Tx) error { return t.ForgetScreen(before) })
		},
		Log: s.Log, Now: s.opt.Now,
	})
	s.screened = sc.Wait
	return sc.Look
}

// screenNames are how postscreen_listeners may call a row.
func screenNames(row schema.Listener) []string {
	names := []string{row.Address, row.Tag}
	if row.Tag == "" {
		names = append(names, row.Protocol)
	}
	return names
}
