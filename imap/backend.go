package imap

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"mailserver/internal/login"
	"mailserver/storage"
)

// Deps is what a Server needs.
type Deps struct {
	Auth login.Authenticator
	// Account returns the mail of a user who has logged in.
	Account func(ctx context.Context, user string) (*storage.Account, error)
	// Sharing is for mailboxes of others.
	Sharing Sharing
	// TLS returns the certificates to offer now; nil: no TLS.
	TLS    func() *tls.Config
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now
}
