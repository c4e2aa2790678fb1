package server

import (
	"context"
	"net"
	"time"

	"mailserver/auth/dovecot"
	"mailserver/internal/config"
)

// serveAuthSocket keeps the socket where other mail servers ask as its settings
// have it.
func (s *Server) serveAuthSocket(ctx context.Context) {
	settings := config.Of[dovecot.Config](s.Config)
	srv := &dovecot.Server{Auth: s.Auth, Log: s.Log}
	var have dovecot.Config
	var l net.Listener
	stop := func() {
		if l != nil {
			l.Close()
			l = nil
		}
	}
	defer srv.Close()
	defer stop()
	tick := time.NewTicker(rowsInterval)
	defer tick.Stop()
	for {
		cfg, err := settings(ctx)
		if err == nil && *cfg != have {
			stop()
			have = *cfg
			if l, err = s.authSocket(ctx, srv, cfg); err != nil {
				s.Log.Error("auth socket not bound", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Server) authSocket(ctx context.Context, srv *dovecot.Server, cfg *dovecot.Config) (net.Listener, error) {
	if cfg.Socket == "" {
		return nil, nil
	}
	l, err := cfg.Listen()
	if err != nil {
		return nil, err
	}
	s.Log.Info("listening", "protocol", "auth", "address", cfg.Socket)
	s.tasks.Go(func() { srv.Serve(ctx, l) })
	return l, nil
}
