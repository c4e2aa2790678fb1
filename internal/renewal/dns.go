package renewal

import (
	"context"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"mailserver/internal/dns"
)

// dnsSolver answers dns-01, RFC 8555 §8.4, by updates of the zone.
type dnsSolver struct {
	u     dns.Updater
	delay time.Duration
}

// challengeTTL is how long others may keep an answer.
const challengeTTL = time.Minute

// Present adds the record.
func (s *dnsSolver) Present(ctx context.Context, c acme.Challenge) error {
	return s.u.AddTXT(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization(), challengeTTL)
}

// Wait gives the other servers of the zone time to hear of it.
func (s *dnsSolver) Wait(ctx context.Context, _ acme.Challenge) error {
	t := time.NewTimer(s.delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// CleanUp removes it.
func (s *dnsSolver) CleanUp(ctx context.Context, c acme.Challenge) error {
	return s.u.RemoveTXT(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}
