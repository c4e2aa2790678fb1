package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"mailserver/internal/oauth"
	mech "mailserver/internal/sasl"
)

// OAuth is the part of the settings about bearer tokens, under the names of
// Dovecot 2.4.
type OAuth struct {
	// IntrospectionURL is asked about tokens. With mode get the token is put at
	// its end.
	IntrospectionURL string `setting:"oauth2_introspection_url" default:""`
	// IntrospectionMode is auth, get, post, or local.
	IntrospectionMode string `setting:"oauth2_introspection_mode" default:"auth"`
	ClientID          string `setting:"oauth2_client_id" default:""`
	ClientSecret      string `setting:"oauth2_client_secret" default:""`
	// UsernameAttribute is the claim that holds the log-in name.
	UsernameAttribute string `setting:"oauth2_username_attribute" default:"email"`
	// ActiveAttribute must be there; and be ActiveValue, if that is set.
	ActiveAttribute string `setting:"oauth2_active_attribute" default:""`
	ActiveValue     string `setting:"oauth2_active_value" default:""`
	// Scope are words that all must be in the claim scope, Issuers those of
	// which the claim iss must be one.
	Scope   []string `setting:"oauth2_scope" default:""`
	Issuers []string `setting:"oauth2_issuers" default:""`
	// Discovery is told to clients whose token was refused.
	Discovery string `setting:"oauth2_openid_configuration_url" default:""`
	// KeyFile holds the public keys, a JWK set, for mode local.
	KeyFile string `setting:"oauth2_local_key_file" default:""`
	CAFile  string `setting:"oauth2_ca_file" default:""`
	// OAuthTimeout is for one question.
	OAuthTimeout time.Duration `setting:"oauth2_timeout" default:"10s" min:"1s"`
}

func (o *OAuth) validate(mechanisms []string) error {
	if !slices.Contains([]string{"auth", "get", "post", "local"}, o.IntrospectionMode) {
		return fmt.Errorf("setting oauth2_introspection_mode: %q is none of auth, get, post, local", o.IntrospectionMode)
	}
	if o.IntrospectionURL != "" && !strings.HasPrefix(o.IntrospectionURL, "https://") && !strings.HasPrefix(o.IntrospectionURL, "http://") {
		return fmt.Errorf("setting oauth2_introspection_url: %q is no URL", clip(o.IntrospectionURL))
	}
	for _, name := range mechanisms {
		if !strings.EqualFold(name, "OAUTHBEARER") && !strings.EqualFold(name, "XOAUTH2") {
			continue
		}
		if o.IntrospectionMode == "local" && o.KeyFile == "" {
			return fmt.Errorf("setting auth_mechanisms: %s needs oauth2_local_key_file, since oauth2_introspection_mode is local", name)
		}
		if o.IntrospectionMode != "local" && o.IntrospectionURL == "" {
			return fmt.Errorf("setting auth_mechanisms: %s needs oauth2_introspection_url", name)
		}
	}
	return nil
}

func (o *OAuth) server() oauth.Server {
	return oauth.Server{Mode: o.IntrospectionMode, URL: o.IntrospectionURL, ID: o.ClientID, Secret: o.ClientSecret, CAFile: o.CAFile,
		KeyFile: o.KeyFile, Timeout: o.OAuthTimeout}
}

// bearer is what OAUTHBEARER and XOAUTH2 ask.
func (x *exchange) bearer() mech.Bearer {
	b := mech.Bearer{Verify: x.token, Refused: func(err error) bool { return errors.Is(err, ErrBadCredentials) }}
	if cfg, err := x.s.d.Config(x.ctx); err == nil {
		b.Scope, b.Discovery = strings.Join(cfg.Scope, " "), cfg.Discovery
	}
	return b
}

// token is a log-in by a token; user is who the client says it is, or ”.
func (x *exchange) token(user, token string) error {
	x.claim = user
	a, err := x.s.admit(x.ctx, x.c, x.name, user, x.s.guard.guess(user, token))
	if err != nil {
		return err
	}
	return x.tell(a.end(a.byToken(x, user, token)))
}

// byToken returns the canonical name of the user of a token. The rows decide
// about the account as they do for passwords.
func (a *attempt) byToken(x *exchange, user, token string) (string, error) {
	owner, err := a.tokenOwner(token)
	if err != nil {
		return "", err
	}
	x.claim = owner
	name, err := canonical(a.cfg, owner)
	if err != nil {
		return "", err
	}
	acc, err := x.s.account(x.ctx, a.cfg, x.c, name)
	if err != nil {
		return "", err
	}
	if user != "" {
		if wish, err := canonical(a.cfg, user); err != nil || wish != name {
			acc.refuse("the token is of %q, not of %q", owner, user)
		}
	}
	return acc.name, acc.refused
}

// tokenOwner asks whose token it is. Only good ones are remembered.
func (a *attempt) tokenOwner(token string) (string, error) {
	s, now := a.s, a.s.d.Now()
	key := s.cache.of(a.cfg.IntrospectionURL, token, "token")
	if owner, ok := s.tokens.owner(key, now); ok {
		return owner, nil
	}
	release, err := s.asking.take(a.ctx, 0, limits{running: maxAsked, memory: a.cfg.HashMemory}, a.gate.lane, a.gate.far)
	if err != nil {
		return "", fmt.Errorf("wait to verify a token: %w", err)
	}
	defer release(false)
	server := a.cfg.OAuth.server()
	claims, err := server.Ask(a.ctx, token, now)
	if errors.Is(err, oauth.ErrRefused) {
		return "", fmt.Errorf("%w: %v", ErrBadCredentials, err)
	}
	if err != nil {
		return "", fmt.Errorf("verify a token: %w", err)
	}
	if err := a.cfg.OAuth.judge(claims, now); err != nil {
		return "", fmt.Errorf("%w: token: %v", ErrBadCredentials, err)
	}
	owner := claims.Text(a.cfg.UsernameAttribute)
	until := now.Add(min(a.cfg.CacheTTL, tokenTTL))
	if end := claims.Time("exp"); !end.IsZero() && end.Before(until) {
		until = end
	}
	s.tokens.add(key, owner, until, a.cfg.CacheSize)
	return owner, nil
}

// judge holds what the server has said against the settings.
func (o *OAuth) judge(c oauth.Claims, now time.Time) error {
	if end := c.Time("exp"); !end.IsZero() && !now.Before(end) {
		return errors.New("expired")
	}
	if o.ActiveAttribute != "" {
		if value := c.Text(o.ActiveAttribute); value == "" || o.ActiveValue != "" && value != o.ActiveValue {
			return fmt.Errorf("%s is %q", o.ActiveAttribute, value)
		}
	}
	if len(o.Issuers) > 0 && !slices.Contains(o.Issuers, c.Text("iss")) {
		return fmt.Errorf("issued by %q", c.Text("iss"))
	}
	has := c.List("scope")
	for _, want := range o.Scope {
		if !slices.Contains(has, want) {
			return fmt.Errorf("scope %s is missing", want)
		}
	}
	if c.Text(o.UsernameAttribute) == "" {
		return fmt.Errorf("no %s", o.UsernameAttribute)
	}
	return nil
}

const (
	// tokenTTL bounds how long a good token is not asked about again: that it
	// was revoked is noticed after this.
	tokenTTL = 5 * time.Minute
	// tokenEntry is the memory, in bytes, that one remembered token takes.
	tokenEntry = 250
)

// tokens remembers good tokens by their keyed digests. Of two halves, the older
// is dropped when the newer is full.
type tokens struct {
	mu       sync.Mutex // guards what follows
	now, old map[digestKey]tokenOf
}

type tokenOf struct {
	owner string
	until time.Time
}

func (t *tokens) owner(key digestKey, now time.Time) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.now[key]
	if !ok {
		e, ok = t.old[key]
	}
	return e.owner, ok && now.Before(e.until)
}

func (t *tokens) add(key digestKey, owner string, until time.Time, size int64) {
	half := int(size / tokenEntry / 2)
	if half <= 0 || len(owner) > mech.MaxName {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.now) >= half {
		t.old, t.now = t.now, nil
	}
	if t.now == nil {
		t.now = make(map[digestKey]tokenOf)
	}
	t.now[key] = tokenOf{owner, until}
}
