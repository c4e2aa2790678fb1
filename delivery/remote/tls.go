package remote

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"slices"
	"strings"
)

// TLS levels, weakest first. postconf(5) smtp_tls_security_level
const (
	levelNone = iota
	levelMay
	levelEncrypt
	levelFingerprint
	levelDANE
	levelDANEOnly
	levelVerify
	levelSecure
)

var levels = map[string]int{"none": levelNone, "may": levelMay, "encrypt": levelEncrypt, "fingerprint": levelFingerprint,
	"dane": levelDANE, "dane-only": levelDANEOnly, "verify": levelVerify, "secure": levelSecure}

// tlsPolicy is a row of TlsPolicy: a level and its attributes. For one host,
// tlsa holds what DANE has found.
type tlsPolicy struct {
	level  int
	match  []string // names, or fingerprints, that the certificate may have
	server string   // name to ask for; '' the host. With tlsa the name that has them
	reuse  string   // yes, no, '' the setting
	tlsa   []tlsaRecord
	// records are those of tlsa, for reports.
	records []string
}

// authenticates reports whether a certificate must fit.
func (p *tlsPolicy) authenticates() bool {
	return p.level >= levelFingerprint
}

// parsePolicy reads a row, or the setting where there is none. A level that we
// do not have is an error: mail waits rather than go with less.
func parsePolicy(row, setting string) (tlsPolicy, error) {
	text := row
	if text == "" {
		text = setting
	}
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
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
		switch name {
		case "match":
			p.match = append(p.match, strings.FieldsFunc(value, p.separator)...)
		case "servername":
			p.server = value
		case "connection_reuse":
			p.reuse = value
		default:
			return tlsPolicy{}, fmt.Errorf("TLS policy attribute %q is not supported", name)
		}
	}
	if level == levelFingerprint && len(p.match) == 0 {
		return tlsPolicy{}, errors.New("the fingerprint level without match= lets no certificate pass")
	}
	return p, nil
}

// separator: fingerprints hold colons.
func (p *tlsPolicy) separator(r rune) bool {
	return r == '|' || r == ':' && p.level != levelFingerprint
}

// config is what a handshake with h must hold to. verdict is asked after it:
// the words about a certificate are not those about a handshake.
func (p *tlsPolicy) config(a *attempt, h host) *tls.Config {
	cfg := &tls.Config{}
	if a.hop.TLSConfig != nil {
		cfg = a.hop.TLSConfig.Clone()
	}
	cfg.ServerName = h.name
	switch p.server {
	case "", "hostname":
	case "nexthop":
		cfg.ServerName = a.hop.Host
	default:
		cfg.ServerName = p.server
	}
	cfg.MinVersion = tls.VersionTLS12
	cfg.InsecureSkipVerify = true // verdict decides: the names are not only ServerName
	return cfg
}

// verdict checks the certificate as the level demands.
func (p *tlsPolicy) verdict(a *attempt, h host, st tls.ConnectionState) error {
	if !p.authenticates() {
		return nil
	}
	if len(st.PeerCertificates) == 0 {
		return errors.New("no certificate")
	}
	switch p.level {
	case levelFingerprint:
		return p.fingerprint(a.cfg.FingerprintDigest, st.PeerCertificates[0])
	case levelDANE, levelDANEOnly:
		return matchTLSA(p.tlsa, st.PeerCertificates, p.daneNames(a))
	}
	roots, err := p.roots(a)
	if err != nil {
		return err
	}
	return verify(st, roots, p.names(a.hop.Host, h.name))
}

func (p *tlsPolicy) roots(a *attempt) (*x509.CertPool, error) {
	if a.cfg.TLSCAFile == "" {
		if a.hop.TLSConfig != nil {
			return a.hop.TLSConfig.RootCAs, nil
		}
		return nil, nil
	}
	pem, err := os.ReadFile(a.cfg.TLSCAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool, nil
}

var digests = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// fingerprint: of the certificate, or of its public key.
// postconf(5) smtp_tls_fingerprint_cert_match
func (p *tlsPolicy) fingerprint(digest string, leaf *x509.Certificate) error {
	algorithm, ok := digests[strings.ToLower(digest)]
	if !ok {
		return fmt.Errorf("smtp_tls_fingerprint_digest: %q is not supported", digest)
	}
	for _, der := range [][]byte{leaf.Raw, leaf.RawSubjectPublicKeyInfo} {
		h := algorithm()
		h.Write(der)
		got := hex.EncodeToString(h.Sum(nil))
		if slices.ContainsFunc(p.match, func(m string) bool { return strings.EqualFold(strings.ReplaceAll(m, ":", ""), got) }) {
			return nil
		}
	}
	return errors.New("no fingerprint fits")
}

// names are what the certificate may name: the host for verify, the next hop
// and the hosts below it for secure, or what match= says.
func (p *tlsPolicy) names(nexthop, hostname string) []string {
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
	leaf := st.PeerCertificates[0]
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range st.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(opts); err != nil {
		return err
	}
	return namesOne(leaf, names)
}

// errNames: the certificate is of another.
var errNames = errors.New("certificate of another host")

// namesOne reports whether the certificate has one of the names; .name stands
// for all that is below it.
func namesOne(leaf *x509.Certificate, names []string) error {
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
	return fmt.Errorf("%w: it names none of %s", errNames, strings.Join(names, ", "))
}
