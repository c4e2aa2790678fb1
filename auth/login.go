package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	mech "mailserver/internal/sasl"
)

// attempt is one log-in: admitted by the guard, decided, and ended once.
type attempt struct {
	s         *Service
	ctx       context.Context
	cfg       *Config
	c         Client
	mechanism string
	user      string // as it was sent
	start     time.Time
	gate      *gate
	master    string // who acts for the user; '' himself
}

// admit begins an attempt of user. guess is a digest of what is tried, 0 when
// it is not known. The error is one to return as it is.
func (s *Service) admit(ctx context.Context, c Client, mechanism, user string, guess uint64) (*attempt, error) {
	cfg, err := s.d.Config(ctx)
	if err != nil {
		s.d.Log.Error("log-in not decided", "err", err)
		return nil, ErrUnavailable
	}
	a := &attempt{s: s, ctx: ctx, cfg: cfg, c: c, mechanism: mechanism, user: user}
	if a.gate, err = s.guard.enter(ctx, cfg, c, a.known(), guess); err != nil {
		s.d.Log.LogAttrs(ctx, slog.LevelInfo, "log-in held off", attrs(c, user, err)...)
		wait(ctx, s.guard.stop, cfg.FailureDelay) // who is banned does not come again at once
		return nil, ErrThrottled
	}
	a.start = time.Now()
	return a, nil
}

// known is the name that the guard counts by.
func (a *attempt) known() string {
	name, err := canonical(a.cfg, a.user)
	if err != nil {
		return a.user
	}
	return name
}

// end gives the outcome of an attempt, with the delay of a refusal.
func (a *attempt) end(name string, err error) (Identity, error) {
	switch {
	case err == nil:
		a.gate.passed(a.ctx)
		return Identity{User: name, Mechanism: a.mechanism}, nil
	case errors.Is(err, ErrSyntax):
		a.gate.undecided()
		return Identity{}, ErrSyntax
	case errors.Is(err, errBusy), errors.Is(err, errStopping):
		a.gate.undecided()
		a.s.d.Log.LogAttrs(a.ctx, slog.LevelInfo, "log-in held off", attrs(a.c, a.user, err)...)
		return Identity{}, ErrUnavailable
	case !errors.Is(err, ErrBadCredentials):
		a.gate.undecided()
		a.s.d.Log.LogAttrs(a.ctx, slog.LevelError, "log-in not decided", attrs(a.c, a.user, err)...)
		return Identity{}, ErrUnavailable
	}
	a.s.d.Log.LogAttrs(a.ctx, slog.LevelDebug, "log-in refused", attrs(a.c, a.user, err)...)
	a.gate.refused(a.ctx)
	wait(a.ctx, a.s.guard.stop, a.cfg.FailureDelay-time.Since(a.start))
	return Identity{}, ErrBadCredentials
}

// login is a log-in by name and password.
func (s *Service) login(ctx context.Context, c Client, mechanism string, cred mech.Credentials) (Identity, error) {
	a, err := s.admit(ctx, c, mechanism, cred.User, s.guard.guess(cred.User, cred.Password))
	if err != nil {
		return Identity{}, err
	}
	return a.end(a.decide(cred))
}

func attrs(c Client, user string, err error) []slog.Attr {
	return []slog.Attr{
		slog.String("proto", c.Service), slog.String("remote", c.Remote.String()),
		slog.String("user", user), slog.String("err", err.Error()),
	}
}

// wait ends with d, ctx, or stop.
func wait(ctx context.Context, stop <-chan struct{}, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-stop:
	}
}

// decide returns the canonical name. A wrapped ErrBadCredentials says why in
// the log; every other error means that it is not known.
func (a *attempt) decide(cred mech.Credentials) (string, error) {
	var target string
	target, a.master = a.split(cred)
	name, err := canonical(a.cfg, target)
	if err != nil {
		return "", err
	}
	acc, err := a.s.account(a.ctx, a.cfg, a.c, name)
	if err != nil {
		return "", err
	}
	if a.master != "" {
		err = a.asMaster(acc)
	} else if !a.mayAct(cred, acc) {
		acc.refuse("%q may not act as %q", cred.User, cred.Authzid)
	}
	if err != nil {
		return "", err
	}
	if acc.refused == nil && checkPassword(cred.Password) != nil {
		acc.refuse("not a password")
	}
	if acc.refused != nil {
		if err := a.pretend(cred.Password); err != nil {
			return "", err
		}
		return "", acc.refused
	}
	return acc.name, a.open(acc, cred.Password)
}

// mayAct: an authorization identity is the user again, in any form.
func (a *attempt) mayAct(cred mech.Credentials, acc *account) bool {
	return cred.Authzid == "" || strings.EqualFold(cred.Authzid, cred.User) || strings.EqualFold(cred.Authzid, acc.name)
}

// open compares a password with those of an account.
func (a *attempt) open(acc *account, password string) error {
	for _, sec := range acc.secrets { // those remembered cost nothing
		if a.remembered(acc.name, sec.stored, password) {
			a.used(acc, sec, password)
			return nil
		}
	}
	var fault error
	for _, sec := range acc.secrets {
		ok, err := a.verify(acc.name, sec, password)
		if ok {
			a.used(acc, sec, password)
			return nil
		}
		if fault == nil {
			fault = err
		}
	}
	if fault != nil {
		return fault
	}
	return fmt.Errorf("%w: password mismatch", ErrBadCredentials)
}

// used does what follows from a right password.
func (a *attempt) used(acc *account, sec secret, password string) {
	if sec.app != 0 {
		a.s.noteApp(a.ctx, a.c, sec.app)
	}
	if a.master != "" {
		a.s.d.Log.LogAttrs(a.ctx, slog.LevelInfo, "log-in by a master user", slog.String("user", acc.name),
			slog.String("master", a.master), slog.String("remote", a.c.Remote.String()))
		return
	}
	if _, other := elsewhere(sec.stored); other {
		return
	}
	if sec.app == 0 && acc.num != 0 {
		a.rehash(acc, sec.stored, password)
	}
}

func (a *attempt) remembered(name, stored, password string) bool {
	return a.s.cache.has(a.s.cache.of(name, password, stored), a.s.d.Now(), a.cfg.CacheTTL)
}

// verify asks the hash, and remembers a right password.
func (a *attempt) verify(name string, sec secret, password string) (bool, error) {
	stored := sec.stored
	if sec.helper {
		return a.askHelper(name, stored, password)
	}
	if other, ok := elsewhere(stored); ok {
		return a.ask(name, other, password)
	}
	h, err := readHash(stored, a.cfg.DefaultScheme, name)
	if err != nil {
		return false, fmt.Errorf("password of %s: %w", name, err)
	}
	a.s.pattern.Store(h)
	ok, err := a.check(h, password)
	if ok {
		a.s.cache.add(a.s.cache.of(name, password, stored), a.s.d.Now(), a.cfg.CacheSize)
	}
	return ok, err
}

// unused is what an unknown user costs before any other has logged in. Nothing
// opens it: what it answers is not looked at.
const unused = "$6$saltsaltsaltsalt$................................................................" +
	"......................"

// pretend takes the time that verifying took lately.
func (a *attempt) pretend(password string) error {
	h := a.s.pattern.Load()
	if h == nil {
		var err error
		if h, err = readSHA512Crypt([]byte(unused)); err != nil {
			return err
		}
	}
	if len(password) > MaxPassword {
		password = password[:MaxPassword]
	}
	_, err := a.check(h, password)
	return err
}

// check runs a verification in its turn.
func (a *attempt) check(h *hashed, password string) (bool, error) {
	if !h.slow {
		return h.check([]byte(password)), nil
	}
	release, err := a.turn(h.memory)
	if err != nil {
		return false, fmt.Errorf("wait to verify a password: %w", err)
	}
	ok := false
	defer func() { release(!ok) }()
	ok = atEase(a.gate.lane, func() bool { return h.check([]byte(password)) })
	return ok, nil
}

// turn waits for a turn to compute a hash.
func (a *attempt) turn(memory int64) (release func(wrong bool), err error) {
	return a.s.slots.take(a.ctx, memory, limits{a.cfg.Workers, a.cfg.HashMemory, a.cfg.GuessCPU}, a.gate.lane, a.gate.far)
}
