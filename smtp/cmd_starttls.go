package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"mailserver/internal/maillog"
	"mailserver/internal/tlscert"
	"mailserver/policy"
)

// startTLS: RFC 3207. What the client sent in plaintext after the command is
// dropped, and all that it said before is forgotten.
func (s *session) startTLS(ctx context.Context, args string) reply {
	switch {
	case args != "":
		return syntax("STARTTLS")
	case s.tls != nil:
		return reply{554, "5.5.1", "Error: TLS already active"}
	case s.opt.TLS != May && s.opt.TLS != Encrypt:
		return notImplemented
	case s.opt.TLSConfig == nil:
		return reply{454, "4.7.0", "TLS not available due to local problem"}
	case s.tooManyTLS():
		return reply{454, "4.7.0", "Error: too many new TLS sessions from " + s.client.Addr.String()}
	}
	if early := s.rd.Pending(); len(early) > 0 {
		s.info("improper pipelining", "improper command pipelining after STARTTLS from %s: %s", s.namaddr, maillog.Escaped(early, 100))
	}
	s.say(reply{220, "2.0.0", "Ready to start TLS"})
	if err := s.flush(); err != nil && s.err == nil {
		s.lost(err)
	}
	if s.err != nil || !s.handshake(ctx) {
		return reply{}
	}
	s.forget()
	return reply{}
}

// wrap is TLS from the first byte.
func (s *session) wrap(ctx context.Context) bool {
	if s.opt.TLSConfig == nil {
		s.warn("no TLS", "%s: no TLS certificate for this listener", s.namaddr)
		return false
	}
	if s.tooManyTLS() {
		return false
	}
	return s.handshake(ctx)
}

func (s *session) tooManyTLS() bool {
	n, over := s.over(tlsSessions, s.set.ClientTLS)
	if over {
		s.warn("TLS rate", "New TLS session rate limit exceeded: %d from %s for service %s", n, s.namaddr, s.tag)
	}
	return over
}

func (s *session) handshake(ctx context.Context) bool {
	s.rd.Discard(&s.conn)
	ctx, cancel := context.WithTimeout(ctx, s.set.StartTLSTimeout)
	defer cancel()
	s.nc.SetDeadline(time.Now().Add(s.set.StartTLSTimeout))
	ctx, shown := tlscert.Watch(ctx)
	tc := tls.Server(s.nc, s.certConfig())
	if err := tc.HandshakeContext(ctx); err != nil {
		s.info("TLS handshake failed", "SSL_accept error from %s: %v", s.namaddr, err)
		s.lost(err)
		return false
	}
	s.upgrade(tc)
	s.tls = describe(tc, s.trusted(tc))
	s.tls.shown = shown.Leaf
	return s.certGood()
}

// forget is RFC 3207 §4.2: the session begins anew under TLS.
func (s *session) forget() {
	s.reset()
	s.helo, s.user, s.mech = "", "", ""
	if s.opt.Role != policy.LMTP {
		s.proto = plainSMTP
	}
	s.tellTLS()
}

// tellTLS lets the judge know of TLS.
func (s *session) tellTLS() {
	st := s.tls.conn.ConnectionState()
	st.VerifiedChains = s.tls.chains
	s.judge.TLS(&st)
}

// tlsInfo is what a session needs to know of its TLS.
type tlsInfo struct {
	conn    *tls.Conn
	shown   *x509.Certificate // ours; nil: not known
	version string
	cipher  string
	group   string
	client  string                // of its certificate: comment for the Received header
	chains  [][]*x509.Certificate // to who is trusted
}

func describe(tc *tls.Conn, chains [][]*x509.Certificate) *tlsInfo {
	st := tc.ConnectionState()
	t := &tlsInfo{
		conn:    tc,
		version: strings.Replace(tls.VersionName(st.Version), "TLS 1", "TLSv1", 1),
		cipher:  tls.CipherSuiteName(st.CipherSuite),
		client:  "(No client certificate requested)",
		chains:  chains,
	}
	if st.CurveID != 0 {
		t.group = st.CurveID.String()
	}
	if len(st.PeerCertificates) > 0 {
		t.client = certComment(st.PeerCertificates[0], len(chains) > 0)
	}
	return t
}

func certComment(c *x509.Certificate, trusted bool) string {
	clean := func(s string) string { return strings.NewReplacer(`"`, "?", `\`, "?", "\r", "?", "\n", "?").Replace(s) }
	verified := "not verified"
	if trusted {
		verified = "verified OK"
	}
	return fmt.Sprintf("(Client CN %q, Issuer %q (%s))", clean(c.Subject.CommonName), clean(c.Issuer.CommonName), verified)
}

// header is the comment of smtpd_tls_received_header.
func (t *tlsInfo) header() string {
	bits := t.bits()
	line := fmt.Sprintf("\t(using %s with cipher %s (%d/%d bits)", t.version, t.cipher, bits, bits)
	if t.group != "" {
		line += "\r\n\t key-exchange " + t.group
	}
	return line + ")\r\n\t" + t.client + "\r\n"
}

// bits is the strength of the cipher.
func (t *tlsInfo) bits() int {
	if strings.Contains(t.cipher, "AES_256") || strings.Contains(t.cipher, "CHACHA20") {
		return 256
	}
	return 128
}
