package remote

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
)

// TLS levels, weakest first. postconf(5) smtp_tls_security_level
const (
	levelNone = iota
	levelMay
	levelEncrypt
	levelVerify
	levelSecure
)

var levels = map[string]int{"none": levelNone, "may": levelMay, "encrypt": levelEncrypt, "verify": levelVerify, "secure": levelSecure}

// tlsPolicy is a row of TlsPolicy: a level and its attributes.
type tlsPolicy struct {
	level int
	match []string // names that the certificate may have
}

// parsePolicy reads a row, or the setting where there is none. A level that we
// do not have is an error: mail waits rather than go with less.
func parsePolicy(row, setting string) (tlsPolicy, error) {
	text := row
	if text == "" {
		text = setting
	}
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return tlsPolicy{level: levelNone}, nil
	}
	level, ok := levels[fields[0]]
	if !ok {
		return tlsPolicy{}, fmt.Errorf("TLS security level %q is not supported", fields[0])
	}
	p := tlsPolicy{level: level}
	for _, f := range fields[1:] {
		name, value, _ := strings.Cut(f, "=")
		if name != "match" {
			return tlsPolicy{}, fmt.Errorf("TLS policy attribute %q is not supported", name)
		}
		p.match = append(p.match, strings.Split(value, ":")...)
	}
	return p, nil
}

// config is what a handshake with h must hold to.
func (p tlsPolicy) config(a *attempt, h host) (*tls.Config, error) {
	cfg := &tls.Config{}
	if a.hop.TLSConfig != nil {
		cfg = a.hop.TLSConfig.Clone()
	}
	cfg.ServerName = h.name
	cfg.MinVersion = tls.VersionTLS12
	cfg.InsecureSkipVerify = true // the names to verify are not only ServerName
	if p.level < levelVerify {
		return cfg, nil
	}
	if a.cfg.TLSCAFile != "" {
		pem, err := os.ReadFile(a.cfg.TLSCAFile)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM(pem)
	}
	names := p.names(a.hop.Host, h.name)
	roots := cfg.RootCAs
	cfg.VerifyConnection = func(st tls.ConnectionState) error { return verify(st, roots, names) }
	return cfg, nil
}

// names are what the certificate may name: the host for verify, the next hop
// and the hosts below it for secure, or what match= says.
func (p tlsPolicy) names(nexthop, hostname string) []string {
	match := p.match
	if len(match) == 0 {
		match = map[int][]string{levelVerify: {"hostname"}, levelSecure: {"nexthop", "dot-nexthop"}}[p.level]
	}
	var out []string
	for _, m := range match {
		switch m {
		case "hostname":
			out = append(out, hostname)
		case "nexthop":
			out = append(out, nexthop)
		case "dot-nexthop":
			out = append(out, "."+nexthop)
		default:
			out = append(out, m)
		}
	}
	return out
}

// verify checks the chain, and that one name fits.
func verify(st tls.ConnectionState, roots *x509.CertPool, names []string) error {
	if len(st.PeerCertificates) == 0 {
		return fmt.Errorf("no certificate")
	}
	leaf := st.PeerCertificates[0]
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range st.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(opts); err != nil {
		return err
	}
	for _, name := range names {
		if suffix, ok := strings.CutPrefix(name, "."); ok {
			for _, dns := range leaf.DNSNames {
				if strings.HasSuffix(strings.ToLower(dns), "."+strings.ToLower(suffix)) {
					return nil
				}
			}
		} else if leaf.VerifyHostname(name) == nil {
			return nil
		}
	}
	return fmt.Errorf("certificate names none of %s", strings.Join(names, ", "))
}
