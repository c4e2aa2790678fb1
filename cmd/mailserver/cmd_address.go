package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"mailserver/schema"
)

func addressCommands() []command {
	return []command{
		{name: "address add", args: "USER@DOMAIN", min: 1, max: 1, about: "add an address; @DOMAIN is the catch-all, a bare name a system user",
			setup: addressAdd},
		{name: "address set", args: "USER@DOMAIN", min: 1, max: 1, about: "change an address", setup: addressSet},
		{name: "address list", args: "[DOMAIN]", max: 1, about: "all addresses", setup: addressList},
		{name: "address show", args: "USER@DOMAIN", min: 1, max: 1, about: "an address and every row that refers to it", setup: addressShow},
		{name: "address rm", args: "USER@DOMAIN", min: 1, max: 1, about: "remove an address that nothing refers to", setup: addressRemove},
	}
}

func addressFlags(fs *flag.FlagSet) {
	fs.String("rclass", "", "restriction class, `number or name`; '' for that of the domain")
	fs.String("mail", "", "`yes or no`: no refuses its mail, log-ins go on")
	fs.String("login", "", "`yes or no`: no refuses log-ins, mail goes on")
	transportFlags(fs)
}

func addressChange(t *schema.Tx, given map[string]string) (c schema.AddressChange, err error) {
	if c.RClass, err = rclassField(t, given); err != nil {
		return c, err
	}
	if c.Active, err = activeField(given); err != nil {
		return c, err
	}
	c.Transport, err = transportField(t, given)
	return c, err
}

// activeField reads --mail and --login, which share a column.
func activeField(given map[string]string) (schema.Field, error) {
	mail, isMail := given["mail"]
	login, isLogin := given["login"]
	for name, text := range map[string]string{"mail": mail, "login": login} {
		if _, ok := given[name]; ok && text != "yes" && text != "no" {
			return schema.Field{}, usage("--%s: say yes or no", name)
		}
	}
	switch {
	case mail == "no" && login == "no":
		return schema.Field{}, usage("an address refuses mail or log-ins; for both, disable the mailbox: mailbox set --active no")
	case mail == "no":
		return schema.To(0), nil
	case login == "no":
		return schema.To(-1), nil
	case isMail || isLogin:
		return schema.To(1), nil
	}
	return schema.Field{}, nil
}

// onAddress runs a change of the address that the argument names.
func (a *app) onAddress(ctx context.Context, arg string, do func(t *schema.Tx, local, domain string) error) error {
	return a.withAddress(ctx, arg, func(m *schema.Mail, local, domain, _ string) error {
		return m.Write(ctx, func(t *schema.Tx) error { return do(t, local, domain) })
	})
}

func addressAdd(fs *flag.FlagSet) action {
	addressFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		return a.onAddress(ctx, args[0], newAddress(func(t *schema.Tx, local, domain string) error {
			c, err := addressChange(t, a.given())
			if err != nil {
				return err
			}
			_, err = t.AddAddress(local, domain, c)
			return err
		}))
	}
}

func addressSet(fs *flag.FlagSet) action {
	addressFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		return a.onAddress(ctx, args[0], func(t *schema.Tx, local, domain string) error {
			c, err := addressChange(t, a.given())
			if err != nil {
				return err
			}
			return t.SetAddress(local, domain, c)
		})
	}
}

// activeWord says Address.active in words.
func activeWord(n int) string {
	switch n {
	case 0:
		return "no mail"
	case -1:
		return "no log-in"
	}
	return "yes"
}

func addressList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			t := a.table(*asJSON, "ADDRESS", "CLASS", "ACTIVE", "RCLASS", "TRANSPORT", "MAILBOX", "TARGETS")
			return t.end(m.Addresses(ctx, strings.Join(args, ""), func(r schema.AddressRow) error {
				return t.row(r, r.Address, className(r.Class), activeWord(r.Active), classNumber(r.RClass), r.Transport, yesNo(r.Mailbox), r.Targets)
			}))
		})
	}
}

// shownAddress is an address with the rows that refer to it.
type shownAddress struct {
	schema.AddressRow
	References []string `json:"references"`
}

func addressShow(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withAddress(ctx, args[0], func(m *schema.Mail, local, domain, _ string) error {
			r, err := m.Address(ctx, local, domain)
			if err != nil {
				return err
			}
			refs, err := m.References(ctx, r.Num)
			if err != nil {
				return err
			}
			err = a.object(*asJSON, shownAddress{r, refs}, "address", r.Address, "number", r.Num, "active", activeWord(r.Active),
				"class", className(r.Class), "restriction class", classNumber(r.RClass), "transport", r.Transport)
			for _, ref := range refs {
				if !*asJSON {
					fmt.Fprintf(a.out, "  %s\n", ref)
				}
			}
			return err
		})
	}
}

func addressRemove(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.onAddress(ctx, args[0], func(t *schema.Tx, local, domain string) error { return t.RemoveAddress(local, domain) })
	}
}
