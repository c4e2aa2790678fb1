// Package maillog is how events are said in the log: one vocabulary of
// attributes, and beside it the line that Postfix or Dovecot would write, so
// that fail2ban, pflogsumm and logwatch read it unchanged.
package maillog

import (
	"context"
	"log/slog"
	"time"
)

// Keys of attributes. No other words are used for these facts.
const (
	Conn     = "conn"
	Proto    = "proto"
	Remote   = "remote"
	Helo     = "helo"
	TLS      = "tls"
	User     = "user"
	Mailbox  = "mailbox"
	QueueID  = "queue_id"
	Message  = "message_id"
	From     = "from"
	Rcpt     = "rcpt"
	MX       = "mx"
	Code     = "code"
	Enhanced = "enhanced"
	Reason   = "reason"
	Rule     = "rule" // the restriction that decided, with the classes that led to it
	Attempt  = "attempt"
	Size     = "size"
	Dur      = "dur"
	Err      = "err"
)

// Tags of lines, as syslog shows them.
const (
	SMTPD      = "postfix/smtpd"
	Submission = "postfix/submission/smtpd"
	SMTPS      = "postfix/smtps/smtpd"
	Cleanup    = "postfix/cleanup"
	Pickup     = "postfix/pickup"
	Qmgr       = "postfix/qmgr"
	SMTP       = "postfix/smtp"
	LMTP       = "postfix/lmtp"
	Local      = "postfix/local"
	Virtual    = "postfix/virtual"
	Pipe       = "postfix/pipe"
	Bounce     = "postfix/bounce"
	ErrorMail  = "postfix/error"
	Postsuper  = "postfix/postsuper"
	Dovecot    = "dovecot"
)

// Line is an attribute that the syslog form of the log prints in place of the
// message and all other attributes. The JSON form leaves it out.
const Line = "line"

// Tag is the attribute that holds one of the tags above.
const Tag = "tag"

// Event writes one event: msg is a constant lower-case phrase, line is what
// Postfix or Dovecot would log for it.
func Event(log *slog.Logger, level slog.Level, tag, line, msg string, attrs ...slog.Attr) {
	ctx := context.Background()
	if log == nil || !log.Enabled(ctx, level) {
		return
	}
	// As LogAttrs does, without asking who called.
	r := slog.NewRecord(time.Now(), level, msg, 0)
	r.AddAttrs(slog.String(Tag, tag), slog.String(Line, line))
	r.AddAttrs(attrs...)
	log.Handler().Handle(ctx, r)
}

// Steps is an attribute of many lines that no form of the log prints: how policy
// came to its decision, for "mailserver trace".
const Steps = "steps"
