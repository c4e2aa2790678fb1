package renewal

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"mailserver/internal/tlscert"
)

// connect makes the client of the settings, when they have changed.
func (r *Renewer) connect(cfg *Config) error {
	about := cfg.Directory + "\x00" + cfg.CAFile
	if r.client != nil && r.about == about {
		return nil
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if cfg.CAFile != "" {
		text, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return fmt.Errorf("read acme_ca_file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return fmt.Errorf("acme_ca_file %s holds no certificate", cfg.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	r.client = &acme.Client{Directory: cfg.Directory, UserAgent: "mailserver",
		HTTPClient: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
	r.about = about
	clear(r.tries)
	return nil
}

// accountFile is the key by which the authority knows us.
const accountFile = "tls/acme-account.key"

// obtain has a certificate made for a row, and writes it.
func (r *Renewer) obtain(ctx context.Context, cfg *Config, row tlscert.Row, old *x509.Certificate, t *try) error {
	accountKey, _, err := r.key(accountFile)
	if err != nil {
		return err
	}
	account := acme.Account{TermsOfServiceAgreed: true, PrivateKey: accountKey}
	if cfg.Contact != "" {
		account.Contact = []string{"mailto:" + strings.TrimPrefix(cfg.Contact, "mailto:")}
	}
	if account, err = r.client.NewAccount(ctx, account); err != nil {
		return fmt.Errorf("account at the authority: %w", err)
	}
	roll := filepath.Join(r.d.Dir, row.KeyFile) + tlscert.RollSuffix
	rolls := exists(roll)
	keyFile := row.KeyFile
	if rolls {
		keyFile += tlscert.RollSuffix
	}
	key, made, err := r.key(keyFile)
	if err != nil {
		return err
	}
	csr, err := acmez.NewCSR(key, []string{row.Hostname})
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	order, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return fmt.Errorf("make an order: %w", err)
	}
	if !t.info.SelectedTime.IsZero() { // the authority knows the old one
		order.Replaces = old
	}
	solvers, stop, err := startSolvers(cfg)
	if err != nil {
		return err
	}
	defer stop()
	client := acmez.Client{Client: r.client, ChallengeSolvers: solvers}
	chains, err := client.ObtainCertificate(ctx, order)
	if err != nil {
		return err
	}
	if len(chains) == 0 {
		return errors.New("the authority has sent no certificate")
	}
	if err := r.store(row, chains[0].ChainPEM, key, made || rolls); err != nil || !rolls {
		return err
	}
	return os.Remove(roll)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// key reads a private key, or makes one that is not on disk yet (made), except
// for that of the account. A certificate keeps its key when it is renewed, so
// that a TLSA record stays right, unless the operator has asked for another.
func (r *Renewer) key(name string) (key crypto.Signer, made bool, err error) {
	path := filepath.Join(r.d.Dir, name)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		fresh, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, false, fmt.Errorf("make key: %w", err)
		}
		if name != accountFile {
			return fresh, true, nil
		}
		return fresh, true, writeKey(path, fresh)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, false, fmt.Errorf("read key: %s is not PEM", name)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		if parsed, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
			parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		}
	}
	signer, ok := parsed.(crypto.Signer)
	if err != nil || !ok {
		return nil, false, fmt.Errorf("read key: %s holds no private key", name)
	}
	return signer, false, nil
}

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// store writes a chain that fits the key, after checking that it does.
func (r *Renewer) store(row tlscert.Row, chain []byte, key crypto.Signer, made bool) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	if _, err := tls.X509KeyPair(chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return fmt.Errorf("the authority's certificate: %w", err)
	}
	if made {
		if err := writeKey(filepath.Join(r.d.Dir, row.KeyFile), key); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(r.d.Dir, row.CertFile), chain, 0o644)
}

// writeFile puts a file in its place at once, durably.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	for _, step := range []func() error{func() error { return f.Chmod(mode) }, f.Sync, f.Close, func() error { return os.Rename(f.Name(), path) }} {
		if e := step(); err == nil {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	defer d.Close()
	return d.Sync()
}
