package schema

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Class is Domain.domClass: what kind of domain it is.
type Class int

// Values of Class. Above MailboxFloor it is a virtual mailbox domain, and the
// number is the UID that owns its mail.
const (
	External     Class = 0 // next hops, alias targets: not ours
	Local        Class = 1
	Relay        Class = 2
	VirtualAlias Class = 3
	MailboxFloor Class = 800
)

// IsMailbox reports whether the class is a virtual mailbox domain.
func (c Class) IsMailbox() bool { return c > MailboxFloor }

// Transport is a row of transport(5).
type Transport struct {
	Num     int64
	Active  bool
	Name    string // '' leaves the transport of the class
	Nexthop string // '' is the domain of the recipient
	MX      bool   // false: [nexthop], no MX look-up
	Port    int    // 0: the default of the transport
}

// String gives the row in the form of transport(5): name:[nexthop]:port.
func (t *Transport) String() string {
	host := t.Nexthop
	if host != "" && !t.MX {
		host = "[" + host + "]"
	}
	if t.Port != 0 {
		host = fmt.Sprintf("%s:%d", host, t.Port)
	}
	return t.Name + ":" + host
}

// Domain is a row of the one table of domains.
type Domain struct {
	Num       int64
	Active    bool
	Name      string
	Class     Class
	Transport *Transport // nil: the class decides
	RClass    int        // number of the restriction class; -1: the setting default_rclass
	SysUser   int

	noCatchAll bool // every address of the domain asks for it
}

// Address is a row of Address with all that a delivery or log-in asks about it.
type Address struct {
	Num       int64
	Active    int    // 1 normal, 0 takes no mail, -1 takes mail but may not log in
	Localpart string // as written in the row; '' is the catch-all
	DomNum    int64
	Domain    string
	Transport *Transport
	RClass    int       // -1: as the domain
	Mailbox   *VMailbox // nil: none
	HasVAlias bool      // an active VAlias row leads on from here
	HasAlias  bool      // an active Alias row leads on from here

	targets []Target // of a map that stands in for the rows
}

// String gives localpart@domain.
func (a *Address) String() string { return a.Localpart + "@" + a.Domain }

// VMailbox is a row of VMailbox. UID, GID and Quota are -1 where NULL; Home
// and Host are ” where NULL.
type VMailbox struct {
	Active bool
	Passwd string
	UID    int
	GID    int
	Home   string
	Quota  int64
	Host   string
	// Maildir is where the mail lies if not where the settings say: '' else.
	Maildir string

	foreign string // the key by which maps know it; '' has a row
}

const (
	lookDomain lookup = iota
	lookAddress
	lookVAlias
	lookAlias
	lookRestriction
	lookRClass
	lookAccess
	lookAccessList
	lookSetting
	lookListeners
	lookCerts
	lookRelocated
	lookPatterns
	lookCanonical
	lookContentCheck
	lookBcc
	lookOwner
	lookRelayHost
	lookTLSPolicy
	lookBScat
	lookSQLMap
	lookSendLimit
	lookNamespaces
	lookGroups
	lookAppPasswords
	lookDkimKey
	lookSaslPassword
	lookPipe
	lookFilled
	lookTransport
	lookDomNum
)

// Domain returns the row of name, in any case, active or not; nil if none.
func (v *View) Domain(ctx context.Context, name string) (*Domain, error) {
	name = strings.ToLower(name)
	d, err := v.ownDomain(ctx, name)
	if err != nil || d != nil {
		return d, err
	}
	return v.foreignDomain(ctx, name)
}

func (v *View) ownDomain(ctx context.Context, name string) (*Domain, error) {
	return cached(v, cacheKey{kind: lookDomain, key: name}, func() (*Domain, error) {
		var d Domain
		var t nullTransport
		var catchAll bool
		found, err := v.m.one(ctx, `
			SELECT domNum, d.active, domName, domClass, ifnull(domRcNum, -1), domSysUser,
			       EXISTS (SELECT 1 FROM Address WHERE addDomNum = domNum AND addLocalpart = ''), `+transportColumns+`
			FROM Domain d LEFT JOIN Transport t ON t.tpNum = d.domTpNum
			WHERE domName = ?`, []any{name},
			append([]any{&d.Num, &d.Active, &d.Name, &d.Class, &d.RClass, &d.SysUser, &catchAll}, t.dest()...)...)
		if err != nil || !found {
			return nil, wrap("look up domain "+name, err)
		}
		d.Transport = t.row()
		d.noCatchAll = !catchAll
		v.c.put(cacheKey{kind: lookDomNum, num: d.Num}, &d)
		return &d, nil
	})
}

// RelaysSubdomains reports whether any row .example.com has class relay.
func (v *View) RelaysSubdomains(ctx context.Context) (bool, error) {
	f, err := v.filled(ctx)
	if err != nil {
		return false, err
	}
	return f.subdomain, nil
}

// Address returns the row of a local part in a domain, in any case, active or
// not; nil if none. The empty local part asks for the catch-all.
func (v *View) Address(ctx context.Context, domNum int64, localpart string) (*Address, error) {
	if domNum > 0 && !(localpart == "" && v.noCatchAll(domNum)) {
		key := strings.ToLower(localpart)
		a, err := cached(v, cacheKey{kind: lookAddress, num: domNum, key: key}, func() (*Address, error) {
			return v.address(ctx, byName, domNum, localpart)
		})
		if err != nil || a != nil {
			return a, err
		}
	}
	return v.foreignAddress(ctx, domNum, localpart)
}

// AddressByNum returns the row with that number; nil if none.
func (v *View) AddressByNum(ctx context.Context, num int64) (*Address, error) {
	return v.address(ctx, byNum, num)
}

// transport returns the row of Transport with that number; nil if none.
func (v *View) transport(ctx context.Context, num int64) (*Transport, error) {
	return cached(v, cacheKey{kind: lookTransport, num: num}, func() (*Transport, error) {
		var t nullTransport
		_, err := v.m.one(ctx, `SELECT `+transportColumns+` FROM Transport t WHERE tpNum = ?`, []any{num}, t.dest()...)
		return t.row(), wrap("look up transport", err)
	})
}

const transportColumns = `t.tpNum, t.active, ifnull(t.tpTransport, ''), ifnull(t.tpNexthop, ''), t.tpMx, ifnull(t.tpPort, 0)`

// nullTransport scans the columns of a LEFT JOIN on Transport.
type nullTransport struct {
	num     sql.NullInt64
	active  sql.NullBool
	name    string
	nexthop string
	mx      sql.NullBool
	port    int
}

func (t *nullTransport) dest() []any {
	return []any{&t.num, &t.active, &t.name, &t.nexthop, &t.mx, &t.port}
}

func (t *nullTransport) row() *Transport {
	if !t.num.Valid {
		return nil
	}
	return &Transport{Num: t.num.Int64, Active: t.active.Bool, Name: t.name, Nexthop: t.nexthop, MX: t.mx.Bool, Port: t.port}
}

// Target is where a virtual alias leads.
type Target struct {
	Localpart string
	Domain    string
	Extension string // to be added after the delimiter; '' none
}

// VAliasTargets returns the active targets of an address in virtual(5).
func (v *View) VAliasTargets(ctx context.Context, a *Address) ([]Target, error) {
	if a.targets != nil {
		return a.targets, nil
	}
	addNum := a.Num
	return cached(v, cacheKey{kind: lookVAlias, num: addNum}, func() ([]Target, error) {
		var list []Target
		err := v.m.each(ctx, `
			SELECT addLocalpart, domName, ifnull(vaExtension, '')
			FROM VAlias va JOIN Address ON addNum = vaTargetNum JOIN Domain ON domNum = addDomNum
			WHERE vaNum = ? AND va.active <> 0 ORDER BY va.rowid`, []any{addNum}, func(rows *sql.Rows) error {
			var t Target
			list = append(list, t)
			t2 := &list[len(list)-1]
			return rows.Scan(&t2.Localpart, &t2.Domain, &t2.Extension)
		})
		return list, wrap("look up virtual alias", err)
	})
}

// AliasTargets returns the active targets of a name in aliases(5).
func (v *View) AliasTargets(ctx context.Context, addNum int64) ([]string, error) {
	return cached(v, cacheKey{kind: lookAlias, num: addNum}, func() ([]string, error) {
		list, err := v.m.strings(ctx, `SELECT aliasTarget FROM Alias WHERE aliasNum = ? AND active <> 0 ORDER BY rowid`, addNum)
		return list, wrap("look up alias", err)
	})
}

// strings reads the one column of every row.
func (m *mailFile) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	var list []string
	err := m.each(ctx, query, args, func(rows *sql.Rows) error {
		var s string
		err := rows.Scan(&s)
		list = append(list, s)
		return err
	})
	return list, err
}

// wrap says what was being done; nil stays nil.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
