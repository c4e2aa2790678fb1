package server

import (
	"context"
	"crypto/tls"

	"mailserver/auth"
	"mailserver/internal/config"
	"mailserver/internal/renewal"
)

// askForCertificate asks clients for a certificate when ssl_client_ca_file is
// set, for EXTERNAL. Any certificate passes the handshake: another mail server
// may show one that nobody here has signed, and its mail is welcome. Package
// auth verifies what somebody logs in with. asking is used for all such
// handshakes, so that tickets work.
func (s *Server) askForCertificate(asking *tls.Config) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	settings := config.Of[auth.Config](s.Config)
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		cfg, err := settings(context.WithoutCancel(hello.Context()))
		if err != nil || cfg.ClientCA == "" {
			return nil, nil // the ordinary configuration
		}
		return asking, nil
	}
}

// renewCerts keeps the certificates of the rows current, when the settings name
// an authority.
func (s *Server) renewCerts(ctx context.Context) {
	renewal.New(renewal.Deps{Dir: s.Dir, Rows: s.certRows, Config: config.Of[renewal.Config](s.Config), Log: s.Log, Now: s.opt.Now}).Run(ctx)
}
