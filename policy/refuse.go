package policy

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"mailserver/internal/maillog"
)

// refuse makes a refusal of a policy, which warn_if_reject softens.
func (x *query) refuse(code int, reason Reason, subject, class, detail string) outcome {
	return x.reject(x.verdict(code, reason, subject, class, detail))
}

// verdict makes a refusal without acting on it.
func (x *query) verdict(code int, reason Reason, subject, class, detail string) Verdict {
	v := Verdict{Action: Refuse, Reason: reason, Code: code, Subject: subject, Class: class, Detail: detail, Rule: strings.Join(x.path, "/")}
	x.ownWords(&v)
	return v
}

// ownWords puts the text of the innermost class that has one in place of the
// words of the reason.
func (x *query) ownWords(v *Verdict) {
	if v.Text != "" {
		return
	}
	for _, text := range slices.Backward(x.words) {
		if text == "" {
			continue
		}
		code, enhanced, words := splitReply(text)
		if code != 0 {
			v.Code = code
		}
		v.Enhanced, v.Text = enhanced, words
		return
	}
}

// reject ends the command with v, unless warn_if_reject or an earlier
// defer_if_reject have it otherwise.
func (x *query) reject(v Verdict) outcome {
	if v.Code < 400 || v.Code > 599 {
		x.s.e.d.Log.LogAttrs(x.ctx, slog.LevelWarn, "reply code of a setting or row is not 4xx or 5xx",
			slog.Int(maillog.Code, v.Code), slog.String("rule", v.Rule))
		v.Code, v.Reason, v.Enhanced, v.Text = 450, ServiceRefused, "", ""
	}
	if x.warn > 0 {
		v.Event = "reject_warning"
		v.Code = x.soft(v.Code)
		x.warnings = append(x.warnings, v)
		return dunno
	}
	if x.ifReject != nil && v.Code >= 500 {
		v = *x.ifReject
		x.ifReject = nil
	}
	v.Code = x.soft(v.Code)
	if v.Code == 421 || v.Code == 521 { // RFC 5321 §3.8, RFC 7504 §3: the end of the session
		v.Action = Disconnect
	}
	x.refusal = v
	return refused
}

// soft applies soft_bounce.
func (x *query) soft(code int) int {
	if x.cfg.SoftBounce && code >= 500 {
		return code - 100
	}
	return code
}

// deferIfPermit turns a later permit into v. Under warn_if_reject it only
// warns: no list is to end otherwise for it.
func (x *query) deferIfPermit(v Verdict) outcome {
	if x.warn > 0 {
		return x.reject(v)
	}
	if x.ifPermit == nil {
		x.ifPermit = &v
	}
	return dunno
}

// deferIfReject turns a later 5xx into v, also under warn_if_reject: without
// it mail would be refused that a permit may have taken.
func (x *query) deferIfReject(v Verdict) outcome {
	if x.ifReject == nil {
		x.ifReject = &v
	}
	return dunno
}

// misconfigured ends the command with 451: what the operator wrote cannot be
// followed, and nobody's mail is lost for it. warn_if_reject does not soften it.
func (x *query) misconfigured(format string, args ...any) outcome {
	why := fmt.Sprintf(format, args...)
	maillog.Event(x.s.e.d.Log, slog.LevelWarn, maillog.SMTPD, "warning: "+why, "server configuration error",
		slog.String(maillog.Reason, why), slog.String(maillog.Remote, x.s.client.Addr.String()))
	x.refusal = Verdict{Action: Refuse, Reason: ConfigError, Code: 451, Subject: x.subject, Class: x.class, Detail: why, Rule: strings.Join(x.path, "/")}
	return refused
}

// lookupFailed ends the command with 451: the rows cannot be read now.
func (x *query) lookupFailed(subject string, err error) outcome {
	x.s.e.d.Log.LogAttrs(x.ctx, slog.LevelError, "policy look-up failed", slog.Any(maillog.Err, err))
	x.refusal = Verdict{Action: Refuse, Reason: LookupFailure, Code: 451, Subject: subject, Class: x.class, Rule: strings.Join(x.path, "/")}
	return refused
}

// note leaves a line for the log.
func (x *query) note(event, subject, class, text string) {
	x.warnings = append(x.warnings, Verdict{Event: event, Subject: subject, Class: class, Text: text, Rule: strings.Join(x.path, "/")})
}

// warnf logs a mistake of the operator that changes nothing.
func (x *query) warnf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	maillog.Event(x.s.e.d.Log, slog.LevelWarn, maillog.SMTPD, "warning: "+text, "questionable configuration", slog.String(maillog.Reason, text))
}
