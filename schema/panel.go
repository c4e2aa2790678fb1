package schema

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// Panel is a program whose database can be taken over.
type Panel struct {
	Name    string
	About   string
	Scheme  string // of passwords without {SCHEME}; '' the setting default_pass_scheme
	tables  []string
	domains string // columns: domain, kind, active, transport
	boxes   string // address, password, quota, active
	aliases string // address, targets, active
	// others are tables that hold what is not taken.
	others []string
}

// Kinds of domains of panels.
const (
	PanelMailbox = "mailbox"
	PanelRelay   = "relay"
	PanelAlias   = "alias" // of another domain
	PanelRoute   = "route" // only its transport
)

// panels are the schemas that are known. Each query gives text columns; active
// is 1 or 0, or t or f.
var panels = []Panel{
	{
		Name: "postfixadmin", About: "PostfixAdmin", tables: []string{"domain", "mailbox", "alias"},
		domains: `SELECT domain, CASE WHEN CAST(backupmx AS TEXT) IN ('1','t','true') THEN 'relay' ELSE 'mailbox' END, active, transport FROM domain WHERE domain <> 'ALL'`,
		boxes:   `SELECT username, password, quota, active FROM mailbox`,
		aliases: `SELECT address, goto, active FROM alias`,
		others:  []string{"admin", "domain_admins", "vacation", "fetchmail", "dkim", "dkim_signing", "mailbox_app_password", "totp_exception_address"},
	},
	{
		Name: "ispmail", About: "the ISPmail guide of workaround.org", tables: []string{"virtual_domains", "virtual_users", "virtual_aliases"},
		domains: `SELECT name, 'mailbox', 1, '' FROM virtual_domains`,
		boxes:   `SELECT email, password, {quota:virtual_users}, 1 FROM virtual_users`,
		aliases: `SELECT source, destination, 1 FROM virtual_aliases`,
	},
	{
		Name: "dinomail", About: "DinoMail", Scheme: "SSHA512", tables: []string{"dinomail_virtualdomain", "dinomail_virtualuser", "dinomail_virtualalias"},
		domains: `SELECT name, 'mailbox', 1, '' FROM dinomail_virtualdomain`,
		boxes:   `SELECT email, password, {quota:dinomail_virtualuser}, 1 FROM dinomail_virtualuser`,
		aliases: `SELECT source, destination, 1 FROM dinomail_virtualalias`,
	},
	{
		Name: "dinomail", About: "DinoMail, newer", Scheme: "SSHA512", tables: []string{"core_virtualdomain", "core_virtualuser", "core_virtualalias"},
		domains: `SELECT name, 'mailbox', 1, '' FROM core_virtualdomain`,
		boxes:   `SELECT email, password, {quota:core_virtualuser}, 1 FROM core_virtualuser`,
		aliases: `SELECT source, destination, 1 FROM core_virtualalias`,
		others:  []string{"core_setting", "auth_user"},
	},
	{
		Name: "forwardings", About: "domains, forwardings, transport, users: Postfix and Courier", tables: []string{"domains", "forwardings", "users"},
		domains: `SELECT domain, 'mailbox', 1, {transport} FROM domains`,
		boxes:   `SELECT email, password, {quota:users}, 1 FROM users`,
		aliases: `SELECT source, destination, 1 FROM forwardings`,
	},
	{
		Name: "opensmtpd", About: "one table users(username, domain, mailbox, password): OpenSMTPD and Dovecot", tables: []string{"users"},
		domains: `SELECT DISTINCT domain, 'mailbox', 1, '' FROM users`,
		boxes:   `SELECT username || '@' || domain, password, NULL, 1 FROM users WHERE password IS NOT NULL AND username <> '%'`,
		aliases: `SELECT username || '@' || domain, mailbox, 1 FROM users WHERE password IS NULL OR username || '@' || domain <> mailbox`,
	},
	{
		Name: "postfix-dovecot-sqlite", About: "the second form of that design, of 2012-02-19", tables: []string{"Transport", "Domain", "Address", "Alias", "VMailbox"},
		domains: `SELECT d.name, CASE d.class WHEN 1 THEN 'local' WHEN 2 THEN 'relay' WHEN 3 THEN 'virtual alias' WHEN 0 THEN 'external' ELSE d.class END, d.active,
			(SELECT t.transport || ':' || CASE WHEN n.name IS NULL THEN '' WHEN t.mx THEN n.name ELSE '[' || n.name || ']' END || CASE WHEN t.port IS NULL THEN '' ELSE ':' || t.port END
			 FROM Transport t LEFT JOIN Domain n ON n.id = t.nexthop WHERE t.id = d.transport AND t.active), d.rclass
			FROM Domain d WHERE d.id <> 0 AND d.name IS NOT NULL`,
		boxes: `SELECT a.localpart || '@' || d.name, v.password, NULL, v.active, v.uid, v.gid, v.home
			FROM VMailbox v JOIN Address a ON a.id = v.id JOIN Domain d ON d.id = a.domain`,
		aliases: `SELECT a.localpart || '@' || d.name,
			CASE WHEN l.target = 0 THEN l.extension ELSE t.localpart || CASE WHEN l.extension IS NULL THEN '' ELSE '+' || l.extension END || '@' || ifnull(td.name, '') END, l.active
			FROM Alias l JOIN Address a ON a.id = l.address JOIN Domain d ON d.id = a.domain
			LEFT JOIN Address t ON t.id = l.target AND l.target <> 0 LEFT JOIN Domain td ON td.id = t.domain`,
		others: []string{"BScat"},
	},
}

// Panels are the schemas that can be taken over.
func Panels() []Panel { return slices.Clone(panels) }

// PanelRow is a domain, mailbox or alias of a panel.
type PanelRow struct {
	Key    string // domain, or user@domain; @domain is the catch-all
	Kind   string // of a domain
	Value  string // transport of a domain, password of a mailbox, targets of an alias
	Quota  int64  // bytes; -1 none said
	Active bool
	RClass int // of a domain; -1 none
	UID    int // of a mailbox; -1 none
	GID    int
	Home   string
}

// PanelFile is the database of a panel, opened to be taken over.
type PanelFile struct {
	Panel
	db     *sql.DB
	tables map[string][]string // columns by table, in lower case
}

// OpenPanel opens a database and finds out which panel it belongs to; name ”
// takes the first that fits.
func OpenPanel(ctx context.Context, path, name string) (*PanelFile, error) {
	if err := mustExist(path); err != nil {
		return nil, err
	}
	db, err := open(path, 1, true)
	if err != nil {
		return nil, err
	}
	p := &PanelFile{db: db, tables: make(map[string][]string)}
	rows, err := db.QueryContext(ctx, `SELECT lower(m.name), lower(c.name) FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type IN ('table', 'view')`)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer rows.Close()
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			db.Close()
			return nil, err
		}
		p.tables[table] = append(p.tables[table], column)
	}
	for _, known := range panels {
		if (name == "" || name == known.Name) && p.fits(known) {
			p.Panel = known
			return p, rows.Err()
		}
	}
	db.Close()
	return nil, fmt.Errorf("%s: %w: no tables of %s", path, ErrNotFound, orAny(name))
}

func orAny(name string) string {
	if name == "" {
		return "any panel that is known"
	}
	return name
}

func (p *PanelFile) fits(known Panel) bool {
	for _, t := range known.tables {
		if p.tables[strings.ToLower(t)] == nil {
			return false
		}
	}
	return known.Name != "opensmtpd" || slices.Contains(p.tables["users"], "mailbox")
}

// Close closes the file.
func (p *PanelFile) Close() error { return p.db.Close() }

// query fills in what only some versions of a schema have.
func (p *PanelFile) query(text string) string {
	for {
		i := strings.IndexByte(text, '{')
		if i < 0 {
			return text
		}
		end := i + strings.IndexByte(text[i:], '}')
		what, table, _ := strings.Cut(text[i+1:end], ":")
		column := "NULL"
		switch {
		case what == "quota" && slices.Contains(p.tables[table], "quota"):
			column = "quota"
		case what == "transport" && p.tables["transport"] != nil:
			column = "(SELECT t.transport FROM transport t WHERE t.domain = domains.domain)"
		}
		text = text[:i] + column + text[end+1:]
	}
}

// Domains calls fn for every domain.
func (p *PanelFile) Domains(ctx context.Context, fn func(PanelRow) error) error {
	err := p.each(ctx, p.domains, func(c []sql.NullString) error {
		r := PanelRow{Key: c[0].String, Kind: c[1].String, Active: isTrue(c[2]), Value: c[3].String, RClass: -1}
		if len(c) > 4 {
			r.RClass = number(c[4])
		}
		return fn(r)
	})
	if err != nil || p.Name != "postfixadmin" || p.tables["alias_domain"] == nil {
		return err
	}
	return p.each(ctx, `SELECT alias_domain, target_domain, active FROM alias_domain`, func(c []sql.NullString) error {
		return fn(PanelRow{Key: c[0].String, Kind: PanelAlias, Value: c[1].String, Active: isTrue(c[2]), RClass: -1})
	})
}

// Routes calls fn for every domain that only has a transport.
func (p *PanelFile) Routes(ctx context.Context, fn func(PanelRow) error) error {
	if p.Name != "forwardings" || p.tables["transport"] == nil {
		return nil
	}
	return p.each(ctx, `SELECT domain, transport FROM transport WHERE domain NOT IN (SELECT domain FROM domains)`, func(c []sql.NullString) error {
		return fn(PanelRow{Key: c[0].String, Kind: PanelRoute, Value: c[1].String, Active: true, RClass: -1})
	})
}

// Mailboxes calls fn for every mailbox.
func (p *PanelFile) Mailboxes(ctx context.Context, fn func(PanelRow) error) error {
	return p.each(ctx, p.boxes, func(c []sql.NullString) error {
		r := PanelRow{Key: c[0].String, Value: c[1].String, Quota: -1, Active: isTrue(c[3]), UID: -1, GID: -1}
		if c[2].Valid {
			n, err := quotaBytes(c[2].String)
			if err != nil && c[2].String != "-1" { // PostfixAdmin: no limit
				return fmt.Errorf("mailbox %s: %w", r.Key, err)
			}
			r.Quota = n
		}
		if len(c) > 6 {
			r.UID, r.GID, r.Home = number(c[4]), number(c[5]), c[6].String
		}
		return fn(r)
	})
}

// Aliases calls fn for every alias.
func (p *PanelFile) Aliases(ctx context.Context, fn func(PanelRow) error) error {
	return p.each(ctx, p.aliases, func(c []sql.NullString) error {
		return fn(PanelRow{Key: c[0].String, Value: c[1].String, Active: isTrue(c[2])})
	})
}

// Others calls fn for each table that is not taken and has rows.
func (p *PanelFile) Others(ctx context.Context, fn func(table string, rows int64) error) error {
	for _, table := range p.others {
		if p.tables[strings.ToLower(table)] == nil {
			continue
		}
		var n int64
		if err := p.db.QueryRowContext(ctx, `SELECT count(*) FROM "`+table+`"`).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			if err := fn(table, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *PanelFile) each(ctx context.Context, query string, fn func([]sql.NullString) error) error {
	rows, err := p.db.QueryContext(ctx, p.query(query))
	if err != nil {
		return fmt.Errorf("read tables of %s: %w", p.About, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := fn(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

func isTrue(s sql.NullString) bool {
	switch strings.ToLower(s.String) {
	case "0", "f", "false", "n", "no", "":
		return false
	}
	return true
}

func number(s sql.NullString) int {
	if !s.Valid {
		return -1
	}
	var n int
	if _, err := fmt.Sscan(s.String, &n); err != nil {
		return -1
	}
	return n
}

// PanelTable is a table of a dump as SQLite takes it: columns without types,
// rows of text.
type PanelTable struct {
	Name    string
	Columns []string
}

// DumpFile makes a database out of a dump: add is called with what makes tables
// and rows. Only letters, digits and _ may be in names.
func DumpFile(ctx context.Context, path string, read func(table func(PanelTable) error, row func(table string, columns []string, values []any) error) error) error {
	db, err := open(path, 1, false)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	known := make(map[string][]string)
	create := func(t PanelTable) error {
		if known[strings.ToLower(t.Name)] != nil {
			return nil
		}
		known[strings.ToLower(t.Name)] = t.Columns
		_, err := tx.ExecContext(ctx, `CREATE TABLE "`+t.Name+`" ("`+strings.Join(t.Columns, `", "`)+`")`)
		return err
	}
	err = read(create, func(table string, columns []string, values []any) error {
		if columns == nil {
			columns = known[strings.ToLower(table)]
		} else if err := create(PanelTable{Name: table, Columns: columns}); err != nil { // a dump of rows alone
			return err
		}
		if len(columns) != len(values) || known[strings.ToLower(table)] == nil {
			return fmt.Errorf("table %s: %d columns, %d values", table, len(columns), len(values))
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO "`+table+`" ("`+strings.Join(columns, `", "`)+`") VALUES (?`+strings.Repeat(", ?", len(values)-1)+`)`, values...)
		return err
	})
	if err != nil {
		return err
	}
	return tx.Commit()
}
