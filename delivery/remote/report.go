package remote

import (
	"crypto/x509"
	"errors"
	"strings"
)

// TLSResult is how TLS with a mail exchanger went, in the terms of RFC 8460.
type TLSResult struct {
	Domain  string   // whose exchanger it is
	Policy  string   // tlsa, sts, no-policy-found
	Text    []string // the policy
	MXHosts []string // of an STS policy
	Failure string   // '' it went well
	Host    string
	Address string
	Own     string
	Reason  string
}

// described is a policy that can be told of in reports.
type described interface {
	Lines() []string
	Hosts() []string
}

// report counts a session with a mail exchanger; hosts that a row names are
// nobody's policy.
func (s *session) report(failure, reason string) {
	a := s.a
	if a.c.d.TLSResult == nil || a.domain == "" || a.hop.LMTP || a.policy.level == levelNone {
		return
	}
	r := TLSResult{Domain: strings.ToLower(a.domain), Policy: "no-policy-found", Failure: failure}
	switch {
	case len(s.policy.tlsa) > 0:
		r.Policy, r.Text = "tlsa", s.policy.records
	case a.sts != nil:
		r.Policy = "sts"
		if d, ok := a.sts.(described); ok {
			r.Text, r.MXHosts = d.Lines(), d.Hosts()
		}
	}
	if failure != "" {
		r.Host, r.Address, r.Reason = s.h.name, s.h.addr.String(), reason
		if own := s.nc.LocalAddr(); own != nil {
			r.Own, _, _ = strings.Cut(own.String(), ":")
			if i := strings.LastIndexByte(own.String(), ':'); i > 0 {
				r.Own = strings.Trim(own.String()[:i], "[]")
			}
		}
	}
	a.c.d.TLSResult(r)
}

// failureType is the result type of an error of the handshake, RFC 8460 §4.3.
func (s *session) failureType(err error) string {
	var expired x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case len(s.policy.tlsa) > 0 && errors.Is(err, errCertificate):
		return "validation-failure"
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return "certificate-expired"
	case errors.As(err, &unknown):
		return "certificate-not-trusted"
	case errors.Is(err, errNames):
		return "certificate-host-mismatch"
	}
	return "validation-failure"
}
