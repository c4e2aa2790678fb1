package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"mailserver/delivery"
	"mailserver/internal/address"
	"mailserver/internal/config"
	"mailserver/internal/maillog"
	"mailserver/internal/milter"
	"mailserver/internal/pickup"
	"mailserver/policy"
)

// picked is a message of sendmail(1) before milters: they are told of an SMTP
// client on this host. postconf(5) non_smtpd_milters
type picked struct {
	s   *Server
	msg *delivery.Message
	env *delivery.Envelope
	c   *milter.Config
	eff policy.Effects
	to  address.Address // of the present RCPT
}

// milters shows the message to them. A reply other than nil refuses it.
func (s *Server) milters(ctx context.Context, msg *delivery.Message, env *delivery.Envelope) (policy.Effects, *pickup.Reply) {
	c, err := config.Of[milter.Config](s.Config)(ctx)
	if err != nil {
		return policy.Effects{}, &pickup.Reply{Code: 451, Enhanced: "4.3.5", Text: "Error: " + err.Error()}
	}
	specs, err := c.Parse(c.NonSMTPD)
	if err != nil || len(specs) == 0 {
		return policy.Effects{}, nil // Validate has seen the list
	}
	p := &picked{s: s, msg: msg, env: env, c: c}
	m := milter.New(milter.Deps{Config: c, Macro: p.macro, Warn: p.warn}, specs)
	defer m.Close()
	no := p.show(ctx, m)
	return p.eff, no
}

func (p *picked) show(ctx context.Context, m *milter.Session) *pickup.Reply {
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	steps := []func() milter.Decision{
		func() milter.Decision { return m.Connect(ctx, "localhost", local) },
		func() milter.Decision { return m.Helo(ctx, p.c.Hostname) },
		func() milter.Decision { return m.Mail(ctx, "<"+p.env.From.String()+">") },
	}
	for _, to := range p.env.To {
		steps = append(steps, func() milter.Decision {
			p.to = to.Address
			return m.Rcpt(ctx, "<"+to.Address.String()+">")
		})
	}
	steps = append(steps, func() milter.Decision { return m.Data(ctx) })
	for _, step := range steps {
		if r := p.said(step()); r != nil || p.eff.Discard {
			return r
		}
	}
	d, changes, err := m.Message(ctx, p.msg, 0)
	if err != nil {
		p.warn(err.Error())
		return &pickup.Reply{Code: 451, Enhanced: "4.3.0", Text: "Error: queue file write error"}
	}
	if err := p.envelope(changes); err != nil {
		p.warn(err.Error())
		return &pickup.Reply{Code: 451, Enhanced: "4.7.1", Text: "Service unavailable - try again later"}
	}
	return p.said(d)
}

// said logs a decision; a refusal has a reply.
func (p *picked) said(d milter.Decision) *pickup.Reply {
	kind, text := "", ""
	switch d.Kind {
	case milter.Hold:
		p.eff.Hold, kind, text = true, "milter-hold", "milter triggers HOLD action"
	case milter.Discard:
		p.eff.Discard, kind, text = true, "milter-discard", "milter triggers DISCARD action"
	case milter.Refuse:
		kind, text = "milter-reject", strings.NewReplacer("\r\n", " ", "\n", " ").Replace(d.Reply)
	default:
		return nil
	}
	to := ""
	if n := len(p.env.To); n > 0 {
		to = p.env.To[n-1].Address.String()
	}
	line := fmt.Sprintf("%s: %s: END-OF-MESSAGE from localhost[127.0.0.1]: %s; from=<%s> to=<%s>", p.msg.ID(), kind, text, p.env.From, to)
	maillog.Event(p.s.Log, slog.LevelInfo, maillog.Cleanup, line, kind, slog.String(maillog.QueueID, p.msg.ID()))
	if d.Kind != milter.Refuse {
		return nil
	}
	r := pickup.Reply{Code: 550, Text: text}
	fmt.Sscan(text, &r.Code, &r.Enhanced)
	if rest, ok := strings.CutPrefix(text, fmt.Sprintf("%d %s ", r.Code, r.Enhanced)); ok {
		r.Text = rest
	}
	return &r
}

func (p *picked) warn(text string) {
	maillog.Event(p.s.Log, slog.LevelWarn, maillog.Cleanup, "warning: "+p.msg.ID()+": "+text, "milter", slog.String(maillog.QueueID, p.msg.ID()))
}

func (p *picked) macro(name string) (string, bool) {
	switch name {
	case "i":
		return p.msg.ID(), true
	case "_":
		return "localhost [127.0.0.1]", true
	case "{client_addr}", "{daemon_addr}":
		return "127.0.0.1", true
	case "{client_name}", "{client_ptr}":
		return "localhost", true
	case "{mail_addr}":
		return p.env.From.String(), true
	case "{mail_host}":
		return p.env.From.Domain, true
	case "{rcpt_addr}":
		return p.to.String(), !p.to.IsNull()
	case "{rcpt_host}":
		return p.to.Domain, !p.to.IsNull()
	}
	return "", false
}

// maxPickedRcpts bounds what milters may add to.
const maxPickedRcpts = 10000

// envelope makes the changes of sender and recipients.
func (p *picked) envelope(c milter.Changes) error {
	if c.From != nil {
		from, err := address.Parse(unbracketed(*c.From))
		if err != nil {
			return fmt.Errorf("sender of a milter: %w", err)
		}
		p.env.From = from
	}
	for _, ch := range c.Rcpts {
		a, err := address.Parse(unbracketed(ch.Address))
		if err != nil || a.IsNull() {
			return fmt.Errorf("recipient of a milter: %w", err)
		}
		if a.Domain == "" {
			a.Domain = p.c.Hostname
		}
		p.env.To = slices.DeleteFunc(p.env.To, func(r delivery.Recipient) bool { return r.Address.Equal(a) })
		if ch.Remove {
			continue
		}
		if p.env.To = append(p.env.To, delivery.Recipient{Address: a}); len(p.env.To) > maxPickedRcpts {
			return errors.New("too many recipients of milters")
		}
	}
	p.eff.Discard = p.eff.Discard || len(p.env.To) == 0
	return nil
}

func unbracketed(s string) string { return strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">") }
