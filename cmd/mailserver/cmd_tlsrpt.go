package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"mailserver/internal/config"
	"mailserver/internal/dns"
	"mailserver/internal/pickup"
	"mailserver/internal/server"
	"mailserver/internal/tlsrpt"
	"mailserver/schema"
)

func tlsrptCommands() []command {
	return []command{
		{name: "tlsrpt list", about: "how TLS with other hosts went on a day, by domain", setup: tlsrptList},
		{name: "tlsrpt show", args: "DOMAIN", min: 1, max: 1, about: "the report on a domain, as JSON", setup: tlsrptShow},
		{name: "tlsrpt send", args: "[DOMAIN]", max: 1, about: "send the reports of yesterday to the domains that want them; once", setup: tlsrptSend,
			more: "Run it once a day. What was sent is not sent again. Counting needs smtp_tlsrpt_enable=yes."},
	}
}

// dayFlag is the day that is reported on.
func dayFlag(fs *flag.FlagSet, ago int) func() (string, error) {
	text := fs.String("day", "", "`YYYY-MM-DD`, UTC; default: "+map[int]string{0: "today", 1: "yesterday"}[ago])
	return func() (string, error) {
		if *text == "" {
			return time.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly), nil
		}
		if _, err := time.Parse(time.DateOnly, *text); err != nil {
			return "", usage("--day: %q is not YYYY-MM-DD", *text)
		}
		return *text, nil
	}
}

// tlsReport is one report that could be sent.
type tlsReport struct {
	c      *config.TLSReport
	domain string
	report *tlsrpt.Report
}

// tlsReports makes the reports of a day.
func tlsReports(ctx context.Context, p *server.Parts, day, domain string) ([]tlsReport, error) {
	c, err := config.Of[config.TLSReport](p.Config)(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := p.State.TLSResults(ctx, day, strings.ToLower(domain))
	if err != nil {
		return nil, err
	}
	var list []tlsReport
	for len(rows) > 0 {
		n := 0
		var group []tlsrpt.Result
		for ; n < len(rows) && rows[n].Domain == rows[0].Domain; n++ {
			r := rows[n]
			group = append(group, tlsrpt.Result{Day: r.Day, Domain: r.Domain, Policy: r.Policy, Text: r.Text, MXHosts: r.MXHosts, Failure: r.Failure,
				Host: r.Host, Address: r.Address, Own: r.Own, Reason: r.Reason, Sessions: r.Count})
		}
		report, err := tlsrpt.New(c.Organization, c.Contact, c.Hostname, group)
		if err != nil {
			return nil, err
		}
		list, rows = append(list, tlsReport{c, group[0].Domain, report}), rows[n:]
	}
	return list, nil
}

func tlsrptList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	day := dayFlag(fs, 0)
	return func(ctx context.Context, a *app, _ []string) error {
		when, err := day()
		if err != nil {
			return err
		}
		return a.withParts(ctx, func(p *server.Parts) error {
			list, err := tlsReports(ctx, p, when, "")
			if err != nil {
				return err
			}
			t := a.table(*asJSON, "DOMAIN", "POLICY", "GOOD", "BAD")
			for _, r := range list {
				for _, pol := range r.report.Policies {
					t.row(pol, r.domain, pol.Policy.Type, pol.Summary.Good, pol.Summary.Bad)
				}
			}
			return t.end(nil)
		})
	}
}

func tlsrptShow(fs *flag.FlagSet) action {
	day := dayFlag(fs, 0)
	return func(ctx context.Context, a *app, args []string) error {
		when, err := day()
		if err != nil {
			return err
		}
		return a.withParts(ctx, func(p *server.Parts) error {
			list, err := tlsReports(ctx, p, when, args[0])
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return &exitError{exitNotFound, fmt.Errorf("no session with %s was counted on %s", args[0], when)}
			}
			enc := json.NewEncoder(a.out)
			enc.SetIndent("", "  ")
			return enc.Encode(list[0].report)
		})
	}
}

func tlsrptSend(fs *flag.FlagSet) action {
	day := dayFlag(fs, 1)
	dry := fs.Bool("dry-run", false, "say where reports would go, and send none")
	return func(ctx context.Context, a *app, args []string) error {
		when, err := day()
		if err != nil {
			return err
		}
		domain := strings.Join(args, "")
		return a.withParts(ctx, func(p *server.Parts) error {
			list, err := tlsReports(ctx, p, when, domain)
			if err != nil {
				return err
			}
			var failed error
			for _, r := range list {
				if err := a.sendReport(ctx, p, when, r, *dry); err != nil {
					fmt.Fprintf(a.err, "%s: %v\n", r.domain, err)
					failed = &exitError{exitTempFail, fmt.Errorf("not all reports were sent")}
				}
			}
			return failed
		})
	}
}

// sendReport sends one report, unless it was sent, to the first address that
// takes it.
func (a *app) sendReport(ctx context.Context, p *server.Parts, day string, r tlsReport, dry bool) error {
	if sent, err := p.State.TLSReported(ctx, day, r.domain); err != nil || sent {
		return err
	}
	res := a.dns
	if res == nil {
		res = dns.New(dns.Config{})
	}
	ans, err := res.Lookup(ctx, "_smtp._tls."+r.domain, dns.TXT)
	if dns.NotFound(err) {
		return nil // it wants none
	}
	if err != nil {
		return err
	}
	var txt []string
	for _, rec := range ans.Records {
		txt = append(txt, rec.Text)
	}
	for _, uri := range tlsrpt.Addresses(txt) {
		fmt.Fprintf(a.out, "%s: %s\n", r.domain, uri)
		if dry {
			continue
		}
		if err = a.sendTo(ctx, uri, r); err == nil {
			return p.State.Write(ctx, func(t *schema.Tx) error { return t.TLSReportSent(day, r.domain, uri, time.Now()) })
		}
	}
	return err
}

// postTime bounds the handing over to a web server.
const postTime = 30 * time.Second

func (a *app) sendTo(ctx context.Context, uri string, r tlsReport) error {
	u, err := url.Parse(uri)
	if err != nil {
		return err
	}
	switch u.Scheme {
	case "mailto":
		to, _, _ := strings.Cut(u.Opaque, "?")
		from := r.c.Contact
		text, err := r.report.Mail(from, to, r.c.Hostname, time.Now())
		if err != nil {
			return err
		}
		reply, err := pickup.Send(ctx, pickup.Socket(a.dir), &pickup.Request{From: &from, To: []string{to}, Size: int64(len(text))}, bytes.NewReader(text))
		if err == nil && reply.Code >= 300 {
			err = fmt.Errorf("%d %s %s", reply.Code, reply.Enhanced, reply.Text)
		}
		return err
	case "https":
		text, err := r.report.Packed()
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, bytes.NewReader(text))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/tlsrpt+gzip")
		resp, err := (&http.Client{Timeout: postTime}).Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode >= 300 {
			return fmt.Errorf("status %s", resp.Status)
		}
		return nil
	}
	return fmt.Errorf("%q begins with neither mailto nor https", uri)
}
