package remote

import (
	"crypto/tls"
	"io"
	"strings"

	"mailserver/internal/message"
)

// requiring is the policy of mail with REQUIRETLS: a certificate that fits. A
// report is not lost over it: with the null sender mail goes by the policy of
// the hop, over TLS where it can, RFC 8689 §5.
func (a *attempt) requiring(p tlsPolicy) tlsPolicy {
	switch {
	case !a.m.RequireTLS || a.hop.Unix || p.authenticates():
		return p
	case a.m.From == "":
		p.level = max(p.level, levelMay)
	default:
		p = tlsPolicy{level: levelSecure}
	}
	p.reuse = "no"
	return p
}

// maySayRequireTLS: only to a host that offers it and is who it must be, RFC
// 8689 §4.2.
func (s *session) maySayRequireTLS() bool {
	tc, ok := s.nc.(*tls.Conn)
	switch {
	case !s.has("REQUIRETLS"):
		return false
	case s.policy.authenticates() || s.a.hop.Unix:
		return true
	}
	p := tlsPolicy{level: levelSecure}
	return ok && p.verdict(s.a, s.h, tc.ConnectionState()) == nil
}

// waives reports whether the sender asks that the TLS policies of recipients,
// DANE and MTA-STS, be ignored: the field TLS-Required: No, RFC 8689 §5. Of
// mail with REQUIRETLS it says nothing. What the operator asks for by rows or
// settings stands.
func (a *attempt) waives() bool {
	if a.m.RequireTLS || a.m.Open == nil || !a.cfg.TLSRequired {
		return false
	}
	if a.waived == nil {
		yes := false
		if f, err := a.m.Open(); err == nil { // unreadable, the strict way is taken
			yes = TLSNotRequired(f)
			f.Close()
		}
		a.waived = &yes
	}
	return *a.waived
}

// TLSNotRequired reads the header of a message for TLS-Required: No. Two such
// fields contradict each other, and are none.
func TLSNotRequired(text io.Reader) bool {
	fields, no := 0, false
	message.ReadHeader(io.LimitReader(text, maxHeader), func(f message.Field) bool {
		if strings.EqualFold(f.Name, "TLS-Required") {
			fields++
			no = strings.EqualFold(f.Value, "No")
		}
		return true
	})
	return fields == 1 && no
}

// maxHeader bounds what is read of a header, in bytes.
const maxHeader = 1 << 20
