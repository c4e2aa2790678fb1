package smtp

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"mailserver/internal/maillog"
	"mailserver/policy"
)

// logTag is the syslog tag of a listener, as Postfix's master.cf names them.
func logTag(opt ListenerOptions) string {
	switch {
	case opt.Role == policy.LMTP:
		return "postfix/lmtp/smtpd"
	case opt.Role == policy.Submission && opt.TLS == Wrapper:
		return maillog.SMTPS
	case opt.Role == policy.Submission:
		return maillog.Submission
	}
	return maillog.SMTPD
}

// event writes one line. msg is the constant phrase of the structured form.
func (s *session) event(level slog.Level, msg, line string, attrs ...slog.Attr) {
	attrs = append(attrs, slog.String(maillog.Remote, s.namaddr))
	maillog.Event(s.srv.d.Log, level, s.tag, line, msg, attrs...)
}

func (s *session) info(msg, format string, args ...any) {
	if s.srv.d.Log.Enabled(context.Background(), slog.LevelInfo) {
		s.event(slog.LevelInfo, msg, fmt.Sprintf(format, args...))
	}
}

func (s *session) warn(msg, format string, args ...any) {
	s.event(slog.LevelWarn, msg, "warning: "+fmt.Sprintf(format, args...))
}

// backendError logs what made an answer temporary.
func (s *session) backendError(doing string, err error) {
	s.event(slog.LevelError, "command deferred", fmt.Sprintf("warning: %s: %s: %v", s.namaddr, doing, err),
		slog.Any(maillog.Err, err))
}

// whatsup logs a decision about the command where, as smtpd(8) does:
// "NOQUEUE: reject: RCPT from name[ip]: 554 5.7.1 ...; from=<> to=<> proto= helo=".
func (s *session) whatsup(kind, where, rcpt, text, rule string) {
	line, attrs := s.decision(kind, where, rcpt, text, rule)
	s.event(slog.LevelInfo, kind, line, attrs...)
}

// decision is the line of a decision and its facts.
func (s *session) decision(kind, where, rcpt, text, rule string) (string, []slog.Attr) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %s from %s: %s;", s.queueID(), kind, where, s.namaddr, text)
	attrs := make([]slog.Attr, 0, 7)
	if s.tx != nil {
		from := s.tx.env.From.String()
		fmt.Fprintf(&b, " from=<%s>", from)
		attrs = append(attrs, slog.String(maillog.From, from))
	}
	if rcpt != "" {
		fmt.Fprintf(&b, " to=<%s>", rcpt)
		attrs = append(attrs, slog.String(maillog.Rcpt, rcpt))
	}
	fmt.Fprintf(&b, " proto=%s", s.proto)
	if s.helo != "" {
		fmt.Fprintf(&b, " helo=<%s>", s.helo)
	}
	attrs = append(attrs, slog.String(maillog.Helo, s.helo), slog.String(maillog.Reason, text))
	if rule != "" {
		attrs = append(attrs, slog.String(maillog.Rule, rule))
	}
	return maillog.OneLine(b.String()), attrs
}

// rejected logs a refusal of the server itself.
func (s *session) rejected(where, rcpt string, r reply) {
	s.whatsup("reject", where, rcpt, r.String(), "")
}

// judged logs a refusal of policy, with the rule that decided.
func (s *session) judged(where, rcpt string, r reply, v policy.Verdict) {
	line, attrs := s.decision("reject", where, rcpt, r.String(), v.Rule)
	if v.Steps != "" {
		attrs = append(attrs, slog.String(maillog.Steps, v.Steps))
	}
	s.event(slog.LevelInfo, "reject", line, attrs...)
}

// warnings logs what a verdict says for the log only.
func (s *session) warnings(where, rcpt string, v policy.Verdict) {
	for _, w := range v.Warnings {
		s.whatsup(w.Event, where, rcpt, LogText(w), w.Rule)
	}
}

func (s *session) queueID() string {
	if s.tx != nil && s.tx.msg != nil {
		return s.tx.msg.ID()
	}
	return "NOQUEUE"
}

// mostSteps bounds what is kept of how the recipients of a message were judged.
const mostSteps = 8000

// keepSteps notes for the message how one command was judged that was accepted.
func (s *session) keepSteps(command string, v policy.Verdict) {
	if v.Steps == "" || len(s.tx.steps) > mostSteps {
		return
	}
	s.tx.steps += command + ": accepted\n" + v.Steps
}
