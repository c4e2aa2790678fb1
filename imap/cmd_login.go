package imap

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"mailserver/auth"
	"mailserver/internal/imapwire"
	"mailserver/internal/login"
)

func uitoa(n uint64) string { return strconv.FormatUint(n, 10) }

// maxMailSize is the limit of APPEND. A literal has 32 bits in IMAP4rev1.
func (s *session) maxMailSize() int64 {
	if n := s.cfg.MaxMailSize; n > 0 && n < math.MaxUint32 {
		return n
	}
	return math.MaxUint32
}

func (s *session) tlsConfig() *tls.Config {
	if s.srv.d.TLS == nil {
		return nil
	}
	return s.srv.d.TLS()
}

func (s *session) mayStartTLS() bool {
	return s.opt.Offers(s.peer) && s.tlsConfig() != nil
}

func (s *session) plaintextAllowed() bool { return s.opt.Plaintext(s.peer, s.cfg.DisablePlaintext) }

// loginAllowed tells whether any mechanism may be used.
func (s *session) loginAllowed() bool { return s.peer.TLS || s.opt.TLS != login.TLSEncrypt }

func runStartTLS(_ context.Context, s *session) (reply, error) {
	if s.peer.TLS {
		return reply{}, &refusal{"TLS is already active."}
	}
	if !s.mayStartTLS() {
		return reply{}, &refusal{"TLS support isn't enabled."}
	}
	return reply{}, nil
}

// afterStartTLS: RFC 9051 §6.2.1. What the client has sent behind the command
// in plaintext is thrown away.
func afterStartTLS(s *session, ctx context.Context) error {
	if s.peer.TLS || !s.mayStartTLS() {
		return nil // it was refused
	}
	if err := s.enc.Park(); err != nil {
		return err
	}
	if err := s.handshake(ctx); err != nil {
		return fmt.Errorf("TLS handshaking: %w", err)
	}
	return nil
}

type credentials struct{ user, password string }

func parseLogin(_ *session, d *imapwire.Decoder) credentials {
	var c credentials
	c.user = d.AString()
	d.SP()
	c.password = d.AString()
	return c
}

func runLogin(ctx context.Context, s *session, c credentials) (reply, error) {
	if !s.plaintextAllowed() {
		return reply{}, s.privacyRequired()
	}
	s.lastTry = c.user
	who, err := s.srv.d.Auth.Plain(ctx, s.peer, c.user, c.password)
	if err != nil {
		return s.loginFailed(err, "PLAIN")
	}
	if who.Mechanism == "" {
		who.Mechanism = "PLAIN"
	}
	return s.enter(ctx, who)
}

// privacyRequired also tells a person whose password has just been shown.
func (s *session) privacyRequired() error {
	s.enc.Raw("* BAD [ALERT] Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. If anyone was listening, the password was exposed.\r\n")
	return &no{"PRIVACYREQUIRED", "Plaintext authentication disallowed on non-secure (SSL/TLS) connections."}
}

type saslStart struct {
	mechanism string
	initial   []byte // nil: none was sent
}

func parseAuthenticate(_ *session, d *imapwire.Decoder) saslStart {
	a := saslStart{mechanism: d.Keyword()}
	if !d.AtEnd() {
		d.SP()
		a.initial = decodeSASL(d)
	}
	d.End()
	return a
}

// decodeSASL reads base64, "=" for an empty response: RFC 4959 §3.
func decodeSASL(d *imapwire.Decoder) []byte {
	text := d.Run(func(c byte) bool { return c > ' ' && c < 0x7f })
	if text == "=" {
		return []byte{}
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		d.Fail("Invalid base64 data in initial response.")
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

func runAuthenticate(ctx context.Context, s *session, a saslStart) (reply, error) {
	if !s.loginAllowed() {
		return reply{}, s.privacyRequired()
	}
	if !s.offered(ctx, a.mechanism) {
		if s.isPlaintext(a.mechanism) && !s.plaintextAllowed() {
			return reply{}, s.privacyRequired()
		}
		return reply{}, &no{"", "Unsupported authentication mechanism."}
	}
	var who *auth.Identity
	s.lastTry = ""
	srv := s.srv.d.Auth.Begin(ctx, s.client(), a.mechanism, func(id auth.Identity) { who = &id })
	if srv == nil {
		return reply{}, &no{"", "Unsupported authentication mechanism."}
	}
	response := a.initial
	for {
		challenge, done, err := srv.Next(response)
		if err != nil {
			s.lastTry = auth.Claim(srv)
			return s.loginFailed(err, a.mechanism)
		}
		if done {
			break
		}
		if response, err = s.challenge(challenge); err != nil {
			return reply{}, err
		}
	}
	if who == nil {
		return s.loginFailed(auth.ErrBadCredentials, a.mechanism)
	}
	who.Mechanism = a.mechanism
	return s.enter(ctx, *who)
}

// client is who talks, with the TLS connection that mechanisms may be bound to.
func (s *session) client() auth.Client { return login.Bound(s.peer, s.link.conn) }

func (s *session) offered(ctx context.Context, mechanism string) bool {
	for _, m := range s.srv.d.Auth.Mechanisms(ctx, s.client(), s.plaintextAllowed()) {
		if strings.EqualFold(m, mechanism) {
			return true
		}
	}
	return false
}

func (s *session) isPlaintext(mechanism string) bool {
	return mechanism == "PLAIN" || mechanism == "LOGIN"
}

// challenge asks the client for its next response; "*" gives up.
func (s *session) challenge(text []byte) ([]byte, error) {
	s.enc.Raw("+ ").Raw(base64.StdEncoding.EncodeToString(text)).CRLF()
	if err := s.enc.Flush(); err != nil {
		return nil, err
	}
	s.dec.Begin(loginLineLimit)
	line := s.dec.Run(func(c byte) bool { return c != '\r' && c != '\n' })
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return nil, err
	}
	if line == "*" {
		return nil, &refusal{"Authentication aborted by client."}
	}
	b, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return nil, &refusal{"Invalid base64 data in continued response"}
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// loginFailed answers a failed log-in. Too many of them end the connection.
func (s *session) loginFailed(err error, mechanism string) (reply, error) {
	s.tries++
	s.log().Failed(s.lastTry, mechanism, err)
	known := errors.Is(err, auth.ErrBadCredentials) || errors.Is(err, auth.ErrUnavailable)
	if !known {
		err = fmt.Errorf("%w: %w", errSASL, err)
	}
	if s.tries >= maxAuthTries {
		s.bye("", "Too many authentication failures.")
		return reply{}, errBroken
	}
	if !known {
		return reply{}, &no{"AUTHENTICATIONFAILED", "Authentication failed."}
	}
	return reply{}, err
}

var (
	errSASL = errors.New("sasl exchange")
	// errBroken ends the session; what there was to say has been said.
	errBroken = errors.New("connection is not usable any more")
)

// enter logs the user in.
func (s *session) enter(ctx context.Context, who auth.Identity) (reply, error) {
	if !s.srv.Enter(who.User, s.peer.Remote, s.cfg.MaxUserIP) {
		s.log().Limit(who, s.cfg.MaxUserIP)
		return reply{}, &no{"LIMIT", fmt.Sprintf("Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%d)", s.cfg.MaxUserIP)}
	}
	account, err := s.srv.d.Account(ctx, who.User)
	if err != nil {
		s.srv.Exit(who.User, s.peer.Remote)
		return reply{}, s.unavailable("find the mail of "+who.User, err)
	}
	s.user, s.account, s.counted = who.User, account, true
	s.show()
	s.state = authenticated
	s.link.until(time.Time{})
	s.log().LoggedIn(who)
	return reply{code: "CAPABILITY " + s.capabilities(ctx), text: "Logged in"}, nil
}
