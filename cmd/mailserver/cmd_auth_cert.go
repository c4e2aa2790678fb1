package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"time"

	"mailserver/internal/server"
)

func certCommands() []command {
	return []command{
		{name: "cert list", about: "certificates, when they end, and their TLSA records", setup: certList,
			more: "A TLSA record 3 1 1 is about the key, and stays right when ACME renews the certificate:\nthe key is kept."},
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
			t := a.table(*asJSON, "HOSTNAME", "FILE", "UNTIL", "ISSUER", "TLSA")
			for _, row := range rows {
				r := certRow{Hostname: row.Hostname, File: row.CertFile}
				if cert, err := p.Certs.Pick(ctx, row.Num, row.Hostname); err != nil {
					r.Error = err.Error()
				} else {
					leaf := cert.Leaf
					r.Names, r.Issuer, r.Until = leaf.DNSNames, leaf.Issuer.CommonName, leaf.NotAfter.UTC()
					r.TLSA = fmt.Sprintf("3 1 1 %x", sha256.Sum256(leaf.RawSubjectPublicKeyInfo))
				}
				until := ""
				if !r.Until.IsZero() {
					until = r.Until.Format("2006-01-02")
				}
				if err := t.row(r, r.Hostname, r.File, until, r.Issuer, r.TLSA+r.Error); err != nil {
					return err
				}
			}
			return t.end(err)
		})
	}
}
