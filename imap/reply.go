package imap

import (
	"context"
	"errors"
	"strings"

	"mailserver/auth"
	"mailserver/internal/imapwire"
	"mailserver/internal/maillog"
	"mailserver/storage"
)

// reply is the answer to a command. The zero value is OK with the row's text.
type reply struct {
	status string // "", "NO", "BAD"
	code   string // without brackets
	text   string
}

// no is an error that is answered NO.
type no struct{ code, text string }

func (e *no) Error() string { return e.text }

// refusal is an error that is answered BAD though the line could be read.
type refusal struct{ text string }

func (e *refusal) Error() string { return e.text }

// replies is every error of the parts below with its answer, the texts as
// Dovecot has them. What is not here is NO [SERVERBUG].
var replies = []struct {
	err  error
	code string
	text string
}{
	{auth.ErrBadCredentials, "AUTHENTICATIONFAILED", "Authentication failed."},
	{auth.ErrUnavailable, "UNAVAILABLE", "Temporary authentication failure."},
	{storage.ErrNoMailbox, "NONEXISTENT", "Mailbox doesn't exist"},
	{storage.ErrExists, "ALREADYEXISTS", "Mailbox already exists"},
	{storage.ErrBadName, "CANNOT", "Invalid mailbox name"},
	{storage.ErrInbox, "CANNOT", "INBOX can't be deleted."},
	{storage.ErrOverQuota, "OVERQUOTA", "Quota exceeded (mailbox for user is full)"},
	{storage.ErrNoSpace, "UNAVAILABLE", "Not enough disk space"},
	{storage.ErrReadOnly, "READ-ONLY", "Mailbox is read-only"},
	{storage.ErrExpunged, "EXPUNGEISSUED", "Some of the requested messages no longer exist."},
	{storage.ErrKeywords, "LIMIT", "Too many keywords."},
	{storage.ErrBadKeyword, "CANNOT", "Keyword length too long"},
	{storage.ErrClosed, "UNAVAILABLE", "Server shutting down."},
	{context.DeadlineExceeded, "UNAVAILABLE", "Try again later."},
}

// replyTo makes an answer of an error. What is no fault of the command, but of
// the connection, comes back as an error.
func (s *session) replyTo(row *command, err error) (reply, error) {
	var n *no
	var b *refusal
	var bad *storage.NameError
	switch {
	case s.enc.Err() != nil:
		return reply{}, s.enc.Err()
	case s.dec.Err() != nil && !imapwire.IsSyntax(s.dec.Err()):
		return reply{}, s.dec.Err()
	case errors.Is(err, errSelectedGone), errors.Is(err, errWoken), errors.Is(err, errBroken):
		return reply{}, err
	case errors.Is(err, errUIDRequired):
		return reply{"BAD", "UIDREQUIRED", "Sequence numbers are not used after ENABLE UIDONLY."}, nil
	case errors.As(err, &bad):
		return badName(bad), nil
	case errors.As(err, &n):
		return reply{"NO", n.code, n.text}, nil
	case errors.As(err, &b):
		return reply{"BAD", "", "Error in IMAP command " + row.name + ": " + b.text}, nil
	case imapwire.IsSyntax(err):
		return reply{"BAD", "", "Error in IMAP command " + row.name + ": " + err.Error()}, nil
	}
	for _, r := range replies {
		if errors.Is(err, r.err) {
			return reply{"NO", r.code, r.text}, nil
		}
	}
	s.srv.d.Log.Error("command failed", maillog.Proto, "imap", maillog.Conn, s.id, maillog.User, s.user, "command", row.name, maillog.Err, err)
	return reply{"NO", "SERVERBUG", "Internal error occurred. Refer to server log for more information."}, nil
}

// badName says why no mailbox can have a name, as Dovecot does.
func badName(e *storage.NameError) reply {
	if strings.HasPrefix(e.Name, notUTF7) {
		return reply{"NO", "", "Mailbox name is not valid mUTF-7"}
	}
	return reply{"NO", "CANNOT", "Invalid mailbox name: " + e.Why}
}

// unavailable logs that something beneath cannot be had now, and answers that
// the client may try again.
func (s *session) unavailable(doing string, err error) error {
	s.srv.d.Log.Error("unavailable", maillog.Proto, "imap", maillog.Conn, s.id, maillog.User, s.user, "doing", doing, maillog.Err, err)
	return &no{"UNAVAILABLE", "Internal error occurred, try again later."}
}

// answer writes the tagged line.
func (s *session) answer(row *command, a reply) {
	status, text := a.status, a.text
	if status == "" {
		status = "OK"
	}
	if text == "" {
		text = completed(row)
	}
	s.enc.Raw(s.tag).Raw(" ").Raw(status).Raw(" ")
	if a.code != "" {
		s.enc.Raw("[").Raw(a.code).Raw("] ")
	}
	s.enc.Raw(maillog.OneLine(text)).CRLF()
}

// completed is the text of OK: "Fetch completed."
func completed(row *command) string {
	switch {
	case row.done != "":
		return row.done
	case row.name == "NOOP" || row.name == "ID":
		return row.name + " completed."
	}
	return row.name[:1] + strings.ToLower(row.name[1:]) + " completed."
}

// untagged writes a line "* OK [code] text".
func (s *session) untaggedOK(code, text string) {
	s.enc.Raw("* OK [").Raw(code).Raw("] ").Raw(text).CRLF()
}
