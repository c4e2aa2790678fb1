// Package renewal keeps certificates current: it asks a certificate authority
// by ACME (RFC 8555) for those that are missing, sign themselves, or are due,
// and writes them where the rows of Cert say. Whoever shows them notices that
// the files have changed.
package renewal

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"mailserver/internal/dns"
	"mailserver/internal/tlscert"
)

// Config is the part of the settings about ACME.
type Config struct {
	// Directory is the URL of the authority's directory, for Let's Encrypt
	// https://acme-v02.api.letsencrypt.org/directory. Setting it agrees to the
	// authority's terms. Empty: certificates are the operator's business.
	Directory string `setting:"acme_directory" default:""`
	// Contact is where the authority writes to.
	Contact string `setting:"acme_contact" default:""`
	// HTTPAddress is listened on while a challenge http-01 is open; the
	// authority comes to port 80. Empty: no http-01.
	HTTPAddress string `setting:"acme_http_address" default:":80"`
	// Webroot is where a web server on port 80 finds its files; http-01 is
	// answered through it in place of HTTPAddress.
	Webroot string `setting:"acme_webroot" default:""`
	// TLSAddress is listened on while a challenge tls-alpn-01 is open; the
	// authority comes to port 443. Empty: no tls-alpn-01.
	TLSAddress string `setting:"acme_tls_address" default:""`
	// DNSServer is the primary server of the zone, host or host:port; with it
	// only dns-01 is used, by updates of RFC 2136. DNSZone is '' for the zone
	// that the server names, DNSKey is as for nsupdate -y.
	DNSServer string `setting:"acme_dns_server" default:""`
	DNSZone   string `setting:"acme_dns_zone" default:""`
	DNSKey    string `setting:"acme_dns_key" default:""`
	// DNSDelay is for the other servers of the zone to hear of the update.
	DNSDelay time.Duration `setting:"acme_dns_delay" default:"10s"`
	// CAFile holds certificates, PEM, that the directory's HTTPS is trusted by.
	// Empty: those of the system.
	CAFile string `setting:"acme_ca_file" default:""`
}

// Validate returns the first value that cannot be acted on: "setting NAME: why".
func (c *Config) Validate() error {
	if c.DNSKey != "" {
		if err := dns.ParseKey(c.DNSKey); err != nil {
			return fmt.Errorf("setting acme_dns_key: %w", err)
		}
	}
	return nil
}

// Deps is what a Renewer needs.
type Deps struct {
	Dir    string // file names of rows are relative to it; those that are not are left alone
	Rows   func(context.Context) ([]tlscert.Row, error)
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Renewer looks after certificates. Run is its only goroutine.
type Renewer struct {
	d      Deps
	client *acme.Client
	about  string // the settings that client was made of
	tries  map[string]*try
}

// try is what became of the last attempt for a row, by hostname.
type try struct {
	next   time.Time
	failed int
	info   acme.RenewalInfo // of the authority, RFC 9773; zero: none
	leaf   string           // digest of the certificate that info is about
	said   string           // the complaint that was logged last
}

// New returns a Renewer.
func New(d Deps) *Renewer {
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Renewer{d: d, tries: make(map[string]*try)}
}

const (
	lookEvery  = time.Minute      // at rows, settings and files
	firstRetry = 30 * time.Minute // doubles; the authority counts failures
	lastRetry  = 24 * time.Hour
	orderTime  = 5 * time.Minute
)

// Run looks at all certificates until ctx ends.
func (r *Renewer) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := r.Look(ctx); err != nil && ctx.Err() == nil {
			r.d.Log.Error("certificates not looked at", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Look renews what is due. Errors about one certificate are logged, and tried
// again later.
func (r *Renewer) Look(ctx context.Context) error {
	cfg, err := r.d.Config(ctx)
	if err != nil || cfg.Directory == "" {
		return err
	}
	rows, err := r.d.Rows(ctx)
	if err != nil {
		return err
	}
	if err := r.connect(cfg); err != nil {
		return err
	}
	for _, row := range rows {
		if filepath.IsAbs(row.CertFile) || filepath.IsAbs(row.KeyFile) {
			continue
		}
		t := r.tries[row.Hostname]
		if t == nil {
			t = new(try)
			r.tries[row.Hostname] = t
		}
		r.lookAt(ctx, cfg, row, t)
	}
	return nil
}

func (r *Renewer) lookAt(ctx context.Context, cfg *Config, row tlscert.Row, t *try) {
	if strings.HasPrefix(row.Hostname, "*.") && cfg.DNSServer == "" {
		r.complain(t, row, errors.New("a wildcard needs dns-01: acme_dns_server is not set"))
		return
	}
	if r.d.Now().Before(t.next) {
		return
	}
	leaf := r.leaf(row)
	why := r.due(ctx, row, leaf, t)
	if why == "" {
		return
	}
	r.d.Log.Info("asking for a certificate", "hostname", row.Hostname, "reason", why)
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	if err := r.obtain(ctx, cfg, row, leaf, t); err != nil {
		t.next = r.d.Now().Add(min(firstRetry<<min(t.failed, 10), lastRetry))
		t.failed++
		t.said = ""
		r.complain(t, row, fmt.Errorf("%w; next try %s", err, t.next.UTC().Format(time.RFC3339)))
		return
	}
	*t = try{}
	r.d.Log.Info("certificate renewed", "hostname", row.Hostname)
}

// complain logs an error about a row, once.
func (r *Renewer) complain(t *try, row tlscert.Row, err error) {
	if t.said == err.Error() {
		return
	}
	t.said = err.Error()
	r.d.Log.Error("certificate not renewed", "hostname", row.Hostname, "err", err)
}

// leaf reads the certificate of a row; nil if there is none that can be read.
func (r *Renewer) leaf(row tlscert.Row) *x509.Certificate {
	text, err := os.ReadFile(filepath.Join(r.d.Dir, row.CertFile))
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
}

// due says why a certificate has to be had now; ” if it has not.
func (r *Renewer) due(ctx context.Context, row tlscert.Row, leaf *x509.Certificate, t *try) string {
	switch {
	case leaf == nil:
		return "there is none"
	case exists(filepath.Join(r.d.Dir, row.KeyFile) + tlscert.RollSuffix):
		return "its key is to be changed"
	case leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil:
		return "it signs itself"
	case leaf.VerifyHostname(row.Hostname) != nil:
		return "it is for another name"
	}
	now := r.d.Now()
	when := r.selected(ctx, leaf, t, now)
	left := leaf.NotAfter.Sub(now)
	switch life := leaf.NotAfter.Sub(leaf.NotBefore); {
	case !when.IsZero() && now.After(when):
		return "the authority wants it renewed"
	case when.IsZero() && left < life/3:
		return "a third of its life is left"
	case left < life/10:
		return "a tenth of its life is left"
	}
	return ""
}

// selected is when the authority wants a certificate renewed, RFC 9773; zero if
// it has not said. It is asked as often as it says.
func (r *Renewer) selected(ctx context.Context, leaf *x509.Certificate, t *try, now time.Time) time.Time {
	sum := sha256.Sum256(leaf.Raw)
	id := hex.EncodeToString(sum[:])
	if t.leaf != id {
		t.leaf, t.info = id, acme.RenewalInfo{}
	}
	if t.info.RetryAfter != nil && now.Before(*t.info.RetryAfter) {
		return t.info.SelectedTime
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	info, err := r.client.GetRenewalInfo(ctx, leaf)
	later := now.Add(6 * time.Hour) // RFC 9773 §4.3.3
	switch {
	case err != nil:
		t.info.RetryAfter = &later
	case !t.info.SameWindow(info) || t.info.SelectedTime.IsZero():
		t.info = info
	default:
		t.info.RetryAfter = info.RetryAfter
	}
	if t.info.RetryAfter == nil {
		t.info.RetryAfter = &later
	}
	return t.info.SelectedTime
}
