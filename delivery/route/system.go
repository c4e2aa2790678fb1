package route

import (
	"bufio"
	"errors"
	"fmt"
	"os"
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

// userBox is the mailbox of a user of the system: a Maildir, or the path of an
// mbox file.
func (q *query) userBox(u *user.User) (box *Box, mbox string, err error) {
	uid, gid, err := userIDs(u)
	if err != nil || !filepath.IsAbs(u.HomeDir) {
		return nil, "", errors.New("user " + u.Username + " has no UID, GID or home")
	}
	home, name := filepath.Clean(u.HomeDir), strings.ToLower(u.Username)
	below, path := q.cfg.HomeMailbox, filepath.Join(home, q.cfg.HomeMailbox)
	switch {
	case below == "" && !filepath.IsAbs(q.cfg.MailSpool):
		return nil, "", fmt.Errorf("setting mail_spool_directory: %q is not an absolute path", q.cfg.MailSpool)
	case below == "":
		below, path = q.cfg.MailSpool, filepath.Join(q.cfg.MailSpool, u.Username)
	case !filepath.IsLocal(below):
		return nil, "", fmt.Errorf("setting home_mailbox: %q does not lie below the home", below)
	}
	if !strings.HasSuffix(below, "/") {
		return nil, path, nil
	}
	return &Box{User: name, Home: home, Mail: path, UID: uid, GID: gid}, "", nil
}

func userIDs(u *user.User) (uid, gid int, err error) {
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil || uid < 0 || gid < 0 {
		return 0, 0, errors.New("user " + u.Username + " has no UID or GID")
	}
	return uid, gid, nil
}

// defaultShell is that of a user without one, passwd(5).
const defaultShell = "/bin/sh"

// shellOf returns the log-in shell of a user, which commands find in SHELL.
func shellOf(name string) string {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return defaultShell
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if f := strings.Split(sc.Text(), ":"); len(f) == 7 && f[0] == name && f[6] != "" {
			return f[6]
		}
	}
	return defaultShell
}
