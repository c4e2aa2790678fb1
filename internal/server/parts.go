// Package server is the only wiring: it opens every part, gives each what it
// needs, binds the listeners, and stops all of it in reverse order. It decides
// nothing about mail.
//
// The data directory holds everything:
//
//	mail.sqlite   what the operator wants
//	state.sqlite  what the server knows: queue, mailbox index
//	spool/        messages that wait
//	mail/         mailboxes, when one user owns them all
//	tls/          the certificate that init has made
//	lock          held by the one server that runs
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/user"
	"path/filepath"
	"time"

	"mailserver/auth"
	"mailserver/delivery"
	"mailserver/delivery/queue"
	"mailserver/delivery/remote"
	"mailserver/delivery/route"
	"mailserver/internal/address"
	"mailserver/internal/config"
	"mailserver/internal/dns"
	"mailserver/internal/metrics"
	"mailserver/internal/mtasts"
	"mailserver/internal/shadow"
	"mailserver/internal/tlscert"
	"mailserver/internal/tlsrpt"
	"mailserver/policy"
	"mailserver/schema"
	"mailserver/storage"
)

// Options is what a server can be told from outside its data directory.
type Options struct {
	Dir string
	Log *slog.Logger // nil: no log
	// Counter counts the events of Log for monitors; nil: nobody does.
	Counter *metrics.Counter
	// Shadow verifies passwords of the system's users; nil: auth reads them.
	Shadow *shadow.Client
	// Overrides are settings that the command line of the server has decided,
	// for commands that show where values come from.
	Overrides map[string]string
	Now       func() time.Time // nil: time.Now

	// DNS answers for next hops, names of clients, and restrictions; nil: the
	// system's resolver.
	DNS *dns.Resolver
	// Dial reaches next hops; nil: the network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// LookupUser finds users of the system; nil: the system's.
	LookupUser func(name string) (*user.User, error)
}

// Parts are the opened parts of a server, for serving and for commands that
// ask one of them.
type Parts struct {
	Dir      string
	Log      *slog.Logger
	Mail     *schema.Mail
	State    *schema.State
	Config   *config.Source
	Certs    *tlscert.Store
	Auth     *auth.Service
	Policy   *policy.Engine
	Route    *route.Router
	Store    *storage.Store
	Delivery *delivery.Service
	tls      tlsrpt.Counter
}

// MailFile and StateFile name the two files of a data directory.
func MailFile(dir string) string  { return filepath.Join(dir, "mail.sqlite") }
func StateFile(dir string) string { return filepath.Join(dir, "state.sqlite") }

// Open opens all parts of the data directory. Close them.
func Open(ctx context.Context, o Options) (*Parts, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	o.Dir = dir
	p := &Parts{Dir: dir, Log: o.Log}
	for _, step := range []func(context.Context, Options) error{p.openFiles, p.openDeciders, p.openMovers} {
		if err := step(ctx, o); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	return p, nil
}

func (p *Parts) openFiles(ctx context.Context, _ Options) (err error) {
	if err := p.openMail(ctx); err != nil {
		return err
	}
	p.State, err = schema.OpenState(ctx, StateFile(p.Dir))
	return err
}

func (p *Parts) openMail(ctx context.Context) (err error) {
	if p.Mail, err = schema.OpenMail(ctx, MailFile(p.Dir)); err != nil {
		return err
	}
	p.Config, err = config.New(p.Mail)
	return err
}

func (p *Parts) openDeciders(ctx context.Context, o Options) error {
	p.Certs = tlscert.New(p.Dir, p.certRows, p.Log)
	p.Auth = auth.New(auth.Deps{Mail: p.Mail, State: p.State, LookupUser: o.LookupUser, Helper: o.Shadow, Config: config.Of[auth.Config](p.Config), Log: p.Log, Now: o.Now})
	p.Policy = policy.New(policy.Deps{Mail: p.Mail, State: p.State, Probe: p.probe, Config: config.Of[policy.Config](p.Config), Log: p.Log, Now: o.Now, DNS: o.DNS})
	p.Route = route.New(route.Deps{Mail: p.Mail, Config: config.Of[route.Config](p.Config), Log: p.Log, Dir: p.Dir, LookupUser: o.LookupUser})
	return nil
}

func (p *Parts) openMovers(ctx context.Context, o Options) (err error) {
	p.Store, err = storage.Open(storage.Deps{State: p.State, Config: config.Of[storage.Config](p.Config), Log: p.Log, Now: o.Now,
		TextDir: filepath.Join(p.Dir, "fts")})
	if err != nil {
		return err
	}
	if o.DNS == nil {
		o.DNS = dns.New(dns.Config{})
	}
	policies := mtasts.New(mtasts.Deps{Dir: filepath.Join(p.Dir, "mta-sts"), TXT: texts(o.DNS), Dial: o.Dial, Now: o.Now})
	p.Delivery, err = delivery.New(delivery.Deps{
		Dir: p.Dir, State: p.State, Mail: p.Mail, Route: p.Route, Store: p.Store,
		Config:       config.Of[delivery.Config](p.Config),
		QueueConfig:  config.Of[queue.Config](p.Config),
		RemoteConfig: config.Of[remote.Config](p.Config),
		Resolver:     hosts{o.DNS}, TXT: hosts{o.DNS}.TXT, STS: stsOf(policies), TLSResult: p.countTLS(o.Now), Log: p.Log, Now: o.Now, Dial: o.Dial,
	})
	return err
}

// Close closes what is open, in reverse order.
func (p *Parts) Close() error {
	var errs []error
	if p.Policy != nil {
		p.Policy.Close()
	}
	if p.Store != nil {
		errs = append(errs, p.Store.Close())
	}
	if p.State != nil {
		errs = append(errs, p.State.Close())
	}
	if p.Mail != nil {
		errs = append(errs, p.Mail.Close())
	}
	return errors.Join(errs...)
}

// probe lets policy ask about addresses where mail for them would go.
func (p *Parts) probe(ctx context.Context, a address.Address) policy.Probed {
	return p.Delivery.Probe(ctx, a)
}

// certRows gives the certificates as the rows of Cert have them now.
func (p *Parts) certRows(ctx context.Context) ([]tlscert.Row, error) {
	v, err := p.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	certs, err := v.Certs(ctx)
	rows := make([]tlscert.Row, 0, len(certs))
	for _, c := range certs {
		rows = append(rows, tlscert.Row{Num: c.Num, Hostname: c.Hostname, CertFile: c.CertFile, KeyFile: c.KeyFile})
	}
	return rows, err
}

// process reads the settings of the process as a whole.
func (p *Parts) process(ctx context.Context) (*config.Process, error) {
	return config.Of[config.Process](p.Config)(ctx)
}

// tlsVersions are the values of ssl_min_protocol.
var tlsVersions = map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}

func minTLS(name string) (uint16, error) {
	v, ok := tlsVersions[name]
	if !ok {
		return 0, fmt.Errorf("ssl_min_protocol: %q is neither TLSv1.2 nor TLSv1.3", name)
	}
	return v, nil
}
