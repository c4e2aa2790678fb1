package auth

import (
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	mech "mailserver/internal/sasl"
)

// external is a log-in by the certificate of the client, RFC 4422 appendix A.
func (x *exchange) external(authzid string) error {
	a, err := x.s.admit(x.ctx, x.c, x.name, authzid, 0)
	if err != nil {
		return err
	}
	return x.tell(a.end(a.byCertificate(x, authzid)))
}

func (a *attempt) byCertificate(x *exchange, authzid string) (string, error) {
	pool, err := ClientCAs(a.cfg.ClientCA)
	if err != nil {
		return "", err
	}
	if pool == nil {
		return "", fmt.Errorf("%w: ssl_client_ca_file is not set", ErrBadCredentials)
	}
	chain := x.c.State.PeerCertificates
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: x.s.d.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return "", fmt.Errorf("%w: certificate: %v", ErrBadCredentials, err)
	}
	sent, err := certName(chain[0], a.cfg.CertName)
	if err != nil {
		return "", err
	}
	x.claim = sent
	name, err := canonical(a.cfg, sent)
	if err != nil {
		return "", err
	}
	acc, err := x.s.account(x.ctx, a.cfg, x.c, name)
	if err != nil {
		return "", err
	}
	if !a.mayAct(mech.Credentials{Authzid: authzid, User: sent}, acc) {
		acc.refuse("%q may not act as %q", sent, authzid)
	}
	return acc.name, acc.refused
}

// certName is the log-in name in a certificate.
func certName(cert *x509.Certificate, field string) (string, error) {
	name := ""
	switch {
	case strings.EqualFold(field, "commonName"):
		name = cert.Subject.CommonName
	case strings.EqualFold(field, "emailAddress"):
		if len(cert.EmailAddresses) > 0 {
			name = cert.EmailAddresses[0]
		}
	default:
		return "", fmt.Errorf("setting ssl_cert_username_field: %q is neither commonName nor emailAddress", field)
	}
	if name == "" {
		return "", fmt.Errorf("%w: the certificate has no %s", ErrBadCredentials, field)
	}
	return name, nil
}

// ClientCAs reads the certificates of ssl_client_ca_file; nil without a file.
func ClientCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read ssl_client_ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ssl_client_ca_file %s holds no certificate", file)
	}
	return pool, nil
}
