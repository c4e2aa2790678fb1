// Package login is what IMAP and POP3 have in common before and around a
// log-in, as the login processes of Dovecot have: which connections there are,
// how they end, and who may send a password without TLS.
package login

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-sasl"

	"mailserver/auth"
)

// Authenticator says who a client is; auth.Service.
type Authenticator interface {
	Plain(ctx context.Context, c auth.Client, user, password string) (auth.Identity, error)
	Mechanisms(ctx context.Context, c auth.Client, plaintext bool) []string
	Begin(ctx context.Context, c auth.Client, mechanism string, done func(auth.Identity)) sasl.Server
}

// TLSMode says when a listener speaks TLS.
type TLSMode string

// Modes of TLS, named as smtpd_tls_security_level names them.
const (
	TLSNone    TLSMode = ""        // the command to start it is not offered
	TLSMay     TLSMode = "may"     // the command is offered
	TLSEncrypt TLSMode = "encrypt" // no log-in before the command
	TLSWrapper TLSMode = "wrapper" // TLS from the first byte
)

// Options is what one listener does differently from another.
type Options struct {
	TLS      TLSMode
	Hostname string // in the greeting; empty: the setting myhostname
}

// Plaintext tells whether passwords may come as they are: under TLS, and
// without it from this host itself, as Dovecot has it, unless the listener
// insists. Disabled is the setting disable_plaintext_auth.
func (o Options) Plaintext(c auth.Client, disabled bool) bool {
	if c.TLS {
		return true
	}
	if o.TLS == TLSEncrypt {
		return false
	}
	local := c.Remote.IsLoopback() || c.Remote.IsValid() && c.Remote == c.Local
	return local || !disabled
}

// Offers tells whether the command to start TLS makes sense to a client.
func (o Options) Offers(c auth.Client) bool {
	return !c.TLS && (o.TLS == TLSMay || o.TLS == TLSEncrypt)
}

// NewID makes up the name of a session in the log.
func NewID() string {
	var b [9]byte
	rand.Read(b[:])
	return base64.RawStdEncoding.EncodeToString(b[:])
}

// NewClient is who has connected.
func NewClient(service string, c net.Conn) auth.Client {
	return auth.Client{Service: service, Remote: addrOf(c.RemoteAddr()), Local: addrOf(c.LocalAddr())}
}

func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Bound returns c with the state of the TLS connection that mechanisms may be
// bound to.
func Bound(c auth.Client, conn net.Conn) auth.Client {
	if t, ok := conn.(*tls.Conn); ok {
		st := t.ConnectionState()
		c.State = &st
	}
	return c
}

// Where is the end of each line that Dovecot's login processes log: rip, lip,
// TLS, session.
func Where(c auth.Client, id string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "rip=%s, lip=%s", c.Remote, c.Local)
	if c.TLS {
		b.WriteString(", TLS")
	} else if c.Remote.IsLoopback() {
		b.WriteString(", secured")
	}
	fmt.Fprintf(&b, ", session=<%s>", id)
	return b.String()
}

// Clean keeps what a client sent from forging log lines.
func Clean(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '<' || r == '>' {
			return '?'
		}
		return r
	}, s)
}

// Linger ends our side, and lets a client that is still sending read the last
// line before the connection is reset. It waits for at most a second.
func Linger(conn net.Conn, now time.Time) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if c, ok := conn.(*net.TCPConn); ok {
		c.CloseWrite()
		c.SetReadDeadline(now.Add(time.Second))
		io.CopyN(io.Discard, c, 64<<10)
	}
}
