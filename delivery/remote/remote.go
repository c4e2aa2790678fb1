// Package remote is the outgoing side: our SMTP and LMTP client.
//
// A Client makes one attempt to deliver one message to recipients that share
// a next hop: it finds the hosts (MX, addresses), connects, secures the
// connection as the policy demands, logs in where told to, and sends. What it
// returns for each recipient is final for this attempt; when to try again is
// the queue's business.
//
// The text goes out byte for byte, so that signatures hold; only the dots of
// RFC 5321 §4.5.2 are added. Exceptions are lines that are too long, and content
// of 8 bits for servers that do not take it (convert.go).
package remote

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Config is the client's part of the settings.
type Config struct {
	Hostname string `setting:"myhostname" default:"localhost"`
	Helo     string `setting:"smtp_helo_name" default:"$myhostname"`
	LMTPHelo string `setting:"lmtp_lhlo_name" default:"$myhostname"`
	// Addresses and Sessions bound the hosts tried in one attempt.
	Addresses int `setting:"smtp_mx_address_limit" default:"5"`
	Sessions  int `setting:"smtp_mx_session_limit" default:"2"`
	// Protocols is all, ipv4 or ipv6; Preference is any, ipv4 or ipv6.
	Protocols  []string `setting:"inet_protocols" default:"all" values:"all ipv4 ipv6"`
	Preference string   `setting:"smtp_address_preference" default:"any" values:"any ipv4 ipv6"`
	TLSLevel   string   `setting:"smtp_tls_security_level" default:"may"`
	TLSCAFile  string   `setting:"smtp_tls_CAfile" default:""`
	// TLSRequired obeys the header field TLS-Required: No.
	TLSRequired bool `setting:"tls_required_enable" default:"yes"`
	// InsecureMX is dane if TLSA records of a host bind although its domain's
	// MX records are not signed; may if not.
	InsecureMX string `setting:"smtp_tls_dane_insecure_mx_policy" default:"dane" values:"dane may"`
	// FingerprintDigest is that of match= at the level fingerprint.
	FingerprintDigest string `setting:"smtp_tls_fingerprint_digest" default:"sha256"`
	MTASTS            bool   `setting:"smtp_tls_mta_sts" default:"yes"`

	// ReuseOnDemand keeps connections to busy destinations for CacheTime; one
	// serves for at most ReuseTime and ReuseCount messages, 0: any.
	ReuseOnDemand bool          `setting:"smtp_connection_cache_on_demand" default:"yes"`
	CacheTime     time.Duration `setting:"smtp_connection_cache_time_limit" default:"2s"`
	ReuseTime     time.Duration `setting:"smtp_connection_reuse_time_limit" default:"300s"`
	ReuseCount    int           `setting:"smtp_connection_reuse_count_limit" default:"0"`
	ReuseTLS      bool          `setting:"smtp_tls_connection_reuse" default:"yes"`
	RsetTimeout   time.Duration `setting:"smtp_rset_timeout" default:"20s"`

	// XForward and LMTPXForward tell next hops that announce XFORWARD whom mail
	// came from.
	XForward     bool `setting:"smtp_send_xforward_command" default:"no"`
	LMTPXForward bool `setting:"lmtp_send_xforward_command" default:"no"`

	// LineLimit bounds, in bytes, the lines that are sent; 0: as they are.
	LineLimit int `setting:"smtp_line_length_limit" default:"998"`
	// NoConversion sends 8-bit content to servers without 8BITMIME too.
	NoConversion bool `setting:"disable_mime_output_conversion" default:"no"`

	// BindAddress and BindAddress6 are where connections come from.
	BindAddress  string `setting:"smtp_bind_address" default:""`
	BindAddress6 string `setting:"smtp_bind_address6" default:""`

	// SASLOptions and SASLTLSOptions: noplaintext forbids PLAIN and LOGIN
	// without, and with, TLS.
	SASLOptions    []string `setting:"smtp_sasl_security_options" default:"noplaintext, noanonymous" values:"noplaintext noanonymous"`
	SASLTLSOptions []string `setting:"smtp_sasl_tls_security_options" default:"noanonymous" values:"noplaintext noanonymous"`

	// SASLFilter are the mechanisms that may be used, of those offered.
	SASLFilter []string `setting:"smtp_sasl_mechanism_filter" default:""`

	ConnectTimeout  time.Duration `setting:"smtp_connect_timeout" default:"30s" min:"1s"`
	HeloTimeout     time.Duration `setting:"smtp_helo_timeout" default:"300s" min:"1s"`
	TLSTimeout      time.Duration `setting:"smtp_starttls_timeout" default:"300s" min:"1s"`
	MailTimeout     time.Duration `setting:"smtp_mail_timeout" default:"300s" min:"1s"`
	RcptTimeout     time.Duration `setting:"smtp_rcpt_timeout" default:"300s" min:"1s"`
	DataInitTimeout time.Duration `setting:"smtp_data_init_timeout" default:"120s" min:"1s"`
	DataXferTimeout time.Duration `setting:"smtp_data_xfer_timeout" default:"180s" min:"1s"`
	DataDoneTimeout time.Duration `setting:"smtp_data_done_timeout" default:"600s" min:"1s"`
	QuitTimeout     time.Duration `setting:"smtp_quit_timeout" default:"300s" min:"1s"`
}

// Deps is what a Client needs.
type Deps struct {
	Config   func(context.Context) (*Config, error)
	Resolver Resolver // nil: the system's
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	// Own reports whether an address is this host's: mail for it must not be
	// sent to ourselves. nil: addresses of this machine's interfaces, port 25.
	Own func(netip.AddrPort) bool
	// STS gives the MTA-STS policy of a domain; nil: there is none.
	STS func(ctx context.Context, domain string) STSPolicy
	// TLSResult counts how TLS with mail exchangers went; nil: nobody does.
	TLSResult func(TLSResult)
	Log       *slog.Logger
	Now       func() time.Time
}

// MX is one mail exchanger of a domain.
type MX struct {
	Preference uint16
	Host       string // without the dot at the end; '' is the null MX of RFC 7505
}

// Resolver looks up names. An error that is a *net.DNSError with IsNotFound
// means that there is no such name or record; every other error is temporary.
type Resolver interface {
	MX(ctx context.Context, domain string) ([]MX, error)
	Addresses(ctx context.Context, host string) ([]netip.Addr, error)
}

// Hop is a next hop.
type Hop struct {
	LMTP bool
	Host string // name or address, without brackets; a path when Unix
	MX   bool   // look up mail exchangers of Host
	Port int    // 0: 25, or 24 for LMTP
	Unix bool   // Host is the path of a socket
	// TLS is a row of TlsPolicy; '' leaves the setting.
	TLS string
	// User and Passwd log in; '' does not.
	User, Passwd string
	// TLSConfig is for tests; nil is the usual one.
	TLSConfig *tls.Config
}

// Recipient is one address to deliver to.
type Recipient struct {
	Address string // as RCPT writes it
	ORCPT   string // type;address, or ''
	Notify  string // '' none
}

// Mail is the message.
type Mail struct {
	ID   string // queue ID, for the log
	From string // '' is the null sender
	To   []Recipient
	Size int64
	Body string // 7BIT, 8BITMIME, BINARYMIME or ''
	UTF8 bool   // SMTPUTF8 was asked for
	// RequireTLS: only over TLS with a verified certificate, to hosts that
	// hold the next ones to it, RFC 8689 §4.2.
	RequireTLS bool
	Ret        string
	EnvID      string
	Origin     Origin
	Open       func() (io.ReadCloser, error)
	// Verify asks about the recipients and sends no message: Open is not used.
	Verify bool
}

// Status is what became of a recipient.
type Status int

// Values of Status.
const (
	Sent Status = iota
	Deferred
	Bounced
)

// Result is the outcome of an attempt for one recipient.
type Result struct {
	Status   Status
	Enhanced string
	Text     string // as Postfix's log says it, without the parentheses
	Reply    string // the remote's own words, code first; '' if they are ours
	Host     string // the remote's name
	Relay    string // host[address]:port, or none
	// Unreachable: no host answered properly up to MAIL FROM.
	Unreachable bool
	InDoubt     bool          // the host may have taken the message
	Uses        int           // deliveries over the connection, with this one
	DSN         bool          // the next hop takes over NOTIFY
	Setup       time.Duration // name look-ups, connecting, greeting, TLS
	Talk        time.Duration
}

// Client delivers. Safe for concurrent use.
type Client struct {
	d    Deps
	idle idle
}

// New returns a Client.
func New(d Deps) *Client {
	if d.Resolver == nil {
		d.Resolver = System{}
	}
	if d.Own == nil {
		d.Own = ownAddress
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Client{d: d}
}
