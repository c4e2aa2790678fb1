package tlscert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
)

// Shown is the certificate that a handshake has shown; what crypto/tls does not
// tell, and channel bindings want. Leaf is nil when a session was resumed.
type Shown struct{ Leaf *x509.Certificate }

type shownKey struct{}

// Watch returns a context for one handshake; GetCertificate has to Tell what it
// picks.
func Watch(ctx context.Context) (context.Context, *Shown) {
	s := new(Shown)
	return context.WithValue(ctx, shownKey{}, s), s
}

// Tell notes what a handshake shows, for the Watch of hello's context.
func Tell(hello *tls.ClientHelloInfo, cert *tls.Certificate) {
	if s, ok := hello.Context().Value(shownKey{}).(*Shown); ok && cert != nil {
		s.Leaf = cert.Leaf
	}
}
