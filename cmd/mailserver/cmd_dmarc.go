package main

import (
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mailserver/internal/server"
	"mailserver/schema"
)

func dmarcCommands() []command {
	return []command{
		{name: "dmarc list", about: "domains whose messages were counted for DMARC reports, by day", setup: dmarcList},
		{name: "dmarc report", args: "DOMAIN", min: 1, max: 1, about: "the DMARC aggregate report of a domain and day, as XML", setup: dmarcReport},
	}
}

// dayOf reads a date; ” is since, in days from today.
func dayOf(text string, since int64) (int64, error) {
	if text == "" {
		return schema.Day(time.Now()) + since, nil
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, usage("--day %q is no date such as 2026-11-20", text)
	}
	return schema.Day(at), nil
}

// dmarcRow is a line of "dmarc list".
type dmarcRow struct {
	Day      string    `json:"day"`
	Domain   string    `json:"domain"`
	Messages int       `json:"messages"`
	Record   string    `json:"record"`
	Sent     time.Time `json:"sent,omitzero"`
}

func dmarcList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	text := fs.String("day", "", "`date`, in UTC")
	return func(ctx context.Context, a *app, _ []string) error {
		day := int64(-1)
		if *text != "" {
			var err error
			if day, err = dayOf(*text, 0); err != nil {
				return err
			}
		}
		return a.withState(ctx, func(s *schema.State) error {
			list, err := s.DmarcDomains(ctx, day)
			t := a.table(*asJSON, "DAY", "DOMAIN", "MESSAGES", "SENT", "RECORD")
			for _, d := range list {
				r := dmarcRow{time.Unix(d.Day*86400, 0).UTC().Format(time.DateOnly), d.Domain, d.Messages, d.Record, d.Sent}
				sent := ""
				if !d.Sent.IsZero() {
					sent = d.Sent.Format(time.DateTime)
				}
				if err = t.row(r, r.Day, r.Domain, r.Messages, sent, r.Record); err != nil {
					break
				}
			}
			return t.end(err)
		})
	}
}

func dmarcReport(fs *flag.FlagSet) action {
	text := fs.String("day", "", "`date`, in UTC; default yesterday")
	out := fs.String("out", "", "`file`; compressed if it ends in .gz")
	return func(ctx context.Context, a *app, args []string) error {
		day, err := dayOf(*text, -1)
		if err != nil {
			return err
		}
		return a.withParts(ctx, func(p *server.Parts) error {
			list, err := p.State.DmarcDomains(ctx, day)
			if err != nil {
				return err
			}
			for i := range list {
				if strings.EqualFold(list[i].Domain, args[0]) {
					return a.writeReport(ctx, p, &list[i], *out)
				}
			}
			return fmt.Errorf("messages of %s on that day: %w", args[0], schema.ErrNotFound)
		})
	}
}

func (a *app) writeReport(ctx context.Context, p *server.Parts, d *schema.DmarcDomain, out string) (err error) {
	r, err := p.DMARCReport(ctx, d)
	if err != nil {
		return err
	}
	var w io.Writer = a.out
	if out != "" {
		f, err2 := os.Create(out)
		if err2 != nil {
			return err2
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		w = f
	}
	if strings.HasSuffix(out, ".gz") {
		gz := gzip.NewWriter(w)
		defer func() { err = errors.Join(gz.Close(), err) }()
		w = gz
	}
	return p.WriteDMARC(ctx, w, d, r)
}
