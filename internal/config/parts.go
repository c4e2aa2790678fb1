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
	"mailserver/internal/renewal"
	"mailserver/policy"
	"mailserver/smtp"
	"mailserver/storage"
)

// parts lists the Config struct of every part of the server.
func parts() []any {
	return []any{
		Process{},
		auth.Config{},
		policy.Config{},
		route.Config{},
		delivery.Config{},
		queue.Config{},
		remote.Config{},
		storage.Config{},
		smtp.Config{},
		imap.Config{},
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
	// MemoryLimit is what the process tries to stay below, in bytes: the
	// collector works harder near it. 0 sets none.
	MemoryLimit int64 `setting:"memory_limit" default:"96M"`
	// ShutdownGrace is how long commands under way may take when it stops.
	ShutdownGrace time.Duration `setting:"shutdown_grace" default:"10s"`
	// MinTLS is the oldest version of TLS that is spoken: TLSv1.2 or TLSv1.3.
	MinTLS string `setting:"ssl_min_protocol" default:"TLSv1.2" values:"TLSv1.2 TLSv1.3"`
}
