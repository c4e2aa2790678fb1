// Package transfer copies mail from one place to another: an IMAP server, a
// Maildir, mbox files, mailboxes of this server. Flags, dates and mailboxes are
// kept. It holds one message at a time, and none of them whole.
//
// A Journal notes how far it has come, so that a run that was broken off goes on,
// and a later one copies only what has come since.
package transfer

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"
)

// Box is a mailbox. Its name has levels divided by dots, INBOX in capitals.
type Box struct {
	Name       string
	Subscribed bool
	Special    []imap.MailboxAttr
	ref        string // what the source calls it
}

// Message is what is said of a message beside its text.
type Message struct {
	ID    string // in its mailbox of the source
	Flags []imap.Flag
	Time  time.Time
	Size  int64 // with CRLF line ends; below 0: not known
}

// Source is where mail comes from.
type Source interface {
	// Boxes returns the mailboxes, and a sentence about each thing that cannot
	// be taken.
	Boxes(ctx context.Context) (list []Box, left []string, err error)
	// Each calls fn for the messages of a mailbox that come after a mark, in
	// order, with text that has CRLF line ends; "" is before all. The mark of a
	// message is its ID. validity says whether marks of an earlier run mean the
	// same.
	Each(ctx context.Context, b Box, validity, after string, fn func(m *Message, text io.Reader) error) error
	// Validity of the marks in a mailbox.
	Validity(ctx context.Context, b Box) (string, error)
}

// Target is where mail goes.
type Target interface {
	// Prepare makes a mailbox, if it is not there.
	Prepare(ctx context.Context, b Box) error
	// Add takes a message. It is there for good after Flush.
	Add(ctx context.Context, b Box, m *Message, text io.Reader) error
	Flush(ctx context.Context, b Box) error
	// Next is a number that grows with each message that was added; 0 when the
	// target cannot tell.
	Next(ctx context.Context, b Box) (uint32, error)
}

// Run is one transfer.
type Run struct {
	From    Source
	To      Target
	Journal *Journal // nil: everything is copied
	Only    []string // mailboxes; nil: all
	// Progress is called after each step.
	Progress func(p Progress)
}

// Progress is how far a transfer has come.
type Progress struct {
	Box      string
	Messages int // of this run
	Bytes    int64
	Left     []string // what was not taken, at the end
}

// A step is what is made durable at once.
const (
	stepMessages = 50
	stepBytes    = 4 << 20
)

// Do copies. What it returns is true also when it ends early.
func (r *Run) Do(ctx context.Context) (p Progress, err error) {
	boxes, left, err := r.From.Boxes(ctx)
	if err != nil {
		return p, err
	}
	p.Left = left
	for _, b := range boxes {
		if !r.wanted(b.Name) {
			continue
		}
		p.Box = b.Name
		if err := r.box(ctx, b, &p); err != nil {
			return p, fmt.Errorf("mailbox %s: %w", b.Name, err)
		}
	}
	return p, nil
}

func (r *Run) wanted(name string) bool {
	for _, only := range r.Only {
		if only == name {
			return true
		}
	}
	return len(r.Only) == 0
}

// step is what waits to be flushed.
type step struct {
	n     int
	bytes int64
	last  string
}

func (r *Run) box(ctx context.Context, b Box, p *Progress) error {
	if err := r.To.Prepare(ctx, b); err != nil {
		return err
	}
	validity, err := r.From.Validity(ctx, b)
	if err != nil {
		return err
	}
	after, err := r.Journal.resume(ctx, r.To, b, validity)
	if err != nil {
		return err
	}
	var s step
	err = r.From.Each(ctx, b, validity, after, func(m *Message, text io.Reader) error {
		count := &counter{r: text}
		if err := r.To.Add(ctx, b, m, count); err != nil {
			return err
		}
		s.n, s.bytes, s.last = s.n+1, s.bytes+count.n, m.ID
		if s.n < stepMessages && s.bytes < stepBytes {
			return nil
		}
		return r.flush(ctx, b, validity, &s, p)
	})
	if err == nil {
		err = r.flush(ctx, b, validity, &s, p)
	}
	return err
}

func (r *Run) flush(ctx context.Context, b Box, validity string, s *step, p *Progress) error {
	if s.n == 0 {
		return nil
	}
	next, err := r.To.Next(ctx, b)
	if err != nil {
		return err
	}
	if err := r.Journal.begin(b, validity, s.last, next); err != nil {
		return err
	}
	if err := r.To.Flush(ctx, b); err != nil {
		return err
	}
	if err := r.Journal.done(b, validity, s.last); err != nil {
		return err
	}
	p.Messages += s.n
	p.Bytes += s.bytes
	*s = step{}
	if r.Progress != nil {
		r.Progress(*p)
	}
	return ctx.Err()
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
