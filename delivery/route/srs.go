package route

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"mailserver/internal/address"
	"mailserver/internal/srs"
	"mailserver/policy"
	"mailserver/schema"
)

// scheme is the Sender Rewriting Scheme of the settings; nil where it is off.
func (c *Config) scheme(now func() time.Time) *srs.Scheme {
	if c.SRSDomain == "" || len(c.SRSSecrets) == 0 {
		return nil
	}
	return &srs.Scheme{Secrets: c.SRSSecrets, Separator: c.SRSSeparator[0], Length: c.SRSLength, Minimum: c.SRSMinimum,
		MaxAge: c.SRSMaxAge, Now: now}
}

func (c *Config) validateSRS() error {
	switch {
	case c.SRSDomain == "":
		return nil
	case len(c.SRSSecrets) == 0:
		return errors.New("setting srs_secrets: srs_domain needs at least one secret")
	case len(c.SRSSeparator) != 1 || !strings.Contains("=+-", c.SRSSeparator):
		return errors.New("setting srs_separator: it is none of = + -")
	case c.SRSLength < c.SRSMinimum:
		return errors.New("setting srs_hash_length: it is less than srs_hash_minimum")
	}
	return nil
}

// isSRS reports whether an address is one that stands for a sender.
func (q *query) isSRS(a address.Address) bool {
	return q.cfg.SRSDomain != "" && strings.EqualFold(a.Domain, q.cfg.SRSDomain) && srs.Is(a.Local)
}

// sender is whom an address of the scheme stands for. The text says why it is
// nobody, with its enhanced code.
func (q *query) sender(a address.Address) (sender address.Address, refusal string) {
	s := q.cfg.scheme(q.r.d.Now)
	if s == nil {
		return a, "5.1.1 SRS addresses are not in use"
	}
	local, domain, err := s.Reverse(a.Local)
	switch {
	case err == nil:
		return address.Address{Local: local, Domain: domain}, ""
	case errors.Is(err, srs.ErrForged):
		return a, "5.7.1 Hash invalid in SRS address"
	case errors.Is(err, srs.ErrExpired):
		return a, "5.7.1 Time stamp out of date in SRS address"
	}
	return a, "5.1.3 Invalid SRS address"
}

// bounceRecipient judges an address of the scheme at RCPT: whoever holds a
// genuine one has mail that we have forwarded, and may write to its sender.
func (q *query) bounceRecipient(to address.Address) policy.Recipient {
	p := policy.Recipient{Original: to, Address: to, Class: schema.VirtualAlias, Domain: strings.ToLower(to.Domain),
		RClass: q.cfg.DefaultRClass, Listed: true}
	_, p.Rejects = q.sender(to)
	return p
}

// ForwardSender is the envelope sender with which a message goes on to another
// host: the one it has, or, where a name of ours (original) led to a stranger's
// address, one of ours that stands for it. An error is temporary.
func (r *Router) ForwardSender(ctx context.Context, from string, original, to address.Address) (string, error) {
	if from == "" || original.Domain == "" || original.Equal(to) {
		return from, nil
	}
	q, err := r.begin(ctx)
	if err != nil {
		return from, err
	}
	a, err := address.Parse(from)
	s := q.cfg.scheme(r.d.Now)
	if s == nil || err != nil || a.Domain == "" || strings.EqualFold(a.Domain, q.cfg.SRSDomain) {
		return from, nil
	}
	for _, c := range []struct {
		domain string
		ours   bool
	}{{a.Domain, false}, {original.Domain, true}, {to.Domain, false}} {
		d, err := q.domain(ctx, c.domain)
		if err != nil {
			return from, err
		}
		ours := d.class != schema.External
		if ours != c.ours && !(c.domain == a.Domain && q.cfg.SRSAlways) {
			return from, nil
		}
	}
	if slices.ContainsFunc(q.cfg.SRSExclude, func(d string) bool { return covers(d, a.Domain) }) {
		return from, nil
	}
	return address.Address{Local: s.Forward(a.Local, a.Domain), Domain: q.cfg.SRSDomain}.String(), nil
}

// covers reports whether an entry is a domain, or with a dot in front its
// subdomains.
func covers(entry, domain string) bool {
	if strings.HasPrefix(entry, ".") {
		return len(domain) > len(entry) && strings.EqualFold(domain[len(domain)-len(entry):], entry)
	}
	return strings.EqualFold(entry, domain)
}
