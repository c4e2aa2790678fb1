package server

import (
	"context"
	"strings"
	"time"

	"mailserver/delivery/remote"
	"mailserver/internal/config"
	"mailserver/internal/tlsrpt"
	"mailserver/schema"
)

// tlsKept is how long results of TLS are kept; tlsEvery how often they are
// written.
const (
	tlsKept  = 35 * 24 * time.Hour
	tlsEvery = time.Minute
)

// reasonMost bounds what a stranger's host writes into a report, in bytes.
const reasonMost = 200

// countTLS adds up how TLS with other hosts went, if smtp_tlsrpt_enable says so.
func (p *Parts) countTLS(now func() time.Time) func(remote.TLSResult) {
	if now == nil {
		now = time.Now
	}
	return func(r remote.TLSResult) {
		c, err := config.Of[config.TLSReport](p.Config)(context.Background())
		if err != nil || !c.Enable {
			return
		}
		p.tls.Add(tlsrpt.Result{Day: now().UTC().Format(time.DateOnly), Domain: r.Domain, Policy: r.Policy, Text: strings.Join(r.Text, "\n"),
			MXHosts: strings.Join(r.MXHosts, ","), Failure: r.Failure, Host: r.Host, Address: r.Address, Own: r.Own, Reason: r.Reason[:min(len(r.Reason), reasonMost)]})
	}
}

// keepTLS writes what was counted, every minute and at the end.
func (s *Server) keepTLS(ctx context.Context) {
	tick := time.NewTicker(tlsEvery)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-tick.C:
		}
		if err := s.writeTLS(context.WithoutCancel(ctx)); err != nil {
			s.Log.Error("results of TLS not kept", "err", err)
		}
	}
}

func (s *Server) writeTLS(ctx context.Context) error {
	list := s.tls.Take()
	if len(list) == 0 {
		return nil
	}
	return s.State.Write(ctx, func(t *schema.Tx) error {
		for _, r := range list {
			err := t.TLSResultAdd(&schema.TLSResult{Day: r.Day, Domain: r.Domain, Policy: r.Policy, Text: r.Text, MXHosts: r.MXHosts,
				Failure: r.Failure, Host: r.Host, Address: r.Address, Own: r.Own, Reason: r.Reason, Count: r.Sessions})
			if err != nil {
				return err
			}
		}
		return t.TLSResultsForget(time.Now().Add(-tlsKept).UTC().Format(time.DateOnly))
	})
}
