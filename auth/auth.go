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
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os/user"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"

	mech "mailserver/internal/sasl"
	"mailserver/internal/saslask"
	"mailserver/internal/shadow"
	"mailserver/schema"
)

var (
	// ErrBadCredentials: no such user, or another password. Also what the SQL
	// deny looks like from outside.
	ErrBadCredentials = errors.New("authentication failed")
	// ErrUnavailable: it cannot be decided now. 454, NO [UNAVAILABLE].
	ErrUnavailable = errors.New("authentication is not available now")
	// ErrThrottled: too many wrong passwords came from there; it was not looked
	// at. An ErrUnavailable, so that no client asks its user for another
	// password.
	ErrThrottled = fmt.Errorf("%w: too many failed log-ins", ErrUnavailable)
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
	Workers int `setting:"auth_worker_max_count" default:"2" min:"1"`
	// HashMemory bounds the memory that Argon2 and yescrypt take at once. One
	// that needs more alone runs alone.
	HashMemory int64 `setting:"auth_hash_memory" default:"64M"`
	// GuessCPU is the share of one processor, in percent, that hashes of wrong
	// passwords take, of users who have not logged in from there before. 0: any.
	GuessCPU int `setting:"auth_guess_cpu" default:"50" min:"0"`
	// RehashScheme stores a password by this scheme at its next log-in, when it
	// is stored by another: {PLAIN} typed in the sqlite3 shell, DES of an old
	// database. Empty: as it is.
	RehashScheme string `setting:"auth_rehash_scheme" default:""`
	// MasterSeparator lets administrators log in as user*administrator, with *
	// being this. Empty: nobody does.
	MasterSeparator string `setting:"auth_master_user_separator" default:""`
	// SystemUsers lets users of the system log in with their passwords of
	// /etc/shadow, those with a UID from FirstUID on.
	SystemUsers bool `setting:"auth_system_users" default:"no"`
	FirstUID    int  `setting:"first_valid_uid" default:"500"`

	// Throttle holds off who guesses passwords: after a few wrong ones each
	// attempt waits twice as long as the one before, at most ThrottleMax.
	Throttle    bool          `setting:"auth_throttle" default:"yes"`
	ThrottleMax time.Duration `setting:"auth_throttle_max_delay" default:"15s"`
	// ThrottleExempt are addresses and networks that many users share; only
	// the accounts are counted there.
	ThrottleExempt []string `setting:"auth_throttle_exempt" default:"127.0.0.0/8 [::1]/128"`
	ThrottleSize   int64    `setting:"auth_throttle_size" default:"1M"`
	// BanFailures different wrong passwords from an address, of IPv6 a /64, ban
	// it for BanTime, each time twice as long up to BanMaxTime. Users who have
	// logged in from there before still may. 0: never.
	BanFailures int           `setting:"auth_ban_failures" default:"30" min:"0"`
	BanTime     time.Duration `setting:"auth_ban_time" default:"10m"`
	BanMaxTime  time.Duration `setting:"auth_ban_max_time" default:"1d"`

	// SASLServer verifies stored passwords of the form {SASL} or {SASL}name:
	// dovecot:/path or dovecot:host:port, the socket auth-client of a Dovecot;
	// saslauthd:/path, its mux; imap:host or imaps:host, an IMAP server.
	SASLServer string `setting:"auth_sasl_server" default:""`

	OAuth

	// ClientCA is a file with the certificates, PEM, that sign those of
	// clients, for EXTERNAL. CertName is where in them the log-in name stands:
	// commonName, or emailAddress.
	ClientCA string `setting:"ssl_client_ca_file" default:""`
	CertName string `setting:"ssl_cert_username_field" default:"commonName"`
}

// Validate returns the first value that cannot be acted on: "setting NAME: why".
func (c *Config) Validate() error {
	if _, _, err := findScheme(c.DefaultScheme); err != nil {
		return fmt.Errorf("setting default_pass_scheme: %w", err)
	}
	for _, name := range c.Mechanisms {
		if findMechanism(name) == nil {
			return fmt.Errorf("setting auth_mechanisms: %q is not implemented", name)
		}
	}
	if _, err := expandName(c.UsernameFormat, "a@b"); err != nil {
		return err
	}
	if c.RehashScheme != "" {
		s, _, err := findScheme(strings.Trim(c.RehashScheme, "{}"))
		if err != nil || s.make == nil {
			return fmt.Errorf("setting auth_rehash_scheme: no passwords of scheme %s are made here", clip(c.RehashScheme))
		}
	}
	if err := c.OAuth.validate(c.Mechanisms); err != nil {
		return err
	}
	if _, err := listed(c.ThrottleExempt, netip.Addr{}); err != nil {
		return fmt.Errorf("setting auth_throttle_exempt: %w", err)
	}
	if c.SASLServer != "" {
		if err := saslask.Check(c.SASLServer); err != nil {
			return fmt.Errorf("setting auth_sasl_server: %w", err)
		}
	}
	if !strings.EqualFold(c.CertName, "commonName") && !strings.EqualFold(c.CertName, "emailAddress") {
		return fmt.Errorf("setting ssl_cert_username_field: %q is neither commonName nor emailAddress", c.CertName)
	}
	return nil
}

// Deps is what a Service needs.
type Deps struct {
	Mail   *schema.Mail
	State  *schema.State // nil: bans and earlier log-ins are not remembered
	Config func(context.Context) (*Config, error)
	// LookupUser and Shadow are for users of the system; nil and '': the
	// system's own. Helper verifies their passwords; nil: Shadow is read here.
	LookupUser func(name string) (*user.User, error)
	Shadow     string
	Helper     *shadow.Client
	Log        *slog.Logger     // nil: nothing is logged
	Now        func() time.Time // nil: time.Now
}

// Service verifies log-ins. Safe for concurrent use.
type Service struct {
	d       Deps
	cache   *verified
	tokens  tokens
	slots   slots
	asking  slots                  // of other servers
	pattern atomic.Pointer[hashed] // what a log-in without a user is made to cost
	guard   *guard
	salts   [32]byte // key of the salts of users who are not there

	appMu sync.Mutex          // guards apps
	apps  map[int64]time.Time // app passwords whose use was recorded lately
}

// New returns a Service.
func New(d Deps) *Service {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.LookupUser == nil {
		d.LookupUser = user.Lookup
	}
	if d.Shadow == "" {
		d.Shadow = shadow.File
	}
	s := &Service{d: d, cache: newVerified(), guard: newGuard(d), apps: make(map[int64]time.Time)}
	s.slots.stop, s.asking.stop = s.guard.stop, s.guard.stop
	rand.Read(s.salts[:])
	return s
}

// Stop ends the waiting of those who are held off, so that their sessions can
// end; what is decided now is decided. Log-ins that come later find nothing to
// wait for.
func (s *Service) Stop() { s.guard.once.Do(func() { close(s.guard.stop) }) }

// Client is who tries to log in.
type Client struct {
	Service string // smtp, imap, pop3
	Remote  netip.Addr
	Local   netip.Addr
	TLS     bool
	// State and Shown are for mechanisms that are bound to the TLS connection;
	// nil: they are not offered. Shown is the certificate that the server has
	// shown, if known.
	State *tls.ConnectionState
	Shown *x509.Certificate
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

// offered returns the mechanisms of the setting, in its order. A name that is
// not known here is said in the log.
func (s *Service) offered(ctx context.Context) []*offer {
	cfg, err := s.d.Config(ctx)
	if err != nil {
		s.d.Log.Error("no mechanism offered", "err", err)
		return nil
	}
	var list []*offer
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
		if (c.TLS || plaintext || !m.clear) && m.fits(c) {
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
	offered := s.offered(ctx)
	for _, m := range offered {
		if strings.EqualFold(m.name, mechanism) && m.fits(c) {
			x := &exchange{s: s, ctx: ctx, c: c, name: m.name, done: done}
			x.plus = slices.ContainsFunc(offered, func(o *offer) bool { return o.name == m.name+"-PLUS" && o.fits(c) })
			return named{m.serve(x), x}
		}
	}
	return nil
}
