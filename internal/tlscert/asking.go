package tlscert

import "crypto/tls"

// Asking returns a copy of c that asks clients for a certificate; whoever shows
// none gets through the handshake. Make it once, not for each session: its
// session tickets have keys of their own, which change by the clock of c as
// those of c do. So a session that began where nobody asked is not resumed,
// without a certificate, where one may be needed.
func Asking(c *tls.Config) *tls.Config {
	keys := &tls.Config{Time: c.Time}
	a := c.Clone()
	a.ClientAuth = tls.RequestClientCert
	a.WrapSession, a.UnwrapSession = keys.EncryptTicket, keys.DecryptTicket
	return a
}
