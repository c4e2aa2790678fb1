package policy

import (
	"strings"
)

// noteAction is WARN and INFO.
func noteAction(x *query, _ *item, a action, subject, class string) outcome {
	x.note(strings.ToLower(a.verb), subject, class, a.text)
	return dunno
}

// effectAction is what a row asks for the message rather than an answer. It
// takes effect if the command is not refused in the end.
func effectAction(x *query, it *item, a action, subject, class string) outcome {
	if why := x.noEffect(a); why != "" {
		x.warnf("access table %s: action %s %s; it is left out", it.arg, a.verb, why)
		return dunno
	}
	event := strings.ToLower(a.verb)
	e := &x.effects
	switch a.verb {
	case "FILTER":
		e.Filter = a.text
	case "REDIRECT":
		e.Redirect = a.text
	case "BCC":
		e.Bcc = append(e.Bcc, a.text)
	case "PREPEND":
		e.Prepend = append(e.Prepend, a.text)
		return dunno
	case "HOLD":
		e.Hold = true
	case "DISCARD":
		e.Discard, x.s.discard = true, true
		x.note(event, subject, class, effectText(a, subject, class))
		return permit
	}
	x.note(event, subject, class, effectText(a, subject, class))
	return dunno
}

// effectText is what the log says of an effect.
func effectText(a action, subject, class string) string {
	text := a.text
	switch a.verb {
	case "FILTER", "REDIRECT", "BCC":
		text = "triggers " + a.verb + " " + a.text
	default:
		if text == "" {
			text = "triggers " + a.verb + " action"
		}
	}
	return "<" + subject + ">: " + class + " " + text
}

// noEffect says why an effect is not possible; ” if it is.
func (x *query) noEffect(a action) string {
	switch {
	case x.where == "ETRN":
		return "is unavailable in smtpd_etrn_restrictions"
	case x.s.sender == nil:
		return "is not possible before MAIL, with smtpd_delay_reject=no or VRFY"
	case a.verb == "FILTER" && !strings.Contains(a.text, ":"):
		return "needs transport:destination"
	case (a.verb == "REDIRECT" || a.verb == "BCC") && !strings.Contains(a.text, "@"):
		return "needs user@domain"
	case a.verb == "PREPEND" && x.where == "END-OF-MESSAGE":
		return "must be used before smtpd_end_of_data_restrictions"
	case a.verb == "PREPEND" && !isHeader(a.text):
		return "needs header: text"
	}
	return ""
}

// isHeader reports whether text is one line of a header, RFC 5322 §2.2.
func isHeader(text string) bool {
	name, _, ok := strings.Cut(text, ":")
	if !ok || name == "" {
		return false
	}
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f {
			return false
		}
	}
	return !strings.ContainsAny(text, "\r\n\x00")
}
