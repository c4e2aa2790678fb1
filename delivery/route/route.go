// Package route answers where an address goes: the one place that knows
// domains, address classes, aliases, transports. RCPT, the queue and the
// command "route" all ask here.
package route

import (
	"context"
	"log/slog"

	"mailserver/internal/address"
	"mailserver/policy"
	"mailserver/schema"
)

// Config is route's part of the settings.
type Config struct {
	Hostname  string `setting:"myhostname" default:"localhost"`
	Delimiter string `setting:"recipient_delimiter" default:"+"`
}

// Deps is what a Router needs.
type Deps struct {
	Mail   *schema.Mail
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger
}

// Router resolves addresses.
type Router struct{ d Deps }

// New returns a Router.
func New(d Deps) *Router { return &Router{d} }

// Sender resolves a MAIL FROM address for policy.
func (r *Router) Sender(ctx context.Context, from address.Address) (policy.Sender, error) {
	panic("not yet")
}

// Recipient resolves a RCPT TO address for policy. An error is temporary.
func (r *Router) Recipient(ctx context.Context, to address.Address) (policy.Recipient, error) {
	panic("not yet")
}

// Kind is where a destination ends.
type Kind int

const (
	Mailbox Kind = iota // a mailbox here, Box says which
	Next                // another host: Transport, Nexthop
	File                // aliases(5) /file
	Command             // aliases(5) |command
	Failure             // bounces or waits: Text
	Discard
)

// Box is a mailbox of this host.
type Box struct {
	User   string // log-in name, local part in lower case
	Home   string // absolute
	Mail   string // absolute path of the Maildir
	UID    int
	GID    int
	Quota  int64  // bytes, 0 no limit
	Folder string // '' is INBOX
}

// Destination is one place a message goes to.
type Destination struct {
	Kind      Kind
	Original  address.Address // the recipient it came from
	Address   address.Address // the recipient now
	Box       *Box
	Transport string   // smtp, lmtp, relay, ...
	Nexthop   string   // host, without brackets
	MX        bool     // false: no MX look-up
	Port      int      // 0: default of the transport
	Target    string   // File, Command
	Permanent bool     // Failure: bounce, else try again
	Enhanced  string   // Failure
	Text      string   // Failure
	Path      []string // how it was found, one step a line, for the command route
}

// Expand follows aliases and returns every destination, each once. An error is
// temporary: nothing was decided.
func (r *Router) Expand(ctx context.Context, to address.Address) ([]Destination, error) {
	panic("not yet")
}

// Account returns the mailbox whose owner logs in as user; nil if none.
func (r *Router) Account(ctx context.Context, user string) (*Box, error) { panic("not yet") }

// Lookup answers one of the maps by name, as postmap -q does.
func (r *Router) Lookup(ctx context.Context, table, key string) (value string, found bool, err error) {
	panic("not yet")
}

var _ = schema.External
