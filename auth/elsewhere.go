package auth

import (
	"errors"
	"fmt"
	"strings"

	"mailserver/internal/saslask"
)

// elsewhere is the form of a stored password that another program holds:
// {SASL} or {SASL}name, as OpenLDAP has it. name is ” for the log-in name.
func elsewhere(stored string) (name string, ok bool) {
	const scheme = "{SASL}"
	if len(stored) < len(scheme) || !strings.EqualFold(stored[:len(scheme)], scheme) {
		return "", false
	}
	return stored[len(scheme):], true
}

// ask has the server of auth_sasl_server verify a password. Its answers are
// not remembered: nothing tells when they change.
func (a *attempt) ask(user, name, password string) (bool, error) {
	if name == "" {
		name = user
	}
	if a.cfg.SASLServer == "" {
		return false, errors.New("a password is {SASL}, and the setting auth_sasl_server is empty")
	}
	remote := ""
	if a.c.Remote.IsValid() {
		remote = a.c.Remote.String()
	}
	release, err := a.s.asking.take(a.ctx, 0, limits{running: maxAsked, memory: a.cfg.HashMemory}, a.gate.lane, a.gate.far)
	if err != nil {
		return false, fmt.Errorf("wait to verify a password: %w", err)
	}
	defer release(false)
	ok, err := saslask.Ask(a.ctx, a.cfg.SASLServer, saslask.Question{User: name, Password: password, Service: a.c.Service, Remote: remote})
	if err != nil {
		return false, fmt.Errorf("ask %s: %w", a.cfg.SASLServer, err)
	}
	return ok, nil
}

// maxAsked bounds how many questions are open at once.
const maxAsked = 20
