package route

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mailserver/internal/address"
	"mailserver/schema"
)

// ErrNoMap: no table of that name.
var ErrNoMap = errors.New("no such table")

// table is one named map, under the name of the parameter that asks it in
// Postfix. Keys are single, as in postmap -q: no extension is taken off, no
// parent asked; only recipient_access is the whole resolution.
type table struct {
	name  string
	query string // its name in the query directory of the original, '' if it had none
	ask   func(*query, context.Context, string) (string, error)
}

var tables = []table{
	{"alias_maps", "maps-alias", askAlias},
	{"canonical_maps", "", askCanonical("canonical")},
	{"local_recipient_maps", "maps-local", askLocal},
	{"mydestination", "dom-local", askDomain(func(c schema.Class) bool { return c == schema.Local })},
	{"rclass", "", askRClass},
	{"recipient_access", "access-rcpt", askRecipientAccess},
	{"recipient_bcc_maps", "", askBcc("recipient")},
	{"recipient_canonical_maps", "", askCanonical("recipient_canonical")},
	{"relay_domains", "dom-relay", askDomain(func(c schema.Class) bool { return c == schema.Relay })},
	{"relay_recipient_maps", "maps-relay", askRelay},
	{"relocated_maps", "", askRelocated},
	{"sender_bcc_maps", "", askBcc("sender")},
	{"sender_canonical_maps", "", askCanonical("sender_canonical")},
	{"sender_dependent_relayhost_maps", "", askRelayHost},
	{"smtp_generic_maps", "", askCanonical("generic")},
	{"smtp_tls_policy_maps", "", askTLSPolicy},
	{"smtpd_sender_login_maps", "", askSenderLogin},
	{"transport_maps", "maps-transport", askTransport},
	{"virtual_alias_domains", "dom-valias", askDomain(func(c schema.Class) bool { return c == schema.VirtualAlias })},
	{"virtual_alias_maps", "maps-valias", askVirtualAlias},
	{"virtual_gid_maps", "", askBox(func(b *Box) string { return strconv.Itoa(b.GID) })},
	{"virtual_mailbox_domains", "dom-vmbox", askDomain(schema.Class.IsMailbox)},
	{"virtual_mailbox_maps", "maps-vmbox", askBox(func(b *Box) string { return b.Mail + "/" })},
	{"virtual_uid_maps", "", askBox(func(b *Box) string { return strconv.Itoa(b.UID) })},
}

// bscat is the original's map of backscatter senders.
const bscat = "access-bscat"

// Maps returns the names that Lookup answers, sorted, without access tables.
func (r *Router) Maps() []string {
	list := []string{bscat}
	for _, t := range tables {
		list = append(list, t.name)
	}
	slices.Sort(list)
	return list
}

// Lookup answers one of the maps by name, as postmap -q does: those of Maps,
// under Postfix's names or those of the original's query files, and access
// tables. ErrNoMap for another; every other error is temporary.
func (r *Router) Lookup(ctx context.Context, name, key string) (value string, found bool, err error) {
	q, err := r.begin(ctx)
	if err != nil {
		return "", false, err
	}
	if len(key) > maxKey {
		return "", false, nil
	}
	name = strings.TrimSuffix(name, ".query")
	i := slices.IndexFunc(tables, func(t table) bool {
		return strings.EqualFold(t.name, name) || t.query != "" && strings.EqualFold(t.query, name)
	})
	value, err = q.view.LookupSQLMap(ctx, name, key)
	switch {
	case err != nil || value != "":
	case i >= 0:
		value, err = tables[i].ask(q, ctx, key)
	case name == bscat:
		var list []string
		list, err = q.view.Backscatter(ctx, key)
		value = strings.Join(list, ",")
	default:
		value, err = q.askAccess(ctx, name, key)
	}
	if err != nil {
		return "", false, fmt.Errorf("look up %s in %s: %w", key, name, err)
	}
	return value, value != "", nil
}

// askAccess answers an exact key of an access table. Networks and patterns are
// for the restrictions that use the table; asked here, they are refused rather
// than left out.
func (q *query) askAccess(ctx context.Context, name, key string) (string, error) {
	known, err := q.view.HasAccess(ctx, name)
	if err != nil {
		return "", err
	}
	if !known {
		if isSQL, err := q.view.HasSQLMap(ctx, name); err != nil || isSQL {
			return "", err
		}
		return "", fmt.Errorf("%w; known are %s and the access tables", ErrNoMap, strings.Join(q.r.Maps(), ", "))
	}
	value, err := q.view.Access(ctx, name, key)
	if err != nil || value != "" {
		return value, err
	}
	rows, err := q.view.AccessRows(ctx, name)
	if err == nil && len(rows) > 0 {
		err = errors.New("its cidr and regexp rows are not asked here")
	}
	return "", err
}

// row returns the address row of a key: user@domain, @domain for the catch-all,
// or the name of a system user.
func (q *query) row(ctx context.Context, key string) (*schema.Address, domain, error) {
	local, name := key, q.cfg.Hostname
	if at := strings.LastIndexByte(key, '@'); at >= 0 {
		local, name = key[:at], key[at+1:]
	}
	d, err := q.domain(ctx, name)
	if err != nil || d.row == nil {
		return nil, d, err
	}
	row, err := q.view.Address(ctx, d.row.Num, local)
	return row, d, err
}

func askDomain(in func(schema.Class) bool) func(*query, context.Context, string) (string, error) {
	return func(q *query, ctx context.Context, key string) (string, error) {
		d, err := q.domain(ctx, key)
		if err != nil || !in(d.class) {
			return "", err
		}
		return d.name, nil
	}
}

func askRelay(q *query, ctx context.Context, key string) (string, error) {
	row, d, err := q.row(ctx, key)
	if err != nil || row == nil || row.Active == 0 || d.class != schema.Relay {
		return "", err
	}
	return strconv.FormatInt(row.Num, 10), nil
}

func askLocal(q *query, ctx context.Context, key string) (string, error) {
	local, name := key, ""
	if at := strings.LastIndexByte(key, '@'); at >= 0 {
		local, name = key[:at], key[at+1:]
	}
	res, err := q.resolve(ctx, address.Address{Local: local, Domain: name})
	if err != nil || !res.dom.local() {
		return "", err
	}
	found, err := q.existsLocal(res)
	if err != nil || !found {
		return "", err
	}
	return strings.ToLower(local), nil
}

func askAlias(q *query, ctx context.Context, key string) (string, error) {
	row, d, err := q.row(ctx, key)
	if err != nil || row == nil || !d.local() || !row.HasAlias {
		return "", err
	}
	list, err := q.view.AliasTargets(ctx, row.Num)
	return strings.Join(list, ","), err
}

// askVirtualAlias: names of system users are keys too, by schema fault B2.
func askVirtualAlias(q *query, ctx context.Context, key string) (string, error) {
	local, name := key, q.cfg.Origin
	if at := strings.LastIndexByte(key, '@'); at >= 0 {
		local, name = key[:at], key[at+1:]
	}
	res, err := q.resolve(ctx, address.Address{Local: local, Domain: name})
	if err != nil {
		return "", err
	}
	res.user, res.suffix, res.forms = res.addr.Local, "", nil
	res.cands = slices.DeleteFunc(res.cands, func(c candidate) bool { return c.base || c.catchAll != (local == "") })
	a, err := q.virtual(ctx, res)
	if err != nil || a == nil {
		return "", err
	}
	return joinTargets(a.targets, local), nil
}

// joinTargets writes addresses by comma; one that keeps the local part of the
// recipient is @domain.
func joinTargets(list []address.Address, local string) string {
	var out []string
	for _, a := range list {
		if a.Local == local && local == "" {
			out = append(out, "@"+a.Domain)
			continue
		}
		out = append(out, a.String())
	}
	return strings.Join(out, ",")
}

func askBox(say func(*Box) string) func(*query, context.Context, string) (string, error) {
	return func(q *query, ctx context.Context, key string) (string, error) {
		row, d, err := q.row(ctx, key)
		if err != nil || row == nil || row.Mailbox == nil || !row.Mailbox.Active {
			return "", err
		}
		box, err := q.box(row, d.row)
		if err != nil {
			return "", err
		}
		return say(box), nil
	}
}

// askTransport: an address and a bare domain are keys of their own, so that no
// transport of one address shows at its domain.
func askTransport(q *query, ctx context.Context, key string) (string, error) {
	if !strings.Contains(key, "@") {
		d, err := q.view.Domain(ctx, key)
		if err != nil || d == nil || !d.Active || !usable(d.Transport) {
			return "", err
		}
		return d.Transport.String(), nil
	}
	row, d, err := q.row(ctx, key)
	if err != nil || row == nil {
		return "", err
	}
	if usable(row.Transport) && row.Active != 0 {
		return row.Transport.String(), nil
	}
	if usable(d.row.Transport) {
		return d.row.Transport.String(), nil
	}
	return "", nil
}

// askRecipientAccess is the restriction class of a recipient, or of a domain
// for addresses without a row, as the restriction lists name it.
func askRecipientAccess(q *query, ctx context.Context, key string) (string, error) {
	a, err := address.Parse(strings.TrimPrefix(key, "@"))
	if err != nil {
		return "", nil
	}
	if !strings.Contains(key, "@") || strings.HasPrefix(key, "@") {
		a = address.Address{Domain: a.Local}
	}
	d, err := q.domain(ctx, a.Domain)
	if err != nil || d.class == schema.External {
		return "", err
	}
	res := &resolved{addr: a, dom: d}
	if a.Local != "" {
		if res, err = q.resolve(ctx, a); err != nil {
			return "", err
		}
	} else if res.cands, err = q.candidates(ctx, res); err != nil {
		return "", err
	}
	return q.rclassName(ctx, q.rclass(res))
}

func askRClass(q *query, ctx context.Context, key string) (string, error) {
	n, err := strconv.Atoi(key)
	if err != nil {
		return "", nil
	}
	name, err := q.view.RClass(ctx, n)
	if err != nil || name == "" {
		return "", err
	}
	return fmt.Sprintf("RC%02d-%s", n, name), nil
}

func (q *query) rclassName(ctx context.Context, n int) (string, error) {
	name, err := q.view.RClass(ctx, n)
	if name != "" {
		name = "-" + name
	}
	return fmt.Sprintf("RC%02d%s", n, name), err
}

func askRelocated(q *query, ctx context.Context, key string) (string, error) {
	return q.view.Relocated(ctx, key)
}

func askCanonical(name string) func(*query, context.Context, string) (string, error) {
	return func(q *query, ctx context.Context, key string) (string, error) {
		return q.view.Canonical(ctx, name, key)
	}
}

func askBcc(name string) func(*query, context.Context, string) (string, error) {
	return func(q *query, ctx context.Context, key string) (string, error) { return q.view.Bcc(ctx, name, key) }
}

func askTLSPolicy(q *query, ctx context.Context, key string) (string, error) {
	return q.view.TLSPolicy(ctx, key)
}

func askSenderLogin(q *query, ctx context.Context, key string) (string, error) {
	list, err := q.view.SenderOwners(ctx, key)
	return strings.Join(list, ","), err
}

func askRelayHost(q *query, ctx context.Context, key string) (string, error) {
	row, err := q.view.RelayHost(ctx, key)
	if err != nil || row == nil {
		return "", err
	}
	return row.Nexthop, nil
}
