package route

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"mailserver/internal/address"
	"mailserver/schema"
)

// Account returns the mailbox whose owner logs in as user; nil if none. A
// mailbox that another host holds is none. The domain need not be active:
// log-ins go on. An error is temporary.
func (r *Router) Account(ctx context.Context, user string) (*Box, error) {
	q, err := r.begin(ctx)
	if err != nil {
		return nil, err
	}
	if at := strings.LastIndexByte(user, '@'); at > 0 {
		box, err := q.account(ctx, user[:at], user[at+1:])
		if err != nil || box != nil {
			return box, err
		}
	}
	if !q.asksSystem() {
		return nil, nil
	}
	u, err := q.lookupUser(user)
	if err != nil || u == nil {
		return nil, err
	}
	box, _, err := q.userBox(u)
	return box, err // an mbox file cannot be read here
}

func (q *query) account(ctx context.Context, local, domain string) (*Box, error) {
	if len(local) > maxKey || len(domain) > maxKey {
		return nil, nil
	}
	d, err := q.view.Domain(ctx, domain)
	if err != nil || d == nil {
		return nil, err
	}
	row, err := q.view.Address(ctx, d.Num, local)
	if err != nil || row == nil || row.Mailbox == nil || !row.Mailbox.Active || row.Mailbox.Host != "" {
		return nil, err
	}
	return q.box(row, d)
}

// box makes the mailbox of a row. What the row says about itself wins over its
// domain and the settings.
func (q *query) box(row *schema.Address, d *schema.Domain) (*Box, error) {
	m := row.Mailbox
	local, domain := strings.ToLower(row.Localpart), strings.ToLower(row.Domain)
	b := &Box{User: local + "@" + domain, UID: m.UID, GID: m.GID, Quota: max(m.Quota, 0), Home: m.Home}
	if b.UID < 0 && d != nil && d.Class.IsMailbox() {
		b.UID = int(d.Class)
	}
	if b.GID < 0 {
		b.GID = q.cfg.DefaultGID
	}
	if b.Home == "" {
		var err error
		if b.Home, err = expandHome(q.cfg.MailboxHome, local, domain); err != nil {
			return nil, err
		}
	}
	if hasParent(b.Home) || hasParent(q.cfg.MailboxDir) {
		return nil, fmt.Errorf("home %s of %s leads out of itself", b.Home, b.User)
	}
	if !filepath.IsAbs(b.Home) {
		b.Home = filepath.Join(q.r.d.Dir, b.Home)
	}
	b.Home = filepath.Clean(b.Home)
	b.Mail = filepath.Join(b.Home, q.cfg.MailboxDir)
	if m.Maildir != "" {
		if hasParent(m.Maildir) || !filepath.IsAbs(m.Maildir) {
			return nil, fmt.Errorf("mailbox %s of %s is no absolute path", m.Maildir, b.User)
		}
		b.Mail = filepath.Clean(m.Maildir)
	}
	return b, nil
}

// checkOwner refuses mailboxes of privileged users, as virtual(8) does.
func (q *query) checkOwner(b *Box) error {
	if b.UID < q.cfg.MinimumUID {
		return fmt.Errorf("uid %d of %s is below virtual_minimum_uid %d", b.UID, b.User, q.cfg.MinimumUID)
	}
	if b.GID <= 0 {
		return fmt.Errorf("gid %d of %s is not allowed", b.GID, b.User)
	}
	return nil
}

// hasParent reports whether a path has a component "..".
func hasParent(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// expandHome fills the template of a home. Names that would change the path
// itself are refused.
func expandHome(template, local, domain string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(template); i++ {
		if template[i] != '%' {
			out.WriteByte(template[i])
			continue
		}
		for i++; i < len(template) && template[i] == 'L'; i++ {
		}
		if i == len(template) {
			return "", fmt.Errorf("setting virtual_mailbox_home: %q ends in a variable", template)
		}
		switch template[i] {
		case 'n':
			out.WriteString(local)
		case 'd':
			out.WriteString(domain)
		case 'u':
			out.WriteString(local + "@" + domain)
		case '%':
			out.WriteByte('%')
		default:
			return "", fmt.Errorf("setting virtual_mailbox_home: %%%c is not known", template[i])
		}
	}
	if !HasHome(local, domain) {
		return "", fmt.Errorf("%s is no name of a directory", address.Address{Local: local, Domain: domain})
	}
	return out.String(), nil
}

// HasHome reports whether virtual_mailbox_home can have a place for a mailbox;
// if not it needs a vmHome.
func HasHome(local, domain string) bool { return pathName(local) && pathName(domain) }

// pathName reports whether s names one directory. The catch-all has no name;
// its mailbox needs a vmHome.
func pathName(s string) bool {
	return s != "" && s != "." && s != ".." && len(s) < 256 && !strings.ContainsAny(s, "/\x00")
}
