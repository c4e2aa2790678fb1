package route

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"mailserver/internal/address"
	"mailserver/internal/forward"
	"mailserver/schema"
)

// local delivers to a name of the system, as local(8): aliases(5), then the
// user.
func (e *expansion) local(ctx context.Context, res *resolved, path []string, depth int) error {
	key := fold(res)
	if row := aliasRow(res); row != nil && !e.names[key] {
		e.names[key] = true
		return e.followNames(ctx, res, row, path, depth)
	}
	return e.user(ctx, res, path, depth)
}

// nameTargets reads the Alias rows of a name.
func (q *query) nameTargets(ctx context.Context, row *schema.Address) ([]forward.Target, error) {
	rows, err := q.view.AliasTargets(ctx, row.Num)
	if err != nil {
		return nil, err
	}
	var list []forward.Target
	for _, text := range rows {
		for _, s := range forward.Row(text) {
			t, err := forward.Parse(s)
			if err != nil {
				return nil, fmt.Errorf("target %q of alias %s: %w", s, rowName(row), err)
			}
			list = append(list, t)
		}
	}
	return list, nil
}

// ownerOf returns owner-NAME of an alias: who gets the bounces of what goes
// through it. nil: it has none. aliases(5)
func (q *query) ownerOf(ctx context.Context, res *resolved, row *schema.Address) (*address.Address, error) {
	if row.Localpart == "" || len(row.Localpart) > maxKey/2 {
		return nil, nil
	}
	owner := address.Address{Local: "owner-" + strings.ToLower(row.Localpart), Domain: res.addr.Domain}
	found, err := q.resolve(ctx, owner)
	if err != nil {
		return nil, err
	}
	r := aliasRow(found)
	if r == nil || !strings.EqualFold(r.Localpart, owner.Local) {
		return nil, nil
	}
	if !q.cfg.ExpandOwner {
		return &owner, nil
	}
	list, err := q.nameTargets(ctx, r)
	if err == nil && len(list) > 0 && list[0].Kind == forward.Address {
		owner = q.qualify(list[0].Address)
	}
	return &owner, err
}

// nameList is a list of targets that is being followed.
type nameList struct {
	res    *resolved
	source string // alias, forward or include: what may stand in it
	how    string // for the path
	path   []string
	depth  int
	rights *Local
	// apart: its addresses get a message of their own, with Delivered-To, so
	// that loops end; sender is whose bounces they are, nil: as it was.
	apart  bool
	sender *address.Address

	follow func(address.Address) error // an address of a list that is not apart
	self   func() error                // the user of the list
	to     []address.Address           // addresses that are apart
}

// followNames follows the Alias rows of a name.
func (e *expansion) followNames(ctx context.Context, res *resolved, row *schema.Address, path []string, depth int) error {
	list, err := e.nameTargets(ctx, row)
	if err != nil {
		return err
	}
	owner, err := e.ownerOf(ctx, res, row)
	if err != nil {
		return err
	}
	key := fold(res)
	e.above[key], e.followed[key] = true, true
	defer delete(e.above, key)
	l := &nameList{res: res, source: "alias", how: "alias " + rowName(row) + " -> ", path: path, depth: depth, apart: owner != nil, sender: owner}
	base := !strings.EqualFold(row.Localpart, res.addr.Local)
	l.follow = func(a address.Address) error {
		return e.name(ctx, res, e.propagate(res, "alias", base, a), l.how, path, depth)
	}
	l.self = func() error { return e.user(ctx, res, path, depth) }
	return e.followList(ctx, l, list)
}

// followList follows a whole list.
func (e *expansion) followList(ctx context.Context, l *nameList, list []forward.Target) error {
	for _, t := range list {
		if err := e.followName(ctx, l, t); err != nil {
			return err
		}
	}
	if len(l.to) == 0 {
		return nil
	}
	text := make([]string, len(l.to))
	for i, a := range l.to {
		text[i] = a.Plain()
	}
	target := strings.Join(text, ", ")
	e.once("forward "+target, func() {
		e.add(l.res, step(l.path, l.how+target), Destination{Kind: Forward, Target: target, Targets: l.to, Sender: l.sender})
	})
	return nil
}

func (e *expansion) followName(ctx context.Context, l *nameList, t forward.Target) error {
	path := step(l.path, l.how+t.String())
	switch t.Kind {
	case forward.File:
		e.outside(l, path, t, "5.7.1", "mail to file is restricted", e.cfg.MailToFiles, File)
	case forward.Command:
		e.outside(l, path, t, "5.7.1", "mail to command is restricted", e.cfg.MailToCommands, Command)
	case forward.Include:
		return e.include(ctx, l, t.Text, path)
	case forward.User:
		return e.plainUser(ctx, l, t.Address, path)
	default:
		return e.listed(ctx, l, t.Address)
	}
	return nil
}

// listed is an address of a list.
func (e *expansion) listed(ctx context.Context, l *nameList, a address.Address) error {
	if !l.apart {
		return l.follow(a)
	}
	if a.Local == "" {
		a.Local = l.res.addr.Local
	}
	next := e.qualify(a)
	to, err := e.resolve(ctx, next)
	if err != nil {
		return err
	}
	if to.dom.local() && (fold(to) == fold(l.res) || strings.EqualFold(to.user, l.res.user) && l.source == "forward") {
		return l.self()
	}
	l.to = append(l.to, next)
	return nil
}

// plainUser is \user: neither aliases nor .forward count any more.
func (e *expansion) plainUser(ctx context.Context, l *nameList, a address.Address, path []string) error {
	if a.Domain == "" {
		a.Domain = l.res.addr.Domain
	}
	to, err := e.resolve(ctx, a)
	if err != nil {
		return err
	}
	e.names[fold(to)] = true
	return e.intoMailbox(ctx, to, path, l.depth)
}

// outside is a file or a command, with the rights of the list.
func (e *expansion) outside(l *nameList, path []string, t forward.Target, code, refusal string, allowed []string, kind Kind) {
	key := t.String()
	if e.final[key] {
		return
	}
	e.final[key] = true
	if !slices.Contains(allowed, l.source) {
		e.fail(l.res, path, true, code, refusal)
		return
	}
	who, err := e.rights(l)
	if err != nil {
		e.fail(l.res, step(path, err.Error()), false, "4.3.5", "mail system configuration error")
		return
	}
	line := fmt.Sprintf("with the rights of uid %d, gid %d", who.UID, who.GID)
	e.add(l.res, step(path, line), Destination{Kind: kind, Target: t.Text, Local: who, Sender: l.sender})
}

// rights are those of the list's user. A list without one, and one of root,
// has those of default_privs.
func (e *expansion) rights(l *nameList) (*Local, error) {
	who := e.named(l.res)
	if l.rights != nil {
		who.Home, who.Shell, who.UID, who.GID = l.rights.Home, l.rights.Shell, l.rights.UID, l.rights.GID
		if who.UID != 0 {
			return who, nil
		}
	}
	u, err := e.lookupUser(e.cfg.DefaultPrivs)
	if err == nil && u == nil {
		u, err = user.Lookup(e.cfg.DefaultPrivs)
	}
	if err == nil {
		err = who.take(u)
	}
	if err == nil && who.UID == 0 {
		err = errors.New("root is not allowed")
	}
	if err != nil {
		return nil, fmt.Errorf("setting default_privs: %s: %w", e.cfg.DefaultPrivs, err)
	}
	return who, nil
}

// named is the name that a list or mailbox is for, as its commands see it.
func (e *expansion) named(res *resolved) *Local {
	ext := strings.TrimLeft(res.suffix, e.cfg.Delimiter)
	if strings.Contains(ext, "/") {
		ext = ""
	}
	return &Local{Name: strings.ToLower(res.user), Extension: strings.ToLower(ext)}
}

// user delivers to a local name: its .forward, then its mailbox.
func (e *expansion) user(ctx context.Context, res *resolved, path []string, depth int) error {
	if mailboxRow(res) != nil || !e.asksSystem() || res.blocked() {
		return e.intoMailbox(ctx, res, path, depth)
	}
	u, err := e.systemUser(res)
	if err != nil {
		return err
	}
	key := "forward of " + strings.ToLower(res.user)
	if u == nil || e.final[key] {
		return e.intoMailbox(ctx, res, path, depth)
	}
	e.final[key] = true
	l := &nameList{res: res, source: "forward", path: path, depth: depth, apart: true, rights: &Local{}}
	if err := l.rights.takeUser(u); err != nil {
		return e.intoMailbox(ctx, res, path, depth) // says what is wrong
	}
	l.self = func() (err error) {
		e.once(key+" mailbox", func() { err = e.intoMailbox(ctx, res, l.path, depth) })
		return err
	}
	list, file, err := e.forwardFile(res, u, l.rights)
	if err != nil {
		e.fail(res, step(path, err.Error()), false, "4.3.0", "cannot read "+file)
		return nil
	}
	if len(list) == 0 {
		return e.intoMailbox(ctx, res, path, depth)
	}
	l.how = file + " -> "
	return e.followList(ctx, l, list)
}

// intoMailbox delivers into the mailbox of a local name: mailbox_transport,
// mailbox_command, home_mailbox, mail_spool_directory.
func (e *expansion) intoMailbox(ctx context.Context, res *resolved, path []string, depth int) error {
	if row := mailboxRow(res); row != nil {
		e.into(res, row, path)
		return nil
	}
	if !e.asksSystem() || res.blocked() {
		return e.unknown(ctx, res, path, depth)
	}
	u, err := e.systemUser(res)
	if err != nil {
		return err
	}
	if u == nil {
		return e.unknown(ctx, res, path, depth)
	}
	if e.cfg.MailboxTransport != "" {
		return e.otherTransport(ctx, res, e.cfg.MailboxTransport, "mailbox_transport", path, depth)
	}
	if err := e.userMailbox(res, u, path); err != nil {
		e.fail(res, step(path, err.Error()), false, "4.3.5", "mail system configuration error")
	}
	return nil
}

func (e *expansion) userMailbox(res *resolved, u *user.User, path []string) error {
	who := e.named(res)
	if err := who.takeUser(u); err != nil {
		return err
	}
	if line := e.cfg.MailboxCommand; line != "" {
		who, err := e.rights(&nameList{res: res, rights: who})
		if err != nil {
			return err
		}
		e.add(res, step(path, "mailbox_command "+line), Destination{Kind: Command, Target: line, Local: who})
		return nil
	}
	box, mbox, err := e.userBox(u)
	if err != nil {
		return err
	}
	if box != nil {
		e.addBox(res, path, box)
		return nil
	}
	who.Mailbox = true
	e.add(res, step(path, "mailbox "+mbox), Destination{Kind: File, Target: mbox, Local: who})
	return nil
}

// unknown is mail to a local name that nobody has.
func (e *expansion) unknown(ctx context.Context, res *resolved, path []string, depth int) error {
	name := strings.ToLower(res.user)
	switch {
	case e.cfg.FallbackTransport != "":
		return e.otherTransport(ctx, res, e.cfg.FallbackTransport, "fallback_transport", path, depth)
	case e.cfg.LuserRelay != "" && !res.blocked() && !e.final["luser"]:
		e.final["luser"] = true
		return e.luser(ctx, res, path, depth)
	case name == "postmaster": // RFC 5321 §4.5.1: never unknown, and never lost
		e.fail(res, path, false, "4.3.5", "required alias not found: postmaster")
	case name == "mailer-daemon" || name == strings.ToLower(e.cfg.DoubleBounceSender):
		e.add(res, step(path, "mail to "+name+" without alias is discarded"), Destination{Kind: Discard})
	default:
		e.fail(res, path, true, "5.1.1", `unknown user: "`+name+`"`)
	}
	return nil
}

// luser follows postconf(5) luser_relay, an address.
func (e *expansion) luser(ctx context.Context, res *resolved, path []string, depth int) error {
	text := expandNames(e.cfg.LuserRelay, map[string]string{"user": res.user, "local": res.addr.Local, "domain": res.addr.Domain,
		"recipient": res.addr.Plain(), "extension": e.named(res).Extension, "recipient_delimiter": e.cfg.Delimiter})
	t, err := forward.Parse(text)
	if err != nil || t.Kind != forward.Address {
		e.fail(res, step(path, "setting luser_relay: want an address"), false, "4.3.5", "mail system configuration error")
		return nil
	}
	return e.follow(ctx, e.qualify(t.Address), step(path, "luser_relay -> "+text), depth+1)
}

// otherTransport hands the address to a transport that a setting names.
func (e *expansion) otherTransport(ctx context.Context, res *resolved, text, setting string, path []string, depth int) error {
	name, rest, _ := strings.Cut(text, ":")
	if name == "local" {
		e.fail(res, step(path, "setting "+setting+" leads to itself"), false, "4.3.5", "mail system configuration error")
		return nil
	}
	h := hop{name: name}
	if rest == "" {
		h.setDomain(res)
	} else {
		h.setNexthop(rest)
	}
	return e.hand(ctx, res, h, step(path, setting+" "+h.String()), depth)
}

// take gives who the UID and GID of a user.
func (who *Local) take(u *user.User) error {
	uid, gid, err := userIDs(u)
	who.UID, who.GID = uid, gid
	return err
}

// takeUser gives who all of a user of the system.
func (who *Local) takeUser(u *user.User) error {
	if !filepath.IsAbs(u.HomeDir) {
		return errors.New("user " + u.Username + " has no home")
	}
	who.Home, who.Shell = filepath.Clean(u.HomeDir), shellOf(u.Username)
	return who.take(u)
}
