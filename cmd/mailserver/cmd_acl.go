package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"mailserver/internal/acl"
	"mailserver/internal/server"
	"mailserver/storage"
)

// aclCommands say who may do what with whose folders.
func aclCommands() []command {
	const ids = "ID is anyone, authenticated, owner, user=NAME, group=NAME or group-override=NAME; with \"-\" before it, of what they may not do."
	const rights = "RIGHTS are letters of RFC 4314, or Dovecot's names of them (lookup, read ...), after \"+\" or \"-\" added or taken."
	return []command{
		{name: "mailbox acl list", args: "[FOLDER ...]", max: -1, about: "who may do what with folders", setup: aclList},
		{name: "mailbox acl set", args: "FOLDER ID RIGHTS ...", min: 3, max: -1, about: "give rights on a folder", more: ids + "\n" + rights, setup: aclSet},
		{name: "mailbox acl delete", args: "FOLDER ID", min: 2, max: 2, about: "take an identifier off the list of a folder", more: ids, setup: aclDelete},
		{name: "mailbox acl recalc", about: "note anew from the files who shares with whom", setup: aclRecalc},
	}
}

// aclTarget is whose folders are meant: a user's, or those of a public namespace.
type aclTarget struct {
	*whose
	public string
}

func aclFlags(fs *flag.FlagSet) *aclTarget {
	t := &aclTarget{whose: whoseFlags(fs)}
	fs.StringVar(&t.public, "n", "", "`prefix` of a public namespace, instead of a user")
	return t
}

func (t *aclTarget) accounts(ctx context.Context, a *app, fn func(account *storage.Account, name string) error) error {
	if t.public == "" {
		return t.each(ctx, a, func(p *server.Parts, user string) error {
			account, err := accountOf(ctx, p, user)
			if err != nil {
				return err
			}
			return fn(account, user)
		})
	}
	if t.user != "" || t.all {
		return usage("say -u USER, -A or -n PREFIX, one of them")
	}
	return a.withParts(ctx, func(p *server.Parts) error {
		account, err := p.Public(ctx, t.public)
		if err == nil && account == nil {
			err = fmt.Errorf("%s: no row of Namespace is that of a public namespace with this prefix", t.public)
		}
		if err != nil {
			return err
		}
		return fn(account, t.public)
	})
}

func aclList(fs *flag.FlagSet) action {
	w := aclFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		t := a.table(w.json, "USER", "FOLDER", "ID", "RIGHTS")
		return t.end(w.accounts(ctx, a, func(account *storage.Account, user string) error {
			list, err := account.List(ctx)
			if err != nil {
				return err
			}
			q := &query{boxes: args}
			for _, m := range list {
				if !m.Exists || !q.wants(m.Name) || account.Public() && m.Name == "INBOX" {
					continue
				}
				entries, err := account.ACL(ctx, m.Name)
				if err != nil {
					return err
				}
				line := func(id string, r acl.Rights) error {
					return t.row(map[string]any{"user": user, "mailbox": m.Name, "id": id, "rights": r.String()}, user, m.Name, id, r.String())
				}
				for _, e := range entries {
					var errs [2]error
					if e.HasYes {
						errs[0] = line(e.ID.String(), e.Yes)
					}
					if e.HasNo {
						errs[1] = line("-"+e.ID.String(), e.No)
					}
					if err := errors.Join(errs[:]...); err != nil {
						return err
					}
				}
			}
			return nil
		}))
	}
}

// aclWords reads rights: letters, or names; op is '+' or '-', or 0.
func aclWords(words []string) (r acl.Rights, op byte, err error) {
	if first := words[0]; first != "" && (first[0] == '+' || first[0] == '-') {
		op, words[0] = first[0], first[1:]
	}
	for _, w := range words {
		right, ok := acl.Named(w)
		if !ok {
			var bad byte
			if right, bad = acl.Parse(w); bad != 0 {
				return 0, 0, usage("%q is no right: letters of lrwstipekxa, or lookup, read, write, write-seen, write-deleted, insert, post, expunge, create, delete, admin", w)
			}
		}
		r |= right
	}
	return r, op, nil
}

// change sets an entry's rights in the folders that are meant.
func (t *aclTarget) change(ctx context.Context, a *app, folder, id string, fn func(old acl.Rights) acl.Rights) error {
	name, negative := strings.CutPrefix(id, "-")
	who, err := acl.ParseID(name)
	if err != nil {
		return usage("%v: say anyone, authenticated, owner, user=NAME, group=NAME, group-override=NAME", err)
	}
	return t.accounts(ctx, a, func(account *storage.Account, user string) error {
		err := account.ChangeACL(ctx, folder, func(l acl.List) acl.List {
			e := l.Entry(who)
			if who.Kind == acl.Owner && !e.HasYes && !account.Public() {
				e.Yes, e.HasYes = acl.All, true
			}
			if negative {
				e.No = fn(e.No)
				e.HasNo = e.No != 0
			} else {
				e.Yes = fn(e.Yes)
				e.HasYes = e.Yes != 0
			}
			return l.Set(e)
		})
		if errors.Is(err, storage.ErrNoMailbox) {
			err = fmt.Errorf("%s has no folder %s", user, folder)
		}
		return err
	})
}

func aclSet(fs *flag.FlagSet) action {
	t := aclFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		r, op, err := aclWords(args[2:])
		if err != nil {
			return err
		}
		return t.change(ctx, a, args[0], args[1], func(old acl.Rights) acl.Rights {
			switch op {
			case '+':
				return old | r
			case '-':
				return old &^ r
			}
			return r
		})
	}
}

func aclDelete(fs *flag.FlagSet) action {
	t := aclFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		return t.change(ctx, a, args[0], args[1], func(acl.Rights) acl.Rights { return 0 })
	}
}

func aclRecalc(fs *flag.FlagSet) action {
	t := aclFlags(fs)
	return func(ctx context.Context, a *app, _ []string) error {
		return t.accounts(ctx, a, func(account *storage.Account, _ string) error { return account.NoteSharing(ctx) })
	}
}
