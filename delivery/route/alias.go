package route

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mailserver/internal/address"
	"mailserver/internal/forward"
	"mailserver/schema"
)

// alias is a row of virtual(5) or aliases(5) that leads an address on.
type alias struct {
	targets []address.Address
	row     *schema.Address // nil: a pattern
	names   bool            // aliases(5): names of a local domain
	how     string          // for the path
}

// virtual finds what an address leads to at the virtual stage; nil if it leads
// nowhere. Order: the rows of the address itself, with extension, then without;
// then, unless an explicit mailbox, relay or local address stands against it,
// patterns and the catch-all.
func (q *query) virtual(ctx context.Context, res *resolved) (*alias, error) {
	if res.blocked() {
		return nil, nil
	}
	for _, c := range res.cands {
		if c.catchAll || c.row.Active == 0 {
			continue
		}
		if a, err := q.rowAlias(ctx, res, c); err != nil || a != nil {
			return a, err
		}
	}
	if !q.cfg.CatchallCompat {
		own, err := q.standsAgainst(res)
		if err != nil || own {
			return nil, err
		}
	}
	if a, err := q.patternAlias(ctx, res); err != nil || a != nil {
		return a, err
	}
	for _, c := range res.cands {
		if c.catchAll && c.row.Active != 0 {
			return q.rowAlias(ctx, res, c)
		}
	}
	return nil, nil
}

// standsAgainst reports whether the address exists by itself, so that no
// catch-all alias takes its mail.
func (q *query) standsAgainst(res *resolved) (bool, error) {
	row := res.explicit()
	switch c := res.dom.class; {
	case c == schema.Local:
		own := *res
		own.cands = slices.DeleteFunc(slices.Clone(res.cands), func(c candidate) bool { return c.catchAll })
		if len(q.cfg.LocalRecipients) == 0 {
			return row != nil, nil
		}
		return q.existsLocal(&own)
	case c == schema.Relay:
		return row != nil, nil
	case c.IsMailbox():
		return slices.ContainsFunc(res.cands, func(c candidate) bool { return !c.catchAll && c.row.Mailbox != nil }), nil
	}
	return false, nil
}

// rowAlias follows one candidate. Alias rows of local names count here too,
// unless one of them is not an address, or the alias has an owner: then local
// delivery follows them, and a domain that is routed elsewhere goes there whole.
func (q *query) rowAlias(ctx context.Context, res *resolved, c candidate) (*alias, error) {
	if c.row.HasVAlias {
		list, err := q.view.VAliasTargets(ctx, c.row)
		if err != nil {
			return nil, err
		}
		a := &alias{row: c.row, how: "virtual alias " + rowName(c.row)}
		for _, t := range list {
			a.targets = append(a.targets, q.target(res, c, t))
		}
		return a, nil
	}
	if !c.row.HasAlias || !res.dom.local() {
		return nil, nil
	}
	list, err := q.nameTargets(ctx, c.row)
	if err != nil {
		return nil, err
	}
	a := &alias{row: c.row, names: true, how: "alias " + rowName(c.row)}
	for _, t := range list {
		if t.Kind != forward.Address {
			return nil, nil
		}
		a.targets = append(a.targets, q.propagate(res, "alias", c.base, t.Address))
	}
	if owner, err := q.ownerOf(ctx, res, c.row); err != nil || owner != nil {
		return nil, err // local delivery changes the sender
	}
	return a, nil
}

// target makes the address of a VAlias row. An empty local part of the target
// keeps that of the recipient.
func (q *query) target(res *resolved, c candidate, t schema.Target) address.Address {
	a := address.Address{Local: t.Localpart, Domain: t.Domain}
	if t.Extension != "" && q.cfg.Delimiter != "" && a.Local != "" {
		a.Local += q.cfg.Delimiter[:1] + t.Extension
	}
	return q.propagate(res, "virtual", c.base || c.catchAll, a)
}

// propagate adds the extension that no row named, as
// postconf(5) propagate_unmatched_extensions says.
func (q *query) propagate(res *resolved, table string, unmatched bool, a address.Address) address.Address {
	if a.Local == "" {
		a.Local = res.addr.Local
		return a
	}
	if unmatched && slices.Contains(q.cfg.Propagate, table) {
		a.Local += res.suffix
	}
	return a
}

// patternAlias follows the first pattern of the domain that matches.
func (q *query) patternAlias(ctx context.Context, res *resolved) (*alias, error) {
	if res.dom.row == nil {
		return nil, nil
	}
	list, err := q.view.Patterns(ctx, res.dom.row.Num)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if !like(p.Pattern, res.addr.Local) && !like(p.Pattern, res.user) {
			continue
		}
		a := &alias{how: "pattern " + p.Pattern + "@" + res.dom.name}
		for _, s := range forward.Split(p.Target) {
			t, err := forward.ParseAddress(s)
			if err != nil {
				return nil, fmt.Errorf("target %q of pattern %s: %w", s, p.Pattern, err)
			}
			a.targets = append(a.targets, t)
		}
		return a, nil
	}
	return nil, nil
}

// like matches as SQL's LIKE does: % any text, _ one character, letters of
// ASCII in any case. It takes time linear in the text for each %.
func like(pattern, text string) bool {
	p, s := []rune(strings.ToLower(pattern)), []rune(strings.ToLower(text))
	i, star, mark := 0, -1, 0
	for j := 0; j < len(s); {
		switch {
		case i < len(p) && p[i] == '%':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '_' || p[i] == s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '%' {
		i++
	}
	return i == len(p)
}

// aliasRow returns the row whose Alias rows local delivery follows; nil if none.
func aliasRow(res *resolved) *schema.Address {
	if res.blocked() {
		return nil
	}
	for _, c := range res.cands {
		if c.row.HasAlias && c.row.Active != 0 {
			return c.row
		}
	}
	return nil
}

// step returns path with one more line; paths of sisters share their start.
func step(path []string, line string) []string {
	return append(path[:len(path):len(path)], line)
}
