package schema

import (
	"context"
	"database/sql"
	"strings"
)

// Settings returns every row of Setting, names in lower case. The map is
// shared: do not change it.
func (v *View) Settings(ctx context.Context) (map[string]string, error) {
	return cached(v, cacheKey{kind: lookSetting}, func() (map[string]string, error) {
		set := make(map[string]string)
		err := v.m.each(ctx, `SELECT stName, stValue FROM Setting`, nil, func(rows *sql.Rows) error {
			var name, value string
			err := rows.Scan(&name, &value)
			set[strings.ToLower(name)] = value
			return err
		})
		return set, wrap("read settings", err)
	})
}

// Restriction is a restriction class.
type Restriction struct {
	Name string
	List string // restrictions, access tables, classes; by comma or space
	Text string // '' leaves the texts of the restrictions
}

// Restriction returns the class of that name, in any case; nil if none.
func (v *View) Restriction(ctx context.Context, name string) (*Restriction, error) {
	name = strings.ToLower(name)
	return cached(v, cacheKey{kind: lookRestriction, key: name}, func() (*Restriction, error) {
		var r Restriction
		found, err := v.m.one(ctx, `SELECT rsName, rsList, ifnull(rsText, '') FROM Restriction WHERE rsName = ?`,
			[]any{name}, &r.Name, &r.List, &r.Text)
		if err != nil || !found {
			return nil, wrap("look up restriction class "+name, err)
		}
		return &r, nil
	})
}

// RClass returns the rcName of a class number; ” if there is no such row.
func (v *View) RClass(ctx context.Context, num int) (string, error) {
	return cached(v, cacheKey{kind: lookRClass, num: int64(num)}, func() (string, error) {
		return v.m.text(ctx, "look up class number", `SELECT rcName FROM RClass WHERE rcNum = ?`, num)
	})
}

// Access returns the action of an exact key of an access(5) table, or of the SQL
// map of that name; ” if none.
func (v *View) Access(ctx context.Context, table, key string) (string, error) {
	has, err := v.hasAccessRows(ctx, table)
	if err != nil {
		return "", err
	}
	if has {
		k := strings.ToLower(table) + "\x00" + strings.ToLower(key)
		action, err := cached(v, cacheKey{kind: lookAccess, key: k}, func() (string, error) {
			return v.m.text(ctx, "look up access table "+table,
				`SELECT acAction FROM Access WHERE acTable = ? AND acKey = ? AND acType = 'hash' AND active <> 0`, table, key)
		})
		if err != nil || action != "" {
			return action, err
		}
	}
	return v.LookupSQLMap(ctx, table, key)
}

// AccessRow is a cidr or regexp row of an access(5) table.
type AccessRow struct {
	Type   string
	Key    string
	Action string
}

// AccessRows returns the active cidr and regexp rows of a table, in order.
func (v *View) AccessRows(ctx context.Context, table string) ([]AccessRow, error) {
	return cached(v, cacheKey{kind: lookAccessList, key: strings.ToLower(table)}, func() ([]AccessRow, error) {
		var list []AccessRow
		err := v.m.each(ctx, `
			SELECT acType, acKey, acAction FROM Access
			WHERE acTable = ? AND acType <> 'hash' AND active <> 0 ORDER BY acPriority, acNum`, []any{table},
			func(rows *sql.Rows) error {
				var r AccessRow
				err := rows.Scan(&r.Type, &r.Key, &r.Action)
				list = append(list, r)
				return err
			})
		return list, wrap("read access table "+table, err)
	})
}

// HasAccess reports whether any row, active or not, names the access table, or
// an SQL map has that name.
func (v *View) HasAccess(ctx context.Context, table string) (bool, error) {
	has, err := v.hasAccessRows(ctx, table)
	if err != nil || has {
		return has, err
	}
	return v.HasSQLMap(ctx, table)
}

func (v *View) hasAccessRows(ctx context.Context, table string) (bool, error) {
	k := cacheKey{kind: lookAccessList, num: 1, key: strings.ToLower(table)}
	return cached(v, k, func() (bool, error) {
		var n int
		_, err := v.m.one(ctx, `SELECT EXISTS (SELECT 1 FROM Access WHERE acTable = ?)`, []any{table}, &n)
		return n != 0, wrap("look up access table "+table, err)
	})
}

// Backscatter returns the active targets of a sender in BScat by priority.
func (v *View) Backscatter(ctx context.Context, sender string) ([]string, error) {
	if f, err := v.filled(ctx); err != nil || !f.backscatter {
		return nil, err
	}
	return cached(v, cacheKey{kind: lookBScat, key: strings.ToLower(sender)}, func() ([]string, error) {
		list, err := v.m.strings(ctx, `SELECT bsTarget FROM BScat WHERE bsSender = ? AND active <> 0 ORDER BY bsPriority`, sender)
		return list, wrap("look up backscatter sender", err)
	})
}

// Relocated returns where an address (or @domain) has moved to; ” if none.
func (v *View) Relocated(ctx context.Context, address string) (string, error) {
	if f, err := v.filled(ctx); err != nil || !f.relocated {
		return "", err
	}
	return cached(v, cacheKey{kind: lookRelocated, key: strings.ToLower(address)}, func() (string, error) {
		return v.m.text(ctx, "look up relocated", `SELECT rlTarget FROM Relocated WHERE rlAddress = ? AND active <> 0`, address)
	})
}

// Pattern is a row of PatternAlias.
type Pattern struct {
	Pattern string // LIKE pattern of the local part
	Target  string // addresses, by comma
}

// Patterns returns the active pattern aliases of a domain, the first to try first.
func (v *View) Patterns(ctx context.Context, domNum int64) ([]Pattern, error) {
	if f, err := v.filled(ctx); err != nil || !f.pattern {
		return nil, err
	}
	return cached(v, cacheKey{kind: lookPatterns, num: domNum}, func() ([]Pattern, error) {
		var list []Pattern
		err := v.m.each(ctx, `SELECT paPattern, paTarget FROM PatternAlias WHERE paDomNum = ? AND active <> 0
			ORDER BY paPriority, paNum`, []any{domNum}, func(rows *sql.Rows) error {
			var p Pattern
			err := rows.Scan(&p.Pattern, &p.Target)
			list = append(list, p)
			return err
		})
		return list, wrap("read pattern aliases", err)
	})
}

// Canonical returns the active target of an address in one of the maps
// canonical, sender_canonical, recipient_canonical, generic; ” if none.
func (v *View) Canonical(ctx context.Context, table, address string) (string, error) {
	if has, err := v.HasCanonical(ctx, table); err != nil || !has {
		return "", err
	}
	k := cacheKey{kind: lookCanonical, key: table + "\x00" + strings.ToLower(address)}
	return cached(v, k, func() (string, error) {
		return v.m.text(ctx, "look up "+table, `SELECT cnTarget FROM Canonical WHERE cnMap = ? AND cnAddress = ? AND active <> 0`, table, address)
	})
}

// HasCanonical reports whether a map of Canonical has active rows.
func (v *View) HasCanonical(ctx context.Context, table string) (bool, error) {
	return cached(v, cacheKey{kind: lookCanonical, num: 1, key: table}, func() (bool, error) {
		var n int
		_, err := v.m.one(ctx, `SELECT EXISTS (SELECT 1 FROM Canonical WHERE cnMap = ? AND active <> 0)`, []any{table}, &n)
		return n != 0, wrap("look up "+table, err)
	})
}

// ContentCheck is a row of header_checks(5).
type ContentCheck struct{ Pattern, Action string }

// ContentChecks returns the active rows of a map (header, mime_header,
// nested_header, body, smtp_header) in their order.
func (v *View) ContentChecks(ctx context.Context, table string) ([]ContentCheck, error) {
	return cached(v, cacheKey{kind: lookContentCheck, key: table}, func() ([]ContentCheck, error) {
		var list []ContentCheck
		err := v.m.each(ctx, `SELECT ckPattern, ckAction FROM ContentCheck WHERE ckMap = ? AND active <> 0 ORDER BY ckPriority, ckNum`,
			[]any{table}, func(rows *sql.Rows) error {
				var c ContentCheck
				err := rows.Scan(&c.Pattern, &c.Action)
				list = append(list, c)
				return err
			})
		return list, wrap("read content checks", err)
	})
}

// Bcc returns the blind copy address of a sender or recipient; ” if none.
func (v *View) Bcc(ctx context.Context, table, address string) (string, error) {
	if f, err := v.filled(ctx); err != nil || !f.bcc {
		return "", err
	}
	k := cacheKey{kind: lookBcc, key: table + "\x00" + strings.ToLower(address)}
	return cached(v, k, func() (string, error) {
		return v.m.text(ctx, "look up bcc", `SELECT bcTarget FROM Bcc WHERE bcMap = ? AND bcAddress = ? AND active <> 0`, table, address)
	})
}

// SenderOwners returns the log-ins that own an address (user@domain, @domain).
func (v *View) SenderOwners(ctx context.Context, address string) ([]string, error) {
	list, err := v.ownOwners(ctx, address)
	if err != nil || len(list) > 0 {
		return list, err
	}
	text, err := v.ask(ctx, mapOwners, address)
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }), err
}

func (v *View) ownOwners(ctx context.Context, address string) ([]string, error) {
	if f, err := v.filled(ctx); err != nil || !f.owner {
		return nil, err
	}
	return cached(v, cacheKey{kind: lookOwner, key: strings.ToLower(address)}, func() ([]string, error) {
		list, err := v.m.strings(ctx, `SELECT soLogin FROM SenderOwner WHERE soAddress = ? AND active <> 0 ORDER BY soNum`, address)
		return list, wrap("look up sender owner", err)
	})
}

// RelayHost is a row of RelayHost.
type RelayHost struct {
	Transport string // '' that of the class
	Nexthop   string // '' the recipient's domain
	User      string
	Passwd    string
}

// RelayHost returns the row of a sender (user@domain, @domain, <>, ” for all
// senders) or of tag:NAME; nil if none.
func (v *View) RelayHost(ctx context.Context, sender string) (*RelayHost, error) {
	if f, err := v.filled(ctx); err != nil || !f.relayHost {
		return nil, err
	}
	return cached(v, cacheKey{kind: lookRelayHost, key: strings.ToLower(sender)}, func() (*RelayHost, error) {
		var r RelayHost
		found, err := v.m.one(ctx, `SELECT ifnull(rhTransport, ''), rhNexthop, ifnull(rhUser, ''), ifnull(rhPasswd, '') FROM RelayHost
			WHERE rhSender = ? AND active <> 0`, []any{sender}, &r.Transport, &r.Nexthop, &r.User, &r.Passwd)
		if err != nil || !found {
			return nil, wrap("look up relay host", err)
		}
		return &r, nil
	})
}

// TLSPolicy returns the TLS policy of a next hop; ” if none.
func (v *View) TLSPolicy(ctx context.Context, nexthop string) (string, error) {
	if f, err := v.filled(ctx); err != nil || !f.tlsPolicy {
		return "", err
	}
	return cached(v, cacheKey{kind: lookTLSPolicy, key: strings.ToLower(nexthop)}, func() (string, error) {
		return v.m.text(ctx, "look up TLS policy", `SELECT tsPolicy FROM TlsPolicy WHERE tsNexthop = ? AND active <> 0`, nexthop)
	})
}

// Cert is a row of Cert; file names are relative to the data directory.
type Cert struct {
	Num      int64
	Hostname string
	CertFile string
	KeyFile  string
}

// Certs returns the active certificates.
func (v *View) Certs(ctx context.Context) ([]Cert, error) {
	return cached(v, cacheKey{kind: lookCerts}, func() ([]Cert, error) {
		var list []Cert
		err := v.m.each(ctx, `SELECT ctNum, ctHostname, ctCertFile, ctKeyFile FROM Cert WHERE active <> 0 ORDER BY ctNum`,
			nil, func(rows *sql.Rows) error {
				var c Cert
				err := rows.Scan(&c.Num, &c.Hostname, &c.CertFile, &c.KeyFile)
				list = append(list, c)
				return err
			})
		return list, wrap("read certificates", err)
	})
}

// text reads one text column of at most one row; ” if there is none.
func (m *mailFile) text(ctx context.Context, doing, query string, args ...any) (string, error) {
	var s string
	_, err := m.one(ctx, query, args, &s)
	return s, wrap(doing, err)
}
