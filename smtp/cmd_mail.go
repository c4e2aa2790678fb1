package smtp

import (
	"context"
	"errors"
	"strconv"
	"strings"

	gosmtp "github.com/emersion/go-smtp"

	"mailserver/delivery"
	"mailserver/internal/address"
	"mailserver/internal/maillog"
	"mailserver/internal/smtpwire"
	"mailserver/policy"
)

// mail: parse, limits, judge, begin.
func (s *session) mail(ctx context.Context, args string) reply {
	if n, over := s.over(messages, s.set.ClientMessages); over {
		r := reply{450, "4.7.1", "Error: too much mail from " + s.client.Addr.String()}
		s.warn("message rate", "Message delivery request rate limit exceeded: %d from %s for service %s",
			n, s.namaddr, s.tag)
		return r
	}
	from, params, err := smtpwire.ParsePath(args, "FROM")
	if err != nil {
		return s.pathError(err, "MAIL", args, syntax("MAIL FROM:<address>"), badSender)
	}
	if s.oddPath(args, from) {
		return s.pathError(smtpwire.ErrPath, "MAIL", args, badSender, badSender)
	}
	opt, r, bad := mailOptions(params)
	if bad {
		return r
	}
	if opt.RequireTLS && !s.offersRequireTLS() { // it would have crossed the network without
		return unsupported(smtpwire.Param{Key: "REQUIRETLS"})
	}
	if !opt.UTF8 && !isASCII(from) {
		return undeclaredUTF8
	}
	tx := &transaction{env: s.envelope(from, opt), size: opt.Size}
	s.tx = tx // for the log; undone below
	r, bad = s.judgeMail(ctx, from, opt.Size)
	if !bad {
		r, bad = s.milterMail(ctx, params)
	}
	if bad {
		s.tx = nil
		return r
	}
	return okMail
}

func (s *session) judgeMail(ctx context.Context, from address.Address, size int64) (reply, bool) {
	if limit := s.set.MessageLimit; limit > 0 && size > limit {
		s.rejected("MAIL", "", overSize)
		return overSize, true
	}
	sender, err := s.srv.d.Route.Sender(ctx, from)
	if err != nil {
		return s.deferred("MAIL", from, err), true
	}
	s.about = about{sender: sender}
	v := s.judge.Mail(ctx, sender, size)
	s.warnings("MAIL", "", v)
	if r, refused := verdictReply(v); refused {
		s.judged("MAIL", "", r, v)
		s.done = v.Action == policy.Disconnect
		return r, true
	}
	s.tx.env.Effects.Merge(v.Effects)
	return reply{}, false
}

// deferred answers a look-up that is not possible now.
func (s *session) deferred(where string, a address.Address, err error) reply {
	s.backendError(where+" "+a.String(), err)
	r := lookupFailure
	r.text = "<" + a.String() + ">: " + r.text
	return r
}

func (s *session) envelope(from address.Address, opt gosmtp.MailOptions) delivery.Envelope {
	return delivery.Envelope{
		From: from, Options: opt, User: s.user, Client: s.client, Helo: s.helo,
		Proto: s.with(opt.UTF8), LocalOnly: s.opt.Role == policy.LMTP,
	}
}

// pathError answers arguments of MAIL and RCPT that cannot be read.
func (s *session) pathError(err error, verb, args string, noPath, badPath reply) reply {
	switch {
	case errors.Is(err, smtpwire.ErrSyntax):
		return noPath
	case errors.Is(err, smtpwire.ErrPath):
		s.warn("bad address", "Illegal address syntax from %s in %s command: %s", s.namaddr, verb, maillog.OneLine(smtpwire.PathWord(args)))
		return badPath
	}
	return reply{501, "5.5.4", "Bad parameter syntax"}
}

// oddPath reports a path that can be read and that settings forbid. As Postfix
// does, strict_rfc821_envelopes allows a source route.
func (s *session) oddPath(args string, a address.Address) bool {
	if strings.HasPrefix(a.Local, "-") && !s.set.AllowMinUser {
		return true
	}
	return s.set.StrictEnvelopes && (strings.HasPrefix(a.Local, "@") || !strings.HasPrefix(smtpwire.PathWord(args), "<"))
}

func isASCII(a address.Address) bool {
	return strings.IndexFunc(a.Local+a.Domain, func(r rune) bool { return r >= 0x80 }) < 0
}

// mailOptions reads the parameters of MAIL.
func mailOptions(params []smtpwire.Param) (opt gosmtp.MailOptions, r reply, bad bool) {
	for _, p := range params {
		read := mailParams[p.Key]
		if read == nil || p.HasValue == (p.Key == "SMTPUTF8" || p.Key == "REQUIRETLS") {
			return opt, unsupported(p), true
		}
		if r := read(&opt, p.Value); r.code != 0 {
			if r == (unsupportedValue) {
				r = unsupported(p)
			}
			return opt, r, true
		}
	}
	return opt, reply{}, false
}

func unsupported(p smtpwire.Param) reply {
	return reply{555, "5.5.4", "Unsupported option: " + p.String()}
}

// unsupportedValue is made into unsupported by the caller, who has the words.
var unsupportedValue = reply{555, "5.5.4", ""}

// mailParams reads each parameter of MAIL; the zero reply is good.
var mailParams = map[string]func(*gosmtp.MailOptions, string) reply{
	"SIZE": func(o *gosmtp.MailOptions, v string) reply { // RFC 1870 §3
		n, err := strconv.ParseUint(v, 10, 63)
		if err != nil {
			return reply{501, "5.5.4", "Bad message size syntax"}
		}
		o.Size = int64(n)
		return reply{}
	},
	"BODY": func(o *gosmtp.MailOptions, v string) reply { // RFC 6152 §2, RFC 3030 §3
		o.Body = gosmtp.BodyType(strings.ToUpper(v))
		switch o.Body {
		case gosmtp.Body7Bit, gosmtp.Body8BitMIME, gosmtp.BodyBinaryMIME:
			return reply{}
		}
		return unsupportedValue
	},
	"SMTPUTF8": func(o *gosmtp.MailOptions, _ string) reply { // RFC 6531 §3.4
		o.UTF8 = true
		return reply{}
	},
	"REQUIRETLS": func(o *gosmtp.MailOptions, _ string) reply { // RFC 8689 §4.1
		o.RequireTLS = true
		return reply{}
	},
	"RET": func(o *gosmtp.MailOptions, v string) reply { // RFC 3461 §4.3
		o.Return = gosmtp.DSNReturn(strings.ToUpper(v))
		if o.Return != gosmtp.DSNReturnFull && o.Return != gosmtp.DSNReturnHeaders {
			return reply{501, "5.5.4", "Bad RET parameter syntax"}
		}
		return reply{}
	},
	"ENVID": func(o *gosmtp.MailOptions, v string) reply { // RFC 3461 §4.4: at most 100 characters
		id, ok := smtpwire.DecodeXtext(v)
		if !ok || id == "" || len(id) > 100 {
			return reply{501, "5.5.4", "Bad ENVID parameter syntax"}
		}
		o.EnvelopeID = id
		return reply{}
	},
	"AUTH": func(o *gosmtp.MailOptions, v string) reply { // RFC 4954 §5
		if o.Auth != nil {
			return reply{503, "5.5.4", "Error: multiple AUTH= options"}
		}
		text, ok := smtpwire.DecodeXtext(v)
		if !ok {
			return reply{501, "5.5.4", "Bad AUTH parameter syntax"}
		}
		text = strings.TrimSuffix(strings.TrimPrefix(text, "<"), ">")
		o.Auth = &text
		return reply{}
	},
}
