package auth

import (
	"context"
	"fmt"

	"mailserver/internal/totp"
	"mailserver/schema"
)

// AsksCode reports whether a log-in on a web page has a second factor, a code
// by the clock. Mail programs have app passwords for it.
func (s *Service) AsksCode(ctx context.Context, user string) (bool, error) {
	row, err := s.totp(ctx, user)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return row != nil && row.Active, nil
}

// Code verifies the code of a user, who may still be setting it up. Guesses are
// held off as those of passwords, a code is good once, and the first right one
// makes the secret active. Errors as of Plain.
func (s *Service) Code(ctx context.Context, c Client, user, code string) error {
	a, err := s.admit(ctx, c, "TOTP", user, s.guard.guess(user, code))
	if err != nil {
		return err
	}
	_, err = a.end(user, a.code(code))
	return err
}

func (s *Service) totp(ctx context.Context, user string) (*schema.Totp, error) {
	view, err := s.d.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	return view.Totp(ctx, user)
}

func (a *attempt) code(code string) error {
	row, err := a.s.totp(a.ctx, a.user)
	if err != nil {
		return err
	}
	if row == nil {
		return fmt.Errorf("%w: no second factor", ErrBadCredentials)
	}
	used, err := a.s.d.State.TotpStep(a.ctx, row.User)
	if err != nil {
		return err
	}
	step, ok, err := totp.Verify(row.Secret, code, a.s.d.Now(), used)
	if err != nil {
		return err
	}
	if ok {
		err = a.s.d.State.Write(a.ctx, func(t *schema.Tx) (err error) {
			ok, err = t.UseTotp(row.User, step)
			return err
		})
	}
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: another code", ErrBadCredentials)
	}
	if row.Active {
		return nil
	}
	return a.s.d.Mail.Write(a.ctx, func(t *schema.Tx) error { return t.ActivateTotp(row.User, row.Secret) })
}
