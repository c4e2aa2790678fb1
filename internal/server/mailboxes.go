package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"mailserver/schema"
	"mailserver/storage"
)

// Spec returns where the mail of a user lies; nil if the user has no mailbox.
func (p *Parts) Spec(ctx context.Context, user string) (*storage.Spec, error) {
	box, err := p.Route.Account(ctx, user)
	if err != nil || box == nil {
		return nil, err
	}
	spec := &storage.Spec{User: box.User, Dir: box.Mail, Home: box.Home, UID: box.UID, GID: box.GID, Quota: box.Quota}
	if os.Geteuid() == 0 {
		p.asOwner(spec)
	}
	return spec, nil
}

// asOwner is for commands of root beside a server that is a user without
// rights: all mail is that user's then, whatever the rows say. It is so where
// the Maildir belongs to the owner of the data directory, or is to be made
// inside it.
func (p *Parts) asOwner(spec *storage.Spec) {
	var data, mail unix.Stat_t
	if unix.Stat(StateFile(p.Dir), &data) != nil || data.Uid == 0 {
		return
	}
	err := unix.Lstat(spec.Dir, &mail)
	if err == nil && mail.Uid == data.Uid || errors.Is(err, unix.ENOENT) && strings.HasPrefix(spec.Dir, p.Dir+"/") {
		spec.UID, spec.GID = int(data.Uid), int(data.Gid)
	}
}

// Account returns the mail of a user who has logged in; nil if there is no
// such mailbox any more.
func (p *Parts) Account(ctx context.Context, user string) (*storage.Account, error) {
	spec, err := p.Spec(ctx, user)
	if err != nil || spec == nil {
		return nil, err
	}
	return p.Store.Account(*spec), nil
}

// CheckMailboxes compares the index with the tree of every mailbox in
// mail.sqlite and calls fn for each that differs or cannot be read. With
// repair the index is made to agree first.
func (p *Parts) CheckMailboxes(ctx context.Context, repair bool, fn func(user string, diffs []storage.Difference, err error)) error {
	var users []string
	if err := p.Mail.Mailboxes(ctx, "", func(r schema.MailboxRow) error {
		users = append(users, r.Address)
		return nil
	}); err != nil {
		return err
	}
	for _, user := range users {
		spec, err := p.Spec(ctx, user)
		var diffs []storage.Difference
		if err == nil && spec != nil {
			diffs, err = p.checkMailbox(ctx, *spec, repair)
		}
		if err != nil || len(diffs) > 0 {
			fn(user, diffs, err)
		}
	}
	return nil
}

func (p *Parts) checkMailbox(ctx context.Context, spec storage.Spec, repair bool) ([]storage.Difference, error) {
	if repair {
		if err := p.Store.Repair(ctx, spec); err != nil {
			return nil, err
		}
	}
	if err := p.look(ctx, spec); err != nil {
		return nil, err
	}
	return p.Store.Check(ctx, spec)
}

// look opens every mailbox once, as a client would: mail that has come in
// since anybody looked, or just before a crash, gets its UIDs, and is no fault.
func (p *Parts) look(ctx context.Context, spec storage.Spec) error {
	account := p.Store.Account(spec)
	list, err := account.List(ctx)
	if err != nil {
		return err
	}
	for _, m := range list {
		if !m.Exists {
			continue
		}
		if _, err := account.Status(ctx, m.Name); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}
