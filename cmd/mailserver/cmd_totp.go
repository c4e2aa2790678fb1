package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"

	"mailserver/auth"
	"mailserver/internal/server"
	"mailserver/internal/totp"
	"mailserver/schema"
)

func totpCommands() []command {
	return []command{
		{name: "totp set", args: "USER", min: 1, max: 1, about: "make the secret of a second factor for the web, and show it once", setup: totpSet,
			more: "It is asked for when a code of it has been right: totp verify."},
		{name: "totp verify", args: "USER", min: 1, max: 1, about: "verify the code on standard input; exit 0 or 1", setup: totpVerify},
		{name: "totp list", about: "who has a second factor", setup: totpList},
		{name: "totp rm", args: "USER", min: 1, max: 1, about: "end a second factor, such as of who has lost it", setup: totpRemove},
	}
}

func totpSet(fs *flag.FlagSet) action {
	given := fs.Bool("secret-stdin", false, "take the secret, base32, from standard input")
	return func(ctx context.Context, a *app, args []string) error {
		secret, err := totp.New(rand.Reader)
		if *given {
			secret, err = a.secret()
		}
		if err == nil {
			err = totp.Check(secret)
		}
		if err != nil {
			return err
		}
		proc, err := server.Process(ctx, a.dir)
		if err != nil {
			return err
		}
		if err := a.change(ctx, func(t *schema.Tx) error { return t.SetTotp(args[0], secret) }); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.out, "%s\n%s\n", secret, totp.URI(proc.Hostname, args[0], secret))
		return err
	}
}

func totpVerify(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		code, err := a.secret()
		if err != nil {
			return err
		}
		return a.withParts(ctx, func(p *server.Parts) error {
			err := p.Auth.Code(ctx, auth.Client{Service: "web", TLS: true}, args[0], code)
			if errors.Is(err, auth.ErrBadCredentials) {
				fmt.Fprintf(a.out, "%s: the code is wrong\n", args[0])
				return errWrong
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%s: the code is right\n", args[0])
			return err
		})
	}
}

func totpList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			t := a.table(*asJSON, "USER", "ACTIVE")
			return t.end(m.ListTotp(ctx, func(r schema.Totp) error { return t.row(r, r.User, yesNo(r.Active)) }))
		})
	}
}

func totpRemove(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.change(ctx, func(t *schema.Tx) error { return t.DropTotp(args[0]) })
	}
}
