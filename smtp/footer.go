package smtp

import (
	"os"
	"strconv"
	"strings"
)

// footed adds smtpd_reject_footer to a refusal.
func (s *session) footed(r reply) reply {
	footer := s.set.RejectFooter
	if !r.failed() || footer == "" {
		return r
	}
	footer = strings.ReplaceAll(footer, `\n`, "\n")
	if rest, joined := strings.CutPrefix(footer, `\c`); joined {
		r.text += s.footerValues(rest)
		return r
	}
	r.text += "\n" + s.footerValues(footer)
	return r
}

// footerValues puts in the names that postconf(5) smtpd_reject_footer lists.
func (s *session) footerValues(text string) string {
	return os.Expand(text, func(name string) string {
		switch name {
		case "$":
			return "$"
		case "client":
			return s.namaddr
		case "client_address":
			return s.client.Addr.String()
		case "client_name":
			return s.client.Name
		case "client_port":
			return strconv.Itoa(int(s.client.Port))
		case "helo_name":
			return s.helo
		case "sender":
			if s.tx != nil {
				return s.tx.env.From.String()
			}
		case "localtime":
			return s.srv.d.Now().Format("Jan _2 15:04:05")
		case "server_name":
			return s.hostname()
		}
		return ""
	})
}
