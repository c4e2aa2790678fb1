package auth

import (
	"context"
	"fmt"
	"strings"

	"mailserver/schema"
)

// account is what the rows say about a log-in name.
type account struct {
	name    string
	num     int64    // of the address; 0: a user of the system
	secrets []secret // the account's own first; none when refused
	refused error    // wraps ErrBadCredentials; nil: whoever has a secret may log in
}

// secret is one stored password of an account.
type secret struct {
	stored string
	app    int64 // number of the app password; 0: the account's own
	helper bool  // stored is no password, only changes with it: the helper is asked
}

func (a *account) refuse(format string, args ...any) *account {
	a.refused = fmt.Errorf("%w: %s", ErrBadCredentials, fmt.Sprintf(format, args...))
	a.secrets = nil
	return a
}

// account asks the chain: the deny, whatever holds the password; users of the
// system; mailboxes. Who is unknown to one is asked of the next; who is known
// is asked of no other, so that a wrong password stays wrong.
func (s *Service) account(ctx context.Context, cfg *Config, c Client, name string) (*account, error) {
	a := &account{name: name}
	if !validName(name) {
		return a.refuse("not a name"), nil
	}
	view, err := s.d.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	virtual, err := findAddress(ctx, view, name)
	if err != nil {
		return nil, err
	}
	// A system user's name may itself hold an @; it is a row of $myhostname.
	system, err := localAddress(ctx, view, name, cfg.Hostname)
	if err != nil {
		return nil, err
	}
	if virtual != nil && virtual.Active == -1 || system != nil && system.Active == -1 {
		return a.refuse("denied by active -1"), nil
	}
	if known, err := s.systemUser(cfg, a); known || err != nil {
		return a, err
	}
	return a, s.mailbox(ctx, view, c, virtual, a)
}

// mailbox fills in the passwords of a row.
func (s *Service) mailbox(ctx context.Context, view *schema.View, c Client, row *schema.Address, a *account) error {
	switch {
	case row == nil || row.Mailbox == nil:
		a.refuse("unknown user")
		return nil
	case !row.Mailbox.Active:
		a.refuse("mailbox is not active")
		return nil
	}
	a.num = row.Num
	stored, err := view.Password(ctx, row.Mailbox)
	if err != nil {
		return err
	}
	if stored != "" {
		a.secrets = append(a.secrets, secret{stored: stored})
	}
	apps, err := view.AppPasswords(ctx, row.Num)
	if err != nil {
		return err
	}
	for i := range apps {
		if len(a.secrets) < maxSecrets && apps[i].Allows(c.Service, s.d.Now()) {
			a.secrets = append(a.secrets, secret{stored: apps[i].Passwd, app: apps[i].Num})
		}
	}
	if len(a.secrets) == 0 {
		a.refuse("mailbox has no password for this")
	}
	return nil
}

// maxSecrets bounds how many stored passwords one log-in is compared with.
const maxSecrets = 20

// findAddress returns the row of localpart@domain, split at the last @.
func findAddress(ctx context.Context, view *schema.View, name string) (*schema.Address, error) {
	at := strings.LastIndexByte(name, '@')
	if at <= 0 {
		return nil, nil
	}
	return localAddress(ctx, view, name[:at], name[at+1:])
}

func localAddress(ctx context.Context, view *schema.View, localpart, domain string) (*schema.Address, error) {
	d, err := view.Domain(ctx, domain)
	if err != nil || d == nil {
		return nil, err
	}
	return view.Address(ctx, d.Num, localpart)
}
