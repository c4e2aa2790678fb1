package smtp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"mailserver/delivery"
	"mailserver/internal/maillog"
	"mailserver/internal/smtpwire"
	"mailserver/policy"
)

// data is a message's way in: judge, open, read, finish.
func (s *session) data(ctx context.Context, args string) reply {
	if args != "" {
		return syntax("DATA")
	}
	if s.tx.env.Options.Body == gosmtp.BodyBinaryMIME {
		return binaryNeedsBDAT // RFC 3030 §3
	}
	if r, bad := s.judgeData(ctx, "DATA"); bad {
		return r
	}
	if r, bad := s.open(ctx); bad {
		return r
	}
	s.say(goAhead)
	if !s.readContent() {
		return reply{}
	}
	r := s.finish(ctx, func(id string) reply { return reply{250, "2.0.0", "Ok: queued as " + id} })
	s.reset()
	return r
}

func (s *session) judgeData(ctx context.Context, where string) (reply, bool) {
	v := s.judge.Data(ctx)
	s.warnings(where, s.onlyRcpt(), v)
	if r, refused := verdictReply(v); refused {
		s.judged(where, s.onlyRcpt(), r, v)
		s.done = v.Action == policy.Disconnect
		return r, true
	}
	s.tx.env.Effects.Merge(v.Effects)
	return s.milterData(ctx, where)
}

// onlyRcpt is the recipient when there is exactly one, as the log names it.
func (s *session) onlyRcpt() string {
	if len(s.tx.env.To) != 1 {
		return ""
	}
	return s.tx.env.To[0].Address.String()
}

// open begins the message: queue ID, our header lines.
func (s *session) open(ctx context.Context) (reply, bool) {
	tx := s.tx
	env := tx.env
	env.Effects.Prepend = nil // written here
	msg, err := s.srv.d.Accept.Begin(ctx, &env)
	if err != nil {
		s.backendError("open a message", err)
		return storageReply(err), true
	}
	tx.msg, tx.sent = msg, &env
	tx.intake = &intake{
		msg:     msg,
		limit:   s.set.MessageLimit,
		raw:     tx.env.Options.Body == gosmtp.BodyBinaryMIME,
		content: smtpwire.Content{Dots: !tx.bdat, KeepCR: !s.set.ReplaceStrayCR, AfterLF: s.rd.BareLF()},
	}
	if s.opt.Role == policy.MX && s.user == "" && !s.set.mine.Contains(s.client.Addr) {
		tx.intake.results = &ownResults{host: s.set.AuthservID}
	}
	s.logClient()
	for _, line := range tx.env.Effects.Prepend {
		tx.intake.write([]byte(headerLine(line)))
	}
	tx.intake.write([]byte(s.received(msg.ID())))
	return reply{}, false
}

// headerLine ends a PREPEND with CRLF; line ends within it may only fold.
func headerLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' })
	for i, line := range lines[min(1, len(lines)):] {
		if line[0] != ' ' && line[0] != '\t' {
			lines[i+1] = "\t" + line
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// logClient is "QID: client=name[ip], sasl_method=, sasl_username=,
// orig_queue_id=, orig_client=".
func (s *session) logClient() {
	id := s.tx.msg.ID()
	line := fmt.Sprintf("%s: client=%s", id, s.namaddr)
	if s.user != "" {
		line += fmt.Sprintf(", sasl_method=%s, sasl_username=%s", s.mech, maillog.OneLine(s.user))
	}
	line += s.forwarded.line()
	attrs := []slog.Attr{slog.String(maillog.QueueID, id), slog.String(maillog.User, s.user)}
	if s.tx.steps != "" {
		attrs = append(attrs, slog.String(maillog.Steps, s.tx.steps))
		s.tx.steps = ""
	}
	s.event(slog.LevelInfo, "message begins", line, attrs...)
}

// storageReply answers that a message cannot be written.
func storageReply(err error) reply {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return noStorage
	}
	return writeError
}

// readContent reads up to the end of the message; false: the connection is
// lost.
func (s *session) readContent() bool {
	s.beginContent()
	for {
		p, err := s.rd.Block()
		if err != nil {
			s.lost(err)
			return false
		}
		n, end := s.tx.intake.feed(p)
		s.took(n)
		if end {
			s.tx.intake.close()
			s.content = false
			return true
		}
	}
}

// beginContent sets the time for content: each read has smtpd_timeout, and
// together they have that and what smtpd_min_data_rate allows.
func (s *session) beginContent() {
	s.content, s.bytes = true, 0
	s.until = time.Now().Add(s.timeout)
	if s.set.MinDataRate <= 0 || !s.set.PerRequest {
		s.until = s.until.Add(unbounded)
	}
}

// unbounded stands for no limit on a whole message.
const unbounded = 10 * 365 * 24 * time.Hour

// took counts content that has been read.
func (s *session) took(n int) {
	s.rd.Advance(n)
	s.bytes += int64(n)
	if rate := s.set.MinDataRate; rate > 0 {
		s.until = s.until.Add(time.Duration(n) * time.Second / time.Duration(rate))
	}
}

// finish judges the whole message and hands it over. taken is the reply for a
// message that is on disk.
func (s *session) finish(ctx context.Context, taken func(id string) reply) reply {
	s.where = "END-OF-MESSAGE"
	tx := s.tx
	id := tx.msg.ID()
	if r, bad := s.badContent(); bad {
		s.rejected("END-OF-MESSAGE", s.onlyRcpt(), r)
		return s.forEach(r)
	}
	v := s.judge.EndOfData(ctx, policy.Content{ID: id, Size: tx.msg.Size(), Open: tx.msg.Open})
	s.warnings("END-OF-MESSAGE", s.onlyRcpt(), v)
	if r, refused := verdictReply(v); refused {
		s.judged("END-OF-MESSAGE", s.onlyRcpt(), r, v)
		s.done = v.Action == policy.Disconnect
		return s.forEach(r)
	}
	if r, refused := s.milterMessage(ctx, &v.Effects); refused {
		return s.forEach(r)
	}
	outcomes := tx.msg.Commit(ctx, v.Effects)
	tx.msg = nil // Commit has ended it
	s.errors, s.junk = 0, 0
	return s.outcomes(id, outcomes, taken)
}

// badContent answers a message that cannot be taken, and why, once.
func (s *session) badContent() (reply, bool) {
	in := s.tx.intake
	bare := in.content.BareLF() && !s.set.bareLFFree.Contains(s.client.Addr)
	if bare && s.set.BareLF == "note" {
		s.info("bare newline", "%s: bare <LF> received from %s", s.tx.msg.ID(), s.namaddr)
	}
	switch {
	case in.err != nil:
		s.backendError("write a message", in.err)
		return storageReply(in.err), true
	case in.over:
		return tooBig, true
	case bare && s.set.BareLF == "reject":
		return s.bareLFReply(), true
	}
	return reply{}, false
}

// bareLFRefused is smtpd_forbid_bare_newline for this client. Unlike Postfix
// a bare LF never ends a message here, whatever the setting and client; "no"
// and the exclusions only keep it from being refused or noted.
func (s *session) bareLFRefused() bool {
	return s.set.BareLF == "reject" && !s.set.bareLFFree.Contains(s.client.Addr)
}

func (s *session) bareLFReply() reply {
	code := s.set.BareLFCode
	return s.hostReply(code, fmt.Sprintf("%d.5.2", code/100), "Error: bare <LF> received")
}

// forEach repeats a refusal of the message for every recipient in LMTP,
// RFC 2033 §4.2.
func (s *session) forEach(r reply) reply {
	if s.opt.Role == policy.LMTP {
		for range len(s.tx.env.To) - 1 {
			s.say(r)
		}
	}
	return r
}

// outcomes answers what became of the message: in LMTP of each recipient.
func (s *session) outcomes(id string, list []delivery.Outcome, taken func(string) reply) reply {
	if len(list) == 0 {
		s.backendError("deliver "+id, errors.New("no outcome"))
		return s.forEach(writeError)
	}
	if s.opt.Role != policy.LMTP {
		return outcomeReply(list[0], taken(id))
	}
	for _, o := range list[:len(list)-1] {
		s.say(outcomeReply(o, saved(o, id)))
	}
	last := list[len(list)-1]
	return outcomeReply(last, saved(last, id))
}

func saved(o delivery.Outcome, id string) reply {
	return reply{250, "2.0.0", "<" + o.Recipient.String() + "> " + id + " Saved"}
}

func outcomeReply(o delivery.Outcome, taken reply) reply {
	if o.Code < 300 {
		return taken
	}
	return reply{o.Code, o.Enhanced, o.Text}
}
