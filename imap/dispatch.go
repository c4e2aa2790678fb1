package imap

import (
	"context"
	"errors"

	"mailserver/internal/imapwire"
	"mailserver/internal/maillog"
	"mailserver/storage"
)

// command reads and runs one command. Its error ends the session.
func (s *session) command(ctx context.Context) error {
	limit := int64(loginLineLimit)
	if s.state != notAuthenticated {
		limit = s.cfg.MaxLineLength
	}
	s.dec.Begin(limit)
	s.dec.UTF8 = s.on.utf8 || s.on.rev2
	row := s.readName()
	run := s.prepare(ctx, row)
	if err := s.dec.Err(); err != nil {
		return s.refuse(row, err)
	}
	if s.notify != nil {
		ctx = storage.CausedBy(ctx, s.link)
	}
	answer, err := run(ctx)
	if err != nil {
		answer, err = s.replyTo(row, err)
	}
	if err == nil && !s.dec.Ended() {
		err = s.skip()
	}
	if err != nil {
		return err
	}
	s.bad = 0
	return s.finish(ctx, row, answer)
}

// readName reads tag and name of a command; nil if there is no such command.
func (s *session) readName() *command {
	s.tag = ""
	tag := s.dec.Tag()
	if s.dec.Err() != nil {
		return nil
	}
	if c := s.dec.Peek(); c != ' ' && !s.dec.AtEnd() {
		s.dec.Fail("Invalid tag.")
		return nil
	}
	s.tag = tag
	s.dec.SP()
	name := s.dec.Keyword()
	if name == "UID" {
		s.dec.SP()
		name += " " + s.dec.Keyword()
	}
	if s.dec.Err() != nil {
		return nil
	}
	row, ok := s.srv.commands[name]
	if !ok {
		s.dec.Fail("Unknown command.")
		return &command{name: name}
	}
	return row
}

// prepare checks that the command is legal now, and reads its arguments.
func (s *session) prepare(ctx context.Context, row *command) func(context.Context) (reply, error) {
	if s.dec.Err() != nil {
		return nil
	}
	cfg, err := s.srv.d.Config(ctx)
	if err != nil {
		return func(context.Context) (reply, error) { return reply{}, s.unavailable("read the settings", err) }
	}
	s.cfg = cfg
	if row.states&s.state == 0 {
		s.dec.Fail("%s", wrongState(row, s.state))
		return nil
	}
	if s.on.uidOnly && row.byNumber() {
		return func(context.Context) (reply, error) { return reply{}, errUIDRequired }
	}
	if row.args && s.dec.Err() == nil {
		s.dec.SP()
	}
	run := row.parse(s, s.dec)
	if !row.streams {
		s.dec.End()
	}
	return run
}

func wrongState(row *command, now state) string {
	switch {
	case row.states&loggedIn == 0:
		return "Already logged in."
	case now == notAuthenticated:
		return "Please login first."
	default:
		return "No mailbox selected."
	}
}

// refuse answers a command that could not be read.
func (s *session) refuse(row *command, cause error) error {
	if !imapwire.IsSyntax(cause) {
		return cause
	}
	if err := s.skip(); err != nil {
		return err
	}
	most := maxBad
	if s.state == notAuthenticated {
		most = maxBadLogin
	}
	if s.bad++; s.bad >= most {
		s.bye("", "Too many invalid IMAP commands.")
		return errTooManyBad
	}
	s.sayBad(row, cause.Error())
	return nil
}

var errTooManyBad = errors.New("too many invalid commands")

func (s *session) sayBad(row *command, text string) {
	if s.tag == "" {
		s.enc.Raw("* BAD Error in IMAP tag: ").Raw(maillog.OneLine(text)).CRLF()
		return
	}
	s.enc.Raw(s.tag).Raw(" BAD ")
	if row != nil && row.states&s.state != 0 || row != nil && row.states == 0 {
		s.enc.Raw("Error in IMAP command ").Raw(row.name).Raw(": ")
	}
	s.enc.Raw(maillog.OneLine(text)).CRLF()
}

// skip reads over what is left of a refused command.
func (s *session) skip() error {
	limit := int64(loginSkipLimit)
	if s.state != notAuthenticated {
		limit = skipLimit
	}
	return s.dec.Skip(limit)
}

// finish tells what has changed in the mailbox, then answers the command.
func (s *session) finish(ctx context.Context, row *command, a reply) error {
	if s.box != nil && s.state == selected {
		if err := s.tellChanges(ctx, !row.keepSeq); err != nil {
			return err
		}
	}
	s.answer(row, a)
	if s.enc.Err() != nil {
		return s.enc.Err()
	}
	if row.after != nil && a.status == "" {
		return row.after(s, ctx)
	}
	return nil
}
