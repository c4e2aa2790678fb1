package delivery

import (
	"context"
	"io"
	"strings"

	"mailserver/delivery/queue"
	"mailserver/delivery/remote"
	"mailserver/internal/address"
)

// senders groups recipients by the envelope sender that their copy leaves
// with: most keep the sender of the message. Those that cannot be told now are
// deferred.
func (x sender) senders(ctx context.Context, m *queue.Message, rcpts []*queue.Recipient, results []queue.Result) map[string][]int {
	groups := make(map[string][]int, 1)
	for i, r := range rcpts {
		original, err := address.Parse(r.Original)
		to, err2 := address.Parse(r.Address)
		from := m.Sender
		if err == nil && err2 == nil {
			if from, err = x.s.d.Route.ForwardSender(ctx, m.Sender, original, to); err != nil {
				results[i] = x.s.notNow(m, "address lookup", err)
				continue
			}
		}
		groups[from] = append(groups[from], i)
	}
	return groups
}

// sendFrom makes the attempt for the recipients who.
func (x sender) sendFrom(ctx context.Context, t *target, from string, m *queue.Message, rcpts []*queue.Recipient, who []int, results []queue.Result) {
	var out *outgoing
	if !t.hop.LMTP {
		var err error
		if out, err = x.s.outgoing(ctx, m.ID); err != nil {
			x.defers(m, err, who, results)
			return
		}
	}
	mail := &remote.Mail{ID: m.ID, From: from, Size: m.Size + int64(len(m.Prepend)), Body: m.Body, UTF8: m.UTF8, RequireTLS: m.RequireTLS,
		Ret: m.Ret, EnvID: m.EnvID, Open: func() (io.ReadCloser, error) { return x.s.queue.Text(m) }}
	if m.Client != "" {
		name, addr := client(m)
		mail.Origin = remote.Origin{Name: name, Addr: addr, Proto: m.Proto, Helo: m.Helo}
	}
	for _, i := range who {
		r := rcpts[i]
		rcpt := remote.Recipient{Address: r.Address, ORCPT: r.ORCPT, Notify: r.Notify}
		if rcpt.ORCPT == "" && !strings.EqualFold(r.Original, r.Address) {
			rcpt.ORCPT = "rfc822;" + r.Original
		}
		mail.To = append(mail.To, rcpt)
	}
	if out != nil {
		if err := out.apply(ctx, mail, from == m.Sender); err != nil {
			x.defers(m, err, who, results)
			return
		}
	}
	for n, r := range x.s.deliver(ctx, t, mail) {
		results[who[n]] = queue.Result{Status: queue.Status(r.Status), Enhanced: r.Enhanced, Text: r.Text, Reply: r.Reply, MTA: mta(r),
			Tag: t.tag, Relay: r.Relay, Unreachable: r.Unreachable, Relayed: r.DSN, Setup: r.Setup, Talk: r.Talk, Uses: r.Uses}
	}
}

// defers has recipients wait: what the message leaves as is not known now.
func (x sender) defers(m *queue.Message, err error, who []int, results []queue.Result) {
	for _, i := range who {
		results[i] = x.s.notNow(m, "address lookup", err)
	}
}
