package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"mailserver/schema"
)

// moreAddressCommands are those that concern several rows around addresses.
func moreAddressCommands() []command {
	return []command{
		{name: "address refs", args: "USER@DOMAIN", min: 1, max: 1, about: "what still refers to an address: to be asked before address rm",
			more: "Rows that stand against removing it come first; the others would lead nowhere.", setup: addressRefs},
		{name: "address disable", args: "DOMAIN", min: 1, max: 1, about: "refuse mail for all addresses of a domain, or for some",
			more: "They may go on logging in; --logins refuses that instead.", setup: addressSwitch(false)},
		{name: "address enable", args: "DOMAIN", min: 1, max: 1, about: "take mail and log-ins again for addresses of a domain", setup: addressSwitch(true)},
		{name: "relocated add", args: "ADDRESS TARGET", min: 2, max: 2, about: "tell senders where a user has moved to; @DOMAIN for all of one", setup: relocatedAdd},
		{name: "relocated list", about: "who has moved where", setup: relocatedList},
		{name: "relocated rm", args: "ADDRESS", min: 1, max: 1, about: "forget that a user has moved", setup: relocatedRemove},
	}
}

// shownRefs are the references of an address as JSON.
type shownRefs struct {
	Address  string   `json:"address"`
	Rows     []string `json:"rows"`
	Mentions []string `json:"mentions"`
}

func addressRefs(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withAddress(ctx, args[0], func(m *schema.Mail, local, domain, _ string) error {
			refs := shownRefs{Address: local + "@" + domain, Rows: []string{}, Mentions: []string{}}
			row, err := m.Address(ctx, local, domain)
			if err != nil && !errors.Is(err, schema.ErrNotFound) {
				return err
			}
			if err == nil {
				rows, err := m.References(ctx, row.Num)
				if err != nil {
					return err
				}
				refs.Rows = append(refs.Rows, rows...)
			}
			more, err := m.TextReferences(ctx, refs.Address)
			if err != nil {
				return err
			}
			refs.Mentions = append(refs.Mentions, more...)
			return a.printRefs(refs, *asJSON)
		})
	}
}

func (a *app) printRefs(refs shownRefs, asJSON bool) error {
	if asJSON {
		return a.object(true, refs)
	}
	for _, text := range refs.Rows {
		fmt.Fprintln(a.out, text)
	}
	for _, text := range refs.Mentions {
		fmt.Fprintf(a.out, "%s (by name)\n", text)
	}
	return nil
}

func addressSwitch(on bool) func(*flag.FlagSet) action {
	return func(fs *flag.FlagSet) action {
		like := fs.String("like", "%", "`pattern` of local parts: % for any text, _ for a letter")
		logins := false
		if !on {
			fs.BoolVar(&logins, "logins", false, "refuse log-ins, go on taking mail")
		}
		return func(ctx context.Context, a *app, args []string) error {
			active := 0
			switch {
			case on:
				active = 1
			case logins:
				active = -1
			}
			return a.change(ctx, func(t *schema.Tx) error {
				n, err := t.SetAddresses(strings.TrimPrefix(args[0], "@"), *like, active)
				if err == nil {
					fmt.Fprintf(a.out, "%d addresses changed\n", n)
				}
				return err
			})
		}
	}
}

func relocatedAdd(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		if !strings.Contains(args[0], "@") || strings.HasSuffix(args[0], "@") {
			return usage("%q is no address: user@domain, or @domain", args[0])
		}
		return a.change(ctx, func(t *schema.Tx) error { return t.PutRelocated(args[0], args[1]) })
	}
}

func relocatedList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			t := a.table(*asJSON, "ADDRESS", "TARGET", "ACTIVE")
			return t.end(m.EachRelocated(ctx, func(r schema.RelocatedRow) error {
				return t.row(r, r.Address, r.Target, yesNo(r.Active))
			}))
		})
	}
}

func relocatedRemove(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.change(ctx, func(t *schema.Tx) error { return t.RemoveRelocated(args[0]) })
	}
}
