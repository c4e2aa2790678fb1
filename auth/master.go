package auth

import (
	"strings"

	mech "mailserver/internal/sasl"
)

// split takes apart what a master user sends: user*master by the setting
// auth_master_user_separator, or the user as authorization identity. master is
// ” for an ordinary log-in.
func (a *attempt) split(cred mech.Credentials) (target, master string) {
	sep := a.cfg.MasterSeparator
	if sep == "" {
		return cred.User, ""
	}
	if i := strings.Index(cred.User, sep); i > 0 && i+len(sep) < len(cred.User) {
		return cred.User[:i], cred.User[i+len(sep):]
	}
	if cred.Authzid != "" && !strings.EqualFold(cred.Authzid, cred.User) {
		return cred.Authzid, cred.User
	}
	return cred.User, ""
}

// asMaster puts the password of an administrator in place of the account's
// own. Who may not log in himself cannot be entered so, and an administrator
// of one domain has no other.
func (a *attempt) asMaster(acc *account) error {
	if acc.refused != nil {
		return nil
	}
	view, err := a.s.d.Mail.View(a.ctx)
	if err != nil {
		return err
	}
	admin, err := view.Administrator(a.ctx, a.master)
	switch {
	case err != nil:
		return err
	case admin == nil:
		acc.refuse("no administrator %q", a.master)
	case admin.Domain != "" && !strings.HasSuffix(acc.name, "@"+strings.ToLower(admin.Domain)):
		acc.refuse("administrator %q has no rights in this domain", a.master)
	default:
		acc.secrets = []secret{{stored: admin.Passwd}}
	}
	return nil
}
