package smtp

import (
	"crypto/x509"
	"strconv"
	"strings"

	"mailserver/policy"
)

// about is what macros of milters tell of the present command.
type about struct {
	sender  policy.Sender
	rcpt    policy.Recipient
	refusal reply // of the recipient
}

// macro is the value of a macro of Sendmail, as MILTER_README lists them.
func (s *session) macro(name string) (string, bool) {
	if v, ok := s.clientMacro(name); ok {
		return v, true
	}
	switch name {
	case "i":
		if s.tx != nil && s.tx.msg != nil {
			return s.tx.msg.ID(), true
		}
		return "", false
	case "{auth_type}":
		return s.mech, s.user != ""
	case "{auth_authen}":
		return s.user, s.user != ""
	case "{auth_author}":
		if s.tx != nil && s.tx.env.Options.Auth != nil {
			return *s.tx.env.Options.Auth, s.user != ""
		}
	case "{mail_addr}":
		return s.about.sender.Address.String(), s.tx != nil
	case "{mail_host}":
		return s.about.sender.Address.Domain, s.tx != nil
	case "{mail_mailer}":
		return mailer(s.about.sender.Class), s.tx != nil
	}
	if v, ok := s.rcptMacro(name); ok {
		return v, true
	}
	return s.tlsMacro(name)
}

func (s *session) clientMacro(name string) (string, bool) {
	c := &s.client
	switch name {
	case "_":
		v := c.ReverseName + " [" + literal(c.Addr) + "]"
		if !strings.EqualFold(c.Name, c.ReverseName) {
			v += " (may be forged)"
		}
		return v, true
	case "{client_addr}":
		return literal(c.Addr), true
	case "{client_name}":
		return c.Name, true
	case "{client_ptr}":
		return c.ReverseName, true
	case "{client_port}":
		return strconv.Itoa(int(c.Port)), true
	case "{client_resolve}":
		switch {
		case c.TempFail:
			return "TEMP", true
		case c.Name != unknown:
			return "OK", true
		case c.ReverseName != unknown:
			return "FORGED", true
		}
		return "FAIL", true
	case "{daemon_addr}":
		return literal(s.local), true
	case "{daemon_port}":
		return strconv.Itoa(int(c.Local.Port())), true
	}
	return "", false
}

func (s *session) rcptMacro(name string) (string, bool) {
	if s.tx == nil || s.about.rcpt.Address.IsNull() {
		return "", false
	}
	r := &s.about.rcpt
	refused := s.about.refusal.code != 0
	switch name {
	case "{rcpt_addr}":
		return r.Address.String(), true
	case "{rcpt_host}":
		if refused {
			return s.about.refusal.enhanced, true
		}
		return r.Address.Domain, true
	case "{rcpt_mailer}":
		if refused {
			return "error", true
		}
		return mailer(r.Class), true
	}
	return "", false
}

// mailer is the transport of a class of domains (Domain.domClass), as
// postconf(5) names the defaults.
func mailer[C ~int](class C) string {
	switch class {
	case 0:
		return "smtp"
	case 1:
		return "local"
	case 2:
		return "relay"
	case 3:
		return "error"
	}
	return "virtual"
}

func (s *session) tlsMacro(name string) (string, bool) {
	if s.tls == nil {
		return "", false
	}
	switch name {
	case "{tls_version}":
		return s.tls.version, true
	case "{cipher}":
		return s.tls.cipher, true
	case "{cipher_bits}":
		return strconv.Itoa(s.tls.bits()), true
	}
	var cert *x509.Certificate
	if st := s.tls.conn.ConnectionState(); len(st.PeerCertificates) > 0 {
		cert = st.PeerCertificates[0]
	}
	switch {
	case cert == nil:
		return "", false
	case name == "{cert_subject}":
		return cert.Subject.CommonName, true
	case name == "{cert_issuer}":
		return cert.Issuer.CommonName, true
	}
	return "", false
}
