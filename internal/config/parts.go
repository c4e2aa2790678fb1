package config

import (
	"time"

	"mailserver/auth"
	"mailserver/auth/dovecot"
	"mailserver/delivery"
	"mailserver/delivery/queue"
	"mailserver/delivery/remote"
	"mailserver/delivery/route"
	"mailserver/imap"
	"mailserver/internal/listen"
	"mailserver/internal/milter"
	"mailserver/internal/renewal"
	"mailserver/policy"
	"mailserver/pop3"
	"mailserver/smtp"
	"mailserver/smtp/screen"
	"mailserver/storage"
)

// parts lists the Config struct of every part of the server.
func parts() []any {
	return []any{
		Process{}, TLSReport{},
		Pickup{},
		Web{},
		Reports{},
		Trace{},
		Audit{},
		auth.Config{},
		policy.Config{},
		route.Config{},
		delivery.Config{},
		queue.Config{},
		remote.Config{},
		storage.Config{},
		smtp.Config{},
		milter.Config{},
		screen.Config{},
		imap.Config{},
		pop3.Config{},
		listen.Config{},
		renewal.Config{},
		dovecot.Config{},
	}
}

// Process is the part of the settings that concerns the process as a whole. A
// changed row acts at the next start.
type Process struct {
	// Hostname is the name in the log and of listeners without their own.
	Hostname string `setting:"myhostname" default:"localhost"`
	// LogFile is where the log goes; empty is standard error.
	LogFile string `setting:"maillog_file" default:""`
	// LogFormat is syslog, json or logfmt.
	LogFormat string `setting:"log_format" default:"syslog" values:"syslog json logfmt"`
	// LogDebug adds the dialogs, without passwords and bodies.
	LogDebug bool `setting:"log_debug" default:"no"`
	// Owner is the user that the process becomes when it is started as root.
	Owner string `setting:"mail_owner" default:"mailserver"`
	// SystemUsers has root start the helper that verifies their passwords.
	SystemUsers bool `setting:"auth_system_users" default:"no"`
	// Landlock holds the process to the files of its data, of its rows and of
	// the system: yes, no, or auto, which is yes where no_new_privs is set, as
	// our unit does, and all mail has one owner.
	Landlock string `setting:"landlock" default:"auto" values:"auto yes no"`
	// MemoryLimit is what the process tries to stay below, in bytes: the
	// collector works harder near it. 0 sets none.
	MemoryLimit int64 `setting:"memory_limit" default:"96M"`
	// ShutdownGrace is how long commands under way may take when it stops.
	ShutdownGrace time.Duration `setting:"shutdown_grace" default:"10s"`
	// MinTLS is the oldest version of TLS that is spoken: TLSv1.2 or TLSv1.3.
	MinTLS string `setting:"ssl_min_protocol" default:"TLSv1.2" values:"TLSv1.2 TLSv1.3"`
}

// Web is the part of the settings that concerns listeners of protocol http.
type Web struct {
	// Networks may ask for /metrics and /healthz.
	Networks []string `setting:"metrics_networks" default:"127.0.0.0/8, ::1/128"`
}

// Pickup is the part of the settings that concerns mail of sendmail(1).
type Pickup struct {
	Hostname       string `setting:"myhostname" default:"localhost"`
	Origin         string `setting:"myorigin" default:"$myhostname"`
	MailName       string `setting:"mail_name" default:"Postfix"`
	MessageLimit   int64  `setting:"message_size_limit" default:"10240000"`
	RecipientLimit int    `setting:"smtpd_recipient_limit" default:"1000"`
	// Trusted are users of the system who may send with any sender address; *
	// is everybody. Root may.
	Trusted []string `setting:"trusted_users" default:"root"`
}

// Reports is the part of the settings that concerns DMARC reports to others.
type Reports struct {
	MailName string `setting:"mail_name" default:"Postfix"`
	// Send sends yesterday's reports to those who ask for them.
	Send  bool   `setting:"dmarc_report_send" default:"no"`
	Org   string `setting:"dmarc_report_org" default:"$myhostname"`
	Email string `setting:"dmarc_report_email" default:"postmaster@$myhostname"`
}

// Trace is the part of the settings that concerns "mailserver trace".
type Trace struct {
	// Lines of the log that are kept; 0: none.
	Lines int `setting:"trace_lines" default:"20000" min:"0"`
}

// Audit is the part of the settings that concerns "mailserver audit". Triggers
// in mail.sqlite obey them, whatever program writes.
type Audit struct {
	// Rows is how many changes are kept; 0: none is recorded.
	Rows int `setting:"audit_rows" default:"50000" min:"0"`
	// Days is how long.
	Days int `setting:"audit_days" default:"365" min:"1"`
}
