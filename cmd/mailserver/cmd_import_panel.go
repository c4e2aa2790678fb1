package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"mailserver/internal/sqldump"
	"mailserver/schema"
)

// panelCommands are import PANEL, one for each name.
func panelCommands() []command {
	var list []command
	seen := make(map[string]bool)
	for _, p := range schema.Panels() {
		if seen[p.Name] {
			continue
		}
		seen[p.Name] = true
		list = append(list, command{name: "import " + p.Name, args: "FILE", min: 1, max: 1,
			about: "domains, mailboxes and aliases of " + p.About,
			more:  "FILE is its SQLite database, or a dump by mysqldump or pg_dump. All of it is taken in one transaction,\nor none. What is there already stays. --dry-run says what would be done.",
			setup: panelImport(p.Name)})
	}
	return list
}

// takeover is one import of a panel's rows.
type takeover struct {
	a       *app
	p       *schema.PanelFile
	t       *schema.Tx
	host    string
	uid     int
	scheme  string
	counts  map[string]int
	skipped []string // what could not be taken, the first of them
	missed  int
}

var errDryRun = fmt.Errorf("%wdry run", errQuiet)

func panelImport(name string) func(*flag.FlagSet) action {
	return func(fs *flag.FlagSet) action {
		dry := fs.Bool("dry-run", false, "change nothing")
		uid := fs.Int("uid", mailboxUID, "`UID` of the files of mailboxes")
		scheme := fs.String("scheme", "", "`scheme` of passwords that do not name theirs")
		return func(ctx context.Context, a *app, args []string) error {
			if !schema.Class(*uid).IsMailbox() {
				return usage("--uid: say a number above 800")
			}
			file, done, err := databaseOf(ctx, args[0], name)
			if err != nil {
				return err
			}
			defer done()
			p, err := schema.OpenPanel(ctx, file, name)
			if err != nil {
				return err
			}
			defer p.Close()
			imp := &takeover{a: a, p: p, uid: *uid, scheme: *scheme, counts: make(map[string]int)}
			if imp.scheme == "" {
				imp.scheme = p.Scheme
			}
			err = imp.run(ctx, *dry)
			if err == nil || errors.Is(err, errDryRun) {
				imp.say(*dry)
				return nil
			}
			return err
		}
	}
}

// databaseOf turns a dump into a database of its own; a database is itself.
func databaseOf(ctx context.Context, path, name string) (file string, done func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	head := make([]byte, 16)
	n, _ := f.ReadAt(head, 0)
	if bytes.HasPrefix(head[:n], []byte("SQLite format 3\x00")) {
		return path, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "mailserver-import")
	if err != nil {
		return "", nil, err
	}
	done = func() { os.RemoveAll(dir) }
	file = filepath.Join(dir, "dump.sqlite")
	err = schema.DumpFile(ctx, file, func(table func(schema.PanelTable) error, row func(string, []string, []any) error) error {
		r := sqldump.Reader{
			Table: func(name string, columns []string) error {
				return table(schema.PanelTable{Name: name, Columns: columns})
			},
			Row: row, Wants: plainName,
		}
		return r.Read(f)
	})
	if err != nil {
		done()
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, done, nil
}

// plainName refuses names that would have to be quoted.
func plainName(s string) bool {
	return s != "" && len(s) < 100 && !strings.ContainsFunc(s, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func (imp *takeover) run(ctx context.Context, dry bool) error {
	return imp.a.withMail(ctx, func(m *schema.Mail) error {
		host, err := hostname(ctx, m)
		if err != nil {
			return err
		}
		imp.host = host
		return m.Write(ctx, func(t *schema.Tx) error {
			imp.t = t
			for _, step := range []func(context.Context) error{
				func(ctx context.Context) error { return imp.p.Domains(ctx, imp.domain) },
				func(ctx context.Context) error { return imp.p.Routes(ctx, imp.domain) },
				func(ctx context.Context) error { return imp.p.Mailboxes(ctx, imp.mailbox) },
				func(ctx context.Context) error { return imp.p.Aliases(ctx, imp.alias) },
				func(ctx context.Context) error { return imp.p.Others(ctx, imp.other) },
			} {
				if err := step(ctx); err != nil {
					return err
				}
			}
			if dry {
				return errDryRun
			}
			return nil
		})
	})
}

// maxSaid bounds the lines about what was not taken.
const maxSaid = 1000

func (imp *takeover) miss(format string, args ...any) {
	if imp.missed++; imp.missed <= maxSaid {
		imp.skipped = append(imp.skipped, fmt.Sprintf(format, args...))
	}
}

// took counts a row, and says why one was not taken. What is there already is
// no fault.
func (imp *takeover) took(what, key string, err error) error {
	switch {
	case err == nil:
		imp.counts[what]++
	case errors.Is(err, schema.ErrExists):
		imp.counts[what+" there already"]++
	case errors.Is(err, schema.ErrValue), errors.Is(err, schema.ErrNotFound):
		imp.miss("%s %s: %v", what, key, err)
	default:
		return err
	}
	return nil
}

func (imp *takeover) domain(r schema.PanelRow) error {
	name := strings.ToLower(strings.TrimSpace(r.Key))
	if _, ok := dnsName(name); !ok {
		imp.miss("domain %q: no name of a domain", r.Key)
		return nil
	}
	change := schema.DomainChange{}
	if !r.Active {
		change.Active = schema.To(false)
	}
	if r.RClass >= 0 {
		change.RClass = schema.To(r.RClass)
	}
	if r.Kind != schema.PanelAlias {
		way, err := imp.transport(r)
		if err != nil {
			return err
		}
		change.Transport = way
	}
	class, err := imp.class(r.Kind)
	if err != nil {
		imp.miss("domain %s: %v", name, err)
		return nil
	}
	_, err = imp.t.AddDomain(name, class, change)
	if err := imp.took("domains", name, err); err != nil || r.Kind != schema.PanelAlias {
		return err
	}
	return imp.link("", name, "@"+r.Value)
}

func (imp *takeover) class(kind string) (schema.Class, error) {
	switch kind {
	case schema.PanelMailbox:
		return schema.Class(imp.uid), nil
	case schema.PanelAlias, "virtual alias":
		return schema.VirtualAlias, nil
	case schema.PanelRelay:
		return schema.Relay, nil
	case schema.PanelRoute, "external":
		return schema.External, nil
	case "local":
		return schema.Local, nil
	}
	if n, err := strconv.Atoi(kind); err == nil && schema.Class(n).IsMailbox() {
		return schema.Class(n), nil
	}
	return 0, fmt.Errorf("no class %q", kind)
}

// transport is that of a domain; virtual and its like are what the class does.
func (imp *takeover) transport(r schema.PanelRow) (schema.Field, error) {
	text := strings.TrimSpace(r.Value)
	switch strings.TrimSuffix(text, ":") {
	case "", "virtual", "dovecot", "maildrop", "lmtp:unix:private/dovecot-lmtp", "lmtp:unix:private/lmtp-dovecot":
		return schema.Field{}, nil
	}
	spec, err := parseTransport(text)
	if err != nil {
		imp.miss("domain %s: transport %q: %v", r.Key, text, err)
		return schema.Field{}, nil
	}
	num, err := imp.t.Transport(spec)
	return schema.To(num), err
}

func (imp *takeover) mailbox(r schema.PanelRow) error {
	local, domain, ok := cutAddress(r.Key)
	if !ok || local == "" {
		imp.miss("mailbox %q: no address", r.Key)
		return nil
	}
	c := schema.MailboxChange{}
	if r.Value != "" {
		c.Passwd = schema.To(withScheme(r.Value, imp.scheme))
	}
	if r.Quota >= 0 {
		c.Quota = schema.To(r.Quota)
	}
	if !r.Active {
		c.Active = schema.To(false)
	}
	if r.UID >= 0 {
		c.UID = schema.To(r.UID)
	}
	if r.GID >= 0 {
		c.GID = schema.To(r.GID)
	}
	if r.Home != "" {
		c.Home = schema.To(r.Home)
	}
	return imp.took("mailboxes", r.Key, imp.t.AddVMailbox(local, domain, c))
}

// withScheme names the scheme of a password that does not say its own; crypt(3)
// does by its $.
func withScheme(stored, scheme string) string {
	if scheme == "" || strings.HasPrefix(stored, "{") || strings.HasPrefix(stored, "$") {
		return stored
	}
	return "{" + strings.ToUpper(scheme) + "}" + stored
}

// cutAddress splits an address; @domain is the catch-all.
func cutAddress(text string) (local, domain string, ok bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	at := strings.LastIndexByte(text, '@')
	if at < 0 || at == len(text)-1 {
		return "", "", false
	}
	_, ok = dnsName(text[at+1:])
	return text[:at], text[at+1:], ok
}

func (imp *takeover) alias(r schema.PanelRow) error {
	local, domain, ok := cutAddress(r.Key)
	if !ok {
		imp.miss("alias %q: no address", r.Key)
		return nil
	}
	targets := strings.FieldsFunc(strings.ToLower(r.Value), func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if slices.Equal(targets, []string{local + "@" + domain}) {
		imp.counts["aliases of a mailbox to itself"]++ // a mailbox stands against the catch-all by itself
		return nil
	}
	if strings.ContainsRune(local, '%') || strings.ContainsRune(local, '*') {
		return imp.pattern(local, domain, targets)
	}
	if !r.Active {
		imp.counts["aliases that are not active, left out"]++
		return nil
	}
	for _, to := range targets {
		if err := imp.link(local, domain, to); err != nil {
			return err
		}
	}
	return nil
}

// pattern takes a row of LIKE: % alone is the catch-all.
func (imp *takeover) pattern(local, domain string, targets []string) error {
	if local == "%" {
		for _, to := range targets {
			if err := imp.link("", domain, to); err != nil {
				return err
			}
		}
		return nil
	}
	imp.miss("alias %s@%s: a pattern; as SQL: INSERT INTO PatternAlias (paDomNum, paPattern, paTarget) SELECT domNum, '%s', '%s' FROM Domain WHERE domName = '%s';",
		local, domain, local, strings.Join(targets, ","), domain)
	return nil
}

// link writes one alias.
func (imp *takeover) link(local, domain, to string) error {
	what := local + "@" + domain + " to " + to
	if strings.HasPrefix(to, "|") || strings.HasPrefix(to, "/") || strings.HasPrefix(to, ":include:") {
		imp.miss("alias %s: only aliases of system users have files and commands: mailserver alias add", what)
		return nil
	}
	if !strings.Contains(to, "@") {
		to += "@" + imp.host
	}
	toLocal, toDomain, ok := cutAddress(to)
	if !ok {
		imp.miss("alias %s: no address", what)
		return nil
	}
	if _, err := imp.t.DomainClass(domain); err != nil {
		return imp.took("aliases", what, err)
	}
	from, err := imp.t.EnsureAddress(local, domain)
	if err != nil {
		return imp.took("aliases", what, err)
	}
	target, err := imp.t.EnsureAddress(toLocal, toDomain)
	if err == nil {
		err = imp.t.AddVAlias(from, target, "")
	}
	return imp.took("aliases", what, err)
}

func (imp *takeover) other(table string, rows int64) error {
	imp.miss("table %s: %d rows, no counterpart here", table, rows)
	return nil
}

func (imp *takeover) say(dry bool) {
	verb := "took"
	if dry {
		verb = "would take"
	}
	fmt.Fprintf(imp.a.out, "%s from %s:\n", verb, imp.p.About)
	var names []string
	for name := range imp.counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(imp.a.out, "  %d %s\n", imp.counts[name], name)
	}
	if imp.missed > 0 {
		fmt.Fprintf(imp.a.out, "not taken: %d\n", imp.missed)
	}
	for _, line := range imp.skipped {
		fmt.Fprintf(imp.a.out, "  %s\n", line)
	}
}
