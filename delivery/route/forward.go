package route

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strings"
	"syscall"

	"mailserver/internal/asuser"
	"mailserver/internal/forward"
)

// forwardFile reads the first file of postconf(5) forward_path that is there,
// with the rights of the user. One that is not safe is passed over, as local(8)
// does; a list without targets is no list.
func (q *query) forwardFile(res *resolved, u *user.User, who *Local) (list []forward.Target, file string, err error) {
	ext := strings.ToLower(strings.TrimLeft(res.suffix, q.cfg.Delimiter))
	if strings.Contains(ext, "/") {
		ext = ""
	}
	vars := map[string]string{"home": who.Home, "user": u.Username, "extension": safeName(ext), "recipient_delimiter": q.cfg.Delimiter,
		"local": safeName(strings.ToLower(res.addr.Local)), "domain": safeName(res.dom.name), "recipient": safeName(res.addr.Plain())}
	for _, entry := range q.cfg.ForwardPath {
		if ext == "" && strings.Contains(entry, "extension") {
			continue
		}
		file = expandNames(entry, vars)
		err = asuser.ID{UID: who.UID, GID: who.GID}.Do(func() error {
			list, err = readForward(file, who.UID)
			return err
		})
		if errors.Is(err, asuser.ErrRights) { // what this process may see by itself
			list, err = readForward(file, who.UID)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			continue
		case errors.Is(err, errUnsafe):
			q.warn(err.Error())
			continue
		}
		return list, file, err
	}
	return nil, "", nil
}

func (q *query) warn(text string) {
	if q.r.d.Log != nil {
		q.r.d.Log.Warn(text)
	}
}

// errUnsafe says that a list could have been written by somebody else.
var errUnsafe = errors.New("not used")

// readForward reads a list that belongs to a user.
func readForward(name string, uid int) ([]forward.Target, error) {
	f, st, err := openList(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sys := st.Sys().(*syscall.Stat_t)
	switch {
	case int(sys.Uid) != uid && sys.Uid != 0:
		return nil, fmt.Errorf("%s has owner %d: %w", name, sys.Uid, errUnsafe)
	case st.Mode().Perm()&0o002 != 0:
		return nil, fmt.Errorf("%s is writable by everybody: %w", name, errUnsafe)
	}
	return forward.Read(f)
}

// openList opens a regular file; a FIFO is not waited for.
func openList(name string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: %w", name, errUnsafe)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, st, nil
}

// maxIncludes bounds how deep :include: files name one another.
const maxIncludes = 10

// include follows the targets of a file. Its addresses get a message of their
// own. One that cannot be read is asked again later: it may be being written.
func (e *expansion) include(ctx context.Context, l *nameList, file string, path []string) error {
	list, owner, err := e.readInclude(l, file)
	if err == nil && strings.Count(strings.Join(path, "\n"), ":include:") > maxIncludes {
		err = errors.New("includes are nested too deep")
	}
	if err != nil {
		e.fail(l.res, step(path, err.Error()), false, "4.2.0", "cannot read include file "+file)
		return nil
	}
	in := &nameList{res: l.res, source: "include", how: file + " -> ", path: path, depth: l.depth, rights: l.rights,
		apart: true, sender: l.sender, self: l.self}
	if owner.UID != 0 && (l.rights == nil || l.rights.UID == 0) {
		in.rights = &Local{UID: owner.UID, GID: owner.GID}
	}
	return e.followList(ctx, in, list)
}

// readInclude reads the file with the rights of the list that names it: those
// of its user, or for an alias those of the server.
func (e *expansion) readInclude(l *nameList, file string) (list []forward.Target, owner asuser.ID, err error) {
	read := func() error {
		f, st, err := openList(file)
		if err != nil {
			return err
		}
		defer f.Close()
		sys := st.Sys().(*syscall.Stat_t)
		owner = asuser.ID{UID: int(sys.Uid), GID: int(sys.Gid)}
		if st.Mode().Perm()&0o002 != 0 {
			return fmt.Errorf("%s is writable by everybody: %w", file, errUnsafe)
		}
		list, err = forward.Read(f)
		return err
	}
	if l.rights != nil {
		err = asuser.ID{UID: l.rights.UID, GID: l.rights.GID}.Do(read)
	} else {
		err = read()
	}
	return list, owner, err
}

// safe are the characters of postconf(5) forward_expansion_filter, without the
// slash.
const safe = "1234567890!@%-_=+:,.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// safeName makes a text a part of a file name.
func safeName(s string) string {
	if s == "." || s == ".." {
		return "_"
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(safe, r) {
			return r
		}
		return '_'
	}, s)
}

// expandNames fills in $name and ${name}; other names stay.
func expandNames(text string, vars map[string]string) string {
	names := make([]string, 0, len(vars))
	for name := range vars {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 4*len(names))
	for _, name := range names {
		pairs = append(pairs, "${"+name+"}", vars[name], "$"+name, vars[name])
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
