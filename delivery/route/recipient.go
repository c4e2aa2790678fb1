package route

import (
	"context"
	"errors"
	"strings"

	"mailserver/internal/address"
	"mailserver/policy"
	"mailserver/schema"
)

// Sender resolves a MAIL FROM address for policy. An error is temporary.
func (r *Router) Sender(ctx context.Context, from address.Address) (policy.Sender, error) {
	if from.IsNull() {
		return policy.Sender{Listed: true}, nil
	}
	q, err := r.begin(ctx)
	if err != nil {
		return policy.Sender{}, err
	}
	res, err := q.resolve(ctx, from)
	if err != nil {
		return policy.Sender{}, err
	}
	s := policy.Sender{Original: from, Address: res.addr, Class: res.dom.class}
	s.Owners = func(ctx context.Context) ([]string, error) { return r.owners(ctx, s.Address) }
	known, err := q.mapped(ctx, res, "sender_canonical")
	if err == nil && !known {
		known, err = q.exists(ctx, res)
	}
	if s.Listed = known; !known {
		s.Table = tableOf(res.dom.class)
	}
	return s, err
}

// owners are the log-ins of the mailboxes that get mail for an address. A name
// of the system that has an mbox, or a .forward, is its own.
func (r *Router) owners(ctx context.Context, a address.Address) ([]string, error) {
	dests, err := r.Expand(ctx, a)
	if err != nil {
		if errors.Is(err, ErrAliasLoop) {
			return nil, nil
		}
		return nil, err
	}
	var list []string
	for _, d := range dests {
		switch {
		case d.Kind == Mailbox:
			list = append(list, d.Box.User)
		case d.Kind == File && d.Local != nil && d.Local.Mailbox:
			list = append(list, d.Local.Name)
		}
	}
	return list, nil
}

// CanonicalSender is the envelope sender of a message once accepted: qualified
// and rewritten by sender_canonical, canonical and masquerade_domains. The null
// sender stays. An error is temporary.
func (r *Router) CanonicalSender(ctx context.Context, from address.Address) (address.Address, error) {
	if from.IsNull() {
		return from, nil
	}
	q, err := r.begin(ctx)
	if err != nil {
		return from, err
	}
	a, _, err := q.rewrite(ctx, q.qualify(from), "sender_canonical", "envelope_sender")
	return q.masquerade(a, "envelope_sender"), err
}

// Recipient resolves a RCPT TO address for policy. An error is temporary.
func (r *Router) Recipient(ctx context.Context, to address.Address) (policy.Recipient, error) {
	q, err := r.begin(ctx)
	if err != nil {
		return policy.Recipient{}, err
	}
	if q.isSRS(to) {
		return q.bounceRecipient(to), nil
	}
	res, err := q.resolve(ctx, to)
	if err != nil {
		return policy.Recipient{}, err
	}
	p := policy.Recipient{Original: to, Address: res.addr, Class: res.dom.class, Domain: res.dom.name,
		RClass: q.rclass(res), Listed: true}
	if res.suffix != "" {
		p.Extended = address.Address{Local: res.user, Domain: res.addr.Domain}.Plain()
	}
	if strings.HasPrefix(res.addr.Local, "-") {
		p.Rejects = "5.1.3 Bad recipient address syntax"
		return p, nil
	}
	return p, q.judge(ctx, res, &p)
}

// judge fills in whether the recipient exists. What canonical(5) or virtual(5)
// rewrites exists; only then relocated(5), error: and retry: transports and the
// table of the class are asked.
func (q *query) judge(ctx context.Context, res *resolved, p *policy.Recipient) error {
	known, err := q.mapped(ctx, res, "recipient_canonical")
	if err != nil || known {
		return err
	}
	if p.MovedTo, err = q.movedTo(ctx, res); err != nil || p.MovedTo != "" {
		return err
	}
	hop, err := q.transport(ctx, res)
	if err != nil {
		return err
	}
	if res.dom.class != schema.VirtualAlias && (hop.name == "error" || hop.name == "retry") {
		p.Rejects = hop.failure()
		return nil
	}
	if p.Listed, err = q.exists(ctx, res); err == nil && !p.Listed {
		p.Table = tableOf(res.dom.class)
	}
	return err
}

// mapped reports whether a canonical map or an alias rewrites the address.
func (q *query) mapped(ctx context.Context, res *resolved, table string) (bool, error) {
	for _, table := range q.canonicalTables(table, "envelope_"+strings.TrimSuffix(table, "_canonical")) {
		if _, found, err := q.canonical(ctx, res, table); err != nil || found {
			return found, err
		}
	}
	found, err := q.virtual(ctx, res)
	return found != nil, err
}

// tableOf is what Postfix calls the table of a class.
func tableOf(c schema.Class) string {
	switch {
	case c == schema.Local:
		return "local recipient table"
	case c == schema.Relay:
		return "relay recipient table"
	case c == schema.VirtualAlias:
		return "virtual alias table"
	case c.IsMailbox():
		return "virtual mailbox table"
	}
	return ""
}

// exists reports whether the class of the address knows it; aliases were asked
// before.
func (q *query) exists(ctx context.Context, res *resolved) (bool, error) {
	switch c := res.dom.class; {
	case c == schema.Local:
		return q.existsLocal(res)
	case c == schema.VirtualAlias:
		return false, nil
	case c == schema.Relay:
		return len(res.cands) > 0 && res.cands[0].row.Active != 0, nil
	case c.IsMailbox():
		return mailboxRow(res) != nil, nil
	}
	return true, nil
}

// mailboxRow returns the row whose mailbox takes the mail of the address; nil
// if none does.
func mailboxRow(res *resolved) *schema.Address {
	if res.blocked() {
		return nil
	}
	for _, c := range res.cands {
		if c.row.Mailbox == nil {
			continue
		}
		if c.row.Active == 0 || !c.row.Mailbox.Active {
			return nil
		}
		return c.row
	}
	return nil
}

// existsLocal obeys the setting local_recipient_maps.
func (q *query) existsLocal(res *resolved) (bool, error) {
	if res.blocked() {
		return false, nil
	}
	switch strings.ToLower(res.user) {
	case "postmaster", "mailer-daemon", strings.ToLower(q.cfg.DoubleBounceSender):
		return true, nil
	}
	if len(q.cfg.LocalRecipients) == 0 || mailboxRow(res) != nil {
		return true, nil
	}
	for _, name := range q.cfg.LocalRecipients {
		if found, err := q.existsIn(name, res); err != nil || found {
			return found, err
		}
	}
	return false, nil
}

// existsIn asks one entry of local_recipient_maps.
func (q *query) existsIn(name string, res *resolved) (bool, error) {
	switch strings.TrimPrefix(name, "proxy:") {
	case "unix:passwd.byname":
		u, err := q.systemUser(res)
		return u != nil, err
	case "$alias_maps", "alias_maps":
		return aliasRow(res) != nil, nil
	case "address":
		for _, c := range res.cands {
			if !c.system && c.row.Active != 0 {
				return true, nil
			}
		}
		return false, nil
	}
	return false, errUnknownMap(name)
}

// movedTo asks relocated(5); ” if the user has not moved.
func (q *query) movedTo(ctx context.Context, res *resolved) (string, error) {
	for _, key := range res.keys() {
		if to, err := q.view.Relocated(ctx, clipKey(key)); err != nil || to != "" {
			return to, err
		}
	}
	return "", nil
}

// clipKey keeps overlong keys, which no row can have, out of look-ups.
func clipKey(key string) string {
	if len(key) > maxKey {
		return "@"
	}
	return key
}
