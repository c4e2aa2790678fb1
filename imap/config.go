package imap

import "time"

// Config is the IMAP server's part of the settings, by their Dovecot names. It
// is asked for at every command.
type Config struct {
	// MaxLineLength bounds a command with its literals, in bytes; the message of
	// APPEND does not count.
	MaxLineLength int64 `setting:"imap_max_line_length" default:"64k"`
	// IdleNotify is how often "* OK Still here" is sent in IDLE; 0: never.
	IdleNotify time.Duration `setting:"imap_idle_notify_interval" default:"2m"`
	// Capability replaces what is offered after login, or with a leading '+'
	// adds to it. A word here offers nothing that the server cannot do.
	Capability string `setting:"imap_capability" default:""`
	// LogoutFormat is the end of the line logged when a session ends. %i and %o
	// are bytes in and out, %{deleted}, %{expunged} counts of messages.
	LogoutFormat string `setting:"imap_logout_format" default:"in=%i out=%o deleted=%{deleted} expunged=%{expunged}"`
	// IDSend is what ID answers: pairs of key and value, "*" as value for the
	// server's own.
	IDSend string `setting:"imap_id_send" default:"name *"`
	// HideCapabilities are what clients are not offered after they have said by
	// ID who they are, each "NAME/VERSION=CAPABILITY,CAPABILITY" with * and ? in
	// NAME/VERSION, in any case.
	HideCapabilities []string `setting:"imap_id_hide_capabilities" default:""`
	// Greeting is the text of the first line.
	Greeting string `setting:"login_greeting" default:"$myhostname ready."`
	// Hostname is for the greeting.
	Hostname string `setting:"myhostname" default:"localhost"`
	// DisablePlaintext refuses passwords without TLS, except from this host.
	DisablePlaintext bool `setting:"disable_plaintext_auth" default:"yes"`
	// MaxUserIP bounds the sessions of one user from one address; 0: no bound.
	MaxUserIP int `setting:"mail_max_userip_connections" default:"10"`
	// MaxConnections bounds the connections of all listeners, Dovecot's
	// service imap-login client_limit; 0: no bound.
	MaxConnections int `setting:"imap_client_limit" default:"1000"`
	// ACLAnyone: "allow" lets users give rights to anyone and to authenticated.
	ACLAnyone string `setting:"acl_anyone" default:""`
	// MessageLimit bounds the messages that one command works on, RFC 9738; 0: no
	// bound.
	MessageLimit int `setting:"imap_message_limit" default:"0" min:"0"`
	// MaxMailSize bounds a message of APPEND, in bytes; 0: no bound.
	MaxMailSize int64 `setting:"quota_max_mail_size" default:"100M"`
}

// Times that Dovecot has fixed too.
const (
	loginTimeout = 3 * time.Minute  // from the first byte until logged in
	idleTimeout  = 30 * time.Minute // RFC 9051 §5.4: at least 30 minutes
	readTimeout  = 2 * time.Minute  // for the next bytes within a command
	writeTimeout = 5 * time.Minute  // for a piece of a response to be taken
)

const (
	loginLineLimit = 16 << 10  // a command before login
	loginSkipLimit = 64 << 10  // what a refused command may still send before login
	skipLimit      = 512 << 20 // and after it
	maxBadLogin    = 3         // bad commands in a row before login
	maxBad         = 20        // and after it
	maxAuthTries   = 10        // failed log-ins of a connection
)
