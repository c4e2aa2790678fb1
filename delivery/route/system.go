package route

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func errUnknownMap(name string) error {
	return fmt.Errorf("setting local_recipient_maps: %s is not known here; want unix:passwd.byname, $alias_maps or address", name)
}

// systemUser returns the user of the system that an address of a local domain
// names, with or without extension; nil if none.
func (q *query) systemUser(res *resolved) (*user.User, error) {
	u, err := q.lookupUser(res.addr.Local)
	if err != nil || u != nil || res.suffix == "" {
		return u, err
	}
	return q.lookupUser(res.user)
}

// lookupUser asks only for names that a passwd file can hold.
func (q *query) lookupUser(name string) (*user.User, error) {
	name = strings.ToLower(name)
	if name == "" || len(name) > 64 || strings.ContainsAny(name, ":/\n\x00") {
		return nil, nil
	}
	u, err := q.r.d.LookupUser(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return nil, nil
	}
	return u, err
}

// asksSystem reports whether users of the system take mail at all.
func (q *query) asksSystem() bool {
	return len(q.cfg.LocalRecipients) == 0 || slices.ContainsFunc(q.cfg.LocalRecipients, func(s string) bool {
		return strings.TrimPrefix(s, "proxy:") != "$alias_maps" && s != "alias_maps"
	})
}

// userBox is the mailbox of a user of the system.
func (q *query) userBox(u *user.User) (*Box, error) {
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil || !filepath.IsAbs(u.HomeDir) {
		return nil, errors.New("user " + u.Username + " has no UID, GID or home")
	}
	if !strings.HasSuffix(q.cfg.HomeMailbox, "/") || !filepath.IsLocal(q.cfg.HomeMailbox) {
		return nil, fmt.Errorf("setting home_mailbox: %q is not a Maildir below the home, such as Maildir/", q.cfg.HomeMailbox)
	}
	home := filepath.Clean(u.HomeDir)
	return &Box{User: strings.ToLower(u.Username), Home: home, Mail: filepath.Join(home, q.cfg.HomeMailbox), UID: uid, GID: gid}, nil
}
