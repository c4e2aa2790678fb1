package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"mailserver/schema"
)

// auditMost bounds the entries that one command makes.
const auditMost = 1000

func auditCommands() []command {
	return []command{{name: "audit", args: "[TEXT]", max: 1, about: "who has changed which row of mail.sqlite, from what to what",
		more: "Every program that changes rows is recorded, sqlite3 too. TEXT is an address, a table, a user, or part of a value.\nPasswords and keys are shown as ***.", setup: audit}}
}

func audit(fs *flag.FlagSet) action {
	since := fs.String("since", "", "`time`: 2h, 30m, 2026-11-20 or 2026-11-20 14:05")
	most := fs.Int("most", 1000, "`changes`, the newest")
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		q := schema.AuditQuery{Text: strings.Join(args, ""), Since: time.Unix(0, 0), Most: *most}
		if *since != "" {
			var err error
			if q.Since, err = sinceTime(*since, time.Now()); err != nil {
				return err
			}
		}
		return a.withMail(ctx, func(m *schema.Mail) error {
			if *asJSON {
				t := a.table(true)
				return t.end(m.Audits(ctx, q, func(e schema.AuditEntry) error { return t.row(e) }))
			}
			return m.Audits(ctx, q, func(e schema.AuditEntry) error { return a.printAudit(&e) })
		})
	}
}

func (a *app) printAudit(e *schema.AuditEntry) error {
	who := e.Who
	if who == "" {
		who = "another program"
	}
	_, err := fmt.Fprintf(a.out, "%s  %s: %s\n", e.Time.Format(time.DateTime), who, strings.TrimSpace(e.Action+" "+strings.TrimSpace(e.Table+" "+e.Row)))
	for _, line := range e.Changes() {
		if err == nil {
			_, err = fmt.Fprintf(a.out, "    %s\n", line)
		}
	}
	return err
}

// actor is who the audit trail names: the user, also behind sudo(8), and the
// command without its arguments, which may hold hashes.
func actor(command string) string {
	name := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	} else {
		name = "uid " + name
	}
	if from := os.Getenv("SUDO_USER"); from != "" && os.Getuid() == 0 {
		name = from + " as root"
	}
	return name + ": mailserver " + command
}
