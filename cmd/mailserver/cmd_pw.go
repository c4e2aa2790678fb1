package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"strings"

	"mailserver/auth"
)

// defaultScheme is fit for a small host: bcrypt needs 4 KiB, Argon2 many MiB.
const defaultScheme = "BLF-CRYPT"

func passwordCommands() []command {
	return []command{
		{name: "pw hash", about: "hash a password from standard input, as doveadm pw",
			setup: pwHash},
		{name: "pw verify", args: "{SCHEME}HASH", min: 1, max: 1, about: "does the password on standard input fit? exit 0 or 1", setup: pwVerify},
	}
}

// schemeOf is the flag --scheme, or the default.
func schemeOf(given map[string]string) string {
	if s := given["scheme"]; s != "" {
		return s
	}
	return defaultScheme
}

func pwHash(fs *flag.FlagSet) action {
	scheme := fs.String("scheme", defaultScheme, "`scheme`: "+strings.Join(auth.Schemes(), ", "))
	return func(_ context.Context, a *app, _ []string) error {
		password, err := a.secret()
		if err != nil {
			return err
		}
		hash, err := auth.Hash(*scheme, password, rand.Reader)
		if err != nil {
			return usage("%v", err)
		}
		_, err = fmt.Fprintln(a.out, hash)
		return err
	}
}

func pwVerify(fs *flag.FlagSet) action {
	user := fs.String("user", "", "the user's `name`, which DIGEST-MD5 holds")
	return func(_ context.Context, a *app, args []string) error {
		password, err := a.secret()
		if err != nil {
			return err
		}
		ok, err := auth.VerifyOf(*user, args[0], password)
		if err != nil {
			return usage("%v", err)
		}
		if !ok {
			fmt.Fprintln(a.out, "wrong password")
			return errWrong
		}
		_, err = fmt.Fprintln(a.out, "verified")
		return err
	}
}
