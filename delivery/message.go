package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"

	"mailserver/delivery/queue"
	"mailserver/internal/maillog"
	"mailserver/policy"
	"mailserver/storage"
)

// Message is a message on its way in. One goroutine uses it.
type Message struct {
	s    *Service
	env  *Envelope
	text *queue.Text
	in   passage // on the way to text
	// ours: the message is a report of our own. It cannot be refused, and
	// what fails is queued.
	ours bool
	// forwarded: of those, a stranger's message that a list sends on.
	forwarded bool
}

// Begin makes room for a message. The caller writes header and body, with CRLF
// line ends, the Received header first, then calls Commit or Abort. What it
// changes in env until then holds. The error is temporary.
func (s *Service) Begin(ctx context.Context, env *Envelope) (*Message, error) {
	return s.begin(ctx, env, false)
}

// begin is Begin; ours says that the message is a report, or forwarded.
func (s *Service) begin(ctx context.Context, env *Envelope, ours bool) (*Message, error) {
	c, err := s.d.Config(ctx)
	if err != nil {
		return nil, err
	}
	text, err := s.queue.Begin()
	if err != nil {
		return nil, err
	}
	m := &Message{s: s, env: env, text: text, ours: ours}
	if m.in, err = m.newPassage(ctx, c); err != nil {
		text.Drop()
		return nil, err
	}
	return m, nil
}

// ID is the queue ID, as the log and the Received header say it.
func (m *Message) ID() string { return m.text.ID() }

// Write adds to the message. An error is a lack of room on the disk, or an
// input/output error; both are temporary. Commit answers for it too.
func (m *Message) Write(p []byte) (int, error) { return m.in.Write(p) }

// Size is the number of bytes written, without the headers that are dropped.
func (m *Message) Size() int64 { return m.text.Size() }

// Open reads what has been written so far, from its beginning. Write no more
// after it.
func (m *Message) Open() io.Reader {
	if err := m.in.end(); err != nil {
		return failing{err}
	}
	return m.text.Open()
}

// Rewrite makes the message what fn writes; fn may read what it was by Open.
// Headers are not dropped from it again. After an error it is as before.
func (m *Message) Rewrite(fn func(io.Writer) error) error {
	if err := m.in.end(); err != nil {
		return err
	}
	return m.text.Rewrite(fn)
}

// Refused reports whether header or body checks have found what Commit will
// refuse.
func (m *Message) Refused() bool {
	k, ok := m.in.(*cleaner)
	return ok && k.refused != nil
}

// Spare is room beside the message.
type Spare = interface {
	io.Writer
	Open() io.Reader
	Drop()
}

// Spare gives room beside the message. Drop it before Commit.
func (m *Message) Spare() (Spare, error) { return m.s.queue.Begin() }

// failing is a reader of what cannot be read.
type failing struct{ err error }

// Read is io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Abort drops the message.
func (m *Message) Abort() { m.text.Drop() }

// Commit delivers to mailboxes here and queues the rest. Everything with code
// 250 is on disk when it returns. With LocalOnly there is an Outcome for each
// recipient, in their order; else exactly one, for the message. eff is what
// policy asked for since Begin; it is added to Envelope.Effects.
//
// A message that no recipient can take is refused, and nothing is left of it.
// If one takes it, those that cannot are tried again, or the sender is told.
func (m *Message) Commit(ctx context.Context, eff policy.Effects) []Outcome {
	defer m.text.Drop()
	if err := m.in.end(); err != nil {
		return m.all(m.temporary("write spool", err))
	}
	c, err := m.s.d.Config(ctx)
	if err != nil {
		return m.all(m.temporary("read settings", err))
	}
	if k, ok := m.in.(*cleaner); ok {
		if k.refused != nil {
			return m.all(*k.refused)
		}
		k.eff.Merge(eff)
		eff = k.eff
	}
	all := m.env.Effects
	all.Merge(eff)
	t := &transit{Message: m, c: c, eff: all, from: m.env.From}
	t.filter()
	if refused := t.examine(); refused != nil {
		return m.all(*refused)
	}
	if all.Discard {
		t.log(m.env.From.String(), "discarded by policy")
		return m.all(m.taken())
	}
	if refused := t.sender(ctx); refused != nil {
		return m.all(*refused)
	}
	if refused := t.blind(ctx); refused != nil {
		return m.all(*refused)
	}
	t.plan(ctx)
	if refused := t.sign(ctx); refused != nil {
		return m.all(*refused)
	}
	t.seal(ctx)
	t.secure(ctx)
	t.deliver(ctx)
	t.judge()
	t.enqueue(ctx)
	return t.answer()
}

// all is the same outcome for every recipient.
func (m *Message) all(o Outcome) []Outcome {
	if !m.env.LocalOnly {
		return []Outcome{o}
	}
	list := make([]Outcome, len(m.env.To))
	for i, r := range m.env.To {
		list[i] = o
		list[i].Recipient = r.Address
	}
	return list
}

func (m *Message) taken() Outcome {
	return Outcome{Code: 250, Enhanced: "2.0.0", Text: "Ok: queued as " + m.ID()}
}

// temporary logs err and answers for it: nothing of the message was kept.
func (m *Message) temporary(doing string, err error) Outcome {
	if m.s.d.Log != nil {
		m.s.d.Log.Error("message not taken", slog.String(maillog.QueueID, m.ID()),
			slog.String("doing", doing), slog.String(maillog.Err, err.Error()))
	}
	if isFull(err) {
		return Outcome{Code: 452, Enhanced: "4.3.1", Text: "Insufficient system storage"}
	}
	return Outcome{Code: 451, Enhanced: "4.3.0", Text: "Error: queue file write error"}
}

// isFull reports whether an error is a lack of room on the disk.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, storage.ErrNoSpace)
}

// examine looks at the header: a message in a loop is refused.
func (t *transit) examine() *Outcome {
	h, err := readHeader(t.text.Open())
	if err != nil {
		o := t.temporary("read spool", err)
		return &o
	}
	t.head = h
	maillog.Event(t.s.d.Log, slog.LevelInfo, maillog.Cleanup,
		fmt.Sprintf("%s: message-id=%s", t.ID(), printable(h.MessageID)), "message",
		slog.String(maillog.QueueID, t.ID()), slog.String(maillog.Message, printable(h.MessageID)))
	if h.Received > t.c.HopLimit {
		return &Outcome{Code: 554, Enhanced: "5.4.0", Text: "Error: too many hops"}
	}
	return nil
}

// log writes a line about the message as a whole.
func (t *transit) log(subject, what string) {
	maillog.Event(t.s.d.Log, slog.LevelInfo, maillog.Cleanup, fmt.Sprintf("%s: %s: <%s>", t.ID(), what, subject),
		what, slog.String(maillog.QueueID, t.ID()))
}

// printable bounds what a stranger's header writes into the log.
func printable(s string) string {
	out := make([]byte, 0, min(len(s), 200))
	for i := 0; i < len(s) && i < 200; i++ {
		if s[i] > ' ' && s[i] != 0x7f {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// open gives the text to a delivery; the spool closes it.
func (m *Message) open() (io.Reader, error) { return m.text.Open(), nil }
