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
// A delivery on this host has one recipient, and its site is that recipient.
// postconf(5) transport_destination_concurrency_limit
func (c *Config) limits(site string) limits {
	own := limits{c.ConcurrencyLimit, c.RecipientLimit, c.RateDelay}
	switch transport, _, _ := strings.Cut(site, ":"); transport {
	case "smtp":
		own = limits{c.SMTPConcurrency, c.SMTPRecipients, c.SMTPDelay}
	case "relay":
		own = limits{c.RelayConcurrency, c.RelayRecipients, c.RelayDelay}
	case "lmtp":
		own = limits{c.LMTPConcurrency, c.LMTPRecipients, c.LMTPDelay}
	case "virtual":
		own = limits{c.VirtualConcurrency, 1, c.VirtualDelay}
	case "file", "command", "forward":
		own = limits{c.LocalConcurrency, 1, c.LocalDelay}
	}
	if own.concurrency == 0 { // a Config not made from settings
		own = limits{c.ConcurrencyLimit, c.RecipientLimit, c.RateDelay}
	}
	return own
}
