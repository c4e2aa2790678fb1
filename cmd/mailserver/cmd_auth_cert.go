package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"mailserver/internal/server"
	"mailserver/internal/tlscert"
)

func certCommands() []command {
	return []command{
		{name: "cert list", about: "certificates, when they end, and their TLSA records", setup: certList,
			more: "A TLSA record 3 1 1 is about the key, and stays right when ACME renews the certificate:\nthe key is kept."},
		{name: "cert next", args: "HOSTNAME", min: 1, max: 1, about: "make the next key, and show its TLSA record", setup: certNext,
			more: "Publish the record beside the present one, and wait until the TTL of the old answer has passed\nbefore cert roll."},
		{name: "cert roll", args: "HOSTNAME", min: 1, max: 1, about: "have ACME sign the next key", setup: certRoll},
	}
}

// certRow is a certificate in a list.
type certRow struct {
	Hostname string    `json:"hostname"`
	File     string    `json:"file"`
	Names    []string  `json:"names,omitempty"`
	Issuer   string    `json:"issuer,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	TLSA     string    `json:"tlsa,omitempty"` // data of the record, for _25._tcp and so on
	Next     string    `json:"tlsa_next,omitempty"`
	Error    string    `json:"error,omitempty"`
}

func certList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withParts(ctx, func(p *server.Parts) error {
			view, err := p.Mail.View(ctx)
			if err != nil {
				return err
			}
			rows, err := view.Certs(ctx)
			t := a.table(*asJSON, "HOSTNAME", "FILE", "UNTIL", "ISSUER", "TLSA", "NEXT")
			for _, row := range rows {
				r := certRow{Hostname: row.Hostname, File: row.CertFile}
				if cert, err := p.Certs.Pick(ctx, row.Num, row.Hostname); err != nil {
					r.Error = err.Error()
				} else {
					leaf := cert.Leaf
					r.Names, r.Issuer, r.Until = leaf.DNSNames, leaf.Issuer.CommonName, leaf.NotAfter.UTC()
					r.TLSA = tlscert.TLSA(leaf.RawSubjectPublicKeyInfo)
				}
				if r.Next, err = tlscert.NextTLSA(inDir(p.Dir, row.KeyFile)); err != nil && r.Error == "" {
					r.Error = err.Error()
				}
				until := ""
				if !r.Until.IsZero() {
					until = r.Until.Format("2006-01-02")
				}
				if err := t.row(r, r.Hostname, r.File, until, r.Issuer, r.TLSA+r.Error, r.Next); err != nil {
					return err
				}
			}
			return t.end(err)
		})
	}
}

func inDir(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// keyOf returns the file of the key of a certificate that ACME looks after.
func keyOf(ctx context.Context, p *server.Parts, hostname string) (string, error) {
	view, err := p.Mail.View(ctx)
	if err != nil {
		return "", err
	}
	rows, err := view.Certs(ctx)
	for _, row := range rows {
		if strings.EqualFold(row.Hostname, hostname) {
			if filepath.IsAbs(row.KeyFile) || filepath.IsAbs(row.CertFile) {
				return "", usage("the files of %s are not the server's to change", hostname)
			}
			return filepath.Join(p.Dir, row.KeyFile), nil
		}
	}
	if err == nil {
		err = usage("no certificate for %s", hostname)
	}
	return "", err
}

func certNext(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.withParts(ctx, func(p *server.Parts) error {
			file, err := keyOf(ctx, p, args[0])
			if err != nil {
				return err
			}
			if err := tlscert.MakeNext(file); err != nil {
				return fmt.Errorf("make the next key: %w", err)
			}
			record, err := tlscert.NextTLSA(file)
			if err == nil {
				_, err = fmt.Fprintf(a.out, "_25._tcp.%s. IN TLSA %s\n", strings.TrimSuffix(args[0], "."), record)
			}
			return err
		})
	}
}

func certRoll(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.withParts(ctx, func(p *server.Parts) error {
			file, err := keyOf(ctx, p, args[0])
			if err != nil {
				return err
			}
			if err := tlscert.Roll(file); errors.Is(err, tlscert.ErrNoNext) {
				return usage("%s: %v: say `mailserver cert next %s` first", args[0], err, args[0])
			} else if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.out, "the server asks for a certificate with the next key within a minute, when acme_directory is set")
			return err
		})
	}
}
