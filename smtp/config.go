package smtp

import (
	"fmt"
	"strings"
	"time"

	"mailserver/internal/nets"
)

// Config is the SMTP servers' part of the settings, under the names of
// postconf(5). It is asked for at every command, so a changed row acts at once.
type Config struct {
	Hostname string `setting:"myhostname" default:"localhost"`
	MailName string `setting:"mail_name" default:"Postfix"`
	Banner   string `setting:"smtpd_banner" default:"$myhostname ESMTP $mail_name"`

	// MyNetworks are clients that no limit per client holds.
	MyNetworks []string `setting:"mynetworks" default:"127.0.0.0/8, [::ffff:127.0.0.0]/104, [::1]/128"`
	Exceptions []string `setting:"smtpd_client_event_limit_exceptions" default:"$mynetworks"`

	// Connections is how many sessions one server has at a time; one more is
	// answered 421. Ours: Postfix counts processes.
	Connections       int           `setting:"smtpd_connection_limit" default:"1000"`
	ClientConnections int           `setting:"smtpd_client_connection_count_limit" default:"50"`
	ClientRate        int           `setting:"smtpd_client_connection_rate_limit" default:"0"`
	ClientMessages    int           `setting:"smtpd_client_message_rate_limit" default:"0"`
	ClientRecipients  int           `setting:"smtpd_client_recipient_rate_limit" default:"0"`
	ClientTLS         int           `setting:"smtpd_client_new_tls_session_rate_limit" default:"0"`
	ClientAuth        int           `setting:"smtpd_client_auth_rate_limit" default:"0"`
	RateUnit          time.Duration `setting:"anvil_rate_time_unit" default:"60s"`
	// Clients whose addresses agree in so many bits are one client.
	IPv4Prefix int `setting:"smtpd_client_ipv4_prefix_length" default:"32"`
	IPv6Prefix int `setting:"smtpd_client_ipv6_prefix_length" default:"84"`

	// Timeout is the longest wait for a command, for the next bytes of a
	// message, and for a client that does not read replies.
	Timeout time.Duration `setting:"smtpd_timeout" default:"300s"`
	// MinDataRate bounds a whole message: it may take Timeout and a second more
	// for each MinDataRate bytes that have come. 0: no such bound.
	MinDataRate int `setting:"smtpd_min_data_rate" default:"500"`
	// PerRequest: Timeout is for a whole command, not for each read, and
	// MinDataRate holds. Postfix does so only under stress.
	PerRequest      bool          `setting:"smtpd_per_request_deadline" default:"yes"`
	StartTLSTimeout time.Duration `setting:"smtpd_starttls_timeout" default:"300s"`

	SoftErrors int           `setting:"smtpd_soft_error_limit" default:"10"`
	HardErrors int           `setting:"smtpd_hard_error_limit" default:"20"`
	Junk       int           `setting:"smtpd_junk_command_limit" default:"100"`
	ErrorSleep time.Duration `setting:"smtpd_error_sleep_time" default:"1s"`

	LineLimit       int   `setting:"line_length_limit" default:"2048"`
	RecipientLimit  int   `setting:"smtpd_recipient_limit" default:"1000"`
	MessageLimit    int64 `setting:"message_size_limit" default:"10240000"` // bytes, 0 none
	SASLResponseMax int64 `setting:"smtpd_sasl_response_limit" default:"12288"`

	// AuthservID is the name in whose Authentication-Results fields strangers may
	// say nothing.
	AuthservID string `setting:"authserv_id" default:"$myhostname"`

	SoftBounce        bool     `setting:"soft_bounce" default:"no"`
	AllowMinUser      bool     `setting:"allow_min_user" default:"no"`
	StrictEnvelopes   bool     `setting:"strict_rfc821_envelopes" default:"no"`
	HeloRequired      bool     `setting:"smtpd_helo_required" default:"no"`
	DisableVrfy       bool     `setting:"disable_vrfy_command" default:"no"`
	ForbiddenCommands []string `setting:"smtpd_forbidden_commands" default:"CONNECT GET POST"`
	ForbidPipelining  bool     `setting:"smtpd_forbid_unauth_pipelining" default:"yes"`
	DiscardEHLO       []string `setting:"smtpd_discard_ehlo_keywords" default:""`
	PeernameLookup    bool     `setting:"smtpd_peername_lookup" default:"yes"`
	RejectFooter      string   `setting:"smtpd_reject_footer" default:""`
	ReplaceStrayCR    bool     `setting:"cleanup_replace_stray_cr_lf" default:"yes"`
	BareLF            string   `setting:"smtpd_forbid_bare_newline" default:"normalize"`
	BareLFCode        int      `setting:"smtpd_forbid_bare_newline_reject_code" default:"550"`
	BareLFExclusions  []string `setting:"smtpd_forbid_bare_newline_exclusions" default:"$mynetworks"`
	// XForward are clients, filters, whose word about the client before them is logged.
	XForward           []string `setting:"smtpd_authorized_xforward_hosts" default:""`
	AskCert            bool     `setting:"smtpd_tls_ask_ccert" default:"no"`
	RequireCert        bool     `setting:"smtpd_tls_req_ccert" default:"no"` // on listeners with encrypt and wrapper
	ClientCA           string   `setting:"smtpd_tls_CAfile" default:"$ssl_client_ca_file"`
	TLSAuthOnly        bool     `setting:"smtpd_tls_auth_only" default:"no"`
	TLSReceivedHeader  bool     `setting:"smtpd_tls_received_header" default:"no"`
	SASLEnable         bool     `setting:"smtpd_sasl_auth_enable" default:"yes"` // no: AUTH nowhere, whatever the listener says
	SASLReceivedHeader bool     `setting:"smtpd_sasl_authenticated_header" default:"no"`
	BrokenSASL         bool     `setting:"broken_sasl_auth_clients" default:"no"`
}

// Validate names the first setting whose value cannot be obeyed.
func (c *Config) Validate() error {
	switch c.BareLF {
	case "normalize", "yes", "reject", "note", "no":
	default:
		return fmt.Errorf("setting smtpd_forbid_bare_newline: %q is none of normalize, yes, reject, note, no", c.BareLF)
	}
	for _, word := range c.ForbiddenCommands {
		if strings.ContainsAny(word, ":{}/") {
			return fmt.Errorf("setting smtpd_forbidden_commands: %q: only names of commands are possible here", word)
		}
	}
	return c.validateNumbers()
}

func (c *Config) validateNumbers() error {
	for _, n := range []struct {
		name string
		ok   bool
	}{
		{"smtpd_timeout", c.Timeout > 0},
		{"smtpd_starttls_timeout", c.StartTLSTimeout > 0},
		{"anvil_rate_time_unit", c.RateUnit > 0},
		{"line_length_limit", c.LineLimit >= minLineLimit && c.LineLimit <= maxLineLimit},
		{"smtpd_recipient_limit", c.RecipientLimit > 0},
		{"smtpd_hard_error_limit", c.HardErrors > 0},
		{"smtpd_connection_limit", c.Connections > 0},
		{"smtpd_sasl_response_limit", c.SASLResponseMax > 0 && c.SASLResponseMax <= maxLineLimit},
		{"smtpd_client_ipv4_prefix_length", c.IPv4Prefix >= 0 && c.IPv4Prefix <= 32},
		{"smtpd_client_ipv6_prefix_length", c.IPv6Prefix >= 0 && c.IPv6Prefix <= 128},
		{"smtpd_forbid_bare_newline_reject_code", c.BareLFCode >= 400 && c.BareLFCode <= 599},
	} {
		if !n.ok {
			return fmt.Errorf("setting %s: value out of range", n.name)
		}
	}
	for _, n := range []struct {
		name string
		list []string
	}{
		{"mynetworks", c.MyNetworks},
		{"smtpd_client_event_limit_exceptions", c.Exceptions},
		{"smtpd_authorized_xforward_hosts", c.XForward},
		{"smtpd_forbid_bare_newline_exclusions", c.BareLFExclusions},
	} {
		if _, err := nets.ParseList(n.list); err != nil {
			return fmt.Errorf("setting %s: %w", n.name, err)
		}
	}
	return nil
}

// A line limit below RFC 5321 §4.5.3.1.4 refuses legal commands; the buffer
// for a line is bounded.
const (
	minLineLimit = 512
	maxLineLimit = 32000
)
