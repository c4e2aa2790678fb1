package queue

import (
	"strings"
	"time"
)

// limits are what the settings say of one destination.
type limits struct {
	concurrency int
	recipients  int
	delay       time.Duration
}

// limits: those of the transport, the part of a site's name before the colon.
// postconf(5) transport_destination_concurrency_limit
func (c *Config) limits(site string) limits {
	transport, _, _ := strings.Cut(site, ":")
	own, ok := map[string]limits{
		"smtp":  {c.SMTPConcurrency, c.SMTPRecipients, c.SMTPDelay},
		"relay": {c.RelayConcurrency, c.RelayRecipients, c.RelayDelay},
		"lmtp":  {c.LMTPConcurrency, c.LMTPRecipients, c.LMTPDelay},
	}[transport]
	if !ok || own.concurrency == 0 && own.recipients == 0 { // a Config not made from settings
		own = limits{c.ConcurrencyLimit, c.RecipientLimit, c.RateDelay}
	}
	return own
}
