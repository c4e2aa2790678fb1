// Package delivery moves mail: accept, route, queue, mailbox or next hop,
// outcome. When Commit says a message is taken, it is on disk.
//
// A message that ends in mailboxes here is written into them inside the SMTP
// transaction and never enters the queue. What must leave or wait is a file
// below spool/ and rows in state.sqlite before Commit returns (package queue).
package delivery

import (
	"context"
	"log/slog"
	"net"
	"time"

	"mailserver/delivery/queue"
	"mailserver/delivery/remote"
	"mailserver/delivery/route"
	"mailserver/internal/address"
	"mailserver/schema"
	"mailserver/storage"
)

// Config is delivery's part of the settings; its rooms have their own:
// queue.Config and remote.Config.
type Config struct {
	Hostname string `setting:"myhostname" default:"localhost"`
	MailName string `setting:"mail_name" default:"Postfix"`
	// HopLimit is the number of Received headers at which a message is taken
	// to be in a loop.
	HopLimit int `setting:"hopcount_limit" default:"50" min:"1"`
	// LocalClients are those whose header addresses are completed and rewritten,
	// and whose messages get the fields that they lack. Addresses of others are
	// completed with RemoteDomain, if it is set.
	LocalClients []string `setting:"local_header_rewrite_clients" default:"permit_inet_interfaces" values:"permit_inet_interfaces permit_mynetworks permit_sasl_authenticated"`
	RemoteDomain string   `setting:"remote_header_rewrite_domain" default:""`
	MyNetworks   []string `setting:"mynetworks" default:"127.0.0.0/8, [::ffff:127.0.0.0]/104, [::1]/128"`
	// AddMissing adds Date, From and Message-Id to all messages that lack them.
	AddMissing bool `setting:"always_add_missing_headers" default:"no"`
	// Undisclosed is the field that a message without To and Cc gets.
	Undisclosed string `setting:"undisclosed_recipients_header" default:""`
	// AlwaysBcc gets a copy of everything.
	AlwaysBcc string `setting:"always_bcc" default:""`
	// HeaderSize bounds, in bytes, what checks see of a field; BodyCheckSize of
	// the body of a part, 0 all of it.
	HeaderSize    int64 `setting:"header_size_limit" default:"102400" min:"1024"`
	BodyCheckSize int64 `setting:"body_checks_size_limit" default:"51200"`
	LineLimit     int   `setting:"line_length_limit" default:"2048"`
	MIMENesting   int   `setting:"mime_nesting_limit" default:"100" min:"1"`
	NoMIME        bool  `setting:"disable_mime_input_processing" default:"no"`
	// DropHeaders are header fields that a message is freed from.
	DropHeaders []string `setting:"message_drop_headers" default:"bcc, content-length, resent-bcc, return-path"`
	// Quarantine is the mailbox that gets what policy has put apart for a
	// recipient.
	Quarantine string `setting:"quarantine_mailbox" default:"Junk"`
	// BounceSize bounds, in bytes, the part of a message that a bounce returns.
	BounceSize int64 `setting:"bounce_size_limit" default:"50000"`
	// NotifyClasses are the postmaster's: bounce, 2bounce, delay.
	NotifyClasses []string `setting:"notify_classes" default:"" values:"bounce 2bounce delay"`
	// TemplateFile holds other words of reports, bounce(5).
	TemplateFile string `setting:"bounce_template_file" default:""`
	Domain       string `setting:"mydomain" default:""`
	// BounceNotice, DoubleBounceNotice and DelayNotice are who gets the copies.
	DelayNotice        string `setting:"delay_notice_recipient" default:"postmaster"`
	BounceNotice       string `setting:"bounce_notice_recipient" default:"postmaster"`
	DoubleBounceNotice string `setting:"2bounce_notice_recipient" default:"postmaster"`
	// SignFor are the clients whose mail is signed although nobody logged in.
	SignFor []string `setting:"dkim_internal_hosts" default:"127.0.0.0/8, [::ffff:127.0.0.0]/104, [::1]/128"`
	// Seal adds a set of ARC to forwarded mail, with the keys of SealDomain or of
	// the domain that it came to. AuthservID marks our own results in it.
	Seal       bool   `setting:"arc_seal" default:"yes"`
	SealDomain string `setting:"arc_domain" default:""`
	AuthservID string `setting:"authserv_id" default:"$myhostname"`

	DoubleBounceSender string `setting:"double_bounce_sender" default:"double-bounce"`
	Delimiter          string `setting:"recipient_delimiter" default:"+"`
	// SenderAuth looks for credentials by the sender before the next hop.
	SenderAuth bool `setting:"smtp_sender_dependent_authentication" default:"no"`

	// VerifySender is who asks next hops about addresses; '' or <> is the null
	// sender.
	VerifySender string `setting:"address_verify_sender" default:"$double_bounce_sender"`

	// CommandTime is how long a command may take; then it is killed.
	CommandTime time.Duration `setting:"command_time_limit" default:"1000s"`
	// PipeProc bounds the runs of a pipe at the same time for one next hop; 0
	// leaves it to default_destination_concurrency_limit.
	PipeProc int `setting:"pipe_command_maxproc" default:"0"`
	// LockAttempts, LockDelay and StaleLock are for mbox files.
	LockAttempts int           `setting:"deliver_lock_attempts" default:"20"`
	LockDelay    time.Duration `setting:"deliver_lock_delay" default:"1s"`
	StaleLock    time.Duration `setting:"stale_lock_time" default:"500s"`
	// DeliveredHeader says which of command, file and forward get a
	// Delivered-To header, by which loops are found.
	DeliveredHeader []string `setting:"prepend_delivered_header" default:"command, file, forward"`

	// ContentFilter takes all mail that does not come in at a listener with a
	// tag; RelayFilter only what would leave. transport:nexthop
	ContentFilter string `setting:"content_filter" default:""`
	RelayFilter   string `setting:"relay_content_filter" default:""`
}

// Router says where addresses go; *route.Router is one. An error is temporary.
type Router interface {
	Expand(ctx context.Context, to address.Address) ([]route.Destination, error)
	Account(ctx context.Context, user string) (*route.Box, error)
	CanonicalSender(ctx context.Context, from address.Address) (address.Address, error)
	HeaderRewriter(ctx context.Context, domain string) (*route.Rewriter, error)
	Bcc(ctx context.Context, table string, a address.Address) (string, error)
	ForwardSender(ctx context.Context, from string, original, to address.Address) (string, error)
}

// Deps is what a Service needs.
type Deps struct {
	Dir   string // data directory; the spool is Dir/spool
	State *schema.State
	Mail  *schema.Mail // relay hosts and TLS policies
	Route Router
	Store *storage.Store

	Config       func(context.Context) (*Config, error)
	QueueConfig  func(context.Context) (*queue.Config, error)
	RemoteConfig func(context.Context) (*remote.Config, error)

	Resolver remote.Resolver // nil: the system's
	// TXT asks for TXT records, for ARC; nil: nothing is sealed.
	TXT func(ctx context.Context, name string) ([]string, error)
	STS func(ctx context.Context, domain string) remote.STSPolicy
	// TLSResult counts how TLS with other hosts went; nil: nobody does.
	TLSResult func(remote.TLSResult)
	Log       *slog.Logger
	Now       func() time.Time
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error)
}
