package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Secure is a Resolver that knows what DNSSEC vouches for. Without it every
// destination counts as one without DNSSEC.
type Secure interface {
	// SecureMX reports whether the answer to MX was validated, by a resolver
	// that is believed.
	SecureMX(ctx context.Context, domain string) (bool, error)
	// TLSABases are the names of a host below which records may stand, the
	// first that has some counts; none where it is not signed. RFC 7672 §2.2.3
	TLSABases(ctx context.Context, host string) ([]string, error)
	// TLSA returns validated records in the form of a zone file; none, or none
	// that are validated, is an empty list.
	TLSA(ctx context.Context, name string) ([]string, error)
}

// tlsaRecord is a record that can be used, RFC 7672 §3.1: the key of the host
// itself, or that of an authority.
type tlsaRecord struct {
	usage, selector, matching uint8
	data                      []byte
}

// Usages, RFC 7218 §2.1. The others are for the web.
const (
	daneTA = 2
	daneEE = 3
)

// parseTLSA reads a record; ok is false if it cannot be used.
func parseTLSA(text string) (r tlsaRecord, ok bool) {
	f := strings.Fields(text)
	if len(f) < 4 {
		return r, false
	}
	for i, dst := range []*uint8{&r.usage, &r.selector, &r.matching} {
		n, err := strconv.ParseUint(f[i], 10, 8)
		if err != nil {
			return r, false
		}
		*dst = uint8(n)
	}
	var err error
	r.data, err = hex.DecodeString(strings.Join(f[3:], ""))
	size := map[uint8]int{0: len(r.data), 1: sha256.Size, 2: sha512.Size}
	want, known := size[r.matching]
	ok = err == nil && known && len(r.data) == want && want > 0 && r.selector <= 1 && (r.usage == daneTA || r.usage == daneEE)
	return r, ok
}

// fits reports whether the record is that of a certificate.
func (r *tlsaRecord) fits(c *x509.Certificate) bool {
	der := c.Raw
	if r.selector == 1 {
		der = c.RawSubjectPublicKeyInfo
	}
	switch r.matching {
	case 1:
		sum := sha256.Sum256(der)
		der = sum[:]
	case 2:
		sum := sha512.Sum512(der)
		der = sum[:]
	}
	return bytes.Equal(der, r.data)
}

// daneNames are those that a certificate under an authority of DANE-TA may
// have, RFC 7672 §3.2.3.
func (p *tlsPolicy) daneNames(a *attempt) []string { return []string{p.server, a.hop.Host} }

// matchTLSA checks a chain. With DANE-EE neither names nor dates count, RFC
// 7672 §3.1.1.
func matchTLSA(records []tlsaRecord, chain []*x509.Certificate, names []string) error {
	for i := range records {
		r := &records[i]
		if r.usage == daneEE && r.fits(chain[0]) {
			return nil
		}
		if r.usage != daneTA {
			continue
		}
		for n, c := range chain {
			if r.fits(c) && under(chain, n) == nil && namesOne(chain[0], names) == nil {
				return nil
			}
		}
	}
	return errors.New("no TLSA record fits")
}

// under checks the chain up to the n-th certificate, taken as its root.
func under(chain []*x509.Certificate, n int) error {
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool()}
	opts.Roots.AddCert(chain[n])
	for _, c := range chain[1:max(n, 1)] {
		opts.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(opts)
	return err
}

// danePolicy is the policy for one host where the level is dane or dane-only:
// with records, they bind; without, dane takes what the host offers.
func (a *attempt) danePolicy(ctx context.Context, h host) (tlsPolicy, error) {
	p := a.policy
	less := func(level int, why string) (tlsPolicy, error) {
		if p.level == levelDANEOnly {
			return p, errors.New(why)
		}
		return tlsPolicy{level: level, reuse: p.reuse}, nil
	}
	dns, ok := a.c.d.Resolver.(Secure)
	if !ok || !h.addr.IsValid() || net.ParseIP(h.name) != nil {
		return less(levelMay, "non DNSSEC destination")
	}
	failed := fmt.Errorf("TLSA lookup error for %s:%d", h.name, h.port)
	if a.viaMX {
		secure, err := dns.SecureMX(ctx, a.domain)
		if err != nil && !notFound(err) {
			return p, failed
		}
		if !secure && (p.level == levelDANEOnly || a.cfg.InsecureMX != "dane") {
			return less(levelMay, "non DNSSEC destination")
		}
	}
	base, list, err := findTLSA(ctx, dns, h)
	switch {
	case err != nil:
		return p, failed
	case len(list) == 0:
		return less(levelMay, "no TLSA records found")
	}
	p.server = base // RFC 7672 §2.2.3, §8.1: SNI and certificate are of the name that has the records
	for _, text := range list[:min(len(list), mostTLSA)] {
		if r, ok := parseTLSA(text); ok {
			p.tlsa, p.records = append(p.tlsa, r), append(p.records, text)
		}
	}
	if len(p.tlsa) == 0 {
		return less(levelEncrypt, "TLSA records unusable")
	}
	p.tlsa = slices.Clip(p.tlsa)
	return p, nil
}

// findTLSA gives the records of a host and the name that has them. A look-up
// that fails is no reason to try the next name, RFC 7672 §2.1.2.
func findTLSA(ctx context.Context, dns Secure, h host) (base string, list []string, err error) {
	bases, err := dns.TLSABases(ctx, h.name)
	if err != nil {
		return "", nil, err
	}
	for _, base := range bases {
		list, err := dns.TLSA(ctx, fmt.Sprintf("_%d._tcp.%s", h.port, base))
		if err != nil && !notFound(err) {
			return "", nil, err
		}
		if len(list) > 0 {
			return base, list, nil
		}
	}
	return "", nil, nil
}

// mostTLSA bounds the records of one host.
const mostTLSA = 50
