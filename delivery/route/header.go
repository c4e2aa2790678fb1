package route

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mailserver/internal/address"
	"mailserver/internal/addrfield"
	"mailserver/internal/forward"
)

// Rewriter rewrites the addresses in the header of one message, as cleanup(8)
// does: completes them, then applies canonical(5) and masquerades. One
// goroutine uses it.
type Rewriter struct {
	q    *query
	form addrfield.Form
}

// HeaderRewriter returns a Rewriter by the rows of now. domain ” completes
// addresses as those of this host; else with that domain:
// postconf(5) remote_header_rewrite_domain.
func (r *Router) HeaderRewriter(ctx context.Context, domain string) (*Rewriter, error) {
	q, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	return &Rewriter{q, q.form(domain)}, nil
}

func (q *query) form(domain string) addrfield.Form {
	f := addrfield.Form{Bangpath: q.cfg.SwapBangpath, Percent: q.cfg.PercentHack, Origin: domain, Domain: domain}
	if domain != "" {
		return f
	}
	if q.cfg.AppendOrigin {
		f.Origin = q.cfg.Origin
	}
	if q.cfg.AppendDot {
		f.Domain = q.cfg.mydomain()
	}
	return f
}

// mydomain is what postconf(5) says of it: without a setting, the host name
// without its first label.
func (c *Config) mydomain() string {
	if c.Domain != "" {
		return c.Domain
	}
	if _, parent, ok := strings.Cut(c.Hostname, "."); ok && strings.Contains(parent, ".") {
		return parent
	}
	return "localdomain"
}

// Sender rewrites an address of From and its kin, in its quoted form. An error
// is temporary.
func (w *Rewriter) Sender(ctx context.Context, addr string) (string, error) {
	return w.address(ctx, addr, "sender_canonical", "header_sender")
}

// Recipient rewrites an address of To and its kin.
func (w *Rewriter) Recipient(ctx context.Context, addr string) (string, error) {
	return w.address(ctx, addr, "recipient_canonical", "header_recipient")
}

func (w *Rewriter) address(ctx context.Context, addr, table, class string) (string, error) {
	addr = w.form.Complete(addr)
	a, err := address.Parse(addr)
	if err != nil || a.IsNull() {
		return addr, nil
	}
	to, _, err := w.q.rewrite(ctx, a, table, class)
	if err != nil {
		return addr, err
	}
	if to = w.q.masquerade(to, class); to == a {
		return addr, nil
	}
	return to.String(), nil
}

// canonicalTables are the maps that are asked about a class of addresses.
func (q *query) canonicalTables(first, class string) []string {
	var list []string
	own := q.cfg.SenderCanonicalClasses
	if first == "recipient_canonical" {
		own = q.cfg.RecipientCanonicalClasses
	}
	if slices.Contains(own, class) {
		list = append(list, first)
	}
	if slices.Contains(q.cfg.CanonicalClasses, class) {
		list = append(list, "canonical")
	}
	return list
}

// masquerade takes host names off a domain, postconf(5) masquerade_domains.
func (q *query) masquerade(a address.Address, class string) address.Address {
	if len(q.cfg.MasqueradeDomains) == 0 || !slices.Contains(q.cfg.MasqueradeClasses, class) ||
		slices.ContainsFunc(q.cfg.MasqueradeExceptions, func(name string) bool { return strings.EqualFold(name, a.Local) }) {
		return a
	}
	domain := strings.ToLower(a.Domain)
	for _, entry := range q.cfg.MasqueradeDomains {
		name := strings.TrimLeft(entry, "!")
		strips := (len(entry)-len(name))%2 == 0
		switch name = strings.ToLower(name); {
		case name == "":
		case domain == name:
			return a
		case strings.HasSuffix(domain, "."+name):
			if strips {
				a.Domain = name
			}
			return a
		}
	}
	return a
}

// Generic is the address by which one of ours is known outside, in its quoted
// form: postconf(5) smtp_generic_maps. found is false where no row is about it.
func (w *Rewriter) Generic(ctx context.Context, addr string) (to string, found bool, err error) {
	a, err := address.Parse(addr)
	if err != nil || a.IsNull() || a.Domain == "" {
		return addr, false, nil
	}
	res, err := w.q.resolve(ctx, a)
	if err != nil {
		return addr, false, err
	}
	b, found, err := w.q.canonicalBy(ctx, res, "generic", "generic")
	if err != nil || !found {
		return addr, false, err
	}
	return w.q.qualify(b).String(), true, nil
}

// HasGeneric reports whether there are rows of smtp_generic_maps at all.
func (w *Rewriter) HasGeneric(ctx context.Context) (bool, error) {
	return w.q.view.HasCanonical(ctx, "generic")
}

// Bcc is who gets a blind copy of mail from or to an address; table is sender
// or recipient. ” if nobody does. An error is temporary.
func (r *Router) Bcc(ctx context.Context, table string, a address.Address) (string, error) {
	if a.IsNull() {
		return "", nil
	}
	q, err := r.begin(ctx)
	if err != nil {
		return "", err
	}
	res, err := q.resolve(ctx, a)
	if err != nil {
		return "", err
	}
	for _, key := range res.keys() {
		if to, err := q.view.Bcc(ctx, table, clipKey(key)); err != nil || to != "" {
			return to, err
		}
	}
	return "", nil
}

// canonicalBy asks a map for an address. propagate names the map in
// propagate_unmatched_extensions.
func (q *query) canonicalBy(ctx context.Context, res *resolved, table, propagate string) (address.Address, bool, error) {
	for _, key := range res.keys() {
		text, err := q.view.Canonical(ctx, table, clipKey(key))
		if err != nil {
			return address.Address{}, false, err
		}
		if text == "" {
			continue
		}
		a, err := forward.ParseAddress(text)
		if err != nil {
			return a, false, fmt.Errorf("%s of %s, %q: %w", table, key, text, err)
		}
		if a.Local == "" {
			a.Local = res.addr.Local
		} else if whole := strings.EqualFold(key, res.addr.Plain()) || strings.EqualFold(key, res.addr.Local); !whole && slices.Contains(q.cfg.Propagate, propagate) {
			a.Local += res.suffix
		}
		return a, true, nil
	}
	return address.Address{}, false, nil
}

// canonical asks one of the canonical(5) maps for an address.
func (q *query) canonical(ctx context.Context, res *resolved, table string) (address.Address, bool, error) {
	return q.canonicalBy(ctx, res, table, "canonical")
}

// maxCanonical bounds how often canonical rows lead to each other.
const maxCanonical = 10

// rewrite applies sender_canonical or recipient_canonical, then canonical, as
// far as they are for the class, until nothing changes.
func (q *query) rewrite(ctx context.Context, a address.Address, first, class string) (address.Address, []string, error) {
	var path []string
	for _, table := range q.canonicalTables(first, class) {
		if has, err := q.view.HasCanonical(ctx, table); err != nil || !has {
			if err != nil {
				return a, path, err
			}
			continue
		}
		for n := 0; ; n++ {
			res, err := q.resolve(ctx, a)
			if err != nil {
				return a, path, err
			}
			to, found, err := q.canonical(ctx, res, table)
			if err != nil {
				return a, path, err
			}
			if to = q.qualify(to); !found {
				break
			}
			if to.Equal(res.addr) {
				a = to
				break
			}
			if n == maxCanonical {
				return a, path, fmt.Errorf("%w: %s of %s", ErrAliasLoop, table, a)
			}
			a, path = to, step(path, table+" "+res.addr.Plain()+" -> "+to.Plain())
		}
	}
	return a, path, nil
}
