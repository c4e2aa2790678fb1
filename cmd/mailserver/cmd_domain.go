package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"mailserver/internal/address"
	"mailserver/schema"
)

func domainCommands() []command {
	return []command{
		{name: "domain add", args: "NAME", min: 1, max: 1, about: "host a domain, with postmaster and abuse",
			more:  "Classes: mailbox (the default; files of UID 842), local, relay, alias, or a number above 800:\nmailbox, files of that UID; external hosts nothing.",
			setup: domainAdd},
		{name: "domain set", args: "NAME", min: 1, max: 1, about: "change a domain", setup: domainSet},
		{name: "domain enable", args: "NAME", min: 1, max: 1, about: "host a disabled domain again", setup: domainSwitch(true)},
		{name: "domain disable", args: "NAME", min: 1, max: 1, about: "refuse its mail; log-ins go on, unless --logins", setup: domainSwitch(false)},
		{name: "domain list", about: "all domains", setup: domainList},
		{name: "domain show", args: "NAME", min: 1, max: 1, about: "a domain and its addresses", setup: domainShow},
		{name: "domain rm", args: "NAME", min: 1, max: 1, about: "remove a domain that has no addresses", setup: domainRemove},
	}
}

// mailboxUID is the class of --class mailbox.
const mailboxUID = 842

var classNames = map[string]schema.Class{"external": schema.External, "local": schema.Local, "relay": schema.Relay,
	"alias": schema.VirtualAlias, "mailbox": mailboxUID}

func parseClass(text string) (schema.Class, error) {
	if c, ok := classNames[strings.ToLower(text)]; ok {
		return c, nil
	}
	n, err := strconv.Atoi(text)
	if c := schema.Class(n); err == nil && (n >= 0 && c <= schema.VirtualAlias || c.IsMailbox()) {
		return c, nil
	}
	return 0, usage("%q is no class: local, relay, alias, mailbox, external, or a number above 800", text)
}

// className says a class in words.
func className(c schema.Class) string {
	switch {
	case c == schema.Local:
		return "local"
	case c == schema.Relay:
		return "relay"
	case c == schema.VirtualAlias:
		return "alias"
	case c.IsMailbox():
		return fmt.Sprintf("mailbox %d", int(c))
	}
	return "external"
}

func domainFlags(fs *flag.FlagSet) {
	fs.String("class", "", "`class` of the domain")
	fs.String("rclass", "", "restriction class, `number or name`; '' for the default")
	fs.Int("sysuser", 0, "`UID` of its owner, for the record")
	transportFlags(fs)
}

// domainChange reads the flags that both add and set have.
func domainChange(t *schema.Tx, given map[string]string) (c schema.DomainChange, err error) {
	if text, ok := given["class"]; ok {
		class, err := parseClass(text)
		if err != nil {
			return c, err
		}
		c.Class = schema.To(class)
	}
	if c.RClass, err = rclassField(t, given); err != nil {
		return c, err
	}
	if text, ok := given["sysuser"]; ok {
		c.SysUser = schema.To(text)
	}
	c.Transport, err = transportField(t, given)
	return c, err
}

// rclassField reads --rclass, a number or a name.
func rclassField(t *schema.Tx, given map[string]string) (schema.Field, error) {
	text, ok := given["rclass"]
	if !ok {
		return schema.Field{}, nil
	}
	if text == "" {
		return schema.To(nil), nil
	}
	num, err := t.ClassNum(text)
	return schema.To(num), err
}

func domainAdd(fs *flag.FlagSet) action {
	domainFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		given := a.given()
		if given["class"] == "" {
			given["class"] = "mailbox"
		}
		return a.withMail(ctx, func(m *schema.Mail) error {
			host, err := hostname(ctx, m)
			if err != nil {
				return err
			}
			return m.Write(ctx, func(t *schema.Tx) error { return addDomain(t, args[0], host, given) })
		})
	}
}

func addDomain(t *schema.Tx, name, host string, given map[string]string) error {
	c, err := domainChange(t, given)
	if err != nil {
		return err
	}
	class, err := parseClass(given["class"])
	if err != nil {
		return err
	}
	if err := checkDomain(name, class); err != nil {
		return err
	}
	if _, err := t.AddDomain(name, class, c); err != nil {
		return err
	}
	// A local domain has the names of the system users, postmaster among them.
	if class == schema.External || class == schema.Local || strings.HasPrefix(name, ".") {
		return nil
	}
	return addRoleNames(t, name, host)
}

// checkDomain refuses a name that no domain has. .example.com is what lies below
// that domain: for relay, and for transports of domains that are not ours; * is
// all of those.
func checkDomain(name string, class schema.Class) error {
	if class == schema.External && name == "*" {
		return nil
	}
	if class == schema.External || class == schema.Relay {
		name = strings.TrimPrefix(name, ".")
	}
	if err := address.CheckDomain(name); err != nil {
		return fmt.Errorf("%w: %w", schema.ErrValue, err)
	}
	return nil
}

// addRoleNames makes postmaster and abuse of a hosted domain lead to those of
// this host: RFC 2142 §4, §5.
func addRoleNames(t *schema.Tx, domain, host string) error {
	for _, name := range []string{"postmaster", "abuse"} {
		from, err := t.AddAddress(name, domain, schema.AddressChange{})
		if err != nil {
			return err
		}
		to, err := t.EnsureAddress(name, host)
		if err != nil {
			return err
		}
		if err := t.AddVAlias(from, to, ""); err != nil {
			return err
		}
	}
	return nil
}

func domainSet(fs *flag.FlagSet) action {
	domainFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		return a.change(ctx, func(t *schema.Tx) error {
			c, err := domainChange(t, a.given())
			if err != nil {
				return err
			}
			return t.SetDomain(args[0], c)
		})
	}
}

func domainSwitch(on bool) func(*flag.FlagSet) action {
	return func(fs *flag.FlagSet) action {
		logins := fs.Bool("logins", false, "the log-ins of its mailboxes too")
		return func(ctx context.Context, a *app, args []string) error {
			return a.change(ctx, func(t *schema.Tx) error {
				if err := t.SetDomain(args[0], schema.DomainChange{Active: schema.To(on)}); err != nil || !*logins {
					return err
				}
				n, err := t.SetDomainLogins(args[0], on)
				if err == nil {
					fmt.Fprintf(a.out, "%d log-ins changed\n", n)
				}
				return err
			})
		}
	}
}

func domainList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			t := a.table(*asJSON, "DOMAIN", "CLASS", "ACTIVE", "RCLASS", "TRANSPORT", "ADDRESSES", "MAILBOXES")
			return t.end(m.Domains(ctx, func(r schema.DomainRow) error {
				return t.row(r, r.Domain, className(r.Class), yesNo(r.Active), classNumber(r.RClass), r.Transport, r.Addresses, r.Mailboxes)
			}))
		})
	}
}

// classNumber says the number of a restriction class; -1 is none.
func classNumber(n int) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprintf("%02d", n)
}

func domainShow(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			found := false
			err := m.Domains(ctx, func(r schema.DomainRow) error {
				if !strings.EqualFold(r.Domain, args[0]) {
					return nil
				}
				found = true
				return a.object(*asJSON, r, "domain", r.Domain, "class", className(r.Class), "active", yesNo(r.Active),
					"restriction class", classNumber(r.RClass), "transport", r.Transport, "addresses", r.Addresses, "mailboxes", r.Mailboxes)
			})
			if err == nil && !found {
				err = fmt.Errorf("domain %s: %w", args[0], schema.ErrNotFound)
			}
			if err != nil || *asJSON {
				return err
			}
			return m.Addresses(ctx, args[0], func(r schema.AddressRow) error {
				_, err := fmt.Fprintf(a.out, "  %s\n", r.Address)
				return err
			})
		})
	}
}

func domainRemove(fs *flag.FlagSet) action {
	recursive := fs.Bool("recursive", false, "with its addresses, aliases and mailboxes; mail on disk stays")
	yes := fs.Bool("yes", false, "do not ask")
	return func(ctx context.Context, a *app, args []string) error {
		if *recursive {
			if err := a.confirm(*yes, "remove "+args[0]+" and all its addresses"); err != nil {
				return err
			}
		}
		return a.withMail(ctx, func(m *schema.Mail) error {
			if err := refuseHost(ctx, m, args[0]); err != nil {
				return err
			}
			err := m.Write(ctx, func(t *schema.Tx) error { return t.RemoveDomain(args[0], *recursive) })
			if errors.Is(err, schema.ErrReferenced) && !*recursive {
				err = fmt.Errorf("%w\n  --recursive removes them too; \"domain disable\" keeps everything", err)
			}
			return err
		})
	}
}

// refuseHost protects the domain that system users, and bare names, live in.
func refuseHost(ctx context.Context, m *schema.Mail, name string) error {
	host, err := hostname(ctx, m)
	if err == nil && strings.EqualFold(host, name) {
		err = fmt.Errorf("remove domain %s: it is $myhostname, the domain of system users: %w", name, schema.ErrReferenced)
	}
	return err
}
