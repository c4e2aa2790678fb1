// Package route answers where an address goes: the one place that knows
// domains, address classes, aliases, transports. RCPT, the queue and the
// command "route" all ask here.
//
// Class, transport and mailbox of an address come from one list of candidates,
// the most specific first: the local part as it is, in its domain; the same
// among the system users, if the domain is local; both again without extension;
// the catch-all of the domain; then the Domain row (candidates.go).
//
// Everything is an indexed look-up of a View taken once a call, so a changed
// row acts at the next. Every error means that nothing is known: ask again
// later.
package route

import (
	"context"
	"errors"
	"log/slog"
	"os/user"
	"path/filepath"
	"time"

	"mailserver/internal/address"
	"mailserver/schema"
)

// ErrAliasLoop: aliases lead on without end, or to too many recipients.
// 451 4.6.0 Alias expansion error.
var ErrAliasLoop = errors.New("alias expansion error")

// Config is route's part of the settings.
type Config struct {
	Hostname string `setting:"myhostname" default:"localhost"`
	// Domain is empty for the hostname without its first label.
	Domain string `setting:"mydomain" default:""`
	// Origin is the domain of an address without one.
	Origin string `setting:"myorigin" default:"$myhostname"`
	// Destination are local domains besides those of class 1. A Domain row of
	// another class than 0 comes first.
	Destination []string `setting:"mydestination" default:"$myhostname, localhost.$mydomain, localhost"`
	// ProxyInterfaces are addresses of this host that it does not see itself.
	ProxyInterfaces []string `setting:"proxy_interfaces" default:""`

	// CanonicalClasses and the next two are the addresses that the maps are for.
	CanonicalClasses          []string `setting:"canonical_classes" default:"envelope_sender, envelope_recipient, header_sender, header_recipient" values:"envelope_sender envelope_recipient header_sender header_recipient"`
	SenderCanonicalClasses    []string `setting:"sender_canonical_classes" default:"envelope_sender, header_sender" values:"envelope_sender header_sender"`
	RecipientCanonicalClasses []string `setting:"recipient_canonical_classes" default:"envelope_recipient, header_recipient" values:"envelope_recipient header_recipient"`
	// MasqueradeDomains are domains whose hosts are not shown, !domain one whose
	// hosts are; not for users of MasqueradeExceptions.
	MasqueradeDomains    []string `setting:"masquerade_domains" default:""`
	MasqueradeExceptions []string `setting:"masquerade_exceptions" default:""`
	MasqueradeClasses    []string `setting:"masquerade_classes" default:"envelope_sender, header_sender, header_recipient" values:"envelope_sender envelope_recipient header_sender header_recipient"`
	// AppendOrigin and AppendDot complete addresses in headers.
	AppendOrigin bool `setting:"append_at_myorigin" default:"yes"`
	AppendDot    bool `setting:"append_dot_mydomain" default:"no"`
	SwapBangpath bool `setting:"swap_bangpath" default:"yes"`
	PercentHack  bool `setting:"allow_percent_hack" default:"yes"`

	Delimiter string `setting:"recipient_delimiter" default:"+"`
	// Propagate: where an extension that no row names is added to the result.
	Propagate []string `setting:"propagate_unmatched_extensions" default:"canonical, virtual"`
	// CatchallCompat lets a catch-all alias take the mail of explicit
	// addresses, as Postfix does.
	CatchallCompat bool `setting:"catchall_postfix_compat" default:"no"`
	DefaultRClass  int  `setting:"default_rclass" default:"30"`

	ExpansionLimit int `setting:"virtual_alias_expansion_limit" default:"1000" min:"1"`
	RecursionLimit int `setting:"virtual_alias_recursion_limit" default:"1000" min:"1"`
	// AddressLimit bounds an address that aliases make, in bytes.
	AddressLimit int `setting:"virtual_alias_address_length_limit" default:"1000" min:"1"`

	LocalTransport   string `setting:"local_transport" default:"local:$myhostname"`
	VirtualTransport string `setting:"virtual_transport" default:"virtual"`
	RelayTransport   string `setting:"relay_transport" default:"relay"`
	DefaultTransport string `setting:"default_transport" default:"smtp"`
	// RelayHost is the next hop of mail to other hosts where no row of RelayHost
	// says one.
	RelayHost string `setting:"relayhost" default:""`

	// LocalRecipients says who exists in a local domain: unix:passwd.byname
	// (users of the system), $alias_maps (names with Alias rows), address (an
	// Address row in that very domain, nothing else). Empty: everybody.
	LocalRecipients []string `setting:"local_recipient_maps" default:"unix:passwd.byname, $alias_maps"`
	// HomeMailbox is the mailbox below the home of a system user: a Maildir with
	// a slash at its end, else an mbox file. Empty: MailSpool/user.
	HomeMailbox string `setting:"home_mailbox" default:"Maildir/"`
	MailSpool   string `setting:"mail_spool_directory" default:"/var/mail"`
	// MailboxCommand takes the mail of system users in place of a mailbox.
	MailboxCommand   string `setting:"mailbox_command" default:""`
	MailboxTransport string `setting:"mailbox_transport" default:""`
	// FallbackTransport and LuserRelay take mail for names that do not exist.
	FallbackTransport string `setting:"fallback_transport" default:""`
	LuserRelay        string `setting:"luser_relay" default:""`
	// ForwardPath are the files that a user forwards mail by; the first that
	// is there counts. $home, $user, $extension, $recipient_delimiter.
	ForwardPath []string `setting:"forward_path" default:"$home/.forward${recipient_delimiter}${extension}, $home/.forward"`
	// MailToCommands and MailToFiles say which of alias, forward and include
	// may name commands and files.
	MailToCommands []string `setting:"allow_mail_to_commands" default:"alias, forward"`
	MailToFiles    []string `setting:"allow_mail_to_files" default:"alias, forward"`
	// DefaultPrivs is the user whose rights commands and files of aliases get,
	// and those of root.
	DefaultPrivs string `setting:"default_privs" default:"nobody"`
	// ExpandOwner makes the target of owner-NAME the sender, not owner-NAME.
	ExpandOwner bool `setting:"expand_owner_alias" default:"no"`

	// DoubleBounceSender is whose mail is thrown away: answers to notices.
	DoubleBounceSender string `setting:"double_bounce_sender" default:"double-bounce"`

	// SRSDomain is the domain of senders that stand for others in mail that is
	// forwarded; empty: they stay as they are. SRSSecrets: the first makes
	// hashes, all are accepted.
	SRSDomain  string   `setting:"srs_domain" default:""`
	SRSSecrets []string `setting:"srs_secrets" default:""`
	// SRSExclude are domains whose senders stay; .domain are those below one.
	SRSExclude   []string      `setting:"srs_exclude_domains" default:""`
	SRSAlways    bool          `setting:"srs_always_rewrite" default:"no"` // senders of ours too
	SRSSeparator string        `setting:"srs_separator" default:"="`
	SRSLength    int           `setting:"srs_hash_length" default:"4" min:"1"`
	SRSMinimum   int           `setting:"srs_hash_minimum" default:"4" min:"1"`
	SRSMaxAge    time.Duration `setting:"srs_max_age" default:"21d" min:"24h"`

	// MailboxHome is the home of a virtual mailbox without vmHome: %d its
	// domain, %n its local part, %u both. Relative to the data directory.
	MailboxHome string `setting:"virtual_mailbox_home" default:"/home/vmail/%d/%n"`
	// MailboxDir is the Maildir below that home.
	MailboxDir string `setting:"virtual_mailbox_dir" default:"Mail"`
	DefaultGID int    `setting:"virtual_default_gid" default:"800" min:"1"`
	MinimumUID int    `setting:"virtual_minimum_uid" default:"100" min:"1"`
}

// Deps is what a Router needs.
type Deps struct {
	Mail   *schema.Mail
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger
	Dir    string // data directory: where relative homes begin
	// LookupUser finds a user of the system; nil is user.Lookup. No such user
	// is a user.UnknownUserError.
	LookupUser func(name string) (*user.User, error)
	Now        func() time.Time // nil: time.Now
}

// Router resolves addresses. Safe for concurrent use.
type Router struct{ d Deps }

// New returns a Router.
func New(d Deps) *Router {
	if d.LookupUser == nil {
		d.LookupUser = user.Lookup
	}
	if dir, err := filepath.Abs(d.Dir); err == nil {
		d.Dir = dir
	}
	return &Router{d}
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
	Forward // to Targets, as a message of its own
)

// String names a Kind.
func (k Kind) String() string {
	return [...]string{"mailbox", "next", "file", "command", "failure", "discard", "forward"}[k]
}

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

// Local is the name that a command or file is for, and whose rights it gets.
type Local struct {
	Name, Extension string // of the recipient, lower case
	Home, Shell     string // of the user; '' for an alias
	UID, GID        int
	Mailbox         bool // the file is the user's mailbox
}

// Choice is who has chosen the transport and next hop of a destination.
type Choice int

const (
	ByRow     Choice = iota // a row of Transport, or a setting of local(8)
	BySetting               // the transport of the class, which names a next hop
	ByClass                 // the transport of the class: relayhost, or the domain
)

// Destination is one place a message goes to.
type Destination struct {
	Kind      Kind
	Original  address.Address // the recipient it came from
	Address   address.Address // the recipient now
	Box       *Box
	Transport string            // smtp, lmtp, relay, ...
	Nexthop   string            // host, without brackets; or unix:/path
	MX        bool              // false: no MX look-up
	Port      int               // 0: default of the transport
	Choice    Choice            // Next: what a row for the sender may replace
	External  bool              // Next: the domain is none of ours
	Aliased   bool              // aliases lead here
	Target    string            // File, Command, Forward: what the list says
	Local     *Local            // File, Command: whose rights
	Targets   []address.Address // Forward
	Sender    *address.Address  // the owner of the list, whom bounces go to; nil: as it was
	Permanent bool              // Failure: bounce, else try again
	Enhanced  string            // Failure
	Text      string            // Failure
	Path      []string          // how it was found, one step a line, for the command route
}
