package smtp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-sasl"

	"mailserver/auth"
	"mailserver/internal/maillog"
	"mailserver/internal/smtpwire"
	"mailserver/policy"
)

// offersAuth reports whether AUTH may be given on this listener at all.
func (s *session) offersAuth() bool {
	return s.srv.d.Auth != nil && s.opt.Auth != NoAuth && s.set.SASLEnable
}

// plaintext reports whether passwords may be sent without TLS.
func (s *session) plaintext() bool {
	return s.opt.Auth == AuthPlaintext && !s.set.TLSAuthOnly && s.opt.TLS != Encrypt
}

// mechanisms are those that EHLO offers.
func (s *session) mechanisms(ctx context.Context) []string {
	if !s.offersAuth() || s.tls == nil && (s.set.TLSAuthOnly || s.opt.TLS == Encrypt) {
		return nil
	}
	return s.srv.d.Auth.Mechanisms(ctx, s.authClient(), s.plaintext())
}

func (s *session) authClient() auth.Client {
	service := "smtp"
	if s.opt.Role == policy.LMTP {
		service = "lmtp"
	}
	c := auth.Client{Service: service, Remote: s.client.Addr, Local: s.local, TLS: s.tls != nil}
	if s.tls != nil {
		st := s.tls.conn.ConnectionState()
		c.State, c.Shown = &st, s.tls.shown
	}
	return c
}

// auth: RFC 4954 §4.
func (s *session) auth(ctx context.Context, args string) reply {
	mech, initial, hasInitial := strings.Cut(args, " ")
	mech = strings.ToUpper(mech)
	if r, bad := s.mayAuth(mech); bad {
		return r
	}
	if !slices.Contains(s.mechanisms(ctx), mech) {
		return s.noMechanism(ctx, mech)
	}
	if n, over := s.over(auths, s.set.ClientAuth); over {
		s.warn("auth rate", "AUTH command rate limit exceeded: %d from %s for service %s", n, s.namaddr, s.tag)
		return reply{450, "4.7.1", "Error: too many AUTH commands from " + s.client.Addr.String()}
	}
	x := exchange{s: s, mech: mech}
	x.server = s.srv.d.Auth.Begin(ctx, s.authClient(), mech, func(id auth.Identity) { x.who = id })
	if x.server == nil {
		return s.noMechanism(ctx, mech)
	}
	var first []byte
	if hasInitial {
		var ok bool
		if first, ok = decodeResponse([]byte(strings.TrimSpace(initial))); !ok {
			return badBase64
		}
	}
	return x.run(first)
}

var (
	badBase64   = reply{501, "5.5.2", "Error: cannot decode the response"}
	authAborted = reply{501, "5.7.0", "Authentication aborted"}
	authTooLong = reply{500, "5.5.6", "SASL response limit exceeded"}
)

// mayAuth answers AUTH out of its place, in Postfix's order.
func (s *session) mayAuth(mech string) (reply, bool) {
	switch {
	case !s.offersAuth():
		return reply{503, "5.5.1", "Error: authentication not enabled"}, true
	case s.tx != nil:
		return reply{503, "5.5.1", "Error: MAIL transaction in progress"}, true
	case s.user != "":
		return reply{503, "5.5.1", "Error: already authenticated"}, true
	case mech == "":
		return syntax("AUTH mechanism"), true
	}
	return reply{}, false
}

// noMechanism answers a mechanism that is not offered, now or at all.
func (s *session) noMechanism(ctx context.Context, mech string) reply {
	if s.tls == nil && slices.Contains(s.srv.d.Auth.Mechanisms(ctx, s.authClient(), true), mech) {
		return reply{504, "5.5.4", "Encryption required for requested authentication mechanism"}
	}
	s.authFailed(mech, "Invalid authentication mechanism", "")
	return reply{535, "5.7.8", "Error: authentication failed: Invalid authentication mechanism"}
}

// authFailed writes the line that fail2ban reads.
func (s *session) authFailed(mech, why, user string) {
	if user == "" {
		user = "(unavailable)"
	}
	line := fmt.Sprintf("warning: %s: SASL %.100s authentication failed: %s, sasl_username=%.100s",
		s.namaddr, mech, why, user)
	s.event(slog.LevelWarn, "authentication failed", maillog.OneLine(line), slog.String(maillog.User, user))
}

// exchange is one AUTH command.
type exchange struct {
	s      *session
	mech   string
	server sasl.Server
	who    auth.Identity
}

// run asks and answers until the mechanism is done.
func (x *exchange) run(response []byte) reply {
	for {
		challenge, done, err := x.server.Next(response)
		switch {
		case err != nil:
			return x.failed(err)
		case done && x.who.User == "":
			return x.failed(auth.ErrBadCredentials)
		case done:
			return x.s.loggedIn(x.who)
		}
		var r reply
		if response, r = x.ask(challenge); response == nil {
			return r
		}
	}
}

// ask sends a challenge and returns the decoded response, which is nil when
// the exchange is over.
func (x *exchange) ask(challenge []byte) ([]byte, reply) {
	s := x.s
	s.say(reply{334, "", base64.StdEncoding.EncodeToString(challenge)})
	s.until = time.Now().Add(s.timeout)
	line, err := s.rd.ReadLine(int(s.set.SASLResponseMax))
	switch {
	case errors.Is(err, smtpwire.ErrLineTooLong):
		return nil, authTooLong
	case err != nil:
		s.lost(err)
		return nil, reply{}
	case string(line) == "*":
		s.warn("authentication aborted", "%s: SASL %s authentication aborted", s.namaddr, x.mech)
		return nil, authAborted
	}
	response, ok := decodeResponse(line)
	if !ok {
		return nil, badBase64
	}
	return response, reply{}
}

// decodeResponse undoes base64; "=" is the empty response of RFC 4954 §4.
func decodeResponse(line []byte) ([]byte, bool) {
	out := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	if string(line) == "=" {
		return out[:0], true
	}
	n, err := base64.StdEncoding.Decode(out, line)
	return out[:n], err == nil
}

func (x *exchange) failed(err error) reply {
	s := x.s
	switch {
	case errors.Is(err, auth.ErrThrottled): // still a failure for who counts them in the log
		s.authFailed(x.mech, "authentication failure", auth.Claim(x.server))
		return reply{454, "4.7.0", "Temporary authentication failure: " + err.Error()}
	case errors.Is(err, auth.ErrUnavailable):
		s.backendError("SASL "+x.mech+" authentication", err)
		return reply{454, "4.7.0", "Temporary authentication failure: " + auth.ErrUnavailable.Error()}
	case errors.Is(err, auth.ErrBadCredentials):
		s.authFailed(x.mech, "authentication failure", auth.Claim(x.server))
		return reply{535, "5.7.8", "Error: authentication failed: authentication failure"}
	}
	s.authFailed(x.mech, "bad protocol", auth.Claim(x.server))
	return reply{535, "5.7.8", "Error: authentication failed: bad protocol"}
}

func (s *session) loggedIn(who auth.Identity) reply {
	s.user, s.mech = who.User, who.Mechanism
	s.judge.Login(s.user, s.mech)
	return reply{235, "2.7.0", "Authentication successful"}
}
