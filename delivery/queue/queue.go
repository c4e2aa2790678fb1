// Package queue keeps mail that waits: for another host, for a mailbox that
// cannot take it now, for the operator.
//
// On disk:
//
//	spool/tmp/ID     a message coming in; removed at the start of the server
//	spool/queue/ID   a queued message, as it came in, with CRLF line ends; after
//	                 it, as one line, the envelope that it was queued with
//	spool/orphan/ID  such a file that had no row when the server started
//	state.sqlite     QMessage and QRecipient: who, where, when next
//
// A file is in spool/queue, durably, before its rows are written, and is
// removed after them. So a row always has its file; a file without a row is
// mail that nobody was promised, or that is done, if state.sqlite is the one
// that belongs to the spool. It is set aside at the next start, never removed.
//
// One running server works the queue. Any program may change rows: what it
// holds, releases or makes due acts within a second.
package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"mailserver/schema"
)

// ErrNoMessage says that no message with that ID is in the queue.
var ErrNoMessage = errors.New("no such message in the queue")

// Config is the queue's part of the settings.
type Config struct {
	// MinBackoff and MaxBackoff bound the time from one attempt to the next;
	// between them it is the age of the message. postconf(5) minimal_backoff_time
	MinBackoff time.Duration `setting:"minimal_backoff_time" default:"300s" min:"1s"`
	MaxBackoff time.Duration `setting:"maximal_backoff_time" default:"4000s" min:"1s"`
	// Lifetime is the age at which a message that cannot be delivered goes
	// back; BounceLifetime is that of mail with the null sender.
	Lifetime       time.Duration `setting:"maximal_queue_lifetime" default:"5d"`
	BounceLifetime time.Duration `setting:"bounce_queue_lifetime" default:"5d"`
	// DelayWarning is the age at which the sender is told of the delay; 0 never.
	DelayWarning time.Duration `setting:"delay_warning_time" default:"0h"`
	// SoftBounce keeps in the queue what would go back.
	SoftBounce bool `setting:"soft_bounce" default:"no"`
	// RunDelay is how often the queue is looked through for what is due.
	RunDelay time.Duration `setting:"queue_run_delay" default:"300s"`
	// ActiveLimit bounds the recipients in memory.
	ActiveLimit int `setting:"qmgr_message_active_limit" default:"20000" min:"1"`
	// InitialConcurrency and ConcurrencyLimit bound the deliveries to one
	// destination at the same time.
	InitialConcurrency int `setting:"initial_destination_concurrency" default:"5" min:"1"`
	ConcurrencyLimit   int `setting:"default_destination_concurrency_limit" default:"20" min:"1"`
	// PositiveFeedback and NegativeFeedback are by how much the concurrency of a
	// destination grows with each delivery that reaches it and shrinks with each
	// that does not: number, number / concurrency, number / sqrt_concurrency.
	PositiveFeedback string `setting:"default_destination_concurrency_positive_feedback" default:"1"`
	NegativeFeedback string `setting:"default_destination_concurrency_negative_feedback" default:"1"`
	// FailedCohorts is how many deliveries in a row, in units of the concurrency,
	// must fail to reach a destination before it is dead; 0: it never is.
	FailedCohorts int `setting:"default_destination_concurrency_failed_cohort_limit" default:"1"`
	// RecipientLimit bounds the recipients of one delivery.
	RecipientLimit int `setting:"default_destination_recipient_limit" default:"50" min:"1"`
	// RateDelay is the least time from the end of one delivery to the next to
	// the same destination, which then gets one at a time.
	RateDelay time.Duration `setting:"default_destination_rate_delay" default:"0s"`
	// The same for the transports by name.
	SMTPConcurrency    int           `setting:"smtp_destination_concurrency_limit" default:"$default_destination_concurrency_limit"`
	SMTPRecipients     int           `setting:"smtp_destination_recipient_limit" default:"$default_destination_recipient_limit"`
	SMTPDelay          time.Duration `setting:"smtp_destination_rate_delay" default:"$default_destination_rate_delay"`
	RelayConcurrency   int           `setting:"relay_destination_concurrency_limit" default:"$default_destination_concurrency_limit"`
	RelayRecipients    int           `setting:"relay_destination_recipient_limit" default:"$default_destination_recipient_limit"`
	RelayDelay         time.Duration `setting:"relay_destination_rate_delay" default:"$default_destination_rate_delay"`
	LMTPConcurrency    int           `setting:"lmtp_destination_concurrency_limit" default:"$default_destination_concurrency_limit"`
	LMTPRecipients     int           `setting:"lmtp_destination_recipient_limit" default:"$default_destination_recipient_limit"`
	LMTPDelay          time.Duration `setting:"lmtp_destination_rate_delay" default:"$default_destination_rate_delay"`
	LocalConcurrency   int           `setting:"local_destination_concurrency_limit" default:"2"`
	LocalDelay         time.Duration `setting:"local_destination_rate_delay" default:"$default_destination_rate_delay"`
	VirtualConcurrency int           `setting:"virtual_destination_concurrency_limit" default:"$default_destination_concurrency_limit"`
	VirtualDelay       time.Duration `setting:"virtual_destination_rate_delay" default:"$default_destination_rate_delay"`
	// ProcessLimit bounds the deliveries at the same time: to destinations that
	// answer, and once more to those of which it is not known whether they do.
	ProcessLimit int `setting:"default_process_limit" default:"100" min:"1"`
}

// Deps is what a Queue needs. Those after Now are for Run only.
type Deps struct {
	Dir    string // data directory; the spool is Dir/spool
	State  *schema.State
	Config func(context.Context) (*Config, error) // nil: the defaults
	Log    *slog.Logger
	Now    func() time.Time
	Rand   io.Reader
	Sender Sender
}

// Message and Recipient are the rows, as schema has them.
type (
	Message   = schema.QueueMessage
	Recipient = schema.QueueRecipient
)

// Queue is the queue of one data directory. Safe for concurrent use.
type Queue struct {
	d     Deps
	ids   ids
	dirs  dirSync
	sched *scheduler
	// opened divides what this program has put into the spool from what one
	// before it has left.
	opened   time.Time
	inMemory atomic.Int64 // bytes taken of memoryRoom
}

// Open returns the queue below d.Dir and makes its directories. It starts
// nothing; a command may use it while a server runs.
func Open(d Deps) (*Queue, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	for _, dir := range []string{"tmp", "queue", "orphan"} {
		if err := os.MkdirAll(filepath.Join(d.Dir, "spool", dir), 0o700); err != nil {
			return nil, fmt.Errorf("make spool: %w", err)
		}
	}
	q := &Queue{d: d, opened: d.Now()}
	q.ids.rand = d.Rand
	q.dirs.path = filepath.Join(d.Dir, "spool", "queue")
	q.sched = newScheduler(q)
	return q, nil
}

func (q *Queue) config(ctx context.Context) (*Config, error) {
	if q.d.Config == nil {
		c := Defaults()
		return &c, nil
	}
	return q.d.Config(ctx)
}

// Defaults is the Config without any row in Setting.
func Defaults() Config {
	return Config{
		MinBackoff: 300 * time.Second, MaxBackoff: 4000 * time.Second,
		Lifetime: 5 * 24 * time.Hour, BounceLifetime: 5 * 24 * time.Hour, RunDelay: 300 * time.Second,
		ActiveLimit: 20000, InitialConcurrency: 5, ConcurrencyLimit: 20, RecipientLimit: 50, ProcessLimit: 100,
		PositiveFeedback: "1", NegativeFeedback: "1", FailedCohorts: 1,
	}
}

// file is where the text of a queued message lies.
func (q *Queue) file(id string) string { return filepath.Join(q.d.Dir, "spool", "queue", id) }

func (q *Queue) tmpFile(id string) string { return filepath.Join(q.d.Dir, "spool", "tmp", id) }

// Text opens the message: what is to be prepended, then the file.
func (q *Queue) Text(m *Message) (io.ReadCloser, error) {
	f, err := os.Open(q.file(m.ID))
	if err != nil {
		return nil, fmt.Errorf("open spool %s: %w", m.ID, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(strings.NewReader(m.Prepend), io.LimitReader(f, m.Size)), f}, nil
}
