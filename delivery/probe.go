package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"mailserver/delivery/queue"
	"mailserver/delivery/remote"
	"mailserver/delivery/route"
	"mailserver/internal/address"
	"mailserver/internal/maillog"
	"mailserver/policy"
	"mailserver/schema"
)

// Probe says whether mail for an address would be taken where it goes from
// here: ADDRESS_VERIFICATION_README. Another host is asked up to RCPT, with
// address_verify_sender; no message is made.
func (s *Service) Probe(ctx context.Context, a address.Address) policy.Probed {
	begun := s.now()
	res := s.probe(ctx, a)
	got := policy.Probed{Status: schema.VerifyOK, Text: res.Text}
	status := "deliverable"
	switch res.Status {
	case queue.Bounced:
		got.Status, status = schema.VerifyBounce, "undeliverable"
	case queue.Deferred:
		got.Status, status = schema.VerifyDefer, "undeliverable"
	}
	tag, relay := res.Tag, res.Relay
	if tag == "" {
		tag = maillog.SMTP
	}
	if relay == "" {
		relay = "none"
	}
	line := fmt.Sprintf("NOQUEUE: to=<%s>, relay=%s, delay=%.2g, dsn=%s, status=%s (%s)", a.Plain(), relay, s.now().Sub(begun).Seconds(), res.Enhanced, status, res.Text)
	maillog.Event(s.d.Log, slog.LevelInfo, tag, line, "address probed", slog.String(maillog.Rcpt, a.Plain()),
		slog.String(maillog.Enhanced, res.Enhanced), slog.String(maillog.Reason, res.Text), slog.String("status", status))
	return got
}

func (s *Service) probe(ctx context.Context, a address.Address) queue.Result {
	here := queue.Result{Status: queue.Sent, Enhanced: "2.0.0", Tag: maillog.Virtual, Relay: "virtual"}
	dests, err := s.d.Route.Expand(ctx, a)
	switch {
	case err != nil:
		return queue.Result{Status: queue.Deferred, Enhanced: "4.3.0", Text: "address lookup failure", Tag: maillog.Cleanup}
	case len(dests) > 1:
		here.Tag, here.Relay, here.Text = maillog.Cleanup, "none", "aliased to multiple recipients"
		return here
	case len(dests) == 0:
		return queue.Result{Status: queue.Bounced, Enhanced: "5.1.1", Text: "address leads nowhere", Tag: maillog.Cleanup}
	}
	d := &dests[0]
	switch d.Kind {
	case route.Failure:
		return *failure(d)
	case route.Mailbox:
		here.Text = "delivers to mailbox"
	case route.File:
		here.Text = "delivers to file: " + d.Target
	case route.Command:
		here.Text = "delivers to command: " + d.Target
	case route.Forward, route.Discard:
		here.Text = "delivers to " + d.Kind.String()
	case route.Next:
		return s.probeNext(ctx, d)
	}
	return here
}

// probeNext asks the next hop.
func (s *Service) probeNext(ctx context.Context, d *route.Destination) queue.Result {
	c, err := s.d.Config(ctx)
	if err != nil {
		return queue.Result{Status: queue.Deferred, Enhanced: "4.3.5", Text: "mail system configuration error"}
	}
	from := ""
	if c.VerifySender != "" && c.VerifySender != "<>" {
		from = qualify(c.VerifySender, c).String()
	}
	to, res := s.next(ctx, &queue.Message{ID: "NOQUEUE", Sender: from}, d)
	if res != nil {
		return *res
	}
	t, ok := to.(*target)
	if !ok || t.box != nil || t.hop.Host == "" {
		return queue.Result{Status: queue.Sent, Enhanced: "2.0.0", Text: "delivers to " + site(d), Tag: maillog.Pipe}
	}
	r := s.deliver(ctx, t, &remote.Mail{ID: "NOQUEUE", From: from, To: []remote.Recipient{{Address: d.Address.String()}}, Verify: true,
		UTF8: strings.ContainsFunc(d.Address.String(), func(r rune) bool { return r >= 0x80 })})[0]
	return queue.Result{Status: queue.Status(r.Status), Enhanced: r.Enhanced, Text: r.Text, Tag: t.tag, Relay: r.Relay}
}
