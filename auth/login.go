package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	mech "mailserver/internal/sasl"
	"mailserver/schema"
)

// login is a log-in by name and password, with the delay of a refusal.
func (s *Service) login(ctx context.Context, c Client, mechanism string, cred mech.Credentials) (Identity, error) {
	start := time.Now()
	cfg, err := s.d.Config(ctx)
	if err != nil {
		s.d.Log.Error("log-in not decided", "err", err)
		return Identity{}, ErrUnavailable
	}
	name, err := s.decide(ctx, cfg, cred)
	switch {
	case err == nil:
		return Identity{User: name, Mechanism: mechanism}, nil
	case !errors.Is(err, ErrBadCredentials):
		s.d.Log.LogAttrs(ctx, slog.LevelError, "log-in not decided", attrs(c, cred.User, err)...)
		return Identity{}, ErrUnavailable
	}
	s.d.Log.LogAttrs(ctx, slog.LevelDebug, "log-in refused", attrs(c, cred.User, err)...)
	wait(ctx, cfg.FailureDelay-time.Since(start))
	return Identity{}, ErrBadCredentials
}

func attrs(c Client, user string, err error) []slog.Attr {
	return []slog.Attr{
		slog.String("proto", c.Service), slog.String("remote", c.Remote.String()),
		slog.String("user", user), slog.String("err", err.Error()),
	}
}

// wait ends with d or ctx.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// decide returns the canonical name. A wrapped ErrBadCredentials says why in
// the log; every other error means that it is not known.
func (s *Service) decide(ctx context.Context, cfg *Config, cred mech.Credentials) (string, error) {
	name, err := canonical(cfg, cred.User)
	if err != nil {
		return "", err
	}
	stored, refused := "", fmt.Errorf("%w: not a name or password", ErrBadCredentials)
	if validName(name) && checkPassword(cred.Password) == nil {
		if stored, refused, err = s.stored(ctx, cfg, name); err != nil {
			return "", err
		}
	}
	if cred.Authzid != "" && !strings.EqualFold(cred.Authzid, cred.User) && !strings.EqualFold(cred.Authzid, name) {
		refused = fmt.Errorf("%w: %q may not act as %q", ErrBadCredentials, cred.User, cred.Authzid)
	}
	if refused != nil {
		if err := s.pretend(ctx, cfg, cred.Password); err != nil {
			return "", err
		}
		return "", refused
	}
	ok, err := s.verify(ctx, cfg, name, stored, cred.Password)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", fmt.Errorf("%w: password mismatch", ErrBadCredentials)
	}
	return name, nil
}

// stored returns the stored password of a log-in name, or why it may not log
// in. The deny comes first, whatever holds the password.
func (s *Service) stored(ctx context.Context, cfg *Config, name string) (stored string, refused, err error) {
	view, err := s.d.Mail.View(ctx)
	if err != nil {
		return "", nil, err
	}
	virtual, err := findAddress(ctx, view, name)
	if err != nil {
		return "", nil, err
	}
	// A system user's name may itself hold an @; it is a row of $myhostname.
	system, err := localAddress(ctx, view, name, cfg.Hostname)
	if err != nil {
		return "", nil, err
	}
	switch {
	case virtual != nil && virtual.Active == -1, system != nil && system.Active == -1:
		return "", fmt.Errorf("%w: denied by active -1", ErrBadCredentials), nil
	case virtual == nil || virtual.Mailbox == nil:
		return "", fmt.Errorf("%w: unknown user", ErrBadCredentials), nil
	case !virtual.Mailbox.Active:
		return "", fmt.Errorf("%w: mailbox is not active", ErrBadCredentials), nil
	case virtual.Mailbox.Passwd == "":
		return "", fmt.Errorf("%w: mailbox has no password", ErrBadCredentials), nil
	}
	return virtual.Mailbox.Passwd, nil, nil
}

// findAddress returns the row of localpart@domain, split at the last @.
func findAddress(ctx context.Context, view *schema.View, name string) (*schema.Address, error) {
	at := strings.LastIndexByte(name, '@')
	if at <= 0 {
		return nil, nil
	}
	return localAddress(ctx, view, name[:at], name[at+1:])
}

func localAddress(ctx context.Context, view *schema.View, localpart, domain string) (*schema.Address, error) {
	d, err := view.Domain(ctx, domain)
	if err != nil || d == nil {
		return nil, err
	}
	return view.Address(ctx, d.Num, localpart)
}

// verify asks the cache, then the hash.
func (s *Service) verify(ctx context.Context, cfg *Config, name, stored, password string) (bool, error) {
	key := s.cache.of(name, password, stored)
	if s.cache.has(key, s.d.Now(), cfg.CacheTTL) {
		return true, nil
	}
	h, err := readHash(stored, cfg.DefaultScheme, name)
	if err != nil {
		return false, fmt.Errorf("password of %s: %w", name, err)
	}
	s.pattern.Store(h)
	ok, err := s.check(ctx, cfg, h, password)
	if ok {
		s.cache.add(key, s.d.Now(), cfg.CacheSize)
	}
	return ok, err
}

// unused is what an unknown user costs before any other has logged in. Nothing
// opens it: what it answers is not looked at.
const unused = "$6$saltsaltsaltsalt$................................................................" +
	"......................"

// pretend takes the time that verifying took lately.
func (s *Service) pretend(ctx context.Context, cfg *Config, password string) error {
	h := s.pattern.Load()
	if h == nil {
		var err error
		if h, err = readSHA512Crypt([]byte(unused)); err != nil {
			return err
		}
	}
	if len(password) > MaxPassword {
		password = password[:MaxPassword]
	}
	_, err := s.check(ctx, cfg, h, password)
	return err
}

// check runs a verification in its turn.
func (s *Service) check(ctx context.Context, cfg *Config, h *hashed, password string) (bool, error) {
	if !h.slow {
		return h.check([]byte(password)), nil
	}
	release, err := s.slots.take(ctx, h.memory, limits{cfg.Workers, cfg.HashMemory})
	if err != nil {
		return false, fmt.Errorf("wait to verify a password: %w", err)
	}
	defer release()
	return h.check([]byte(password)), nil
}
