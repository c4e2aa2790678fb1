package smtp

import (
	"context"
	"slices"
	"strings"

	gosmtp "github.com/emersion/go-smtp"

	"mailserver/delivery"
	"mailserver/internal/address"
	"mailserver/internal/smtpwire"
	"mailserver/policy"
)

// rcpt: limits, parse, route, judge, take.
func (s *session) rcpt(ctx context.Context, args string) reply {
	if n, over := s.over(recipients, s.set.ClientRecipients); over {
		s.warn("recipient rate", "Recipient address rate limit exceeded: %d from %s for service %s",
			n, s.namaddr, s.tag)
		return reply{450, "4.7.1", "Error: too many recipients from " + s.client.Addr.String()}
	}
	to, params, err := smtpwire.ParsePath(args, "TO")
	if err != nil {
		return s.pathError(err, "RCPT", args, syntax("RCPT TO:<address>"), badRecipient)
	}
	if s.oddPath(args, to) {
		return s.pathError(smtpwire.ErrPath, "RCPT", args, badRecipient, badRecipient)
	}
	opt, r, bad := rcptOptions(params)
	switch {
	case bad:
		return r
	case to.IsNull():
		return badRecipient
	case !s.tx.env.Options.UTF8 && !isASCII(to):
		return undeclaredUTF8
	case len(s.tx.env.To) >= s.set.RecipientLimit:
		s.rejected("RCPT", to.String(), tooManyRcpts)
		return tooManyRcpts
	}
	rcpt, r, bad := s.judgeRcpt(ctx, to)
	s.about.rcpt, s.about.refusal = rcpt, r
	if r, refused := s.milterRcpt(ctx, to, params, bad); refused {
		return r
	}
	if bad {
		return r
	}
	s.tx.env.To = append(s.tx.env.To, delivery.Recipient{Address: rcpt.Address, Options: opt})
	return okRcpt
}

func (s *session) judgeRcpt(ctx context.Context, to address.Address) (policy.Recipient, reply, bool) {
	rcpt, err := s.srv.d.Route.Recipient(ctx, to)
	if err != nil {
		return rcpt, s.deferred("RCPT", to, err), true
	}
	v := s.judge.Rcpt(ctx, rcpt)
	s.warnings("RCPT", to.String(), v)
	r, refused := verdictReply(v)
	if refused && !isPostmaster(to) {
		s.judged("RCPT", to.String(), r, v)
		s.done = v.Action == policy.Disconnect
		return rcpt, r, true
	}
	s.keepSteps("RCPT TO:<"+to.String()+">", v)
	s.tx.env.Effects.Merge(v.Effects)
	return rcpt, reply{}, false
}

// isPostmaster: RFC 5321 §4.5.1, bare, in any case; nothing refuses it.
func isPostmaster(a address.Address) bool {
	return a.Domain == "" && strings.EqualFold(a.Local, "postmaster")
}

// rcptOptions reads the parameters of RCPT, RFC 3461 §4.1 and §4.2.
func rcptOptions(params []smtpwire.Param) (opt gosmtp.RcptOptions, r reply, bad bool) {
	for _, p := range params {
		good := true
		switch {
		case p.Key == "NOTIFY" && p.HasValue:
			r = reply{501, "5.5.4", "Error: Bad NOTIFY parameter syntax"}
			good = readNotify(&opt, p.Value)
		case p.Key == "ORCPT" && p.HasValue:
			r = reply{501, "5.5.4", "Error: Bad ORCPT parameter syntax"}
			good = readOriginal(&opt, p.Value)
		default:
			return opt, unsupported(p), true
		}
		if !good {
			return opt, r, true
		}
	}
	return opt, reply{}, false
}

func readNotify(opt *gosmtp.RcptOptions, value string) bool {
	opt.Notify = nil
	for word := range strings.SplitSeq(strings.ToUpper(value), ",") {
		n := gosmtp.DSNNotify(word)
		switch n {
		case gosmtp.DSNNotifyNever, gosmtp.DSNNotifyDelayed, gosmtp.DSNNotifyFailure, gosmtp.DSNNotifySuccess:
		default:
			return false
		}
		if !slices.Contains(opt.Notify, n) {
			opt.Notify = append(opt.Notify, n)
		}
	}
	return len(opt.Notify) == 1 || !slices.Contains(opt.Notify, gosmtp.DSNNotifyNever)
}

// maxOriginal bounds ORCPT, RFC 3461 §4.2: 500 characters.
const maxOriginal = 500

func readOriginal(opt *gosmtp.RcptOptions, value string) bool {
	kind, rest, found := strings.Cut(value, ";")
	text, ok := smtpwire.DecodeXtext(rest)
	if ok && strings.EqualFold(kind, string(gosmtp.DSNAddressTypeUTF8)) {
		text, ok = smtpwire.DecodeUTF8Address(text)
	}
	if !found || !ok || kind == "" || text == "" || len(text) > maxOriginal {
		return false
	}
	opt.OriginalRecipientType = gosmtp.DSNAddressType(strings.ToUpper(kind))
	opt.OriginalRecipient = text
	return true
}
