package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/emersion/go-smtp"

	"mailserver/delivery/bounce"
	"mailserver/delivery/queue"
	"mailserver/internal/address"
	"mailserver/internal/maillog"
	"mailserver/policy"
)

// Verify asks what would become of mail to recipients, without sending any, and
// mails the answers. sendmail(1) -bv
func (s *Service) Verify(ctx context.Context, report address.Address, to []Recipient) {
	if err := s.verify(ctx, report, to); err != nil {
		s.complain("report on recipients", "NOQUEUE", err)
	}
}

func (s *Service) verify(ctx context.Context, report address.Address, to []Recipient) error {
	c, err := s.d.Config(ctx)
	if err != nil {
		return err
	}
	msg, err := s.Begin(ctx, &Envelope{To: []Recipient{{Address: report}}, Proto: "internal", Options: smtp.MailOptions{Body: smtp.Body8BitMIME}})
	if err != nil {
		return err
	}
	now := s.now()
	n := &bounce.Notice{Kind: bounce.Verify, NoticeID: msg.ID(), Host: c.Hostname, MailName: c.MailName, To: report.String(), ID: msg.ID(),
		Sender: report.String(), Arrived: now, Now: now, HeadersOnly: true}
	for _, r := range to {
		n.Recipients = append(n.Recipients, s.verified(ctx, r.Address)...)
	}
	msg.ours = true
	if err := bounce.Write(msg, n, strings.NewReader("")); err != nil {
		msg.Abort()
		return err
	}
	maillog.Event(s.d.Log, slog.LevelInfo, maillog.Bounce, fmt.Sprintf("NOQUEUE: sender delivery status notification: %s", msg.ID()),
		"notification", slog.String(maillog.QueueID, msg.ID()))
	if o := msg.Commit(ctx, policy.Effects{})[0]; !o.OK() {
		return fmt.Errorf("not taken: %d %s %s", o.Code, o.Enhanced, o.Text)
	}
	return nil
}

// verified asks where each target of an address goes.
func (s *Service) verified(ctx context.Context, a address.Address) (list []bounce.Recipient) {
	targets := []address.Address{a}
	if dests, err := s.d.Route.Expand(ctx, a); err == nil && len(dests) > 1 {
		targets = nil
		for _, d := range dests {
			targets = append(targets, d.Address)
		}
	}
	for _, t := range targets {
		res := s.probe(ctx, t)
		r := bounce.Recipient{Address: t.String(), Original: a.String(), Status: res.Enhanced, Text: res.Text, Reply: res.Reply, MTA: res.MTA, Action: "deliverable"}
		if res.Status != queue.Sent {
			r.Action = "undeliverable"
		}
		list = append(list, r)
	}
	return list
}
