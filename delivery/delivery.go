// Package delivery moves mail: accept, route, queue, mailbox or next hop,
// outcome. When Commit says a message is taken, it is on disk.
package delivery

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/emersion/go-smtp"

	"mailserver/delivery/route"
	"mailserver/internal/address"
	"mailserver/policy"
	"mailserver/schema"
	"mailserver/storage"
)

// Config is delivery's part of the settings.
type Config struct {
	Hostname string `setting:"myhostname" default:"localhost"`
}

// Deps is what a Service needs.
type Deps struct {
	Dir    string // data directory; the spool is Dir/spool
	State  *schema.State
	Route  *route.Router
	Store  *storage.Store
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger
	Now    func() time.Time
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Envelope is a message's addresses and what the session learned about it.
type Envelope struct {
	From    address.Address // null for <>
	To      []Recipient
	Options smtp.MailOptions // BODY, SIZE, SMTPUTF8, RET, ENVID
	User    string           // who logged in, '' nobody
	Client  policy.Client
	Helo    string
	Proto   string // ESMTP, ESMTPSA, LMTP ...
	Effects policy.Effects
	// LocalOnly is LMTP: nothing may be queued, every recipient gets its own
	// outcome.
	LocalOnly bool
}

// Recipient is one accepted RCPT.
type Recipient struct {
	Address address.Address  // qualified
	Options smtp.RcptOptions // NOTIFY, ORCPT
}

// Outcome is what became of one recipient at Commit.
type Outcome struct {
	Recipient address.Address
	Code      int    // 250, or what to answer
	Enhanced  string // "2.1.5"
	Text      string // without code; never holds a secret
}

// Service takes messages and runs the queue.
type Service struct{ d Deps }

// New opens the spool below d.Dir.
func New(d Deps) (*Service, error) { return &Service{d}, nil }

// Begin makes room for a message. The caller writes header and body, with CRLF
// line ends, the Received header first, then calls Commit or Abort.
func (s *Service) Begin(ctx context.Context, env *Envelope) (*Message, error) { panic("not yet") }

// Message is a message on its way in.
type Message struct{}

// ID is the queue ID, as the log and the Received header say it.
func (m *Message) ID() string { panic("not yet") }

// Write adds to the message. An error is a lack of room on the disk, or an
// input/output error; both are temporary.
func (m *Message) Write(p []byte) (int, error) { panic("not yet") }

// Size is the number of bytes written.
func (m *Message) Size() int64 { panic("not yet") }

// Commit delivers to mailboxes here and queues the rest. Everything with code
// 250 is on disk when it returns. With LocalOnly there is an Outcome for each
// recipient, in their order; else exactly one, for the message.
func (m *Message) Commit(ctx context.Context, eff policy.Effects) []Outcome { panic("not yet") }

// Abort drops the message.
func (m *Message) Abort() { panic("not yet") }

// Run works the queue until ctx ends.
func (s *Service) Run(ctx context.Context) error { panic("not yet") }
