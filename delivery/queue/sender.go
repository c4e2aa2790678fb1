package queue

import (
	"context"
	"time"
)

// Status is what became of one recipient.
type Status int

// Values of Status.
const (
	Sent Status = iota
	Deferred
	Bounced
)

// String gives the word of the log.
func (s Status) String() string { return [...]string{"sent", "deferred", "bounced"}[s] }

// Target is where a recipient goes at this attempt. Recipients with the same
// Site share limits, and up to RecipientLimit of one message go together.
type Target interface {
	// Site is transport:nexthop, as the row shows it.
	Site() string
	// Distant reports whether that is another host, which may not answer.
	Distant() bool
	// RecipientLimit is the most recipients at a time; 0 is the setting's.
	RecipientLimit() int
}

// Narrow is a Target whose site bears no more than so many deliveries at a time;
// 0 leaves it to the settings.
type Narrow interface{ ConcurrencyLimit() int }

// Sender makes attempts. It must be safe for concurrent use.
type Sender interface {
	// Route says where a recipient goes now. A Result other than nil is the
	// outcome at once: no attempt is made.
	Route(ctx context.Context, m *Message, r *Recipient) (Target, *Result)
	// Send tries to deliver to recipients of one message with equal Site, and
	// returns an outcome for each, in order.
	Send(ctx context.Context, to Target, m *Message, rcpts []*Recipient) []Result
	// Report tells the sender of a message what became of recipients: all of
	// them failed, delivered, or, with state QueueWaiting, late. An error is
	// temporary; nothing was sent.
	Report(ctx context.Context, m *Message, rcpts []Recipient) error
}

// Result is the outcome of an attempt for one recipient.
type Result struct {
	Status   Status
	Enhanced string // 2.0.0
	Text     string // what the log and the bounce say
	Reply    string // what the remote said, code first; '' when it is our own word
	MTA      string // name of the host that said it; ''
	Tag      string // maillog tag: who delivered
	Relay    string // host[address]:port, virtual, none
	// Unreachable says that the destination as a whole did not answer: it
	// counts against the site, not the message.
	Unreachable bool
	// Relayed says that the next hop took over the duty to report success.
	Relayed bool
	Uses    int           // deliveries over the connection, with this one; 0: none was made
	Setup   time.Duration // connecting
	Talk    time.Duration // sending
}
