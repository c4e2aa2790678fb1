// Package auth decides who you are: passwords in mail.sqlite, SASL mechanisms,
// the SQL deny.
package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/emersion/go-sasl"

	"mailserver/schema"
)

var (
	// ErrBadCredentials: no such user, or another password. Also what the SQL
	// deny looks like from outside.
	ErrBadCredentials = errors.New("authentication failed")
	// ErrUnavailable: it cannot be decided now. 454, NO [UNAVAILABLE].
	ErrUnavailable = errors.New("authentication is not available now")
)

// Config is auth's part of the settings.
type Config struct {
	DefaultScheme string `setting:"default_pass_scheme" default:"CRYPT"`
}

// Deps is what a Service needs.
type Deps struct {
	Mail   *schema.Mail
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger
	Now    func() time.Time
}

// Service verifies log-ins. Safe for concurrent use.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service { return &Service{d} }

// Client is who tries to log in.
type Client struct {
	Service string // smtp, imap, pop3
	Remote  netip.Addr
	Local   netip.Addr
	TLS     bool
}

// Identity is who has logged in.
type Identity struct {
	User      string // canonical log-in name: local part and domain in lower case
	Mechanism string
}

// Plain verifies a name and password.
func (s *Service) Plain(ctx context.Context, c Client, user, password string) (Identity, error) {
	panic("not yet")
}

// Mechanisms returns the SASL mechanisms to offer, in order. Without TLS those
// that send a password are left out, unless plaintext is true.
func (s *Service) Mechanisms(ctx context.Context, c Client, plaintext bool) []string {
	panic("not yet")
}

// Begin starts a SASL exchange; nil for a mechanism that is not offered. done is
// called with who it is when it ends well. Errors of Next are ErrBadCredentials,
// ErrUnavailable, or a syntax error of the client.
func (s *Service) Begin(ctx context.Context, c Client, mechanism string, done func(Identity)) sasl.Server {
	panic("not yet")
}
