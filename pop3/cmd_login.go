package pop3

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-sasl"

	"mailserver/auth"
	"mailserver/internal/login"
)

// capaLines are what is offered before and after the log-in, in Dovecot's order.
const capaLines = "+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\n"

// runCapa: RFC 2449 §5.
func runCapa(ctx context.Context, s *session) error {
	s.link.say(capaLines)
	if s.state == authorization {
		if s.mayStartTLS() {
			s.say("STLS")
		}
		if s.plaintextAllowed() {
			s.say("USER")
		}
		if list := s.mechanisms(ctx); len(list) > 0 {
			s.say("SASL " + strings.Join(list, " "))
		}
	}
	s.say(".")
	return nil
}

func (s *session) mayStartTLS() bool {
	return s.opt.Offers(s.peer) && s.tlsConfig() != nil
}

func (s *session) plaintextAllowed() bool { return s.opt.Plaintext(s.peer, s.cfg.DisablePlaintext) }

// loginAllowed tells whether any mechanism may be used.
func (s *session) loginAllowed() bool { return s.peer.TLS || s.opt.TLS != login.TLSEncrypt }

// client is who talks, with the TLS connection that mechanisms may be bound to.
func (s *session) client() auth.Client { return login.Bound(s.peer, s.link.conn) }

func (s *session) mechanisms(ctx context.Context) []string {
	if !s.loginAllowed() {
		return nil
	}
	return s.srv.d.Auth.Mechanisms(ctx, s.client(), s.plaintextAllowed())
}

// runSTLS: RFC 2595 §4. What the client has sent behind the command in
// plaintext is thrown away, and so is the name of USER.
func runSTLS(ctx context.Context, s *session) error {
	if s.peer.TLS {
		return noSuch("TLS is already active.")
	}
	if !s.mayStartTLS() {
		return noSuch("TLS support isn't enabled.")
	}
	s.say("+OK Begin TLS negotiation now.")
	if err := s.link.flush(); err != nil {
		return err
	}
	s.claimed, s.named = "", false
	if err := s.handshake(ctx); err != nil {
		return &ending{"TLS handshaking: " + err.Error()}
	}
	return nil
}

// parseText takes the rest of the line as it is: names and passwords may have
// spaces.
func parseText(_ *session, args string) (string, error) { return args, nil }

func runAPOP(context.Context, *session) error { return noSuch("APOP not enabled.") }

func runUser(_ context.Context, s *session, name string) error {
	if !s.plaintextAllowed() {
		return s.privacyRequired()
	}
	s.claimed, s.named = name, true
	s.say("+OK")
	return nil
}

func (s *session) privacyRequired() error {
	s.refused = true
	return &no{"AUTH", "Plaintext authentication disallowed on non-secure (SSL/TLS) connections."}
}

func runPass(ctx context.Context, s *session, password string) error {
	if !s.named {
		return noSuch("No username given.")
	}
	user := s.claimed
	s.claimed, s.named = "", false
	if !s.plaintextAllowed() {
		return s.privacyRequired()
	}
	s.lastTry = user
	who, err := s.srv.d.Auth.Plain(ctx, s.peer, user, password)
	if err != nil {
		return s.loginFailed(err, "PLAIN")
	}
	if who.Mechanism == "" {
		who.Mechanism = "PLAIN"
	}
	return s.enter(ctx, who)
}

// saslStart is the argument of AUTH, RFC 5034 §4; no mechanism: what there is.
type saslStart struct {
	mechanism string
	initial   []byte // nil: none was sent
}

func parseAuth(_ *session, args string) (a saslStart, err error) {
	mechanism, initial, found := strings.Cut(strings.TrimRight(args, " "), " ")
	a.mechanism = strings.ToUpper(mechanism)
	switch {
	case !found:
	case initial == "=":
		a.initial = []byte{}
	default:
		if a.initial, err = base64.StdEncoding.DecodeString(initial); err != nil {
			return a, &no{"AUTH", "Invalid base64 data in initial response"}
		}
	}
	return a, nil
}

func runAuth(ctx context.Context, s *session, a saslStart) error {
	if a.mechanism == "" {
		s.say("+OK")
		for _, m := range s.mechanisms(ctx) {
			s.say(m)
		}
		s.say(".")
		return nil
	}
	if err := s.mayUse(ctx, a.mechanism); err != nil {
		return err
	}
	var who *auth.Identity
	s.lastTry = ""
	srv := s.srv.d.Auth.Begin(ctx, s.client(), a.mechanism, func(id auth.Identity) { who = &id })
	if srv == nil {
		return &no{"AUTH", "Unsupported authentication mechanism."}
	}
	if err := s.exchange(srv, a); err != nil {
		return err
	}
	if who == nil {
		return s.loginFailed(auth.ErrBadCredentials, a.mechanism)
	}
	who.Mechanism = a.mechanism
	return s.enter(ctx, *who)
}

func (s *session) mayUse(ctx context.Context, mechanism string) error {
	if !s.loginAllowed() {
		return s.privacyRequired()
	}
	for _, m := range s.mechanisms(ctx) {
		if m == mechanism {
			return nil
		}
	}
	if (mechanism == "PLAIN" || mechanism == "LOGIN") && !s.plaintextAllowed() {
		return s.privacyRequired()
	}
	return &no{"AUTH", "Unsupported authentication mechanism."}
}

// exchange runs a mechanism to its end.
func (s *session) exchange(srv sasl.Server, a saslStart) error {
	response := a.initial
	for {
		challenge, done, err := srv.Next(response)
		if err != nil {
			s.lastTry = auth.Claim(srv)
			return s.loginFailed(err, a.mechanism)
		}
		if done {
			return nil
		}
		if response, err = s.challenge(challenge); err != nil {
			return err
		}
	}
}

// challenge asks the client for its next response; "*" gives up.
func (s *session) challenge(text []byte) ([]byte, error) {
	s.say("+ " + base64.StdEncoding.EncodeToString(text))
	line, err := s.link.line(loginTimeout, loginLine)
	if err != nil {
		return nil, &lineError{err}
	}
	if string(line) == "*" {
		return nil, noSuch("Authentication aborted by client.")
	}
	b, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil {
		return nil, &no{"AUTH", "Invalid base64 in response"}
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// loginFailed answers a failed log-in. Too many of them end the connection.
func (s *session) loginFailed(err error, mechanism string) error {
	s.tries++
	s.log().Failed(s.lastTry, mechanism, err)
	if s.tries >= maxAuthTries {
		s.say("-ERR [AUTH] Too many authentication failures.")
		return &ending{"Too many authentication failures"}
	}
	if errors.Is(err, auth.ErrBadCredentials) || errors.Is(err, auth.ErrUnavailable) {
		return err
	}
	return &no{"AUTH", "Authentication failed."}
}

// enter logs the user in and opens the maildrop. When that cannot be done the
// session is over, as in Dovecot.
func (s *session) enter(ctx context.Context, who auth.Identity) error {
	if !s.srv.Enter(who.User, s.peer.Remote, s.cfg.MaxUserIP) {
		s.log().Limit(who, s.cfg.MaxUserIP)
		return &no{"IN-USE", fmt.Sprintf("Maximum number of connections from user+IP exceeded (mail_max_userip_connections=%d)", s.cfg.MaxUserIP)}
	}
	s.user, s.counted = who.User, true
	s.show()
	s.log().LoggedIn(who)
	if s.cfg.LockSession {
		s.link.flush()
		if s.locked = s.srv.drops.lock(ctx, s.user, lockTimeout); !s.locked {
			s.refuse("IN-USE", "Mailbox is locked by another POP3 session.")
			return &ending{"Couldn't lock POP3 session"}
		}
	}
	if err := s.openDrop(ctx); err != nil {
		if err = s.reply(err); err == nil {
			err = &ending{"Couldn't open INBOX"}
		}
		return err
	}
	s.state = transaction
	s.link.until(time.Time{})
	s.say("+OK Logged in.")
	return nil
}

func (s *session) openDrop(ctx context.Context) error {
	account, err := s.srv.d.Account(ctx, s.user)
	if err == nil && account == nil {
		err = errors.New("mailbox is not there any more")
	}
	if err != nil {
		return s.unavailable("find the mail of "+s.user, err)
	}
	s.drop, err = open(ctx, account, s.cfg)
	return err
}
