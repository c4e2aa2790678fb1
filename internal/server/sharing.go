package server

import (
	"context"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"mailserver/imap"
	"mailserver/internal/acl"
	"mailserver/schema"
	"mailserver/storage"
)

// sharing is what IMAP asks about mailboxes of others.
func (p *Parts) sharing() imap.Sharing {
	return imap.Sharing{
		Namespaces: p.namespaces,
		Groups:     p.Groups,
		Sharers: func(ctx context.Context, who acl.Who, limit int) ([]string, error) {
			return p.Store.Sharers(ctx, who, limit)
		},
	}
}

// Groups returns the groups of a user.
func (p *Parts) Groups(ctx context.Context, user string) ([]string, error) {
	v, err := p.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	return v.Groups(ctx, user)
}

func (p *Parts) namespaces(ctx context.Context) ([]imap.Namespace, error) {
	v, err := p.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := v.Namespaces(ctx)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	list := make([]imap.Namespace, len(rows))
	for i, row := range rows {
		list[i] = imap.Namespace{Prefix: row.Prefix, List: row.List}
		if row.Type == "public" {
			list[i].Public = p.Store.Account(p.publicSpec(row))
		}
	}
	return list, nil
}

// publicUser is the name under which the index has the mailboxes of a public
// namespace; no user can be called so.
func publicUser(dir string) string { return "public:" + dir }

// publicSpec says where the mail of a public namespace lies. Without an owner in
// the row its files are of the owner of the directory.
func (p *Parts) publicSpec(row schema.Namespace) storage.Spec {
	dir := strings.TrimPrefix(row.Location, "maildir:")
	spec := storage.Spec{User: publicUser(dir), Dir: dir, UID: row.UID, GID: row.GID, Public: true}
	var st unix.Stat_t
	if spec.UID < 0 && os.Geteuid() == 0 && unix.Lstat(dir, &st) == nil {
		spec.UID, spec.GID = int(st.Uid), int(st.Gid)
	}
	if os.Geteuid() == 0 {
		p.asOwner(&spec)
	}
	return spec
}

// Public returns the mail of the public namespace with a prefix, with or without
// its last slash; nil if there is none.
func (p *Parts) Public(ctx context.Context, prefix string) (*storage.Account, error) {
	v, err := p.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := v.Namespaces(ctx)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row.Type == "public" && strings.TrimSuffix(row.Prefix, "/") == strings.TrimSuffix(prefix, "/") {
			return p.Store.Account(p.publicSpec(row)), nil
		}
	}
	return nil, nil
}
