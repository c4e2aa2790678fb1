package screen

import (
	"fmt"
	"time"

	"mailserver/internal/nets"
)

// Config is what the settings say, under the names of postscreen(8).
type Config struct {
	// Listeners are where clients are looked at: addresses of rows of Listener,
	// tags, or mx for all of that protocol without a tag. Ours: Postfix says it
	// in master.cf.
	Listeners []string `setting:"postscreen_listeners" default:""`

	Hostname   string   `setting:"myhostname" default:"localhost"`
	Banner     string   `setting:"smtpd_banner" default:"$myhostname ESMTP $mail_name"`
	MyNetworks []string `setting:"mynetworks" default:"127.0.0.0/8, [::ffff:127.0.0.0]/104, [::1]/128"`

	Access      []string      `setting:"postscreen_access_list" default:"permit_mynetworks"`
	DenyAction  string        `setting:"postscreen_denylist_action" default:"$postscreen_blacklist_action" values:"ignore enforce drop"`
	BlackAction string        `setting:"postscreen_blacklist_action" default:"ignore" values:"ignore enforce drop"`
	AllowOn     []string      `setting:"postscreen_allowlist_interfaces" default:"static:all"`
	GreetWait   time.Duration `setting:"postscreen_greet_wait" default:"6s"`
	GreetBanner string        `setting:"postscreen_greet_banner" default:"$smtpd_banner"`
	GreetAction string        `setting:"postscreen_greet_action" default:"ignore" values:"ignore enforce drop"`
	GreetTTL    time.Duration `setting:"postscreen_greet_ttl" default:"1d"`

	Sites          []string      `setting:"postscreen_dnsbl_sites" default:""`
	Threshold      int           `setting:"postscreen_dnsbl_threshold" default:"1"`
	AllowThreshold int           `setting:"postscreen_dnsbl_allowlist_threshold" default:"$postscreen_dnsbl_whitelist_threshold"`
	WhiteThreshold int           `setting:"postscreen_dnsbl_whitelist_threshold" default:"0"`
	DNSBLAction    string        `setting:"postscreen_dnsbl_action" default:"ignore" values:"ignore enforce drop"`
	DNSBLTimeout   time.Duration `setting:"postscreen_dnsbl_timeout" default:"10s"`
	DNSBLMaxTTL    time.Duration `setting:"postscreen_dnsbl_max_ttl" default:"1h"`
	DNSBLMinTTL    time.Duration `setting:"postscreen_dnsbl_min_ttl" default:"60s"`
	ReplyMap       string        `setting:"postscreen_dnsbl_reply_map" default:""`

	Pipelining       bool          `setting:"postscreen_pipelining_enable" default:"no"`
	PipeliningAction string        `setting:"postscreen_pipelining_action" default:"enforce" values:"ignore enforce drop"`
	PipeliningTTL    time.Duration `setting:"postscreen_pipelining_ttl" default:"30d"`
	NonSMTP          bool          `setting:"postscreen_non_smtp_command_enable" default:"no"`
	NonSMTPAction    string        `setting:"postscreen_non_smtp_command_action" default:"drop" values:"ignore enforce drop"`
	NonSMTPTTL       time.Duration `setting:"postscreen_non_smtp_command_ttl" default:"30d"`
	BareNewline      bool          `setting:"postscreen_bare_newline_enable" default:"no"`
	BareAction       string        `setting:"postscreen_bare_newline_action" default:"ignore" values:"ignore enforce drop"`
	BareTTL          time.Duration `setting:"postscreen_bare_newline_ttl" default:"30d"`

	Forbidden    []string      `setting:"postscreen_forbidden_commands" default:"$smtpd_forbidden_commands"`
	CommandCount int           `setting:"postscreen_command_count_limit" default:"20"`
	CommandTime  time.Duration `setting:"postscreen_command_time_limit" default:"300s"`
	ClientCount  int           `setting:"postscreen_client_connection_count_limit" default:"$smtpd_client_connection_count_limit"`
	// Most is how many clients are looked at, at a time. Postfix's default is
	// $default_process_limit, 100: here a client costs little.
	Most         int           `setting:"postscreen_pre_queue_limit" default:"2000"`
	HeloRequired bool          `setting:"postscreen_helo_required" default:"$smtpd_helo_required"`
	DisableVrfy  bool          `setting:"postscreen_disable_vrfy_command" default:"$disable_vrfy_command"`
	Retention    time.Duration `setting:"postscreen_cache_retention_time" default:"7d"`
	Cleanup      time.Duration `setting:"postscreen_cache_cleanup_interval" default:"12h"`
	LineLimit    int           `setting:"line_length_limit" default:"2048"`
	MessageLimit int64         `setting:"message_size_limit" default:"10240000"`
	SoftBounce   bool          `setting:"soft_bounce" default:"no"`
}

// Validate names the first setting whose value cannot be obeyed.
func (c *Config) Validate() error {
	for _, n := range []struct {
		name string
		ok   bool
	}{
		{"postscreen_greet_wait", c.GreetWait >= 0 && c.GreetWait <= 10*time.Minute},
		{"postscreen_dnsbl_timeout", c.DNSBLTimeout > 0},
		{"postscreen_command_count_limit", c.CommandCount > 0},
		{"postscreen_command_time_limit", c.CommandTime > 0},
		{"postscreen_pre_queue_limit", c.Most > 0},
		{"postscreen_dnsbl_allowlist_threshold", c.AllowThreshold <= 0},
		{"postscreen_cache_cleanup_interval", c.Cleanup >= 0},
	} {
		if !n.ok {
			return fmt.Errorf("setting %s: value out of range", n.name)
		}
	}
	if _, err := parseSites(c.Sites); err != nil {
		return fmt.Errorf("setting postscreen_dnsbl_sites: %w", err)
	}
	if _, err := c.allowOn(); err != nil {
		return fmt.Errorf("setting postscreen_allowlist_interfaces: %w", err)
	}
	return nil
}

// allowOn are our addresses at which a new client may come through.
func (c *Config) allowOn() (nets.List, error) {
	var words []string
	for _, w := range c.AllowOn {
		if w == "static:all" {
			words = append(words, "0.0.0.0/0", "::/0")
		} else {
			words = append(words, w)
		}
	}
	return nets.ParseList(words)
}
