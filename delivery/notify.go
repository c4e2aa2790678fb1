package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/emersion/go-smtp"

	"mailserver/delivery/bounce"
	"mailserver/delivery/queue"
	"mailserver/delivery/remote"
	"mailserver/internal/address"
	"mailserver/internal/maillog"
	"mailserver/policy"
	"mailserver/schema"
)

func isA(err, target error) bool { return errors.Is(err, target) }

func (s *Service) complain(doing, id string, err error) {
	if s.d.Log != nil {
		s.d.Log.Error("delivery", slog.String("doing", doing), slog.String(maillog.QueueID, id), slog.String(maillog.Err, err.Error()))
	}
}

// Report sends a delivery status notification about recipients of m that are
// all in the same state. RFC 3464, RFC 3461 §6
func (x sender) Report(ctx context.Context, m *queue.Message, rcpts []queue.Recipient) error {
	c, err := x.s.d.Config(ctx)
	if err != nil {
		return err
	}
	kind, word := kindOf(rcpts[0].State)
	wanted := slices.DeleteFunc(slices.Clone(rcpts), func(r queue.Recipient) bool { return !asks(r.Notify, word) })
	for _, to := range x.s.addressees(c, kind, m) {
		list := wanted
		if to.copy { // a postmaster hears of all
			list = rcpts
		}
		if len(list) == 0 {
			continue
		}
		n, err := x.s.notice(ctx, c, kind, m, list)
		if err != nil {
			return err
		}
		n.To, n.Copy = to.address.String(), to.copy
		n.HeadersOnly = n.HeadersOnly || to.copy && m.Sender != ""
		id, err := x.s.sendNotice(ctx, to, m, n)
		if err != nil {
			return err
		}
		what := map[bounce.Kind]string{bounce.Failure: "sender non-delivery", bounce.Delay: "sender delay", bounce.Success: "sender delivery status"}[kind]
		if to.copy {
			what = map[bounce.Kind]string{bounce.Failure: "postmaster non-delivery", bounce.Delay: "postmaster delay"}[kind]
		}
		maillog.Event(x.s.d.Log, slog.LevelInfo, maillog.Bounce, fmt.Sprintf("%s: %s notification: %s", m.ID, what, id),
			"notification", slog.String(maillog.QueueID, m.ID))
	}
	return nil
}

func kindOf(state schema.QueueState) (bounce.Kind, string) {
	switch state {
	case schema.QueueFailed:
		return bounce.Failure, "FAILURE"
	case schema.QueueDelivered:
		return bounce.Success, "SUCCESS"
	}
	return bounce.Delay, "DELAY"
}

// asks reports whether a NOTIFY list wants a kind of report. Without a list it
// is failures and delays, RFC 3461 §4.1.
func asks(notify, word string) bool {
	if notify == "" {
		return word != "SUCCESS"
	}
	return slices.ContainsFunc(strings.Split(notify, ","), func(w string) bool { return strings.EqualFold(w, word) })
}

// addressee is who gets a report.
type addressee struct {
	from    address.Address
	address address.Address
	copy    bool // for the postmaster
}

// addressees: the sender; the postmaster, where notify_classes says so. A
// report about a message with the null sender goes to nobody else, and one
// about a report to the postmaster to nobody at all.
func (s *Service) addressees(c *Config, kind bounce.Kind, m *queue.Message) []addressee {
	double := address.Address{Local: c.DoubleBounceSender, Domain: c.Hostname}
	from, err := address.Parse(m.Sender)
	var list []addressee
	switch {
	case err != nil || from.Equal(double):
		s.discard(m, "undeliverable postmaster notification discarded")
	case kind != bounce.Failure && m.Sender == "":
	case m.Sender != "":
		list = append(list, addressee{address: from})
		if kind == bounce.Delay && slices.Contains(c.NotifyClasses, "delay") {
			list = append(list, addressee{from: double, address: qualify(c.DelayNotice, c), copy: true})
		}
		if kind == bounce.Failure && slices.Contains(c.NotifyClasses, "bounce") {
			list = append(list, addressee{from: double, address: qualify(c.BounceNotice, c), copy: true})
		}
	case slices.Contains(c.NotifyClasses, "2bounce"):
		list = append(list, addressee{from: double, address: qualify(c.DoubleBounceNotice, c), copy: true})
	default:
		s.discard(m, "undeliverable bounce discarded")
	}
	return list
}

func (s *Service) discard(m *queue.Message, what string) {
	maillog.Event(s.d.Log, slog.LevelWarn, maillog.Bounce, fmt.Sprintf("%s: %s", m.ID, what), what, slog.String(maillog.QueueID, m.ID))
}

func qualify(name string, c *Config) address.Address {
	a, _ := address.Parse(name)
	if a.Domain == "" {
		a.Domain = c.Hostname
	}
	return a
}

// notice gathers what a report says.
func (s *Service) notice(ctx context.Context, c *Config, kind bounce.Kind, m *queue.Message, rcpts []queue.Recipient) (*bounce.Notice, error) {
	n := &bounce.Notice{
		Kind: kind, Host: c.Hostname, MailName: c.MailName, ID: m.ID, Sender: m.Sender, EnvID: m.EnvID, Arrived: m.Arrived, Now: s.now(),
		UTF8: m.UTF8, HeadersOnly: m.Ret == "HDRS" || m.RequireTLS || m.Size > c.BounceSize || kind != bounce.Failure,
	}
	q, err := s.queueConfig(ctx)
	if err != nil {
		return nil, err
	}
	if kind == bounce.Delay {
		n.Until = m.Arrived.Add(q.Lifetime)
	}
	if n.Template, err = template(c, q, kind); err != nil { // as Postfix: our own words then
		s.complain("read bounce_template_file", m.ID, err)
	}
	for _, r := range rcpts {
		action := ""
		if kind == bounce.Success {
			var err error
			if action, err = s.successOf(ctx, &r); err != nil {
				return nil, err
			}
		}
		n.Recipients = append(n.Recipients, bounce.Recipient{Address: r.Address, Original: r.Original, ORCPT: r.ORCPT,
			Status: r.Status, Text: r.Reply, Reply: r.Diag, MTA: r.MTA, Action: action})
	}
	return n, nil
}

// successOf is what became of a recipient that was delivered: RFC 3464 §2.3.3.
// A program has the last word only with the flag X of pipe(8).
func (s *Service) successOf(ctx context.Context, r *queue.Recipient) (string, error) {
	transport, _, _ := strings.Cut(r.Site, ":")
	switch {
	case r.Site == aliasSite:
		return "expanded", nil
	case r.MTA != "" || transport == "smtp" || transport == "relay" || transport == "lmtp":
		return "relayed", nil
	}
	view, err := s.d.Mail.View(ctx)
	if err != nil {
		return "", err
	}
	row, err := view.Pipe(ctx, transport)
	if err != nil || row != nil && !strings.Contains(row.Flags, "X") {
		return "relayed", err
	}
	return "delivered", nil
}

func (s *Service) queueConfig(ctx context.Context) (*queue.Config, error) {
	if s.d.QueueConfig == nil {
		c := queue.Defaults()
		return &c, nil
	}
	return s.d.QueueConfig(ctx)
}

// sendNotice delivers a report by our own service and returns its queue ID.
func (s *Service) sendNotice(ctx context.Context, to addressee, m *queue.Message, n *bounce.Notice) (string, error) {
	env := &Envelope{From: to.from, To: []Recipient{{Address: to.address}}, Proto: "internal",
		Options: smtp.MailOptions{Body: smtp.Body8BitMIME, UTF8: n.UTF8, RequireTLS: m.RequireTLS}}
	msg, err := s.begin(ctx, env, true)
	if err != nil {
		return "", err
	}
	text, err := s.queue.Text(m)
	if err != nil {
		msg.Abort()
		return "", err
	}
	defer text.Close()
	if n.TLSNotRequired, err = s.tlsNotRequired(m); err != nil {
		msg.Abort()
		return "", err
	}
	n.NoticeID = msg.ID()
	if err := bounce.Write(msg, n, text); err != nil {
		msg.Abort()
		return "", fmt.Errorf("write report on %s: %w", m.ID, err)
	}
	env.Options.Size = msg.Size()
	if o := msg.Commit(ctx, policy.Effects{})[0]; !o.OK() {
		return "", fmt.Errorf("report on %s not taken: %d %s %s", m.ID, o.Code, o.Enhanced, o.Text)
	}
	return msg.ID(), nil
}

// tlsNotRequired reports whether a message has TLS-Required: No, which its
// report has then too.
func (s *Service) tlsNotRequired(m *queue.Message) (bool, error) {
	if m.RequireTLS {
		return false, nil
	}
	text, err := s.queue.Text(m)
	if err != nil {
		return false, err
	}
	defer text.Close()
	return remote.TLSNotRequired(text), nil
}
