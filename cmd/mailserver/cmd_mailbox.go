package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"mailserver/auth"
	"mailserver/delivery/route"
	"mailserver/internal/server"
	"mailserver/internal/setting"
	"mailserver/schema"
)

func mailboxCommands() []command {
	return []command{
		{name: "mailbox add", args: "USER@DOMAIN --password-stdin", min: 1, max: 1, about: "add a mailbox that can log in", setup: mailboxAdd},
		{name: "mailbox set", args: "USER@DOMAIN", min: 1, max: 1, about: "change a mailbox or its password", setup: mailboxSet},
		{name: "mailbox list", args: "[DOMAIN]", max: 1, about: "all mailboxes; with -u or -A the folders in them", setup: mailboxList},
		{name: "mailbox show", args: "USER@DOMAIN", min: 1, max: 1, about: "a mailbox", setup: mailboxShow},
		{name: "mailbox rm", args: "USER@DOMAIN", min: 1, max: 1, about: "remove a mailbox; the mail on disk stays, unless --purge", setup: mailboxRemove},
	}
}

func mailboxFlags(fs *flag.FlagSet) {
	fs.Bool("password-stdin", false, "read the password from standard input")
	fs.String("password-hash", "", "`{SCHEME}hash` made elsewhere")
	fs.String("scheme", defaultScheme, "`scheme` of the password: "+strings.Join(auth.Schemes(), ", "))
	fs.String("quota", "", "`size` such as 500M or 2G; 0 no limit")
	fs.String("uid", "", "`UID` of its files; '' for the class of the domain")
	fs.String("gid", "", "`GID` of its files; '' for virtual_default_gid")
	fs.String("home", "", "home `directory`; '' for virtual_mailbox_home")
	fs.String("active", "", "`yes or no`: no refuses mail and log-ins")
}

func (a *app) mailboxChange(given map[string]string) (c schema.MailboxChange, err error) {
	if c.Passwd, err = a.passwordField(given); err != nil {
		return c, err
	}
	if text, ok := given["quota"]; ok {
		n, err := setting.Bytes(text)
		if err != nil {
			return c, usage("--quota: %v", err)
		}
		c.Quota = schema.To(n)
	}
	for name, f := range map[string]*schema.Field{"uid": &c.UID, "gid": &c.GID, "home": &c.Home} {
		if text, ok := given[name]; ok {
			*f = schema.To(nullable(text))
		}
	}
	if text, ok := given["active"]; ok {
		if text != "yes" && text != "no" {
			return c, usage("--active: say yes or no")
		}
		c.Active = schema.To(text == "yes")
	}
	return c, nil
}

func nullable(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// passwordField reads the password from where the flags say. No flag takes it:
// other users of the host can read command lines.
func (a *app) passwordField(given map[string]string) (schema.Field, error) {
	hash, isHash := given["password-hash"]
	if given["password-stdin"] != "true" {
		if isHash && !strings.HasPrefix(hash, "{") {
			return schema.Field{}, usage("--password-hash: say {SCHEME}hash")
		}
		if isHash {
			return schema.To(hash), nil
		}
		return schema.Field{}, nil
	}
	password, err := a.secret()
	if err != nil {
		return schema.Field{}, err
	}
	hash, err = auth.Hash(schemeOf(given), password, rand.Reader)
	if err != nil {
		return schema.Field{}, usage("%v", err)
	}
	return schema.To(hash), nil
}

func mailboxAdd(fs *flag.FlagSet) action {
	mailboxFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		given := a.given()
		if given["password-stdin"] != "true" && given["password-hash"] == "" {
			fmt.Fprintln(a.err, "mailserver: without --password-stdin nobody can log in until \"mailbox set\" gives a password")
		}
		c, err := a.mailboxChange(given)
		if err != nil {
			return err
		}
		return a.onAddress(ctx, args[0], newAddress(func(t *schema.Tx, local, domain string) error {
			if err := refuseUseless(t, domain, given); err != nil {
				return err
			}
			if err := refuseHomeless(local, domain, given); err != nil {
				return err
			}
			return t.AddVMailbox(local, domain, c)
		}))
	}
}

// refuseUseless refuses a mailbox that no mail could reach.
func refuseUseless(t *schema.Tx, domain string, given map[string]string) error {
	class, err := t.DomainClass(domain)
	switch {
	case err != nil || class.IsMailbox():
		return err
	case class != schema.Local:
		return fmt.Errorf("%w: %s is a domain of class %s, where no mailbox gets mail; first: mailserver domain set %s --class mailbox",
			schema.ErrValue, domain, className(class), domain)
	case given["uid"] == "":
		return usage("%s is a local domain: say --uid, whose files its mail will be", domain)
	}
	return nil
}

// refuseHomeless refuses a mailbox whose name cannot be that of a directory
// and to which no other is given.
func refuseHomeless(local, domain string, given map[string]string) error {
	switch {
	case given["home"] != "" || route.HasHome(local, domain):
		return nil
	case local == "":
		return usage("@%s is the catch-all, which has no name of its own: say whose mail it is by: mailserver alias add @%s USER@%s", domain, domain, domain)
	}
	return usage("%s@%s cannot be the name of a directory: say --home", local, domain)
}

func mailboxSet(fs *flag.FlagSet) action {
	mailboxFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		c, err := a.mailboxChange(a.given())
		if err != nil {
			return err
		}
		return a.onAddress(ctx, args[0], func(t *schema.Tx, local, domain string) error { return t.SetVMailbox(local, domain, c) })
	}
}

func mailboxList(fs *flag.FlagSet) action {
	w := whoseFlags(fs)
	asJSON := &w.json
	return func(ctx context.Context, a *app, args []string) error {
		if w.user != "" || w.all {
			return w.folders(ctx, a)
		}
		return a.withMail(ctx, func(m *schema.Mail) error {
			t := a.table(*asJSON, "MAILBOX", "ACTIVE", "MAIL", "LOGIN", "SCHEME", "QUOTA", "HOME")
			return t.end(m.Mailboxes(ctx, strings.Join(args, ""), func(r schema.MailboxRow) error {
				return t.row(r, r.Address, yesNo(r.Active), yesNo(r.Mail), yesNo(r.Login), r.Scheme, size(r.Quota), r.Home)
			}))
		})
	}
}

// size says bytes in the largest unit that is exact.
func size(n int64) string {
	if n == 0 {
		return ""
	}
	unit := 0
	for n%1024 == 0 && unit < 4 {
		n, unit = n/1024, unit+1
	}
	return fmt.Sprint(n) + []string{"", "K", "M", "G", "T"}[unit]
}

func mailboxShow(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withParts(ctx, func(p *server.Parts) error {
			_, domain, err := splitAddress(args[0], "")
			if err != nil {
				return err
			}
			var row *schema.MailboxRow
			err = p.Mail.Mailboxes(ctx, domain, func(r schema.MailboxRow) error {
				if strings.EqualFold(r.Address, args[0]) {
					row = &r
				}
				return nil
			})
			if err == nil && row == nil {
				err = fmt.Errorf("mailbox %s: %w", args[0], schema.ErrNotFound)
			}
			if err != nil {
				return err
			}
			box, err := p.Route.Account(ctx, args[0])
			if err != nil {
				return err
			}
			where := ""
			if box != nil {
				where = fmt.Sprintf("%s (UID %d, GID %d)", box.Mail, box.UID, box.GID)
			}
			return a.object(*asJSON, row, "mailbox", row.Address, "active", yesNo(row.Active), "gets mail", yesNo(row.Mail), "log-in", yesNo(row.Login),
				"scheme", row.Scheme, "quota", size(row.Quota), "mail", where)
		})
	}
}

func mailboxRemove(fs *flag.FlagSet) action {
	purge := fs.Bool("purge", false, "remove its mail from the disk too")
	yes := fs.Bool("yes", false, "do not ask")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withParts(ctx, func(p *server.Parts) error {
			local, domain, err := splitAddress(args[0], "")
			if err != nil {
				return err
			}
			dir := ""
			if *purge {
				if dir, err = mailDir(ctx, p, args[0]); err != nil {
					return err
				}
				if err := a.confirm(*yes, "remove "+dir+" with all mail in it"); err != nil {
					return err
				}
			}
			if err := p.Mail.Write(ctx, func(t *schema.Tx) error { return t.RemoveVMailbox(local, domain) }); err != nil || dir == "" {
				return err
			}
			if err := os.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove mail: %w", err)
			}
			return nil
		})
	}
}

// mailDir returns the directory that holds the mail of a user. Only that of an
// active mailbox is known for sure.
func mailDir(ctx context.Context, p *server.Parts, user string) (string, error) {
	box, err := p.Route.Account(ctx, user)
	if err == nil && box == nil {
		err = fmt.Errorf("%w: the mailbox is not active; first: mailserver mailbox set %s --active yes", schema.ErrValue, user)
	}
	if err != nil {
		return "", err
	}
	return box.Mail, nil
}
