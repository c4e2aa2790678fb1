// Package auth decides who you are: passwords in mail.sqlite, SASL mechanisms,
// the SQL deny.
//
// What must hold: a log-in is refused (ErrBadCredentials) only when it is known
// to be wrong; whatever keeps it from being known is ErrUnavailable. A refusal
// tells nothing about its reason, neither by words nor by its time. No clear
// password is kept or logged.
package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"

	mech "mailserver/internal/sasl"
	"mailserver/schema"
)

var (
	// ErrBadCredentials: no such user, or another password. Also what the SQL
	// deny looks like from outside.
	ErrBadCredentials = errors.New("authentication failed")
	// ErrUnavailable: it cannot be decided now. 454, NO [UNAVAILABLE].
	ErrUnavailable = errors.New("authentication is not available now")
	// ErrSyntax: the client broke the rules of the mechanism. Nothing was
	// verified.
	ErrSyntax = mech.ErrSyntax
)

// Config is auth's part of the settings.
type Config struct {
	Hostname string `setting:"myhostname" default:"localhost"`
	// DefaultScheme is the scheme of stored passwords without {SCHEME}.
	DefaultScheme string `setting:"default_pass_scheme" default:"CRYPT"`
	// UsernameFormat makes the log-in name of what was sent: %u all of it, %n
	// before the @, %d after it; %Lu in lower case, %Uu in upper case.
	UsernameFormat string `setting:"auth_username_format" default:"%Lu"`
	// DefaultRealm is the domain of a name without @. Empty: it has none, and
	// only system users can bear such a name.
	DefaultRealm string   `setting:"auth_default_realm" default:""`
	Mechanisms   []string `setting:"auth_mechanisms" default:"plain login"`
	// FailureDelay is from the start of a log-in to its refusal.
	FailureDelay time.Duration `setting:"auth_failure_delay" default:"2s"`
	// CacheSize bounds the memory of remembered log-ins; 0 remembers none.
	CacheSize int64         `setting:"auth_cache_size" default:"1M"`
	CacheTTL  time.Duration `setting:"auth_cache_ttl" default:"1h"`
	// Workers bounds how many passwords are verified at once.
	Workers int `setting:"auth_worker_max_count" default:"2"`
	// HashMemory bounds the memory that Argon2 and yescrypt take at once. One
	// that needs more alone runs alone.
	HashMemory int64 `setting:"auth_hash_memory" default:"64M"`
}

// Deps is what a Service needs.
type Deps struct {
	Mail   *schema.Mail
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // nil: time.Now
}

// Service verifies log-ins. Safe for concurrent use.
type Service struct {
	d       Deps
	cache   *verified
	slots   slots
	pattern atomic.Pointer[hashed] // what a log-in without a user is made to cost
}

// New returns a Service.
func New(d Deps) *Service {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{d: d, cache: newVerified()}
}

// Client is who tries to log in.
type Client struct {
	Service string // smtp, imap, pop3
	Remote  netip.Addr
	Local   netip.Addr
	TLS     bool
}

// Identity is who has logged in.
type Identity struct {
	User      string // canonical log-in name: local part and domain in lower case
	Mechanism string
}

// Plain verifies a name and password. Errors: ErrBadCredentials, after the
// setting auth_failure_delay or the end of ctx, and ErrUnavailable.
func (s *Service) Plain(ctx context.Context, c Client, user, password string) (Identity, error) {
	return s.login(ctx, c, "PLAIN", mech.Credentials{User: user, Password: password})
}

// mechanism is a row of the table of SASL mechanisms.
type mechanism struct {
	name  string
	clear bool // sends the password itself: only under TLS
	serve func(mech.Verify) sasl.Server
}

var mechanisms = []mechanism{
	{"PLAIN", true, mech.NewPlain},
	{"LOGIN", true, mech.NewLogin},
}

func findMechanism(name string) *mechanism {
	for i := range mechanisms {
		if strings.EqualFold(mechanisms[i].name, name) {
			return &mechanisms[i]
		}
	}
	return nil
}

// offered returns the mechanisms of the setting, in its order. A name that is
// not known here is said in the log.
func (s *Service) offered(ctx context.Context) []*mechanism {
	cfg, err := s.d.Config(ctx)
	if err != nil {
		s.d.Log.Error("no mechanism offered", "err", err)
		return nil
	}
	var list []*mechanism
	for _, name := range cfg.Mechanisms {
		m := findMechanism(name)
		if m == nil {
			s.d.Log.Error("setting auth_mechanisms names a mechanism that is not implemented", "reason", name)
			continue
		}
		list = append(list, m)
	}
	return list
}

// Mechanisms returns the SASL mechanisms to offer, in order. Without TLS those
// that send a password are left out, unless plaintext is true.
func (s *Service) Mechanisms(ctx context.Context, c Client, plaintext bool) []string {
	var list []string
	for _, m := range s.offered(ctx) {
		if c.TLS || plaintext || !m.clear {
			list = append(list, m.name)
		}
	}
	return list
}

// Begin starts a SASL exchange; nil for a mechanism that the settings do not
// offer. Whether it may be used without TLS is the caller's to ask of
// Mechanisms. done is called with who it is when it ends well. Errors of Next
// are ErrBadCredentials, ErrUnavailable, or ErrSyntax; ctx ends them early.
func (s *Service) Begin(ctx context.Context, c Client, mechanism string, done func(Identity)) sasl.Server {
	for _, m := range s.offered(ctx) {
		if !strings.EqualFold(m.name, mechanism) {
			continue
		}
		return m.serve(func(cred mech.Credentials) error {
			id, err := s.login(ctx, c, m.name, cred)
			if err == nil {
				done(id)
			}
			return err
		})
	}
	return nil
}
