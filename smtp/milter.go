package smtp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"

	gosmtp "github.com/emersion/go-smtp"

	"mailserver/delivery"
	"mailserver/internal/address"
	"mailserver/internal/maillog"
	"mailserver/internal/milter"
	"mailserver/internal/smtpwire"
	"mailserver/policy"
)

// Milters are asked after our own judge has let something pass: at connect,
// HELO, MAIL, each RCPT, DATA, and about the whole message behind
// smtpd_end_of_data_restrictions. Mail of LMTP comes from a server of ours and
// has been looked at there.

// milterConnect finds the client's milters and tells them of it.
func (s *session) milterConnect(ctx context.Context) (reply, bool) {
	if s.srv.d.Milter == nil || s.opt.Role == policy.LMTP {
		return reply{}, false
	}
	c, err := s.srv.d.Milter(ctx)
	if err != nil {
		return s.noMilters(err), true
	}
	list := c.SMTPD
	if s.srv.d.MilterMap != nil && len(c.Maps) > 0 {
		if found, ok, err := s.srv.d.MilterMap(ctx, c.Maps, s.client.Addr); err != nil {
			return s.noMilters(err), true
		} else if ok {
			list = found
		}
	}
	if list == "" || strings.EqualFold(list, "DISABLE") {
		return reply{}, false
	}
	specs, err := c.Parse(list)
	if err != nil {
		return s.noMilters(err), true
	}
	s.milters = milter.New(milter.Deps{Config: c, Macro: s.macro, Warn: func(line string) { s.warn("milter", "%s", line) }}, specs)
	r, refused := s.milterSaid(s.milters.Connect(ctx, s.client.Name, s.milterAddr()), "CONNECT", "")
	switch {
	case !refused || r.code < 500 && !r.ends():
		return reply{}, false // the client hears of it at MAIL
	case r.ends():
		return reply{421, "", s.hostname() + " Service unavailable - try again later"}, true
	}
	return reply{554, "", s.hostname() + " ESMTP not accepting connections"}, true
}

// noMilters answers that nobody knows whom to ask.
func (s *session) noMilters(err error) reply {
	s.backendError("find milters", err)
	return s.hostReply(421, "4.3.5", "Error: server configuration problem - try again later")
}

func (s *session) milterAddr() netip.AddrPort {
	return netip.AddrPortFrom(s.client.Addr, s.client.Port)
}

// milterSaid logs a decision and makes the reply of a refusal.
func (s *session) milterSaid(d milter.Decision, where, rcpt string) (reply, bool) {
	switch d.Kind {
	case milter.Hold:
		s.whatsup("milter-hold", where, rcpt, "milter triggers HOLD action", "")
		if s.tx != nil {
			s.tx.env.Effects.Hold = true
		}
	case milter.Discard:
		s.whatsup("milter-discard", where, rcpt, "milter triggers DISCARD action", "")
		if s.tx != nil {
			s.tx.env.Effects.Discard = true
		}
	case milter.Refuse:
		s.whatsup("milter-reject", where, rcpt, d.Reply, "")
		return milterReply(d.Reply), true
	}
	return reply{}, false
}

var milterLine = regexp.MustCompile(`^([45]\d\d)[ -](?:([45]\.\d{1,3}\.\d{1,3})(?:\s+|$))?`)

// milterReply reads "550-5.7.1 one\r\n550 5.7.1 two".
func milterReply(text string) reply {
	m := milterLine.FindStringSubmatch(text)
	if m == nil {
		return writeError
	}
	var r reply
	fmt.Sscan(m[1], &r.code)
	r.enhanced = m[2]
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		lines = append(lines, line[len(milterLine.FindString(line)):])
	}
	r.text = strings.Join(lines, "\n")
	return r
}

// milterAsk asks unless nobody wants to be asked about this message.
func (s *session) milterAsk(ask func(*milter.Session) milter.Decision, where, rcpt string) (reply, bool) {
	if s.milters == nil || s.tx != nil && s.tx.env.Effects.Discard {
		return reply{}, false
	}
	return s.milterSaid(ask(s.milters), where, rcpt)
}

// milterHelo: a refusal is said at MAIL, unless it ends the session.
func (s *session) milterHelo(ctx context.Context, verb string) (reply, bool) {
	r, refused := s.milterAsk(func(m *milter.Session) milter.Decision { return m.Helo(ctx, s.helo) }, verb, "")
	return r, refused && r.ends()
}

func (s *session) milterMail(ctx context.Context, params []smtpwire.Param) (reply, bool) {
	args := milterArgs(s.tx.env.From, params)
	return s.milterAsk(func(m *milter.Session) milter.Decision { return m.Mail(ctx, args...) }, "MAIL", "")
}

// milterRcpt tells of an accepted recipient, and of a refused one those that
// ask for it; these cannot change the answer.
func (s *session) milterRcpt(ctx context.Context, to address.Address, params []smtpwire.Param, refused bool) (reply, bool) {
	if refused && s.milters != nil {
		s.milters.Rejected(ctx, milterArgs(to, params)...)
	}
	if refused {
		return reply{}, false
	}
	args := milterArgs(to, params)
	return s.milterAsk(func(m *milter.Session) milter.Decision { return m.Rcpt(ctx, args...) }, "RCPT", to.String())
}

func milterArgs(a address.Address, params []smtpwire.Param) []string {
	args := []string{"<" + a.String() + ">"}
	for _, p := range params {
		args = append(args, p.String())
	}
	return args
}

func (s *session) milterData(ctx context.Context, where string) (reply, bool) {
	return s.milterAsk(func(m *milter.Session) milter.Decision { return m.Data(ctx) }, where, s.tx.env.To[0].Address.String())
}

// milterUnknown lets milters refuse an unknown command in their own words.
func (s *session) milterUnknown(ctx context.Context, verb string, r reply) reply {
	if refusal, refused := s.milterAsk(func(m *milter.Session) milter.Decision { return m.Unknown(ctx, verb) }, "UNKNOWN", ""); refused {
		return refusal
	}
	return r
}

// milterMessage shows the whole message and makes the changes.
func (s *session) milterMessage(ctx context.Context, eff *policy.Effects) (reply, bool) {
	tx := s.tx
	if s.milters == nil || tx.env.Effects.Discard || eff.Discard || tx.msg.Refused() || !s.milters.Active() {
		return reply{}, false
	}
	d, changes, err := s.milters.Message(ctx, tx.msg, s.set.MessageLimit)
	switch {
	case errors.Is(err, milter.ErrHeader) || errors.Is(err, milter.ErrTooBig):
		s.warn("milter", "%s: %v", tx.msg.ID(), err)
		return tooBig, true
	case err != nil:
		s.backendError("milters", err)
		return storageReply(err), true
	}
	if r, bad := s.milterEnvelope(ctx, changes, eff); bad {
		return r, true
	}
	switch d.Kind {
	case milter.Hold:
		if !eff.Hold && !tx.env.Effects.Hold {
			s.milterLog("milter-hold", "milter triggers HOLD action")
		}
		eff.Hold = true
	case milter.Discard:
		eff.Discard = true
		s.milterLog("milter-discard", "milter triggers DISCARD action")
	case milter.Refuse:
		s.milterLog("milter-reject", d.Reply[len("550 "):])
		return milterReply(d.Reply), true
	}
	return reply{}, false
}

// milterLog is the line of cleanup(8), which asks about whole messages.
func (s *session) milterLog(kind, text string) {
	rcpt := ""
	if n := len(s.tx.env.To); n > 0 {
		rcpt = s.tx.env.To[n-1].Address.String()
	}
	line, attrs := s.decision(kind, "END-OF-MESSAGE", rcpt, text, "")
	maillog.Event(s.srv.d.Log, slog.LevelInfo, maillog.Cleanup, line, kind, attrs...)
}

// milterEnvelope makes the changes of sender and recipients. All recipients
// gone is a message for nobody.
func (s *session) milterEnvelope(ctx context.Context, c milter.Changes, eff *policy.Effects) (reply, bool) {
	env := s.tx.sent
	if c.From != nil {
		from, err := smtpwire.ParseAddress(*c.From)
		if err != nil {
			return s.badMilter("sender", *c.From)
		}
		env.From = from
		if opt, _, bad := mailOptions(params(c.FromArgs)); !bad && len(c.FromArgs) > 0 {
			env.Options.Return, env.Options.EnvelopeID = opt.Return, opt.EnvelopeID
		}
	}
	for _, ch := range c.Rcpts {
		a, err := smtpwire.ParseAddress(ch.Address)
		if err != nil || a.IsNull() {
			return s.badMilter("recipient", ch.Address)
		}
		rcpt, err := s.srv.d.Route.Recipient(ctx, a)
		if err != nil {
			return s.deferred("milter recipient", a, err), true
		}
		if ch.Remove {
			env.To = without(env.To, rcpt.Address)
			continue
		}
		opt, r, bad := rcptOptions(params(ch.Args))
		if bad {
			s.warn("milter", "%s: bad parameters of a recipient from a milter: %s", s.tx.msg.ID(), r.text)
			opt = gosmtp.RcptOptions{}
		}
		if env.To = without(env.To, rcpt.Address); len(env.To) < maxMilterRcpts {
			env.To = append(env.To, delivery.Recipient{Address: rcpt.Address, Options: opt})
		}
	}
	eff.Discard = eff.Discard || len(env.To) == 0
	return reply{}, false
}

// maxMilterRcpts bounds what milters may add to.
const maxMilterRcpts = 10000

func without(list []delivery.Recipient, a address.Address) []delivery.Recipient {
	var out []delivery.Recipient
	for _, r := range list {
		if !r.Address.Equal(a) {
			out = append(out, r)
		}
	}
	return out
}

func params(words []string) []smtpwire.Param {
	_, list, err := smtpwire.ParsePath("FROM:<> "+strings.Join(words, " "), "FROM")
	if err != nil {
		return nil
	}
	return list
}

// badMilter answers an address that no milter should send.
func (s *session) badMilter(what, text string) (reply, bool) {
	s.warn("milter", "%s: bad %s from a milter: %s", s.tx.msg.ID(), what, maillog.OneLine(text))
	return reply{451, "4.7.1", "Service unavailable - try again later"}, true
}
