package smtp

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"mailserver/policy"
)

// maxHelo bounds the name a client gives itself, RFC 1035 §2.3.4.
const maxHelo = 255

func (s *session) heloCommand(ctx context.Context, args string) reply {
	if r, bad := s.hello(ctx, "HELO", args, false); bad {
		return r
	}
	s.proto = plainSMTP
	return reply{250, "", s.hostname()}
}

// ehlo is EHLO and LHLO.
func (s *session) ehlo(ctx context.Context, args string) reply {
	verb, proto := "EHLO", "ESMTP"
	if s.opt.Role == policy.LMTP {
		verb, proto = "LHLO", "LMTP"
	}
	if r, bad := s.hello(ctx, verb, args, true); bad {
		return r
	}
	s.proto = proto
	return reply{250, "", s.hostname() + "\n" + strings.Join(s.extensions(ctx), "\n")}
}

// hello takes the client's name and begins anew, RFC 5321 §4.1.4.
func (s *session) hello(ctx context.Context, verb, args string, esmtp bool) (reply, bool) {
	if args == "" || len(args) > maxHelo {
		return reply{501, "", "Syntax: " + verb + " hostname"}, true
	}
	name := neutered(args)
	v := s.judge.Helo(ctx, name, esmtp)
	s.warnings(verb, "", v)
	if r, refused := verdictReply(v); refused {
		s.helo = name
		s.judged(verb, "", r, v)
		s.helo = ""
		s.done = v.Action == policy.Disconnect
		return r, true
	}
	s.reset()
	s.helo = name
	if r, refused := s.milterHelo(ctx, verb); refused {
		s.helo = ""
		return r, true
	}
	return reply{}, false
}

// neutered takes from a name what would have a meaning in a header.
func neutered(name string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>()\";@`, r) {
			return '?'
		}
		return r
	}, name)
}

// extensions are the lines of EHLO in Postfix's order.
func (s *session) extensions(ctx context.Context) []string {
	list := []string{"PIPELINING"}
	size := "SIZE"
	if s.set.MessageLimit > 0 {
		size += " " + strconv.FormatInt(s.set.MessageLimit, 10)
	}
	list = append(list, size)
	if !s.set.DisableVrfy {
		list = append(list, "VRFY")
	}
	if s.tls == nil && s.offersTLS() {
		list = append(list, "STARTTLS")
	}
	if mechs := s.mechanisms(ctx); len(mechs) > 0 {
		words := strings.Join(mechs, " ")
		list = append(list, "AUTH "+words)
		if s.set.BrokenSASL {
			list = append(list, "AUTH="+words)
		}
	}
	if s.opt.Role != policy.LMTP && s.mayForward() {
		list = append(list, xforwardLine)
	}
	list = append(list, "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING", "BINARYMIME")
	if s.tls != nil {
		list = append(list, "REQUIRETLS") // RFC 8689 §2
	}
	return slices.DeleteFunc(list, s.discarded)
}

// offersRequireTLS reports whether EHLO names REQUIRETLS.
func (s *session) offersRequireTLS() bool { return s.tls != nil && !s.discarded("REQUIRETLS") }

// discarded reports whether postconf(5) smtpd_discard_ehlo_keywords names an
// extension.
func (s *session) discarded(line string) bool {
	keyword, _, _ := strings.Cut(strings.ReplaceAll(line, "=", " "), " ")
	return slices.ContainsFunc(s.set.DiscardEHLO, func(word string) bool { return strings.EqualFold(word, keyword) })
}

func (s *session) offersTLS() bool {
	return s.opt.TLSConfig != nil && (s.opt.TLS == May || s.opt.TLS == Encrypt)
}
