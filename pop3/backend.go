package pop3

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/emersion/go-sasl"

	"mailserver/auth"
	"mailserver/storage"
)

// Authenticator says who a client is; auth.Service.
type Authenticator interface {
	Plain(ctx context.Context, c auth.Client, user, password string) (auth.Identity, error)
	Mechanisms(ctx context.Context, c auth.Client, plaintext bool) []string
	Begin(ctx context.Context, c auth.Client, mechanism string, done func(auth.Identity)) sasl.Server
}

// Deps is what a Server needs.
type Deps struct {
	Auth Authenticator
	// Account returns the mail of a user who has logged in.
	Account func(ctx context.Context, user string) (*storage.Account, error)
	// TLS returns the certificates to offer now; nil: no TLS.
	TLS    func() *tls.Config
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now
}
