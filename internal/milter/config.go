package milter

import (
	"fmt"
	"time"
)

// Config is what the settings say about milters.
type Config struct {
	// SMTPD are asked about mail that comes in by SMTP, NonSMTPD about mail of
	// sendmail(1). Lists of inet:host:port, unix:path, or
	// { inet:host:port, default_action=accept }.
	SMTPD    string `setting:"smtpd_milters" default:""`
	NonSMTPD string `setting:"non_smtpd_milters" default:""`
	// Maps are access tables of client addresses whose actions stand in the
	// place of SMTPD; DISABLE asks nobody.
	Maps []string `setting:"smtpd_milter_maps" default:""`

	DefaultAction string `setting:"milter_default_action" default:"tempfail" values:"accept reject tempfail quarantine shutdown"`
	Protocol      int    `setting:"milter_protocol" default:"6"`

	ConnectTimeout time.Duration `setting:"milter_connect_timeout" default:"30s"`
	CommandTimeout time.Duration `setting:"milter_command_timeout" default:"30s"`
	ContentTimeout time.Duration `setting:"milter_content_timeout" default:"300s"`

	// What filters are told besides the events: names of macros. A filter may
	// choose others.
	DaemonName    string   `setting:"milter_macro_daemon_name" default:"$myhostname"`
	Version       string   `setting:"milter_macro_v" default:"$mail_name"`
	Defaults      string   `setting:"milter_macro_defaults" default:""`
	ConnectMacros []string `setting:"milter_connect_macros" default:"j {daemon_name} {daemon_addr} v _"`
	HeloMacros    []string `setting:"milter_helo_macros" default:"{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}"`
	MailMacros    []string `setting:"milter_mail_macros" default:"i {auth_type} {auth_authen} {auth_author} {mail_addr} {mail_host} {mail_mailer}"`
	RcptMacros    []string `setting:"milter_rcpt_macros" default:"i {rcpt_addr} {rcpt_host} {rcpt_mailer}"`
	DataMacros    []string `setting:"milter_data_macros" default:"i"`
	EOHMacros     []string `setting:"milter_end_of_header_macros" default:"i"`
	EODMacros     []string `setting:"milter_end_of_data_macros" default:"i"`
	UnknownMacros []string `setting:"milter_unknown_command_macros" default:""`

	Hostname string `setting:"myhostname" default:"localhost"`
	MailName string `setting:"mail_name" default:"Postfix"`
}

// Validate names the first setting whose value cannot be obeyed.
func (c *Config) Validate() error {
	switch c.Protocol {
	case 2, 3, 4, 6:
	default:
		return fmt.Errorf("setting milter_protocol: %d is none of 2, 3, 4, 6", c.Protocol)
	}
	for _, n := range []struct {
		name string
		d    time.Duration
	}{
		{"milter_connect_timeout", c.ConnectTimeout},
		{"milter_command_timeout", c.CommandTimeout},
		{"milter_content_timeout", c.ContentTimeout},
	} {
		if n.d <= 0 {
			return fmt.Errorf("setting %s: value out of range", n.name)
		}
	}
	for _, l := range []struct{ name, text string }{{"smtpd_milters", c.SMTPD}, {"non_smtpd_milters", c.NonSMTPD}} {
		if _, err := c.Parse(l.text); err != nil {
			return fmt.Errorf("setting %s: %w", l.name, err)
		}
	}
	if _, err := parseDefaults(c.Defaults); err != nil {
		return fmt.Errorf("setting milter_macro_defaults: %w", err)
	}
	return nil
}
