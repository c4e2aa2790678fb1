package remote

import (
	"log/slog"
	"net/netip"
	"strings"
)

// Origin is the client a message came from, for the log of a content filter;
// ” what is not known.
type Origin struct{ Name, Addr, Proto, Helo string }

// forward tells the next hop whom the message came from, if it announces that
// it listens. A refusal changes nothing for the message. Postfix XFORWARD_README
func (s *session) forward() error {
	m, o := s.a.m, s.a.m.Origin
	asked := s.a.cfg.XForward
	if s.a.hop.LMTP {
		asked = s.a.cfg.LMTPXForward
	}
	if !asked || m.Verify || o == (Origin{}) || !s.has("XFORWARD") {
		return nil
	}
	if ip, err := netip.ParseAddr(o.Addr); err == nil && ip.Is6() {
		o.Addr = "IPV6:" + o.Addr
	}
	for _, line := range []string{
		s.forwardLine("NAME", o.Name, "ADDR", o.Addr),
		s.forwardLine("PROTO", o.Proto, "HELO", o.Helo, "IDENT", m.ID),
	} {
		if line == "" {
			continue
		}
		rep, err := s.ask("XFORWARD"+line, s.a.cfg.MailTimeout, "sending XFORWARD")
		if err != nil {
			return err
		}
		if !rep.ok() && s.a.c.d.Log != nil {
			s.a.c.d.Log.Warn("XFORWARD refused", slog.String("queue_id", m.ID), slog.String("host", s.h.relay()), slog.String("reply", rep.String()))
		}
	}
	return nil
}

// forwardLine has those attributes that are known and that the server takes.
func (s *session) forwardLine(pairs ...string) string {
	offered := " " + strings.ToUpper(s.exts["XFORWARD"]) + " "
	line := ""
	for i := 0; i < len(pairs); i += 2 {
		if name, value := pairs[i], pairs[i+1]; value != "" && strings.Contains(offered, " "+name+" ") {
			line += " " + name + "=" + xtext(value)
		}
	}
	return line
}
