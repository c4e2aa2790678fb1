package auth

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"mailserver/internal/shadow"
)

// systemUser asks the users of the system, when the setting says so. known is
// false for one who is not among them. Bare names are theirs, and those in
// $myhostname.
func (s *Service) systemUser(cfg *Config, a *account) (known bool, err error) {
	if !cfg.SystemUsers {
		return false, nil
	}
	name := a.name
	if i := strings.LastIndexByte(name, '@'); i > 0 && strings.EqualFold(name[i+1:], cfg.Hostname) {
		name = name[:i]
	}
	if strings.ContainsAny(name, ":/@") {
		return false, nil
	}
	u, err := s.d.LookupUser(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up user %s: %w", name, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil || uid < cfg.FirstUID {
		a.refuse("user %s is below first_valid_uid", name)
		return true, nil
	}
	a.name = name
	return true, s.shadowPassword(a)
}

// shadowPassword fills in the password of a user from shadow(5), or says whom to
// ask about it.
func (s *Service) shadowPassword(a *account) error {
	if s.d.Helper != nil {
		stamp, err := s.d.Helper.Stamp()
		a.secrets = []secret{{stored: "shadow " + stamp, helper: true}}
		return err
	}
	stored, why, err := shadow.Lookup(s.d.Shadow, a.name, s.d.Now())
	switch {
	case err != nil:
		return err
	case why != "":
		a.refuse("%s", why)
	default:
		a.secrets = []secret{{stored: "{CRYPT}" + stored}}
	}
	return nil
}

// askHelper has the helper verify a password, in a turn as if it were done here.
func (a *attempt) askHelper(name, stored, password string) (bool, error) {
	release, err := a.turn(0)
	if err != nil {
		return false, fmt.Errorf("wait to verify a password: %w", err)
	}
	ok := false
	defer func() { release(!ok) }()
	if ok, err = a.s.d.Helper.Ask(a.ctx, name, password); ok {
		a.s.cache.add(a.s.cache.of(name, password, stored), a.s.d.Now(), a.cfg.CacheSize)
	}
	return ok, err
}
