package policy

import (
	"crypto"
	_ "crypto/sha1"   // digests that smtpd_tls_fingerprint_digest may name
	_ "crypto/sha256" // the default
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"strings"
)

// digests are the values of smtpd_tls_fingerprint_digest.
var digests = map[string]crypto.Hash{
	"sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512,
}

// clientCert is the certificate that the client has shown; nil if none.
func (x *query) clientCert() *x509.Certificate {
	if x.s.tls == nil || len(x.s.tls.PeerCertificates) == 0 {
		return nil
	}
	return x.s.tls.PeerCertificates[0]
}

// fingerprints returns the digests of a certificate and of its public key, as
// postconf(5) relay_clientcerts writes them.
func (x *query) fingerprints(cert *x509.Certificate) ([]string, outcome) {
	h, ok := digests[strings.ToLower(x.cfg.CertFingerprint)]
	if !ok {
		return nil, x.misconfigured("setting smtpd_tls_fingerprint_digest: no digest %q here", x.cfg.CertFingerprint)
	}
	return []string{fingerprint(h, cert.Raw), fingerprint(h, cert.RawSubjectPublicKeyInfo)}, dunno
}

func fingerprint(h crypto.Hash, data []byte) string {
	d := h.New()
	d.Write(data)
	text := strings.ToUpper(hex.EncodeToString(d.Sum(nil)))
	var b strings.Builder
	for i := 0; i < len(text); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(text[i : i+2])
	}
	return b.String()
}

// runAllCerts permits a certificate that a trusted authority has signed, or
// one that relay_clientcerts lists.
func runAllCerts(x *query, _ *item) outcome {
	if x.clientCert() != nil && len(x.s.tls.VerifiedChains) > 0 {
		return permit
	}
	return x.certListed()
}

// certListed permits a certificate whose fingerprint relay_clientcerts lists,
// whoever has signed it.
func (x *query) certListed() outcome {
	cert := x.clientCert()
	if cert == nil || x.cfg.RelayCerts == "" {
		return dunno
	}
	prints, out := x.fingerprints(cert)
	if out == refused {
		return refused
	}
	names, err := tokens(x.cfg.RelayCerts)
	if err != nil {
		return x.misconfigured("setting relay_clientcerts: %v", err)
	}
	for _, name := range names {
		ref, err := parseTable(name)
		if err != nil {
			return x.misconfigured("setting relay_clientcerts: %v", err)
		}
		for _, key := range prints {
			_, found, out := x.find(ref, key, true)
			if out == refused {
				return refused
			}
			if found {
				return permit
			}
		}
	}
	return dunno
}

func runCertAccess(x *query, it *item) outcome {
	cert := x.clientCert()
	if cert == nil {
		return dunno
	}
	prints, out := x.fingerprints(cert)
	for i := 0; i < len(prints) && out == dunno; i++ {
		var found bool
		if out, found = x.key(it, prints[i], true, cert.Subject.CommonName, ClassCert); found {
			break
		}
	}
	return out
}
