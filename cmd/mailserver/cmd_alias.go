package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"mailserver/schema"
)

func aliasCommands() []command {
	return []command{
		{name: "alias add", args: "ADDRESS TARGET...", min: 2, max: -1, about: "send mail for an address to others",
			more:  "A target is an address. For a name of this host (aliases(5)) it may also be\n/file, |command or :include:/file. Addresses that are not there are added.",
			setup: aliasAdd},
		{name: "alias set", args: "ADDRESS [TARGET]", min: 1, max: 2, about: "switch one target, or all, on or off", setup: aliasSet},
		{name: "alias list", args: "[DOMAIN]", max: 1, about: "all aliases", setup: aliasList},
		{name: "alias show", args: "ADDRESS", min: 1, max: 1, about: "the targets of an address", setup: aliasShow},
		{name: "alias rm", args: "ADDRESS [TARGET...]", min: 1, max: -1, about: "remove targets, or all of them; the address stays", setup: aliasRemove},
	}
}

func aliasAdd(fs *flag.FlagSet) action {
	ext := fs.String("extension", "", "address `extension` to add to the targets")
	return func(ctx context.Context, a *app, args []string) error {
		err := a.withAddress(ctx, args[0], func(m *schema.Mail, local, domain, host string) error {
			if err := checkNew(local, domain); err != nil {
				return err
			}
			return m.Write(ctx, func(t *schema.Tx) error {
				from, err := t.EnsureAddress(local, domain)
				if err != nil {
					return err
				}
				for _, target := range args[1:] {
					if err := addTarget(t, from, target, host, *ext, strings.EqualFold(domain, host)); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err == nil {
			a.warnTargets(ctx, args[1:])
		}
		return err
	}
}

// addTarget writes one target: into Alias for a name of this host, else into
// VAlias.
func addTarget(t *schema.Tx, from int64, target, host, ext string, local bool) error {
	special := strings.ContainsAny(target[:1], "/|:\"")
	if local && (special || ext == "") {
		return t.AddAlias(from, target)
	}
	if special {
		return usage("%q: only a name of this host (%s) can lead to a file or a command", target, host)
	}
	name, domain, err := splitAddress(target, host)
	if err == nil {
		err = checkNew(name, domain)
	}
	if err != nil {
		return err
	}
	to, err := t.EnsureAddress(name, domain)
	if err != nil {
		return err
	}
	return t.AddVAlias(from, to, ext)
}

func aliasSet(fs *flag.FlagSet) action {
	active := fs.String("active", "", "`yes or no`")
	return func(ctx context.Context, a *app, args []string) error {
		if *active != "yes" && *active != "no" {
			return usage("alias set: say --active yes or --active no")
		}
		return a.onAddress(ctx, args[0], func(t *schema.Tx, local, domain string) error {
			return eachTarget(t, local, domain, args[1:], func(from int64, target string) (int64, error) {
				return t.SetAliases(from, target, *active == "yes")
			})
		})
	}
}

func aliasRemove(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.onAddress(ctx, args[0], func(t *schema.Tx, local, domain string) error {
			return eachTarget(t, local, domain, args[1:], t.RemoveAliases)
		})
	}
}

// eachTarget runs a change for each named target of an address, or for all of
// them; one that concerns no row is an error.
func eachTarget(t *schema.Tx, local, domain string, targets []string, do func(from int64, target string) (int64, error)) error {
	from, err := t.AddressNum(local, domain)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		targets = []string{""}
	}
	for _, target := range targets {
		n, err := do(from, target)
		if err == nil && n == 0 {
			err = fmt.Errorf("alias %s@%s %s: %w", local, domain, target, schema.ErrNotFound)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func aliasList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			t := a.table(*asJSON, "ADDRESS", "TARGET", "ACTIVE", "KIND")
			return t.end(m.Aliases(ctx, strings.Join(args, ""), func(r schema.AliasRow) error {
				return t.row(r, r.Address, r.Target, yesNo(r.Active), r.Kind)
			}))
		})
	}
}

func aliasShow(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withAddress(ctx, args[0], func(m *schema.Mail, local, domain, _ string) error {
			t := a.table(*asJSON, "TARGET", "ACTIVE", "KIND")
			err := m.Aliases(ctx, domain, func(r schema.AliasRow) error {
				if !strings.EqualFold(r.Address, local+"@"+domain) {
					return nil
				}
				return t.row(r, r.Target, yesNo(r.Active), r.Kind)
			})
			if err == nil && t.n == 0 {
				err = fmt.Errorf("alias %s: %w", args[0], schema.ErrNotFound)
			}
			return t.end(err)
		})
	}
}
