package main

import (
	"context"
	"fmt"
	"strings"

	"mailserver/auth"
	"mailserver/schema"
)

// names: the sqlite3 shell takes every text for the name of a domain.
func (c *checker) names(ctx context.Context) error {
	return c.p.Mail.Domains(ctx, func(d schema.DomainRow) error {
		if err := checkDomain(d.Domain, d.Class); err != nil && d.Class != schema.External {
			mend := "mailserver domain rm --recursive -- " + quoted(d.Domain)
			if name := strings.TrimSpace(d.Domain); checkDomain(name, d.Class) == nil {
				mend = fmt.Sprintf("UPDATE Domain SET domName='%s' WHERE domNum=%d;", name, d.Num)
			}
			c.warn("names", mend, "%q is no domain: no mail can come to it", d.Domain)
		}
		return nil
	})
}

// quoted is a word for a shell.
func quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// passwords: a row with one that no log-in can fit, as when somebody has
// written the word itself, is told as a failure of the server at each log-in.
func (c *checker) passwords(ctx context.Context) error {
	scheme, _, err := c.p.Config.Value(ctx, "default_pass_scheme")
	if err != nil {
		return err
	}
	return c.p.Mail.Passwords(ctx, func(user, stored string) error {
		err := auth.Usable(user, stored, scheme)
		if err == nil {
			return nil
		}
		hint := ""
		if !strings.HasPrefix(stored, "{") {
			hint = "; one that is a word begins with {PLAIN}"
		}
		c.add("passwords", "mailserver mailbox set "+user+" --password-stdin", "%s cannot log in: %v%s", user, err, hint)
		return nil
	})
}
