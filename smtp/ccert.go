package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// certConfig is the listener's TLS, asking for a certificate of the client
// where the settings want one. It is checked behind the handshake: a bad one
// is no reason not to talk. postconf(5) smtpd_tls_ask_ccert
func (s *session) certConfig() *tls.Config {
	if !s.set.AskCert && !s.needsCert() {
		return s.opt.TLSConfig
	}
	return s.opt.asking
}

// needsCert reports whether the listener is only for clients with one.
func (s *session) needsCert() bool {
	return s.set.RequireCert && (s.opt.TLS == Encrypt || s.opt.TLS == Wrapper)
}

// trusted are the chains of the client's certificate to those of
// smtpd_tls_CAfile; none if it leads nowhere.
func (s *session) trusted(tc *tls.Conn) [][]*x509.Certificate {
	certs := tc.ConnectionState().PeerCertificates
	if len(certs) == 0 || s.set.ClientCA == "" {
		return nil
	}
	roots, err := readCAs(s.set.ClientCA)
	if err != nil {
		s.backendError("read smtpd_tls_CAfile", err)
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: s.srv.d.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		s.info("client certificate", "%s: certificate verification failed: %v", s.namaddr, err)
	}
	return chains
}

func readCAs(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: no certificates", file)
	}
	return pool, nil
}

// certGood ends the session of a client without the certificate it needs.
func (s *session) certGood() bool {
	if !s.needsCert() || len(s.tls.chains) > 0 {
		return true
	}
	why := "No client certificate presented"
	if len(s.tls.conn.ConnectionState().PeerCertificates) > 0 {
		why = "Client certificate not trusted"
	}
	s.info("no certificate", "NOQUEUE: abort: TLS from %s: %s", s.namaddr, why)
	s.done = true
	return false
}
