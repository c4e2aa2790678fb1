package server

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"mailserver/delivery"
	"mailserver/internal/address"
	"mailserver/internal/config"
	"mailserver/internal/dmarc"
	"mailserver/internal/dns"
	"mailserver/internal/maillog"
	"mailserver/policy"
	"mailserver/schema"
)

// reportsInterval is how often it is asked whether reports are due.
const reportsInterval = time.Hour

// sendDMARCReports sends the reports of yesterday, if dmarc_report_send says
// so, once the day is an hour old.
func (s *Server) sendDMARCReports(ctx context.Context) {
	tick := time.NewTicker(reportsInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.now()
		if now.UTC().Hour() < 1 {
			continue
		}
		if err := s.DMARCReports(ctx, schema.Day(now)-1); err != nil && ctx.Err() == nil {
			s.Log.Error("DMARC reports", slog.Any(maillog.Err, err))
		}
	}
}

func (s *Server) now() time.Time {
	if s.opt.Now != nil {
		return s.opt.Now()
	}
	return time.Now()
}

// DMARCReports sends the reports of a day that are not sent yet, to those whom
// the records name; nothing if dmarc_report_send is no.
func (s *Server) DMARCReports(ctx context.Context, day int64) error {
	c, err := config.Of[config.Reports](s.Config)(ctx)
	if err != nil || !c.Send {
		return err
	}
	domains, err := s.State.DmarcDomains(ctx, day)
	if err != nil {
		return err
	}
	for _, d := range domains {
		if !d.Sent.IsZero() || d.Messages == 0 || ctx.Err() != nil {
			continue
		}
		if err := s.sendReport(ctx, c, &d); err != nil {
			s.Log.Warn("DMARC report is not sent", slog.String("domain", d.Domain), slog.Any(maillog.Err, err))
			continue
		}
		if err := s.State.Write(ctx, func(t *schema.Tx) error { return t.DmarcSent(d.Day, d.Domain, s.now()) }); err != nil {
			return err
		}
	}
	return nil
}

// DMARCReport is the report of a domain and day.
func (p *Parts) DMARCReport(ctx context.Context, d *schema.DmarcDomain) (*dmarc.Report, error) {
	c, err := config.Of[config.Reports](p.Config)(ctx)
	if err != nil {
		return nil, err
	}
	rec, ok := dmarc.Parse(d.Record)
	if !ok {
		return nil, fmt.Errorf("record of %s cannot be read", d.Domain)
	}
	begin := time.Unix(d.Day*86400, 0).UTC()
	return &dmarc.Report{Org: c.Org, Email: c.Email, ID: fmt.Sprintf("%s.%d", d.Domain, d.Day), Begin: begin,
		End: begin.Add(24*time.Hour - time.Second), Domain: d.Domain, Record: rec, Generator: c.MailName}, nil
}

// WriteDMARC writes a report with its lines.
func (p *Parts) WriteDMARC(ctx context.Context, w io.Writer, d *schema.DmarcDomain, r *dmarc.Report) error {
	return r.Write(w, func(each func(dmarc.Line) error) error {
		return p.State.EachDmarc(ctx, d.Day, d.Domain, func(l schema.DmarcLine) error {
			return each(dmarc.Line{Addr: l.Addr, Count: l.Count, Facts: l.Facts})
		})
	})
}

// sendReport mails a report to all who want it.
func (s *Server) sendReport(ctx context.Context, c *config.Reports, d *schema.DmarcDomain) error {
	r, err := s.DMARCReport(ctx, d)
	if err != nil {
		return err
	}
	resolver := s.opt.DNS
	if resolver == nil {
		resolver = dns.New(dns.Config{})
	}
	var to []delivery.Recipient
	for _, text := range r.Record.Receivers() {
		agrees, err := dmarc.Agrees(func(name string) ([]string, error) { return texts(resolver)(ctx, name) }, d.Domain, text)
		if err != nil {
			return err
		}
		a, err := address.Parse(text)
		if err != nil || !agrees {
			continue
		}
		to = append(to, delivery.Recipient{Address: a, Options: smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyNever}}})
	}
	if len(to) == 0 {
		return nil // nobody wants it; it is done with
	}
	from, err := address.Parse(c.Email)
	if err != nil {
		return fmt.Errorf("setting dmarc_report_email: %w", err)
	}
	msg, err := s.Delivery.Begin(ctx, &delivery.Envelope{From: from, To: to, Proto: "internal", Submitted: true})
	if err != nil {
		return err
	}
	if err := s.writeReportMail(ctx, msg, c, d, r, to); err != nil {
		msg.Abort()
		return err
	}
	if o := msg.Commit(ctx, policy.Effects{})[0]; !o.OK() {
		return fmt.Errorf("%d %s %s", o.Code, o.Enhanced, o.Text)
	}
	s.Log.Info("DMARC report is sent", slog.String("domain", d.Domain), slog.Int("messages", d.Messages), slog.String(maillog.QueueID, msg.ID()))
	return nil
}

// writeReportMail writes the message, RFC 9990 §4.
func (s *Server) writeReportMail(ctx context.Context, w io.Writer, c *config.Reports, d *schema.DmarcDomain, r *dmarc.Report, to []delivery.Recipient) error {
	var list []string
	for _, t := range to {
		list = append(list, "<"+t.Address.String()+">")
	}
	name, boundary := r.FileName()+".gz", fmt.Sprintf("=_%d.%d", d.Day, s.now().UnixNano())
	_, err := fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nSubject: Report Domain: %s Submitter: %s Report-ID: <%s>\r\nDate: %s\r\nMessage-ID: <%d.%s@%s>\r\n"+
		"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n"+
		"--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nThis is a DMARC aggregate report about %s, %s to %s.\r\n"+
		"--%s\r\nContent-Type: application/gzip; name=\"%s\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"%s\"\r\n\r\n",
		c.Email, strings.Join(list, ",\r\n\t"), d.Domain, r.Org, r.ID, s.now().Format(time.RFC1123Z), s.now().UnixNano(), r.ID, r.Org,
		boundary, boundary, d.Domain, r.Begin.Format(time.RFC3339), r.End.Format(time.RFC3339), boundary, name, name)
	if err != nil {
		return err
	}
	lines := &lineBreaker{w: w}
	b64 := base64.NewEncoder(base64.StdEncoding, lines)
	gz := gzip.NewWriter(b64)
	for _, step := range []func() error{
		func() error { return s.WriteDMARC(ctx, gz, d, r) }, gz.Close, b64.Close,
		func() error { _, err := fmt.Fprintf(w, "\r\n--%s--\r\n", boundary); return err },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// lineBreaker ends lines after 76 bytes, RFC 2045 §6.8.
type lineBreaker struct {
	w io.Writer
	n int
}

// Write is io.Writer.
func (l *lineBreaker) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		k := min(76-l.n, len(rest))
		if _, err := l.w.Write(rest[:k]); err != nil {
			return 0, err
		}
		if l.n += k; l.n == 76 {
			if _, err := io.WriteString(l.w, "\r\n"); err != nil {
				return 0, err
			}
			l.n = 0
		}
		rest = rest[k:]
	}
	return len(p), nil
}
