package schema

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"strings"
)

// Rows of SqlMap that are named by a parameter of Postfix or Dovecot stand in
// for rows that mail.sqlite does not have: the domains, addresses, aliases,
// transports, mailboxes and passwords of another program's database.

// Parameters that rows of SqlMap may be named by.
const (
	mapMailboxDomains = "virtual_mailbox_domains"
	mapAliasDomains   = "virtual_alias_domains"
	mapRelayDomains   = "relay_domains"
	mapDestination    = "mydestination"
	mapMailboxes      = "virtual_mailbox_maps"
	mapAliases        = "virtual_alias_maps"
	mapRelayAddresses = "relay_recipient_maps"
	mapTransports     = "transport_maps"
	mapUIDs           = "virtual_uid_maps"
	mapGIDs           = "virtual_gid_maps"
	mapQuotas         = "virtual_mailbox_limit_maps"
	mapBase           = "virtual_mailbox_base"
	mapOwners         = "smtpd_sender_login_maps"
	mapPassword       = "password_query"
	mapUser           = "user_query"
	mapIterate        = "iterate_query"
)

// foreignClass is the class of a virtual mailbox domain that a map names, when
// no map says whose its files are.
const foreignClass = Class(842)

// ask looks a key up in the maps of a parameter; the first that has it answers.
func (v *View) ask(ctx context.Context, parameter, key string) (string, error) {
	maps, err := v.SQLMaps(ctx, parameter)
	if err != nil {
		return "", err
	}
	for _, m := range maps {
		if value, err := v.AskSQLMap(ctx, m, key); err != nil || value != "" {
			return value, err
		}
	}
	return "", nil
}

// hasMaps reports whether any map stands in for rows.
func (v *View) hasMaps(ctx context.Context) (bool, error) {
	all, err := v.allSQLMaps(ctx)
	return len(all) > 0, err
}

// foreignDomain is what the maps say about a domain without a row; nil if
// nothing. The order is that in which Postfix tells classes.
func (v *View) foreignDomain(ctx context.Context, name string) (*Domain, error) {
	if has, err := v.hasMaps(ctx); err != nil || !has || name == "" {
		return nil, err
	}
	d := &Domain{Active: true, Name: name, RClass: -1}
	found := false
	for _, c := range []struct {
		parameter string
		class     Class
	}{{mapDestination, Local}, {mapAliasDomains, VirtualAlias}, {mapMailboxDomains, foreignClass}, {mapRelayDomains, Relay}} {
		value, err := v.ask(ctx, c.parameter, name)
		if err != nil {
			return nil, err
		}
		if found = value != ""; found {
			d.Class = c.class
			break
		}
	}
	way, err := v.ask(ctx, mapTransports, name)
	if err != nil {
		return nil, err
	}
	d.Transport = parseTransport(way)
	if !found && d.Transport == nil {
		return nil, nil
	}
	d.Num = v.m.domainNumber(name)
	return d, nil
}

// foreignAddress is what the maps say about an address without a row; nil if
// nothing. ” asks for the catch-all.
func (v *View) foreignAddress(ctx context.Context, domNum int64, local string) (*Address, error) {
	if has, err := v.hasMaps(ctx); err != nil || !has {
		return nil, err
	}
	domain, class, err := v.domainOf(ctx, domNum)
	if err != nil || domain == "" {
		return nil, err
	}
	local = strings.ToLower(local)
	key := local + "@" + domain
	a := &Address{Num: addressNumber(key), Active: 1, Localpart: local, DomNum: domNum, Domain: domain, RClass: -1}
	keys := []string{key}
	if class == Local && local != "" {
		keys = append(keys, local) // names of a local domain stand alone
	}
	found := false
	for _, step := range []func(context.Context, *Address, Class, string) (bool, error){v.foreignBox, v.foreignAlias, v.foreignWay, v.foreignRelay} {
		for _, key := range keys {
			ok, err := step(ctx, a, class, key)
			if err != nil {
				return nil, err
			}
			if found = found || ok; ok {
				break
			}
		}
	}
	if !found {
		return nil, nil
	}
	return a, nil
}

// domainOf is the name and class of a domain by number.
func (v *View) domainOf(ctx context.Context, num int64) (string, Class, error) {
	if num < 0 {
		name := v.m.numberedDomain(num)
		if name == "" {
			return "", 0, nil
		}
		d, err := v.foreignDomain(ctx, name)
		if err != nil || d == nil {
			return "", 0, err
		}
		return d.Name, d.Class, nil
	}
	type named struct {
		name  string
		class Class
	}
	d, err := cached(v, cacheKey{kind: lookDomain, num: num}, func() (d named, err error) {
		_, err = v.m.one(ctx, `SELECT domName, domClass FROM Domain WHERE domNum = ?`, []any{num}, &d.name, &d.class)
		return d, wrap("look up domain by number", err)
	})
	return strings.ToLower(d.name), d.class, err
}

// addressNumber stands for an address that has no row. It is good for telling
// addresses apart.
func addressNumber(key string) int64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return -int64(h.Sum64()>>2) - 1
}

// foreignAlias finds where an address leads: virtual_alias_maps.
func (v *View) foreignAlias(ctx context.Context, a *Address, _ Class, key string) (bool, error) {
	text, err := v.ask(ctx, mapAliases, key)
	if err != nil || text == "" {
		return false, err
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
		at := strings.LastIndexByte(word, '@')
		if at < 0 {
			a.targets = append(a.targets, Target{Localpart: word})
		} else {
			a.targets = append(a.targets, Target{Localpart: word[:at], Domain: word[at+1:]})
		}
	}
	a.HasVAlias = len(a.targets) > 0
	return a.HasVAlias, nil
}

// foreignWay finds the transport of one address. That of its domain is
// foreignDomain's.
func (v *View) foreignWay(ctx context.Context, a *Address, _ Class, key string) (bool, error) {
	if a.Localpart == "" {
		return false, nil
	}
	text, err := v.ask(ctx, mapTransports, key)
	if err != nil {
		return false, err
	}
	a.Transport = parseTransport(text)
	return a.Transport != nil, nil
}

// foreignRelay finds out whether an address of a relay domain exists.
func (v *View) foreignRelay(ctx context.Context, _ *Address, class Class, key string) (bool, error) {
	if class != Relay {
		return false, nil
	}
	text, err := v.ask(ctx, mapRelayAddresses, key)
	return text != "", err
}

// askRow returns the columns of the first row that a map of Dovecot's gives for
// a user, by name in lower case; nil if none. NULL is no column.
func (v *View) askRow(ctx context.Context, parameter, user string) (map[string]string, error) {
	maps, err := v.SQLMaps(ctx, parameter)
	if err != nil {
		return nil, err
	}
	for _, m := range maps {
		var first []sql.NullString
		columns, err := v.mapRows(ctx, m, splitKey(strings.ToLower(user)), func(values []sql.NullString) error {
			if first == nil {
				first = append(first, values...)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrSQLMap, m.Name, err)
		}
		if first == nil {
			continue
		}
		row := make(map[string]string, len(columns))
		for i, name := range columns {
			if first[i].Valid {
				row[strings.ToLower(name)] = first[i].String
			}
		}
		return row, nil
	}
	return nil, nil
}

// Password is the stored password of a mailbox; ” if it has none.
func (v *View) Password(ctx context.Context, box *VMailbox) (string, error) {
	if box.foreign == "" {
		return box.Passwd, nil
	}
	row, err := v.askRow(ctx, mapPassword, box.foreign)
	return row["password"], err
}

// EachForeignUser calls fn for each user that iterate_query of Dovecot's names.
func (v *View) EachForeignUser(ctx context.Context, fn func(user string) error) error {
	maps, err := v.SQLMaps(ctx, mapIterate)
	if err != nil {
		return err
	}
	for _, m := range maps {
		err := v.eachMapRow(ctx, m, keyParts{}, func(values []sql.NullString) error {
			if len(values) == 0 || values[0].String == "" {
				return nil
			}
			user := values[0].String
			if len(values) > 1 && values[1].String != "" && !strings.Contains(user, "@") {
				user += "@" + values[1].String // columns username and domain
			}
			return fn(user)
		})
		if err != nil {
			return fmt.Errorf("%w %s: %w", ErrSQLMap, m.Name, err)
		}
	}
	return nil
}

// CheckSQLMaps asks every map once and returns what is wrong with each.
func (v *View) CheckSQLMaps(ctx context.Context) (faults []Finding, err error) {
	all, err := v.allSQLMaps(ctx)
	if err != nil {
		return nil, err
	}
	for _, maps := range all {
		for _, m := range maps {
			if _, err := v.mapRows(ctx, m, splitKey("postmaster@a.b.c.d.e.f.g.h.invalid"), func([]sql.NullString) error { return nil }); err != nil {
				faults = append(faults, Finding{What: fmt.Sprintf("SqlMap %s: %v", m.Name, err), Mend: fmt.Sprintf("UPDATE SqlMap SET smQuery = '...' WHERE smName = '%s';", m.Name)})
			}
		}
	}
	return faults, nil
}
