package policy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"mailserver/internal/address"
	"mailserver/schema"
)

// Config is policy's part of the settings.
type Config struct {
	Hostname    string   `setting:"myhostname" default:"localhost"`
	MyNetworks  []string `setting:"mynetworks" default:"127.0.0.0/8, [::ffff:127.0.0.0]/104, [::1]/128"`
	DelayReject bool     `setting:"smtpd_delay_reject" default:"yes"`
}

// Deps is what an Engine needs.
type Deps struct {
	Mail   *schema.Mail
	Config func(context.Context) (*Config, error)
	Log    *slog.Logger
	Now    func() time.Time
}

// Role is which of the three servers asks.
type Role int

const (
	MX Role = iota
	Submission
	LMTP
)

// Engine judges by the restriction lists in mail.sqlite.
type Engine struct{ d Deps }

// New returns an Engine.
func New(d Deps) *Engine { return &Engine{d} }

// Client is who connects.
type Client struct {
	Addr        netip.Addr
	Port        uint16
	Name        string // verified name, or "unknown"
	ReverseName string // name of the PTR record, or "unknown"
	TempFail    bool   // the names could not be looked up now
	Role        Role
	Tag         string // of the listener
}

// Recipient is what delivery/route knows of a RCPT TO address, once looked up.
type Recipient struct {
	Original address.Address // as the client wrote it
	Address  address.Address // qualified
	Class    schema.Class    // of the domain; External when it is not ours
	Domain   string
	RClass   int    // number of its restriction class, default applied
	Listed   bool   // the address exists, or its class cannot tell
	Table    string // not Listed: "local recipient table"
	MovedTo  string // relocated(5)
	Rejects  string // text of an error: or retry: transport, with its code
	Extended string // address without extension, '' if it has none
}

// Sender is what delivery/route knows of the MAIL FROM address.
type Sender struct {
	Original address.Address
	Address  address.Address
	Class    schema.Class
	Listed   bool
	Table    string
}

// Session judges one SMTP connection. It is used by one goroutine.
type Session struct{ e *Engine }

// NewSession begins a connection.
func (e *Engine) NewSession(c Client) *Session { return &Session{e} }

// Connect judges the client.
func (s *Session) Connect(ctx context.Context) Verdict { panic("not yet") }

// Helo judges HELO, EHLO or LHLO; esmtp is false for HELO.
func (s *Session) Helo(ctx context.Context, name string, esmtp bool) Verdict { panic("not yet") }

// TLS records that the session is encrypted now.
func (s *Session) TLS(st *tls.ConnectionState) { panic("not yet") }

// Login records who has logged in, by which mechanism.
func (s *Session) Login(user, mechanism string) { panic("not yet") }

// Mail begins a transaction. size is the SIZE parameter, 0 if none.
func (s *Session) Mail(ctx context.Context, from Sender, size int64) Verdict { panic("not yet") }

// Rcpt judges one recipient by client, helo, sender, relay and recipient
// lists, its restriction class among them.
func (s *Session) Rcpt(ctx context.Context, to Recipient) Verdict { panic("not yet") }

// Vrfy judges VRFY as a RCPT that changes nothing.
func (s *Session) Vrfy(ctx context.Context, to Recipient) Verdict { panic("not yet") }

// Data judges DATA, or the first BDAT.
func (s *Session) Data(ctx context.Context) Verdict { panic("not yet") }

// EndOfData judges the message that has come in; size in bytes.
func (s *Session) EndOfData(ctx context.Context, size int64) Verdict { panic("not yet") }

// Reset ends the transaction.
func (s *Session) Reset() { panic("not yet") }
