package main

import (
	"context"
	"flag"
	"fmt"

	"mailserver/internal/server"
	"mailserver/storage"
)

func importDovecot(fs *flag.FlagSet) action {
	m := movingFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		dir, err := absolute(args[0])
		if err != nil {
			return err
		}
		return a.withParts(ctx, func(p *server.Parts) error {
			if _, err := m.account(ctx, p); err != nil {
				return err
			}
			spec, err := p.Spec(ctx, m.user)
			if err != nil {
				return err
			}
			taken, err := p.Store.TakeIn(ctx, *spec, dir)
			if err != nil {
				return err
			}
			return m.tellTaken(a, taken)
		})
	}
}

func (m *moving) tellTaken(a *app, taken storage.Taken) error {
	if m.json {
		return a.object(true, taken)
	}
	t := a.table(false, "MAILBOX", "MESSAGES", "UIDVALIDITY", "UIDNEXT")
	for _, b := range taken.Mailboxes {
		if err := t.row(b, b.Name, b.Messages, b.UIDValidity, b.UIDNext); err != nil {
			return err
		}
	}
	if err := t.end(nil); err != nil {
		return err
	}
	for _, text := range taken.Left {
		fmt.Fprintf(a.out, "not taken: %s\n", text)
	}
	return nil
}
