// Package sasl is the server side of the SASL mechanisms, in the shape of
// github.com/emersion/go-sasl: what the client sends is read, bounded and
// handed to a function that knows who it is. Nothing here knows passwords.
package sasl

import (
	"bytes"
	"errors"

	"github.com/emersion/go-sasl"
)

// ErrSyntax: what the client sent is not what the mechanism wants.
var ErrSyntax = errors.New("malformed SASL response")

// Bounds of what a client may send, in bytes. RFC 4616 §2 has none; nobody
// types more.
const (
	MaxName     = 320
	MaxPassword = 512
	maxPlain    = 2*MaxName + MaxPassword + 2
)

// Credentials are what a mechanism has read.
type Credentials struct {
	Authzid  string // '' or whom to act as
	User     string
	Password string
}

// Verify decides about credentials; its error is what Next returns.
type Verify func(Credentials) error

type plain struct {
	verify Verify
	begun  bool
	done   bool
}

// NewPlain returns a server of PLAIN, RFC 4616.
func NewPlain(verify Verify) sasl.Server { return &plain{verify: verify} }

// Next takes the one message of the client. A nil response, before it, asks
// for it by an empty challenge.
func (p *plain) Next(response []byte) (challenge []byte, done bool, err error) {
	if p.done {
		return nil, false, sasl.ErrUnexpectedClientResponse
	}
	if response == nil && !p.begun {
		p.begun = true
		return []byte{}, false, nil
	}
	p.done = true
	c, err := parsePlain(response)
	if err != nil {
		return nil, false, err
	}
	if err := p.verify(c); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// parsePlain: RFC 4616 §2, message = [authzid] NUL authcid NUL passwd.
func parsePlain(b []byte) (Credentials, error) {
	if len(b) > maxPlain {
		return Credentials{}, ErrSyntax
	}
	parts := bytes.Split(b, []byte{0})
	if len(parts) != 3 {
		return Credentials{}, ErrSyntax
	}
	return credentials(string(parts[0]), string(parts[1]), string(parts[2]))
}

func credentials(authzid, user, password string) (Credentials, error) {
	if user == "" || password == "" || len(authzid) > MaxName || len(user) > MaxName || len(password) > MaxPassword {
		return Credentials{}, ErrSyntax
	}
	return Credentials{Authzid: authzid, User: user, Password: password}, nil
}

type login struct {
	verify Verify
	step   loginStep
	user   string
}

type loginStep int

const (
	askUser loginStep = iota
	takeUser
	takePassword
	finished
)

// NewLogin returns a server of LOGIN (draft-murchison-sasl-login): two
// questions, in the words that old clients compare. An initial response is the
// user name.
func NewLogin(verify Verify) sasl.Server { return &login{verify: verify} }

// Next takes the user name, then the password.
func (l *login) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case l.step == askUser && response == nil:
		l.step = takeUser
		return []byte("Username:"), false, nil
	case l.step == askUser, l.step == takeUser:
		return l.takeUser(response)
	case l.step == takePassword:
		return l.takePassword(response)
	}
	return nil, false, sasl.ErrUnexpectedClientResponse
}

func (l *login) takeUser(b []byte) ([]byte, bool, error) {
	if len(b) == 0 || len(b) > MaxName || bytes.IndexByte(b, 0) >= 0 {
		l.step = finished
		return nil, false, ErrSyntax
	}
	l.user, l.step = string(b), takePassword
	return []byte("Password:"), false, nil
}

func (l *login) takePassword(b []byte) ([]byte, bool, error) {
	l.step = finished
	if bytes.IndexByte(b, 0) >= 0 {
		return nil, false, ErrSyntax
	}
	c, err := credentials("", l.user, string(b))
	if err != nil {
		return nil, false, err
	}
	if err := l.verify(c); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}
