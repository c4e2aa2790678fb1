package sasl

import (
	"encoding/json"
	"strings"

	"github.com/emersion/go-sasl"
)

// MaxToken bounds a bearer token, in bytes; signed ones of large providers have
// some 2000.
const MaxToken = 8 << 10

// Bearer knows the user of a token.
type Bearer struct {
	// Verify decides about a token. user is who the client says it is, or ''.
	// Its error is what the exchange ends with.
	Verify func(user, token string) error
	// Refused reports whether an error of Verify is about the token: the client
	// is told so in words before the end.
	Refused func(error) bool
	// Scope and Discovery go to a client whose token was refused, RFC 7628
	// §3.2.2; may be ''.
	Scope     string
	Discovery string
}

type bearer struct {
	Bearer
	parse func(message string) (user, token string, ok bool)
	begun bool
	fault error // said after the client has acknowledged it
	done  bool
}

// NewOAuthBearer returns a server of OAUTHBEARER, RFC 7628.
func NewOAuthBearer(b Bearer) sasl.Server { return &bearer{Bearer: b, parse: parseOAuthBearer} }

// NewXOAuth2 returns a server of XOAUTH2, which Google has made before.
func NewXOAuth2(b Bearer) sasl.Server { return &bearer{Bearer: b, parse: parseXOAuth2} }

// Next takes the token, and the acknowledgement of a refusal, whatever it holds.
func (b *bearer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case b.done:
		return nil, false, sasl.ErrUnexpectedClientResponse
	case b.fault != nil:
		b.done = true
		return nil, false, b.fault
	case response == nil && !b.begun:
		b.begun = true
		return []byte{}, false, nil
	}
	user, token, ok := "", "", len(response) <= MaxToken+2*MaxName
	if ok {
		user, token, ok = b.parse(string(response))
	}
	if !ok {
		b.done = true
		return nil, false, ErrSyntax
	}
	err = b.Verify(user, token)
	if err != nil && b.Refused(err) {
		b.fault = err
		return b.status(), false, nil
	}
	b.done = true
	return nil, err == nil, err
}

// status is the JSON of RFC 7628 §3.2.2; schemes is for XOAUTH2.
func (b *bearer) status() []byte {
	text, err := json.Marshal(struct {
		Status    string `json:"status"`
		Schemes   string `json:"schemes"`
		Scope     string `json:"scope,omitempty"`
		Discovery string `json:"openid-configuration,omitempty"`
	}{"invalid_token", "bearer", b.Scope, b.Discovery})
	if err != nil {
		return []byte(`{"status":"invalid_token"}`)
	}
	return text
}

// parseOAuthBearer: gs2-header kvsep *kvpair kvsep, RFC 7628 §3.1.
func parseOAuthBearer(message string) (user, token string, ok bool) {
	header, rest, _ := strings.Cut(message, "\x01")
	parts := strings.SplitN(header, ",", 3)
	if len(parts) != 3 || parts[2] != "" || parts[0] != "n" && parts[0] != "y" {
		return "", "", false
	}
	if parts[1] != "" {
		name, is := attribute(parts[1], 'a')
		if user, ok = saslname(name); !is || !ok || user == "" {
			return "", "", false
		}
	}
	return pairs(rest, user)
}

// parseXOAuth2: user=NAME kvsep auth=Bearer TOKEN kvsep kvsep.
func parseXOAuth2(message string) (user, token string, ok bool) {
	header, rest, _ := strings.Cut(message, "\x01")
	user, ok = strings.CutPrefix(header, "user=")
	if !ok || user == "" {
		return "", "", false
	}
	return pairs(rest, user)
}

// pairs reads key=value, each followed by kvsep, and one more kvsep. Of host,
// port and others nothing is made.
func pairs(text, user string) (_, token string, ok bool) {
	if len(user) > MaxName || strings.ContainsAny(user, "\x00\r\n") || !strings.HasSuffix(text, "\x01\x01") {
		return "", "", false
	}
	for pair := range strings.SplitSeq(text[:len(text)-2], "\x01") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return "", "", false
		}
		if key != "auth" {
			continue
		}
		if token, ok = bearerToken(value); !ok {
			return "", "", false
		}
	}
	return user, token, token != ""
}

// bearerToken takes "Bearer TOKEN", RFC 6750 §2.1.
func bearerToken(value string) (string, bool) {
	scheme, token, _ := strings.Cut(value, " ")
	token = strings.TrimLeft(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > MaxToken {
		return "", false
	}
	odd := strings.IndexFunc(strings.TrimRight(token, "="), func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~+/", r))
	})
	return token, odd < 0
}
