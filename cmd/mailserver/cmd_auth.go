package main

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"mailserver/auth"
	"mailserver/internal/server"
	"mailserver/schema"
)

func authCommands() []command {
	return append(append(certCommands(), totpCommands()...), []command{
		{name: "auth test", args: "USER", min: 1, max: 1, about: "log in with the password on standard input, as doveadm auth test, and say why not; exit 0 or 1", setup: authTest},
		{name: "app-password add", args: "USER@DOMAIN NAME", min: 2, max: 2, about: "make a password for one program, and show it once", setup: appAdd},
		{name: "app-password list", args: "[USER@DOMAIN]", max: 1, about: "app passwords and their last use", setup: appList},
		{name: "app-password rm", args: "USER@DOMAIN NAME", min: 2, max: 2, about: "delete an app password", setup: appRemove},
		{name: "ban list", about: "addresses that may not log in, for guessing passwords", setup: banList},
		{name: "ban lift", args: "ADDRESS|ALL", min: 1, max: 1, about: "end a ban; a running server lets the address in at once", setup: banLift},
	}...)
}

func authTest(fs *flag.FlagSet) action {
	service := fs.String("service", "imap", "`protocol`: smtp, imap, pop3")
	return func(ctx context.Context, a *app, args []string) error {
		password, err := a.secret()
		if err != nil {
			return err
		}
		log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
		p, err := server.Open(ctx, server.Options{Dir: a.dir, Log: log})
		if err != nil {
			return err
		}
		defer p.Close()
		id, err := p.Auth.Plain(ctx, auth.Client{Service: *service, TLS: true}, args[0], password)
		if errors.Is(err, auth.ErrBadCredentials) {
			fmt.Fprintf(a.out, "%s: authentication failed\n", args[0])
			return errWrong
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.out, "%s: authentication succeeded\n", id.User)
		return err
	}
}

// appScheme is fast: what it hashes is a hundred random bits, which nobody
// guesses, and a slow one would be paid at each log-in with another password.
const appScheme = "SSHA512"

func appAdd(fs *flag.FlagSet) action {
	protocols := fs.String("protocols", "", "`list` of smtp, imap, pop3; default all")
	expires := fs.Duration("expires", 0, "`time` from now, such as 2160h; default never")
	return func(ctx context.Context, a *app, args []string) error {
		local, domain, err := splitAddress(args[0], "")
		if err != nil {
			return err
		}
		for _, p := range strings.FieldsFunc(*protocols, func(r rune) bool { return r == ',' }) {
			if p != "smtp" && p != "imap" && p != "pop3" {
				return usage("--protocols: %q is none of smtp, imap, pop3", p)
			}
		}
		row := schema.AppPassword{Name: args[1], Protocols: *protocols}
		if *expires != 0 {
			row.Expires = time.Now().Add(*expires).Unix()
		}
		password := randomPassword()
		if row.Passwd, err = auth.Hash(appScheme, password, rand.Reader); err != nil {
			return err
		}
		if err := a.change(ctx, func(t *schema.Tx) error { return t.AddAppPassword(local, domain, row) }); err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.out, password)
		return err
	}
}

// randomPassword has a hundred bits, in letters that are told apart when read
// aloud.
func randomPassword() string {
	var b [15]byte
	rand.Read(b[:])
	text := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))[:20]
	return text[:5] + "-" + text[5:10] + "-" + text[10:15] + "-" + text[15:]
}

func appList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		address := ""
		if len(args) > 0 {
			address = args[0]
		}
		return a.withParts(ctx, func(p *server.Parts) error {
			t := a.table(*asJSON, "ADDRESS", "NAME", "ACTIVE", "PROTOCOLS", "EXPIRES", "LAST USE", "FROM")
			return t.end(p.Mail.ListAppPasswords(ctx, address, func(r schema.AppPasswordRow) error {
				last, proto, remote, err := p.State.AppUse(ctx, r.Num)
				if err != nil {
					return err
				}
				v := struct {
					schema.AppPasswordRow
					LastUse int64  `json:"last_use"`
					Proto   string `json:"last_protocol,omitempty"`
					Remote  string `json:"last_remote,omitempty"`
				}{r, max(last.Unix(), 0), proto, remote}
				return t.row(v, r.Address, r.Name, yesNo(r.Active), r.Protocols, day(r.Expires), day(v.LastUse), remote)
			}))
		})
	}
}

// day says a Unix time; ” for 0.
func day(at int64) string {
	if at == 0 {
		return ""
	}
	return time.Unix(at, 0).UTC().Format("2006-01-02T15:04Z")
}

func appRemove(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		local, domain, err := splitAddress(args[0], "")
		if err != nil {
			return err
		}
		return a.change(ctx, func(t *schema.Tx) error { return t.DropAppPassword(local, domain, args[1]) })
	}
}

func banList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withParts(ctx, func(p *server.Parts) error {
			bans, err := p.State.Bans(ctx, time.Now())
			t := a.table(*asJSON, "ADDRESS", "UNTIL", "TIMES", "REASON")
			for _, b := range bans {
				if err := t.row(b, b.Net, day(b.Until.Unix()), b.Times, b.Reason); err != nil {
					return err
				}
			}
			return t.end(err)
		})
	}
}

func banLift(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		network := ""
		if args[0] != "ALL" {
			text, _, _ := strings.Cut(args[0], "/")
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return usage("%q is neither an address nor ALL", args[0])
			}
			network = auth.Network(addr)
		}
		return a.withParts(ctx, func(p *server.Parts) error {
			var n int64
			err := p.State.Write(ctx, func(t *schema.Tx) (err error) {
				n, err = t.LiftBan(network)
				return err
			})
			if err != nil {
				return err
			}
			if n == 0 && network != "" {
				fmt.Fprintf(a.out, "%s is not banned\n", network)
				return errNotFound
			}
			_, err = fmt.Fprintf(a.out, "lifted %d\n", n)
			return err
		})
	}
}
