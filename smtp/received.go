package smtp

import (
	"fmt"
	"net/netip"
	"strings"

	"mailserver/internal/maillog"
	"mailserver/policy"
)

// with is the protocol as RFC 3848 and RFC 6531 §4.3 name it: ESMTPSA,
// UTF8SMTPS, LMTP.
func (s *session) with(utf8 bool) string {
	proto := s.proto
	if utf8 && s.opt.Role != policy.LMTP {
		proto = "UTF8SMTP"
	} else if utf8 {
		proto = "UTF8LMTP"
	}
	if s.tls != nil {
		proto += "S"
	}
	if s.user != "" {
		proto += "A"
	}
	return proto
}

// received is the header line of this hop, RFC 5321 §4.4, in Postfix's
// form.
func (s *session) received(id string) string {
	var b strings.Builder
	helo := s.helo
	if helo == "" {
		helo = s.client.Name
	}
	b.Grow(256)
	for _, part := range [...]string{"Received: from ", helo, " (", s.client.Name, " [", literal(s.client.Addr), "])\r\n"} {
		b.WriteString(part)
	}
	if s.set.TLSReceivedHeader && s.tls != nil {
		b.WriteString(s.tls.header())
	}
	if s.set.SASLReceivedHeader && s.user != "" {
		fmt.Fprintf(&b, "\t(Authenticated sender: %s)\r\n", maillog.OneLine(s.user))
	}
	env := &s.tx.env
	for _, part := range [...]string{"\tby ", s.hostname(), " (", s.set.MailName, ") with ", env.Proto, " id ", id} {
		b.WriteString(part)
	}
	date := s.srv.d.Now().Format(mailDate)
	to := ";\r\n\t"
	if len(env.To) == 1 { // of several, none may learn of the others
		to = "\r\n\tfor <" + env.To[0].Address.String() + ">; "
	}
	for _, part := range [...]string{to, date, "\r\n"} {
		b.WriteString(part)
	}
	return b.String()
}

// mailDate is RFC 5322 §3.3 with the zone's name, as Postfix writes it.
const mailDate = "Mon, _2 Jan 2006 15:04:05 -0700 (MST)"

// literal writes an address as RFC 5321 §4.1.3 wants it between brackets.
func literal(a netip.Addr) string {
	if a.Is6() {
		return "IPv6:" + a.String()
	}
	return a.String()
}
