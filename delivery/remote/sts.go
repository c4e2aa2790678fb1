package remote

import (
	"context"
	"log/slog"
	"slices"
)

// STSPolicy is what a domain asks of senders, RFC 8461.
type STSPolicy interface {
	// Allows reports whether mail may go to that exchanger.
	Allows(host string) bool
	// Enforced reports whether mail must not go where it is not allowed.
	Enforced() bool
}

// mtaSTS applies the policy of the domain: mail goes to the hosts that it
// names, over TLS with a certificate for the name of the host, or waits. A row
// of TlsPolicy, and a level that authenticates by itself, come first: DANE must
// not be weakened, RFC 8461 §2.
func (a *attempt) mtaSTS(ctx context.Context, hosts *[]host) *Result {
	if !a.cfg.MTASTS || a.c.d.STS == nil || a.domain == "" || a.hop.TLS != "" || a.policy.level == levelNone || a.policy.authenticates() {
		return nil
	}
	policy := a.c.d.STS(ctx, a.domain)
	if policy == nil {
		return nil
	}
	if policy.Enforced() && a.waives() {
		return nil
	}
	a.sts = policy
	allowed := slices.DeleteFunc(slices.Clone(*hosts), func(h host) bool { return !policy.Allows(h.name) })
	if !policy.Enforced() {
		if len(allowed) < len(*hosts) && a.c.d.Log != nil {
			a.c.d.Log.Warn("MTA-STS in testing: exchangers that the policy does not name", slog.String("domain", a.domain))
		}
		return nil
	}
	if len(allowed) == 0 {
		return &Result{Status: Deferred, Enhanced: "4.7.5", Relay: "none", Unreachable: true,
			Text: "MTA-STS policy of " + a.domain + " names none of its mail exchangers"}
	}
	*hosts = allowed
	a.policy = tlsPolicy{level: levelSecure, match: []string{"hostname"}, reuse: a.policy.reuse}
	return nil
}
