package smtp

import (
	"context"
	"strings"

	"mailserver/internal/maillog"
	"mailserver/internal/smtpwire"
	"mailserver/policy"
)

func (s *session) rset(_ context.Context, args string) reply {
	if args != "" {
		return syntax("RSET")
	}
	s.reset()
	return ok
}

func (s *session) noop(context.Context, string) reply { return ok }

func (s *session) quit(context.Context, string) reply { return bye }

// etrn judges as RFC 1985 §5.1 wants it. The queue is not started by strangers:
// it tries as soon as a host can be reached again.
func (s *session) etrn(ctx context.Context, args string) reply {
	switch {
	case s.tx != nil:
		return reply{503, "", "Error: MAIL transaction in progress"}
	case args == "" || strings.ContainsAny(args, " \t"):
		return reply{500, "", "Syntax: ETRN domain"}
	}
	domain := strings.TrimLeft(args, "@#")
	v := s.judge.Etrn(ctx, domain)
	s.warnings("ETRN", "", v)
	if r, refused := verdictReply(v); refused {
		s.judged("ETRN", "", r, v)
		s.done = v.Action == policy.Disconnect
		return r
	}
	return reply{459, "", "<" + domain + ">: service unavailable"}
}

func (s *session) help(context.Context, string) reply {
	verbs := "AUTH BDAT DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY"
	if s.opt.Role == policy.LMTP {
		verbs = "AUTH BDAT DATA HELP LHLO MAIL NOOP QUIT RCPT RSET STARTTLS VRFY"
	}
	return reply{214, "2.0.0", "Commands: " + verbs}
}

// vrfy judges the address as RCPT would and says that mail for it would be
// tried, RFC 5321 §3.5.3.
func (s *session) vrfy(ctx context.Context, args string) reply {
	if s.set.DisableVrfy {
		return vrfyDisabled
	}
	text := args
	if i := strings.LastIndexByte(text, ' '); i >= 0 && strings.EqualFold(text[i+1:], "SMTPUTF8") {
		text = strings.TrimSpace(text[:i]) // RFC 6531 §3.7.4.2
	}
	if text == "" {
		return syntax("VRFY address [SMTPUTF8]")
	}
	a, err := smtpwire.ParseAddress(text)
	if err != nil || a.IsNull() {
		s.warn("bad address", "Illegal address syntax from %s in VRFY command: %s", s.namaddr, maillog.OneLine(text))
		return badRecipient
	}
	rcpt, err := s.srv.d.Route.Recipient(ctx, a)
	if err != nil {
		return s.deferred("VRFY", a, err)
	}
	v := s.judge.Vrfy(ctx, rcpt)
	s.warnings("VRFY", a.String(), v)
	if r, refused := verdictReply(v); refused {
		s.judged("VRFY", a.String(), r, v)
		s.done = v.Action == policy.Disconnect
		return r
	}
	return reply{252, "2.0.0", text}
}
